// Sixteen doubles as one value: what lanes.hpp has of floats, for fields in float64.
#pragma once

#include "lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

typedef double Doubles __attribute__((vector_size(kWidth * 4)));
typedef double AlignedDoubles __attribute__((vector_size(kWidth * 4), may_alias));
typedef float HalfVec __attribute__((vector_size(kWidth * 2), may_alias));
typedef std::uint64_t LongWords __attribute__((vector_size(kWidth * 4)));
constexpr std::size_t kDoubles = kWidth / 2;  // in a vector
constexpr std::size_t kDoubleParts = kLanes / kDoubles;

QPSBGD_INLINE Doubles load_doubles(const double* p) {
  return *reinterpret_cast<const AlignedDoubles*>(p);
}
QPSBGD_INLINE void store_doubles(double* p, Doubles v) {
  for (std::size_t k = 0; k < kDoubles; ++k) p[k] = v[k];
}

// a * b + c where a * b is exact (b a power of two): fused or not, the same single rounding.
QPSBGD_INLINE Doubles add_exact_product(Doubles a, Doubles b, Doubles c) {
#if defined(__AVX512F__)
  return (Doubles)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__)
  return (Doubles)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
  return a * b + c;
#endif
}

// Bit i of the result: v[i] >= 0. NaN gives 0.
QPSBGD_INLINE std::uint32_t mask_nonnegative(Doubles v) {
#if defined(__AVX512F__)
  return mask_word(_mm512_cmp_pd_mask((__m512d)v, _mm512_setzero_pd(), _CMP_GE_OQ));
#elif defined(__AVX2__)
  return static_cast<std::uint32_t>(
      _mm256_movemask_pd(_mm256_cmp_pd((__m256d)v, _mm256_setzero_pd(), _CMP_GE_OQ)));
#elif defined(__SSE2__)
  return static_cast<std::uint32_t>(_mm_movemask_pd(_mm_cmpge_pd((__m128d)v, _mm_setzero_pd())));
#else
  std::uint32_t mask = 0;
  for (std::size_t i = 0; i < kDoubles; ++i) mask |= std::uint32_t{v[i] >= 0.0} << i;
  return mask;
#endif
}

struct WideLanes {
  Doubles part[kDoubleParts];
};

QPSBGD_INLINE WideLanes load_wide(const double* p) {
  WideLanes v;
  for (std::size_t q = 0; q < kDoubleParts; ++q) v.part[q] = load_doubles(p + q * kDoubles);
  return v;
}
QPSBGD_INLINE void store_wide(double* p, const WideLanes& v) {
  for (std::size_t q = 0; q < kDoubleParts; ++q) {
    *reinterpret_cast<AlignedDoubles*>(p + q * kDoubles) = v.part[q];
  }
}
QPSBGD_INLINE WideLanes broadcast_wide(double x) {
  WideLanes v;
  for (std::size_t q = 0; q < kDoubleParts; ++q) v.part[q] = x - Doubles{};
  return v;
}
QPSBGD_INLINE WideLanes widen(const Lanes& v) {
  alignas(64) float values[kLanes];
  store_lanes(values, v);
  WideLanes result;
  for (std::size_t q = 0; q < kDoubleParts; ++q) {
    result.part[q] =
        __builtin_convertvector(*reinterpret_cast<const HalfVec*>(values + q * kDoubles), Doubles);
  }
  return result;
}
QPSBGD_INLINE WideLanes operator+(const WideLanes& a, const WideLanes& b) {
  WideLanes v;
  for (std::size_t q = 0; q < kDoubleParts; ++q) v.part[q] = a.part[q] + b.part[q];
  return v;
}
QPSBGD_INLINE WideLanes operator*(const WideLanes& a, const WideLanes& b) {
  WideLanes v;
  for (std::size_t q = 0; q < kDoubleParts; ++q) v.part[q] = a.part[q] * b.part[q];
  return v;
}
QPSBGD_INLINE std::uint32_t mask_nonnegative(const WideLanes& v) {
  std::uint32_t mask = 0;
  for (std::size_t q = 0; q < kDoubleParts; ++q) {
    mask |= mask_nonnegative(v.part[q]) << (q * kDoubles);
  }
  return mask;
}

// All bits of lane i set where bit i of mask is.
QPSBGD_INLINE LongWords select_long_words(std::uint32_t mask, std::size_t part) {
  LongWords bit;
  for (std::size_t i = 0; i < kDoubles; ++i) bit[i] = std::uint64_t{1} << (part * kDoubles + i);
  return (LongWords)((bit & mask) != 0);
}
// v with the sign changed where the bit of mask is not set.
QPSBGD_INLINE WideLanes negate_unless(std::uint32_t mask, const WideLanes& v) {
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
  WideLanes result;
  for (std::size_t q = 0; q < kDoubleParts; ++q) {
    result.part[q] = (Doubles)((LongWords)v.part[q] ^ (select_long_words(~mask, q) & kSign));
  }
  return result;
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
