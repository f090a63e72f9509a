#include "core/annealing/chances.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace qpsbgd {
namespace {

constexpr std::size_t kDigitGroup = 4, kCodes = std::size_t{1} << kMaxPlanes;

}  // namespace

// The exponential functions of C libraries differ in the last place.
double exp_of_minus(double x) {
  // ln 2 in two parts, of which the first has few digits: its multiples are exact.
  constexpr double kHigh = 0x1.62e42feep-1, kLow = 0x1.a39ef35793c76p-33;
  constexpr double kInverseLog2 = 0x1.71547652b82fep0;
  constexpr double kLargest = 700.0;  // the result is smaller than 2^-1000
  if (!(x < kLargest)) return 0.0;
  const double k = std::floor(x * kInverseLog2 + 0.5);
  const double r = (k * kHigh - x) + k * kLow;  // in [-0.35, 0.35]
  constexpr int kTerms = 14;
  static constexpr auto kInverse = [] {
    std::array<double, kTerms + 1> inverse{};
    for (int term = 1; term <= kTerms; ++term) inverse[static_cast<std::size_t>(term)] = 1.0 / term;
    return inverse;
  }();
  double sum = 1.0;
  for (std::size_t term = kTerms; term > 0; --term) sum = 1.0 + sum * (r * kInverse[term]);
  return std::ldexp(sum, -static_cast<int>(k));
}

std::uint32_t acceptance_chance(Acceptance acceptance, double step, int gain) {
  constexpr double kLargest = 0x1p32 - 1.0;
  static_assert(kChanceBits == 32);
  // Infinity times 0 would be NaN.
  const double small = gain == 0 ? 1.0 : exp_of_minus(step * std::abs(gain));
  double chance = gain < 0 ? small : 1.0;
  if (acceptance == Acceptance::kGibbs) chance /= 1.0 + small;
  return static_cast<std::uint32_t>(std::min(std::floor(chance * 0x1p32 + 0.5), kLargest));
}

ChanceTable::ChanceTable(Acceptance acceptance, std::size_t num_planes, std::size_t first_sum)
    : acceptance_(acceptance),
      num_planes_(num_planes),
      first_sum_(first_sum),
      digits_(2 * kChanceBits * kCodes) {
  std::fill_n(digits_.data(), digits_.size(), 0);
  for (std::size_t odd = 0; odd < 2; ++odd) {
    chances_.digits[odd] = digits_.data() + odd * kChanceBits * kCodes;
  }
}

const BitChances& ChanceTable::at(double step) {
  if (step == step_) return chances_;
  step_ = step;
  const std::size_t half = std::size_t{1} << (num_planes_ - 1);
  // Metropolis's rule needs no table for gains that are not negative.
  const std::size_t end = acceptance_ == Acceptance::kMetropolis ? half : 2 * half;
  std::fill_n(chances_.lowest, kChanceBits / kDigitGroup, end);
  for (std::size_t sum = end; sum-- > first_sum_;) {
    for (std::size_t odd = 0; odd < 2; ++odd) {
      const int gain = 2 * (static_cast<int>(sum) - static_cast<int>(half)) + static_cast<int>(odd);
      const std::uint32_t chance = acceptance_chance(acceptance_, step, gain);
      for (std::size_t g = 0; g < kChanceBits / kDigitGroup; ++g) {
        if (chance >> (kChanceBits - kDigitGroup * (g + 1)) != 0) chances_.lowest[g] = sum;
      }
      std::uint32_t* digits = digits_.data() + odd * kChanceBits * kCodes + sum * kDigitGroup;
      for (std::size_t digit = 0; digit < kChanceBits; ++digit) {
        digits[digit / kDigitGroup * kCodes * kDigitGroup + digit % kDigitGroup] =
            chance >> (kChanceBits - 1 - digit) & 1 ? ~std::uint32_t{0} : 0;
      }
    }
  }
  return chances_;
}

}  // namespace qpsbgd
