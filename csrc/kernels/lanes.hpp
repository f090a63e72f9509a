// Sixteen floats or words as one value, made of the widest vectors of the instruction set.
//
// GCC's and Clang's vector extensions do the arithmetic; only the comparison masks and the exact
// multiply-add need intrinsics. Everything is in an anonymous namespace: an inline function that an
// AVX-512 object emits must never replace the baseline's at link time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels.hpp"

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define QPSBGD_INLINE inline __attribute__((always_inline))

namespace qpsbgd::QPSBGD_ISA {
namespace {

#if defined(__AVX512F__)
constexpr std::size_t kWidth = 16;
#elif defined(__AVX2__)
constexpr std::size_t kWidth = 8;
#else
constexpr std::size_t kWidth = 4;
#endif
constexpr std::size_t kParts = kLanes / kWidth;

typedef float Vec __attribute__((vector_size(kWidth * 4)));
typedef std::uint32_t Words __attribute__((vector_size(kWidth * 4)));
typedef std::int32_t Ints __attribute__((vector_size(kWidth * 4)));
typedef float UnalignedVec __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));
typedef float AlignedVec __attribute__((vector_size(kWidth * 4), may_alias));

QPSBGD_INLINE Vec load(const float* p) { return *reinterpret_cast<const AlignedVec*>(p); }
QPSBGD_INLINE Vec load_unaligned(const float* p) {
  return *reinterpret_cast<const UnalignedVec*>(p);
}
QPSBGD_INLINE void store(float* p, Vec v) { *reinterpret_cast<AlignedVec*>(p) = v; }
QPSBGD_INLINE void store_unaligned(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }
// A difference, which compilers drop: -0 + 0 is +0, so a sum would be one more operation.
QPSBGD_INLINE Vec broadcast(float x) { return x - Vec{}; }

#if defined(__SSE2__) && !defined(__FMA__)
// SSE2 has no instruction that rounds once. In double the product is exact and the sum nearly so.
QPSBGD_INLINE Vec emulated_multiply_add(Vec a, Vec b, Vec c) {
  const __m128 x = (__m128)a, y = (__m128)b, z = (__m128)c;
  const __m128d low = _mm_add_pd(_mm_mul_pd(_mm_cvtps_pd(x), _mm_cvtps_pd(y)), _mm_cvtps_pd(z));
  const __m128d high =
      _mm_add_pd(_mm_mul_pd(_mm_cvtps_pd(_mm_movehl_ps(x, x)), _mm_cvtps_pd(_mm_movehl_ps(y, y))),
                 _mm_cvtps_pd(_mm_movehl_ps(z, z)));
  const __m128 nearest = _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
  // Rounding the sum once more can go wrong only where it looks like a tie between two floats: a
  // double's lower half holds the 29 bits that a float drops. And where floats have fewer bits.
  const __m128i dropped =
      _mm_and_si128(_mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(low), _mm_castpd_ps(high), 0x88)),
                    _mm_set1_epi32(0x1fffffff));
  const __m128i tie = _mm_cmpeq_epi32(dropped, _mm_set1_epi32(0x10000000));
  const __m128 small =
      _mm_cmplt_ps(_mm_andnot_ps(_mm_set1_ps(-0.0f), nearest), _mm_set1_ps(0x1p-126f));
  const __m128 nonzero = _mm_shuffle_ps(_mm_castpd_ps(_mm_cmpneq_pd(low, _mm_setzero_pd())),
                                        _mm_castpd_ps(_mm_cmpneq_pd(high, _mm_setzero_pd())), 0x88);
  const __m128 care = _mm_or_ps(_mm_castsi128_ps(tie), _mm_and_ps(small, nonzero));
  if (__builtin_expect(_mm_movemask_ps(care) == 0, 1)) return (Vec)nearest;
  Vec result;
  for (std::size_t i = 0; i < kWidth; ++i) result[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return result;
}
#endif

