// The effect of a block's flips on fields in int16, which take half the memory of floats. Couplings
// in int8 take a quarter: those of 1024 variables, read once a sweep, fit in 1 MiB.
//
// No bound on the fields is needed in advance. As no coupling exceeds 127 units, the flips of a
// block change a field by less than 2^14. A sweep goes on only while all fields are less than 2^14
// in magnitude, so no field ever overflows. If a field grows larger, the caller goes on in float.
#pragma once

#include "kernels/dense/flip_lists.hpp"
#include "kernels/simd/vectors.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Loads the couplings to kWidth<std::int16_t> variables.
QPSBGD_INLINE Shorts widen(const std::int8_t* p) {
#if defined(__AVX512BW__)
  // GCC 12 warns about the intrinsic without a mask.
  return (Shorts)_mm512_maskz_cvtepi8_epi16(~__mmask32{0},
                                            _mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__AVX2__)
  return (Shorts)_mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__SSE2__)
  // Each byte twice, of which the upper one is shifted down with its sign.
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return (Shorts)_mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
#else
  typedef std::int8_t Bytes __attribute__((vector_size(kWidth<std::int16_t>), may_alias));
  return __builtin_convertvector(*reinterpret_cast<const Bytes*>(p), Shorts);
#endif
}

// Applies a row's flips to kVectors vectors of its fields. An element of the result is negative if
// a field has left [-2^14, 2^14).
template <std::size_t kVectors>
QPSBGD_INLINE Shorts apply_to_chunk(const Int16Flips& flips, const std::int8_t* updates,
                                    std::size_t ld, std::int16_t* fields) {
  constexpr std::size_t kSize = kWidth<std::int16_t>;
  Shorts sum[kVectors] = {};  // of half of what the flips add
  for (std::size_t k = 0; k < flips.num_up; ++k) {
    const std::int8_t* row = updates + flips.up[k] * ld;
    for (std::size_t v = 0; v < kVectors; ++v) sum[v] += widen(row + v * kSize);
  }
  for (std::size_t k = 0; k < flips.num_down; ++k) {
    const std::int8_t* row = updates + flips.down[k] * ld;
    for (std::size_t v = 0; v < kVectors; ++v) sum[v] -= widen(row + v * kSize);
  }
  Shorts beyond{};
  for (std::size_t v = 0; v < kVectors; ++v) {
    const Shorts field = load(fields + v * kSize) + (sum[v] + sum[v]);
    store(fields + v * kSize, field);
    beyond |= field ^ (field + field);  // whether the two highest bits differ
  }
  return beyond;
}

// Handles the columns from `column` on, kVectors vectors at a time, and what is left with half as
// many.
template <std::size_t kVectors>
QPSBGD_INLINE Shorts apply_to_columns(const Int16Tile& tile, const std::int8_t* updates,
                                      std::size_t column, const Int16Flips* flips) {
  constexpr std::size_t kStep = kVectors * kWidth<std::int16_t>;
  Shorts beyond{};
  for (; column + kStep <= tile.columns; column += kStep) {
    for (std::size_t row = 0; row < tile.rows; ++row) {
      if (!flips[row].has_any()) continue;
      beyond |= apply_to_chunk<kVectors>(flips[row], updates + column, tile.updates_ld,
                                         tile.fields + row * tile.ld + column);
    }
  }
  if constexpr (kVectors > 1) {
    beyond |= apply_to_columns<kVectors / 2>(tile, updates, column, flips);
  }
  return beyond;
}

// Brings the fields of all rows up to date with their flips in the block from `start`. Returns
// whether all fields are small enough to go on.
QPSBGD_INLINE bool apply_flips(const Int16Tile& tile, std::size_t start, const Int16Flips* flips) {
  const Shorts beyond = apply_to_columns<8>(tile, tile.updates + start * tile.updates_ld, 0, flips);
  bool is_small = true;
  for (std::size_t i = 0; i < kWidth<std::int16_t>; ++i) is_small &= beyond[i] >= 0;
  return is_small;
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
