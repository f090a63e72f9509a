// Kernels on data that no solver makes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "core/support/buffer.hpp"
#include "core/support/dispatch.hpp"
#include "core/support/streams.hpp"
#include "fixtures.hpp"

namespace {

// One sample whose target is the lowest integer: 0 - INT_MIN must not be undefined behaviour, and
// all instruction sets must decide alike.
void test_lowest_target() {
  using qpsbgd::kLanes;
  std::vector<Result<float>> results;
  for (const std::string& isa : qpsbgd::available_isas()) {
    CAPTURE(isa);
    setenv("QPSBGD_ISA", isa.c_str(), 1);
    const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
    qpsbgd::Buffer<float> packed(kernels.gemm.panel_columns), transposed(kLanes), reach(kLanes),
        margins(kLanes), spins(kLanes);
    qpsbgd::Buffer<std::int32_t> targets(kLanes);
    qpsbgd::Buffer<std::uint64_t> critical(1);
    for (auto* zeros : {&packed, &transposed, &reach, &spins}) {
      std::fill_n(zeros->data(), zeros->size(), 0.0f);
    }
    // Samples without a target never matter.
    std::fill_n(margins.data(), margins.size(), std::numeric_limits<float>::infinity());
    std::fill_n(targets.data(), targets.size(), 0);
    packed[0] = transposed[0] = 1.0f;
    reach[0] = 2.0f;
    margins[0] = spins[0] = 1.0f;  // the flip makes the margin -1
    targets[0] = std::numeric_limits<std::int32_t>::min();
    const qpsbgd::SignTile tile{.packed_inputs = packed.data(),
                                .inputs_t = transposed.data(),
                                .reach = reach.data(),
                                .targets = targets.data(),
                                .margins = margins.data(),
                                .ld = kLanes,
                                .spins = spins.data(),
                                .spins_ld = kLanes,
                                .rows = 1,
                                .num_variables = 1,
                                .num_samples = 1,
                                .critical = critical.data()};
    const qpsbgd::StreamKey key{};
    kernels.sign.anneal(tile, 1.0f, &key);
    results.push_back({isa, {spins.data(), spins.data() + kLanes}});
  }
  unsetenv("QPSBGD_ISA");
  check_equal(results);
}

// Rows of a dense problem of small integers, with fields in int16.
class Int16Problem {
 public:
  static constexpr std::size_t kVariables = 70;
  static constexpr std::size_t kLd = qpsbgd::round_up(kVariables, qpsbgd::kLanes);
  static constexpr std::size_t kUpdatesLd = qpsbgd::round_up(kVariables, 64);
  static constexpr std::size_t kColumns = qpsbgd::round_up(kVariables, 2 * qpsbgd::kLanes);