// a * b + c, rounded once.
QPSBGD_INLINE Vec multiply_add(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__ARM_FEATURE_FMA)
  return (Vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#elif defined(__SSE2__)
  return emulated_multiply_add(a, b, c);
#else
  Vec result;
  for (std::size_t i = 0; i < kWidth; ++i) result[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return result;
#endif
}

// a * b + c where a * b is exact (b a power of two): fused or not, the same single rounding.
QPSBGD_INLINE Vec add_exact_product(Vec a, Vec b, Vec c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return multiply_add(a, b, c);
#else
  return a * b + c;
#endif
}

#if defined(__AVX512F__)
// A mask as a word. GCC 12 may store a mask register as 16 bits, where it runs out of registers,
// and read 32 bits back: so it must not know that the word is one.
QPSBGD_INLINE std::uint32_t mask_word(__mmask16 mask) {
  std::uint32_t word = mask;
  asm("" : "+r"(word));
  return word;
}
#endif

// Bit i of the result: v[i] > 0, or v[i] >= 0. NaN gives 0.
QPSBGD_INLINE std::uint32_t mask_positive(Vec v) {
#if defined(__AVX512F__)
  return mask_word(_mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_GT_OQ));
#elif defined(__AVX2__)
  return _mm256_movemask_ps(_mm256_cmp_ps((__m256)v, _mm256_setzero_ps(), _CMP_GT_OQ));
#elif defined(__SSE2__)
  return _mm_movemask_ps(_mm_cmpgt_ps((__m128)v, _mm_setzero_ps()));
#else
  std::uint32_t mask = 0;
  for (std::size_t i = 0; i < kWidth; ++i) mask |= std::uint32_t{v[i] > 0.0f} << i;
  return mask;
#endif
}
QPSBGD_INLINE std::uint32_t mask_nonnegative(Vec v) {
#if defined(__AVX512F__)
  return mask_word(_mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_GE_OQ));
#elif defined(__AVX2__)
  return _mm256_movemask_ps(_mm256_cmp_ps((__m256)v, _mm256_setzero_ps(), _CMP_GE_OQ));
#elif defined(__SSE2__)
  return _mm_movemask_ps(_mm_cmpge_ps((__m128)v, _mm_setzero_ps()));
#else
  std::uint32_t mask = 0;
  for (std::size_t i = 0; i < kWidth; ++i) mask |= std::uint32_t{v[i] >= 0.0f} << i;
  return mask;
#endif
}

QPSBGD_INLINE std::uint32_t mask_nonzero(Vec v) {
#if defined(__AVX512F__)
  return mask_word(_mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_NEQ_UQ));
#elif defined(__AVX2__)
  return _mm256_movemask_ps(_mm256_cmp_ps((__m256)v, _mm256_setzero_ps(), _CMP_NEQ_UQ));
#elif defined(__SSE2__)
  return _mm_movemask_ps(_mm_cmpneq_ps((__m128)v, _mm_setzero_ps()));
#else
  std::uint32_t mask = 0;
  for (std::size_t i = 0; i < kWidth; ++i) mask |= std::uint32_t{v[i] != 0.0f} << i;
  return mask;
#endif
}

struct Lanes {
  Vec part[kParts];
};

