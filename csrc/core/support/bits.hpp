// Lowest bits of numbers, by which integers times a unit are told from real numbers.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace qpsbgd {

// Returns the exponent of the lowest bit that is set in x, which is finite and not 0.
inline int lowest_bit_of(double x) {
  constexpr int kMantissaBits = 52, kBias = 1023;
  constexpr std::uint64_t kHidden = std::uint64_t{1} << kMantissaBits;
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const int exponent = static_cast<int>(bits >> kMantissaBits & 0x7ff);
  const std::uint64_t mantissa = (bits & (kHidden - 1)) | (exponent > 0 ? kHidden : 0);
  return std::max(exponent, 1) - kBias - kMantissaBits + std::countr_zero(mantissa);
}

// Numbers look like integers times a unit if at least one in eight of them ends within two bits of
// the lowest bit of all. About half of all integers are odd. Of real numbers drawn at random one in
// 2^k ends k bits above its last place, and their magnitudes differ, so that few end where the
// smallest one does.
inline constexpr int kNearLowestBit = 2;
constexpr bool looks_like_integers(std::size_t num_near, std::size_t num_nonzero) {
  return 8 * num_near >= num_nonzero;
}

}  // namespace qpsbgd
