// Decisions of the Metropolis rule for sparse problems with int16 fields, without a logarithm.
#pragma once

#include "kernels/simd/int16_lanes.hpp"
#include "kernels/simd/random.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Variables whose random numbers are drawn together: eight vectors.
constexpr std::size_t kDrawnTogether = 8 / kParts<float>;

#if defined(__AVX512BW__)
// The noise never grows with the uniform variate. Therefore a flip whose gain is a given number of
// units is accepted if and only if the variate, counted in steps of 2^-23, is below a bound. Two
// registers hold the bounds of the gains -32 to -1. The public members have the meaning of
// SparseDecisions (sweep_sparse.cpp).
class SparseTable {
 public:
  // Returns whether the table can be used and is worth its cost, about that of a hundred variables.
  // It can be used if no gain below -32 units occurs, or if no such gain can be accepted.
  static QPSBGD_INLINE bool suits(const SparseTile<std::int16_t>& tile, float threshold,
                                  std::size_t num_variables) {
    return num_variables >= 256 && (tile.reach <= static_cast<float>(kNumGains) ||
                                    threshold * kLargestNoise < tile.unit * kNumGains);
  }

  QPSBGD_INLINE SparseTable(const SparseTile<std::int16_t>& tile, float threshold,
                            const StreamKey* keys)
      : tile_(tile), keys_(load_keys(keys)) {
    Floats gains[2];
    Ints bounds[2] = {};
    for (int part = 0; part < 2; ++part) {
      for (int lane = 0; lane < 16; ++lane) {
        gains[part][lane] = tile.unit * static_cast<float>(16 * part + lane - kNumGains);
      }
    }
    // Finds the bounds by bisection with powers of two. After the second step of 1 a bound may be
    // 2^23: every variate is accepted.
    for (int bit = 22; bit >= -1; --bit) {
      const std::int32_t step = bit < 0 ? 1 : 1 << bit;
      Words bits[2];
      Floats noise[2];
      for (int part = 0; part < 2; ++part) bits[part] = (Words)(bounds[part] + (step - 1)) << 9;
      draw_noise<Acceptance::kMetropolis, 2>(bits, noise);
      for (int part = 0; part < 2; ++part) {
        bounds[part] += (Ints)(gains[part] >= -threshold * noise[part]) & step;
      }
    }
    lowest_ = 0;
    for (int part = 0; part < 2; ++part) {
      bounds_[part] = (__m512i)bounds[part];
      lowest_ -=
          __builtin_popcount(mask_word(_mm512_test_epi32_mask(bounds_[part], bounds_[part])));
    }
  }

  QPSBGD_INLINE bool is_reached(std::size_t i) const {
    return _mm512_cmpge_epi32_mask(gains(i), _mm512_set1_epi32(lowest_)) != 0;
  }
  QPSBGD_INLINE void draw(std::size_t first) {
    draw_lane_bits<kDrawnTogether>(keys_, static_cast<std::uint32_t>(first), bits_);
    for (Words& bits : bits_) bits >>= 9;
  }
  QPSBGD_INLINE std::uint32_t decide(std::size_t i, std::size_t k) const {
    // If gains below -32 can occur, the bound of -32 is 0, so it also serves them. The low five
    // bits of a gain in [-32, -1] choose among the 32 bounds.
    const Ints gain = (Ints)gains(i), lowest = Ints{} - kNumGains;
    const auto value = (__m512i)(gain > lowest ? gain : lowest);
    const __m512i bound = _mm512_permutex2var_epi32(bounds_[0], value, bounds_[1]);
    return static_cast<std::uint32_t>(_mm512_cmplt_epi32_mask((__m512i)bits_[k], bound) |
                                      _mm512_cmpge_epi32_mask(value, _mm512_setzero_si512()));
  }

 private:
  static constexpr int kNumGains = 32;

  QPSBGD_INLINE __m512i gains(std::size_t i) const {
    const auto field = (__m512i)load_as_ints(tile_.fields + i * kLanes);
    const auto down = static_cast<__mmask16>(~tile_.spins[i]);
    return _mm512_mask_sub_epi32(field, down, _mm512_setzero_si512(), field);
  }

  const SparseTile<std::int16_t> tile_;
  LaneKeys keys_;
  __m512i bounds_[2];  // for gains of -32 to -17 and -16 to -1 units
  int lowest_;         // the lowest gain whose bound is not 0
  Words bits_[kDrawnTogether];
};
#endif

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
