// Lowest states of one Ising problem, by enumeration of all states.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/ising/ising.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// 2^48 states take hours. Their codes and sums stay far below the limits of integers and floats.
inline constexpr std::size_t kMaxExhaustiveVariables = 48;

struct LowestStates {
  std::size_t count;
  std::vector<std::int8_t> states;  // (count, n), by energy, then in lexicographic order
  std::uint64_t num_visited;        // 2^n unless `stop` says to end
};

// Returns the num_states >= 1 lowest states, or all 2^n states if there are fewer. Energies are
// compared in float64. The comparison is exact where all biases are multiples of a power of two and
// their magnitudes sum to less than 2^53 times it, else within rounding. Of equal energies the
// lexicographically first state is the lower.
//
// The result does not depend on the number of threads or the instruction set, unless `stop` ends
// the call. A state whose energy is not above stop's threshold ends it. An interrupted call returns
// at most 1024 states, because more take long to sort. Throws std::invalid_argument for more than
// kMaxExhaustiveVariables.
LowestStates enumerate(const KernelTable& kernels, const Ising& problem, std::size_t num_states,
                       int num_threads, Stop& stop);

}  // namespace qpsbgd