  explicit Int16Problem(std::size_t rows)
      : rows_(rows),
        couplings_(kLd * kLd),
        updates_(kVariables * kUpdatesLd),
        spins_(qpsbgd::round_up(rows, qpsbgd::kLanes) * kLd),
        fields_(rows * kColumns) {
    std::fill_n(couplings_.data(), couplings_.size(), 0.0f);
    std::fill_n(updates_.data(), updates_.size(), std::int8_t{0});
    std::fill_n(spins_.data(), spins_.size(), 1.0f);
    for (std::size_t i = 0; i < kVariables; ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        const int value = static_cast<int>(qpsbgd::splitmix64(i * kVariables + j) % 9) - 4;
        couplings_[i * kLd + j] = couplings_[j * kLd + i] = static_cast<float>(value);
        updates_[i * kUpdatesLd + j] = updates_[j * kUpdatesLd + i] =
            static_cast<std::int8_t>(value);
      }
    }
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < kVariables; ++i) {
        if (qpsbgd::splitmix64(r * kVariables + i + 7) % 2) spins_[r * kLd + i] = -1.0f;
      }
      for (std::size_t i = 0; i < kColumns; ++i) fields_[r * kColumns + i] = field(r, i);
    }
  }

  // Returns the field of a variable, computed from the spins.
  std::int16_t field(std::size_t row, std::size_t variable) const {
    int sum = 0;
    for (std::size_t j = 0; j < kVariables && variable < kVariables; ++j) {
      sum += updates_[j * kUpdatesLd + variable] * static_cast<int>(spins_[row * kLd + j]);
    }
    return static_cast<std::int16_t>(sum);
  }

  bool has_right_fields() const {
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t i = 0; i < kVariables; ++i) {
        if (fields_[r * kColumns + i] != field(r, i)) return false;
      }
    }
    return true;
  }

  // Returns `count` rows from row `first` on.
  qpsbgd::Int16Tile tile(std::size_t first, std::size_t count) {
    return {.updates = updates_.data(),
            .updates_ld = kUpdatesLd,
            .fields = fields_.data() + first * kColumns,
            .ld = kColumns,
            .columns = kColumns,
            .unit = 1.0f,
            .coupling = couplings_.data(),
            .block_step = qpsbgd::kBlock * (kLd + 1),
            .block_ld = kLd,
            .spins = spins_.data() + first * kLd,
            .spins_ld = kLd,
            .rows = count,
            .num_variables = kVariables};
  }

  std::vector<float> spins() const { return {spins_.data(), spins_.data() + rows_ * kLd}; }

 private:
  const std::size_t rows_;
  qpsbgd::Buffer<float> couplings_;      // (kLd, kLd)
  qpsbgd::Buffer<std::int8_t> updates_;  // (kVariables, kUpdatesLd)
  qpsbgd::Buffer<float> spins_;          // (rows, rounded up to kLanes, kLd)
  qpsbgd::Buffer<std::int16_t> fields_;  // (rows, kColumns)
};

// A tile of more than kLanes rows: the flips of each row are those of a smaller tile.
void test_int16_rows(std::size_t rows, bool each) {
  using qpsbgd::kLanes, qpsbgd::kMaxTileRows;
  CAPTURE(rows);
  CAPTURE(each);
  std::vector<Result<float>> results;
  for (const std::string& isa : qpsbgd::available_isas()) {
    setenv("QPSBGD_ISA", isa.c_str(), 1);
    const qpsbgd::RowKernels& kernels = qpsbgd::kernels().rows;
    for (const std::size_t together : {kLanes, kMaxTileRows}) {
      Int16Problem problem(rows);
      for (std::size_t first = 0; first < rows; first += together) {
        const qpsbgd::Int16Tile tile = problem.tile(first, std::min(together, rows - first));
        for (std::uint64_t sweep = 0; sweep < 3; ++sweep) {
          qpsbgd::StreamKey keys[kMaxTileRows] = {};
          qpsbgd::Buffer<float> thresholds(kMaxTileRows);
          for (std::size_t r = 0; r < kMaxTileRows; ++r) {
            keys[r] = qpsbgd::stream_key(5, first + r, 0, sweep);
            thresholds[r] = 4.0f + static_cast<float>(first + r);
          }
          constexpr auto kMetropolis = qpsbgd::Acceptance::kMetropolis;
          const std::size_t end =
              each ? kernels.anneal_each_int16(tile, 0, kMetropolis, thresholds.data(), keys)
                   : kernels.anneal_int16(tile, 0, kMetropolis, 10.0f, keys);
          CHECK_MESSAGE((end == qpsbgd::kSweepDone), "all variables visited");
        }
      }
      CHECK_MESSAGE((problem.has_right_fields()), "fields follow the spins");
      results.push_back({isa + ", tiles of " + std::to_string(together), problem.spins()});
    }
  }
  unsetenv("QPSBGD_ISA");
  check_equal(results);
}

}  // namespace

TEST_CASE("the lowest target of the sign objective") { test_lowest_target(); }

TEST_CASE("int16 fields in tiles of many rows") {
  for (const std::size_t rows : {17u, 20u, 32u}) {
    for (const bool each : {false, true}) test_int16_rows(rows, each);
  }
}