QPSBGD_INLINE Lanes load_lanes(const float* p) {
  Lanes v;
  for (std::size_t q = 0; q < kParts; ++q) v.part[q] = load(p + q * kWidth);
  return v;
}
QPSBGD_INLINE void store_lanes(float* p, const Lanes& v) {
  for (std::size_t q = 0; q < kParts; ++q) store(p + q * kWidth, v.part[q]);
}
QPSBGD_INLINE Lanes broadcast_lanes(float x) {
  Lanes v;
  for (std::size_t q = 0; q < kParts; ++q) v.part[q] = broadcast(x);
  return v;
}
QPSBGD_INLINE Lanes operator+(const Lanes& a, const Lanes& b) {
  Lanes v;
  for (std::size_t q = 0; q < kParts; ++q) v.part[q] = a.part[q] + b.part[q];
  return v;
}
QPSBGD_INLINE Lanes operator-(const Lanes& a, const Lanes& b) {
  Lanes v;
  for (std::size_t q = 0; q < kParts; ++q) v.part[q] = a.part[q] - b.part[q];
  return v;
}
QPSBGD_INLINE Lanes operator*(float a, const Lanes& b) {
  Lanes v;
  for (std::size_t q = 0; q < kParts; ++q) v.part[q] = a * b.part[q];
  return v;
}
QPSBGD_INLINE Lanes operator*(const Lanes& a, const Lanes& b) {
  Lanes v;
  for (std::size_t q = 0; q < kParts; ++q) v.part[q] = a.part[q] * b.part[q];
  return v;
}
QPSBGD_INLINE std::uint32_t mask_positive(const Lanes& v) {
  std::uint32_t mask = 0;
  for (std::size_t q = 0; q < kParts; ++q) mask |= mask_positive(v.part[q]) << (q * kWidth);
  return mask;
}
QPSBGD_INLINE std::uint32_t mask_nonnegative(const Lanes& v) {
  std::uint32_t mask = 0;
  for (std::size_t q = 0; q < kParts; ++q) mask |= mask_nonnegative(v.part[q]) << (q * kWidth);
  return mask;
}
QPSBGD_INLINE std::uint32_t mask_nonzero(const Lanes& v) {
  std::uint32_t mask = 0;
  for (std::size_t q = 0; q < kParts; ++q) mask |= mask_nonzero(v.part[q]) << (q * kWidth);
  return mask;
}
QPSBGD_INLINE void negate_lane(Lanes& v, unsigned lane) {
  for (std::size_t q = 0; q < kParts; ++q) {
    Words index;
    for (std::size_t i = 0; i < kWidth; ++i) index[i] = static_cast<std::uint32_t>(q * kWidth + i);
    v.part[q] = (Vec)((Words)v.part[q] ^ ((Words)(index == lane) & 0x80000000u));
  }
}

// Swaps the lanes of `a` that have bit kStep with those of `b` that have not.
template <std::size_t kStep, std::size_t... kLane>
QPSBGD_INLINE void swap_lanes(Vec& a, Vec& b, std::index_sequence<kLane...>) {
  const Vec first =
      __builtin_shufflevector(a, b, (kLane & kStep ? kWidth + kLane - kStep : kLane)...);
  b = __builtin_shufflevector(a, b, (kLane & kStep ? kWidth + kLane : kLane + kStep)...);
  a = first;
}
template <std::size_t kStep>
QPSBGD_INLINE void transpose_parts(Vec* rows) {
  if constexpr (kStep != 0) {
    for (std::size_t i = 0; i < kWidth; ++i) {
      if (!(i & kStep)) {
        swap_lanes<kStep>(rows[i], rows[i + kStep], std::make_index_sequence<kWidth>{});
      }
    }
    transpose_parts<kStep / 2>(rows);
  }
}
// to[j, i] = from[i, j] for i, j < kLanes.
QPSBGD_INLINE void transpose(const float* from, std::size_t from_ld, float* to, std::size_t to_ld) {
  for (std::size_t i = 0; i < kLanes; i += kWidth) {
    for (std::size_t j = 0; j < kLanes; j += kWidth) {
      Vec rows[kWidth];
      for (std::size_t k = 0; k < kWidth; ++k) rows[k] = load(from + (i + k) * from_ld + j);
      transpose_parts<kWidth / 2>(rows);
      for (std::size_t k = 0; k < kWidth; ++k) store(to + (j + k) * to_ld + i, rows[k]);
    }
  }
}

