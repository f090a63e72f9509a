// The lowest states of one Ising problem, by enumeration of all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/samplers/ising.hpp"
#include "core/support/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// 2^48 states take hours, and their codes and sums stay far from what integers and floats hold.
inline constexpr std::size_t kMaxExhaustiveVariables = 48;

struct LowestStates {
  std::size_t count;
  std::vector<std::int8_t> states;  // (count, n), by energy, then in lexicographic order
  std::uint64_t num_visited;        // states that were looked at, all 2^n unless `stop` says to end
};

// The num_states >= 1 lowest states, or all 2^n if there are fewer. Energies are compared in
// float64: exactly where all biases are multiples of some power of two and their magnitudes sum to
// less than 2^53 times that, else within rounding. Of equal energies the lexicographically first
// state is the lower. The result does not depend on the number of threads or the instruction set,
// unless `stop` says to end, which it does here at a state that is not above its threshold. Where
// the caller interrupts it, at most 1024 states are returned, as more take long to sort. Throws
// std::invalid_argument for more than kMaxExhaustiveVariables.
LowestStates enumerate(const KernelTable& kernels, const Ising& problem, std::size_t num_states,
                       int num_threads, Stop& stop);

}  // namespace qpsbgd
