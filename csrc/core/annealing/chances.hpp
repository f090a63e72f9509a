// Acceptance probabilities of bit-sliced sweeps, as binary digits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/support/buffer.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// Returns exp(-x) for x >= 0, to 1e-15 and with the same bits on every machine.
double exp_of_minus(double x);

// Returns the probability that a flip of this gain, in units, is accepted: a multiple of
// 2^-kChanceBits, at most 1 - 2^-kChanceBits. step = 2 * beta * unit is the exponent that belongs
// to a gain of one unit.
std::uint32_t acceptance_chance(Acceptance acceptance, double step, int gain);

// The table of a sweep. It is made anew where the temperature changes.
class ChanceTable {
 public:
  // No sum of the problem is below first_sum.
  ChanceTable(Acceptance acceptance, std::size_t num_planes, std::size_t first_sum);

  const BitChances& at(double step);

 private:
  const Acceptance acceptance_;
  const std::size_t num_planes_, first_sum_;
  double step_ = std::numeric_limits<double>::quiet_NaN();
  Buffer<std::uint32_t> digits_;  // (2, kChanceBits / 4, 2^kMaxPlanes, 4)
  BitChances chances_{};
};

}  // namespace qpsbgd