// All bits of lane i set where bit i of mask is.
QPSBGD_INLINE Words select_words(std::uint32_t mask, std::size_t part) {
  Words bit;
  for (std::size_t i = 0; i < kWidth; ++i) bit[i] = std::uint32_t{1} << (part * kWidth + i);
  return (Words)((bit & mask) != 0);
}
// v with the sign changed where the bit of mask is not set.
QPSBGD_INLINE Lanes negate_unless(std::uint32_t mask, const Lanes& v) {
  Lanes result;
  for (std::size_t q = 0; q < kParts; ++q) {
    result.part[q] = (Vec)((Words)v.part[q] ^ (select_words(~mask, q) & 0x80000000u));
  }
  return result;
}

// Sixteen small integers, int16 or int8.
template <class Value>
struct SmallVector {
  typedef Value type __attribute__((vector_size(kLanes * sizeof(Value))));
  typedef Value aligned __attribute__((vector_size(kLanes * sizeof(Value)), may_alias));
  typedef Value part __attribute__((vector_size(kWidth * sizeof(Value)), may_alias));
};
template <class Value>
using Small = typename SmallVector<Value>::type;

template <class Value>
QPSBGD_INLINE Small<Value> load_small(const Value* p) {
  return *reinterpret_cast<const typename SmallVector<Value>::aligned*>(p);
}
template <class Value>
QPSBGD_INLINE void store_small(Value* p, Small<Value> v) {
  *reinterpret_cast<typename SmallVector<Value>::aligned*>(p) = v;
}
// kWidth of them. GCC 12 makes more than one instruction of a __builtin_convertvector, and of the
// intrinsics without a mask a warning.
QPSBGD_INLINE Ints load_as_ints(const std::int16_t* p) {
#if defined(__AVX512F__)
  return (Ints)_mm512_maskz_cvtepi16_epi32(0xffff,
                                           _mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
#else
  return __builtin_convertvector(*reinterpret_cast<const SmallVector<std::int16_t>::part*>(p),
                                 Ints);
#endif
}
QPSBGD_INLINE Ints load_as_ints(const std::int8_t* p) {
#if defined(__AVX512F__)
  return (Ints)_mm512_maskz_cvtepi8_epi32(0xffff,
                                          _mm_load_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
  return (Ints)_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#else
  Ints v;
  for (std::size_t i = 0; i < kWidth; ++i) v[i] = p[i];
  return v;
#endif
}
template <class Value>
QPSBGD_INLINE Lanes load_as_floats(const Value* p) {
  Lanes v;
  for (std::size_t q = 0; q < kParts; ++q) {
    v.part[q] = __builtin_convertvector(load_as_ints(p + q * kWidth), Vec);
  }
  return v;
}
// -1 in lane i where bit i of mask is set, else 0.
template <class Value>
QPSBGD_INLINE Small<Value> select_small(std::uint32_t mask) {
#if defined(__AVX512BW__)
  const auto lanes = static_cast<__mmask16>(mask);
  if constexpr (sizeof(Value) == 1) {
    return (Small<Value>)_mm_movm_epi8(lanes);
  } else {
    return (Small<Value>)_mm256_movm_epi16(lanes);
  }
#else
  Small<std::int16_t> bit;
  for (std::size_t i = 0; i < kLanes; ++i) bit[i] = static_cast<std::int16_t>(1u << i);
  bit &= Small<std::int16_t>{} + static_cast<std::int16_t>(mask);
  return __builtin_convertvector(bit != 0, Small<Value>);
#endif
}
// v where sign is 1, -v where it is -1, 0 where it is 0.
QPSBGD_INLINE Small<std::int16_t> apply_sign(Small<std::int16_t> v, Small<std::int16_t> sign) {
#if defined(__AVX2__)
  return (Small<std::int16_t>)_mm256_sign_epi16((__m256i)v, (__m256i)sign);
#else
  return v * sign;
#endif
}
QPSBGD_INLINE Small<std::int8_t> apply_sign(Small<std::int8_t> v, Small<std::int8_t> sign) {
#if defined(__AVX2__)
  return (Small<std::int8_t>)_mm_sign_epi8((__m128i)v, (__m128i)sign);
#else
  return (v & (Small<std::int8_t>)(sign > 0)) - (v & (Small<std::int8_t>)(sign < 0));
#endif
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
