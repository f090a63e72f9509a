// What the tests of the core share.
//
// They run the core without Python, for the sanitizer builds: every instruction set, shapes at the
// edges of lanes, panels and tiles, several threads. Equality of results is the check that needs no
// oracle; tests/kernels/test_kernels.py has the oracle. A failed check prints the shape, the
// instruction set and the number of threads, which doctest captures.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/support/streams.hpp"

inline bool is_spin(std::int8_t value) { return value == 1 || value == -1; }

// Result of one solver in one setting: an instruction set, a number of threads, a form.
template <class Value>
struct Result {
  std::string setting;
  std::vector<Value> values;
};

inline std::string setting_of(const std::string& isa, int threads, const std::string& more = "") {
  return isa + ", " + std::to_string(threads) + " threads" + (more.empty() ? "" : ", ") + more;
}

template <class Value>
void check_equal(const std::vector<Result<Value>>& results) {
  for (const Result<Value>& result : results) {
    INFO("first setting: ", results.front().setting);
    INFO("other setting: ", result.setting);
    CHECK_MESSAGE((result.values == results.front().values), "one result in all settings");
  }
}

// Returns numbers in [-1, 1).
inline std::vector<float> noise(std::size_t count, std::uint64_t seed) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto word = qpsbgd::splitmix64(seed * 1000003 + i);
    values[i] = static_cast<float>(static_cast<double>(word) * 0x1p-63 - 1.0);
  }
  return values;
}

// The sizes of a layer.
struct Shape {
  std::size_t samples, inputs, neurons;
};
