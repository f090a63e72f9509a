// Transposition between rows of variables and rows of lanes, and lists of the bits of a mask.
#pragma once

#include <utility>

#include "kernels/simd/lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Exchanges the elements of `a` whose number has the bit kStep with those of `b` that lack it.
template <std::size_t kStep, std::size_t... kElement>
QPSBGD_INLINE void exchange_elements(Floats& a, Floats& b, std::index_sequence<kElement...>) {
  constexpr std::size_t kSize = kWidth<float>;
  const Floats first =
      __builtin_shufflevector(a, b, (kElement & kStep ? kSize + kElement - kStep : kElement)...);
  b = __builtin_shufflevector(a, b, (kElement & kStep ? kSize + kElement : kElement + kStep)...);
  a = first;
}
template <std::size_t kStep>
QPSBGD_INLINE void transpose_vectors(Floats* rows) {
  if constexpr (kStep != 0) {
    for (std::size_t i = 0; i < kWidth<float>; ++i) {
      if (!(i & kStep)) {
        exchange_elements<kStep>(rows[i], rows[i + kStep],
                                 std::make_index_sequence<kWidth<float>>{});
      }
    }
    transpose_vectors<kStep / 2>(rows);
  }
}
// Sets to[j, i] = from[i, j] for i, j < kLanes.
QPSBGD_INLINE void transpose(const float* from, std::size_t from_ld, float* to, std::size_t to_ld) {
  constexpr std::size_t kSize = kWidth<float>;
  for (std::size_t i = 0; i < kLanes; i += kSize) {
    for (std::size_t j = 0; j < kLanes; j += kSize) {
      Floats rows[kSize];
      for (std::size_t k = 0; k < kSize; ++k) rows[k] = load(from + (i + k) * from_ld + j);
      transpose_vectors<kSize / 2>(rows);
      for (std::size_t k = 0; k < kSize; ++k) store(to + (j + k) * to_ld + i, rows[k]);
    }
  }
}

// Writes first + i to the list for every bit i of the mask, and returns their number. Writes up to
// kLanes entries.
QPSBGD_INLINE std::uint32_t list_bits(std::size_t first, std::uint32_t mask, std::uint32_t* list) {
#if defined(QPSBGD_AVX512)
  const __m512i index =
      _mm512_add_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                       _mm512_set1_epi32(static_cast<int>(first)));
  _mm512_storeu_si512(list, _mm512_maskz_compress_epi32(static_cast<__mmask16>(mask), index));
  return static_cast<std::uint32_t>(__builtin_popcount(mask));
#elif defined(__AVX512VL__)
  const __m256i index = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                                         _mm256_set1_epi32(static_cast<int>(first)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(list),
                      _mm256_maskz_compress_epi32(static_cast<__mmask8>(mask), index));
  return static_cast<std::uint32_t>(__builtin_popcount(mask));
#else
  std::uint32_t count = 0;
  for (; mask != 0; mask &= mask - 1) {
    list[count++] = static_cast<std::uint32_t>(first + static_cast<unsigned>(__builtin_ctz(mask)));
  }
  return count;
#endif
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
