// Vectors of the widest kind that the instruction set has.
//
// The vector extensions of GCC and Clang do the arithmetic. Only the comparison masks and the exact
// multiply-add need intrinsics. Everything is in an anonymous namespace: an inline function that an
// AVX-512 object exported could replace the baseline's at link time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/kernels.hpp"

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

// A source that defines QPSBGD_EIGHT_LANES has eight lanes in the place of kLanes, and vectors of
// at most eight floats (sweep_eight_rows.cpp).
#if defined(__AVX512F__) && !defined(QPSBGD_EIGHT_LANES)
#define QPSBGD_AVX512
#endif

#define QPSBGD_INLINE inline __attribute__((always_inline))
// Unrolls the next loop, so that its arrays become registers. With a sanitizer the instrumented
// code would take minutes to compile.
#if defined(QPSBGD_SANITIZED)
#define QPSBGD_UNROLL
#else
#define QPSBGD_UNROLL _Pragma("GCC unroll 16")
#endif

namespace qpsbgd::QPSBGD_ISA {
namespace {

#if defined(QPSBGD_EIGHT_LANES)
constexpr std::size_t kLanes = kEightRows;  // hides the one of sizes.hpp
#endif

// ---- vectors ------------------------------------------------------------------------------------

#if defined(QPSBGD_AVX512)
constexpr std::size_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr std::size_t kVectorBytes = 32;
#else
constexpr std::size_t kVectorBytes = 16;
#endif
// Values in a vector, and vectors in kLanes values.
template <class Value>
constexpr std::size_t kWidth = kVectorBytes / sizeof(Value);
template <class Value>
constexpr std::size_t kParts = kLanes / kWidth<Value>;

template <class Value>
struct VectorTypes {
  typedef Value Register __attribute__((vector_size(kVectorBytes)));
  typedef Value Aligned __attribute__((vector_size(kVectorBytes), may_alias));
  typedef Value Unaligned
      __attribute__((vector_size(kVectorBytes), aligned(sizeof(Value)), may_alias));
};
template <class Value>
using Vector = typename VectorTypes<Value>::Register;
using Floats = Vector<float>;
using Doubles = Vector<double>;
using Shorts = Vector<std::int16_t>;
using Ints = Vector<std::int32_t>;
// The unsigned integer that has the size of a value.
template <class Value>
using Word = std::conditional_t<sizeof(Value) == 8, std::uint64_t, std::uint32_t>;
template <class Value>
using WordsOf = Vector<Word<Value>>;
using Words = WordsOf<float>;

template <class Value>
constexpr Word<Value> kSignBit = Word<Value>{1} << (8 * sizeof(Value) - 1);

// All but the unaligned accesses need an address that is a multiple of kVectorBytes.
template <class Value>
QPSBGD_INLINE Vector<Value> load(const Value* p) {
  return *reinterpret_cast<const typename VectorTypes<Value>::Aligned*>(p);
}
template <class Value>
QPSBGD_INLINE Vector<Value> load_unaligned(const Value* p) {
  return *reinterpret_cast<const typename VectorTypes<Value>::Unaligned*>(p);
}
template <class Value>
QPSBGD_INLINE void store(Value* p, std::type_identity_t<Vector<Value>> v) {
  *reinterpret_cast<typename VectorTypes<Value>::Aligned*>(p) = v;
}
template <class Value>
QPSBGD_INLINE void store_unaligned(Value* p, std::type_identity_t<Vector<Value>> v) {
  *reinterpret_cast<typename VectorTypes<Value>::Unaligned*>(p) = v;
}
// Compilers drop the subtraction of 0. They cannot drop an addition, as -0 + 0 is +0.
template <class Value>
QPSBGD_INLINE Vector<Value> broadcast(Value x) {
  return x - Vector<Value>{};
}

// ---- multiply-add -------------------------------------------------------------------------------

#if defined(__SSE2__) && !defined(__FMA__)
// A pair of float64 products and their sums with two more numbers.
struct RoundedSums {
  RoundedSums(__m128 x, __m128 y, __m128 z)
      : product(_mm_mul_pd(_mm_cvtps_pd(x), _mm_cvtps_pd(y))),
        term(_mm_cvtps_pd(z)),
        sum(_mm_add_pd(product, term)) {}

  // Returns the rounding error of each sum. (Knuth's TwoSum)
  __m128d errors() const {
    const __m128d other = _mm_sub_pd(sum, product);
    return _mm_add_pd(_mm_sub_pd(product, _mm_sub_pd(sum, other)), _mm_sub_pd(term, other));
  }

  __m128d product, term, sum;  // product is exact
};

// SSE2 has no multiply-add that rounds once. In float64 the product is exact, and rounding the sum
// first to float64 and then to float32 gives the right result if the first rounding changed
// nothing. Otherwise it gives the right result except in two cases: the float64 sum lies halfway
// between two float32 numbers (the 29 bits that float32 drops are 1 0...0), or the result is
// subnormal, where float32 drops more bits. Then fmaf computes the vector.
QPSBGD_INLINE Floats emulated_multiply_add(Floats a, Floats b, Floats c) {
  const __m128 x = (__m128)a, y = (__m128)b, z = (__m128)c;
  const RoundedSums low(x, y, z);
  const RoundedSums high(_mm_movehl_ps(x, x), _mm_movehl_ps(y, y), _mm_movehl_ps(z, z));
  const __m128 rounded_twice = _mm_movelh_ps(_mm_cvtpd_ps(low.sum), _mm_cvtpd_ps(high.sum));
  const __m128i dropped_bits = _mm_and_si128(
      _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(low.sum), _mm_castpd_ps(high.sum), 0x88)),
      _mm_set1_epi32(0x1fffffff));
  const __m128i halfway = _mm_cmpeq_epi32(dropped_bits, _mm_set1_epi32(0x10000000));
  const __m128 small =
      _mm_cmplt_ps(_mm_andnot_ps(_mm_set1_ps(-0.0f), rounded_twice), _mm_set1_ps(0x1p-126f));
  const __m128 doubtful = _mm_or_ps(_mm_castsi128_ps(halfway), small);
  if (__builtin_expect(_mm_movemask_ps(doubtful) == 0, 1)) return (Floats)rounded_twice;
  const __m128d zero = _mm_setzero_pd();
  const __m128 inexact = _mm_shuffle_ps(_mm_castpd_ps(_mm_cmpneq_pd(low.errors(), zero)),
                                        _mm_castpd_ps(_mm_cmpneq_pd(high.errors(), zero)), 0x88);
  if (_mm_movemask_ps(_mm_and_ps(doubtful, inexact)) == 0) return (Floats)rounded_twice;
  Floats result;
  for (std::size_t i = 0; i < kWidth<float>; ++i) result[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return result;
}
#endif

// Returns a * b + c, rounded once.
QPSBGD_INLINE Floats multiply_add(Floats a, Floats b, Floats c) {
#if defined(QPSBGD_AVX512)
  return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__ARM_FEATURE_FMA)
  return (Floats)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#elif defined(__SSE2__)
  return emulated_multiply_add(a, b, c);
#else
  Floats result;
  for (std::size_t i = 0; i < kWidth<float>; ++i) result[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return result;
#endif
}

// Returns a * b + c where a * b is exact, as b is a power of two. Only the sum is rounded, whether
// or not the two operations are one instruction.
QPSBGD_INLINE Floats add_exact_product(Floats a, Floats b, Floats c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return multiply_add(a, b, c);
#else
  return a * b + c;
#endif
}
QPSBGD_INLINE Doubles add_exact_product(Doubles a, Doubles b, Doubles c) {
#if defined(QPSBGD_AVX512)
  return (Doubles)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__)
  return (Doubles)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
  return a * b + c;
#endif
}

// ---- comparison masks ---------------------------------------------------------------------------
// Bit i of a mask belongs to element i. Comparisons with NaN are false.

#if defined(__AVX512VL__)
// Hides from GCC 12 that the word comes from a mask register: when it runs out of registers, it may
// store the mask as 16 bits and read 32 bits back.
template <class Mask>
QPSBGD_INLINE std::uint32_t mask_word(Mask mask) {
  std::uint32_t word = mask;
  asm("" : "+r"(word));
  return word;
}
// Compares with one of the _CMP_ operators.
template <int kOperator>
QPSBGD_INLINE std::uint32_t mask_compare(Floats a, Floats b) {
#if defined(QPSBGD_AVX512)
  return mask_word(_mm512_cmp_ps_mask((__m512)a, (__m512)b, kOperator));
#else
  return mask_word(_mm256_cmp_ps_mask((__m256)a, (__m256)b, kOperator));
#endif
}
template <int kOperator>
QPSBGD_INLINE std::uint32_t mask_compare(Doubles a, Doubles b) {
#if defined(QPSBGD_AVX512)
  return mask_word(_mm512_cmp_pd_mask((__m512d)a, (__m512d)b, kOperator));
#else
  return mask_word(_mm256_cmp_pd_mask((__m256d)a, (__m256d)b, kOperator));
#endif
}
#endif

// Returns the sign bits. After a comparison, whose results are 0 or -1, these are its mask.
QPSBGD_INLINE std::uint32_t mask_signs(Ints v) {
#if defined(QPSBGD_AVX512)
  return mask_word(_mm512_movepi32_mask((__m512i)v));
#elif defined(__AVX2__)
  return static_cast<std::uint32_t>(_mm256_movemask_ps((__m256)v));
#elif defined(__SSE2__)
  return static_cast<std::uint32_t>(_mm_movemask_ps((__m128)v));
#else
  std::uint32_t mask = 0;
  for (std::size_t i = 0; i < kWidth<float>; ++i) mask |= std::uint32_t{v[i] < 0} << i;
  return mask;
#endif
}
#if !defined(QPSBGD_AVX512)
QPSBGD_INLINE std::uint32_t mask_signs(Vector<std::int64_t> v) {
#if defined(__AVX2__)
  return static_cast<std::uint32_t>(_mm256_movemask_pd((__m256d)v));
#elif defined(__SSE2__)
  return static_cast<std::uint32_t>(_mm_movemask_pd((__m128d)v));
#else
  return std::uint32_t{v[0] < 0} | std::uint32_t{v[1] < 0} << 1;
#endif
}
#endif

// a >= b
QPSBGD_INLINE std::uint32_t mask_at_least(Floats a, Floats b) {
#if defined(__AVX512VL__)
  return mask_compare<_CMP_GE_OQ>(a, b);
#else
  return mask_signs((Ints)(a >= b));
#endif
}
QPSBGD_INLINE std::uint32_t mask_at_least(Doubles a, Doubles b) {
#if defined(__AVX512VL__)
  return mask_compare<_CMP_GE_OQ>(a, b);
#else
  return mask_signs((Vector<std::int64_t>)(a >= b));
#endif
}
// a > b
QPSBGD_INLINE std::uint32_t mask_above(Floats a, Floats b) {
#if defined(__AVX512VL__)
  return mask_compare<_CMP_GT_OQ>(a, b);
#else
  return mask_signs((Ints)(a > b));
#endif
}
// a != 0
QPSBGD_INLINE std::uint32_t mask_nonzero(Floats a) {
#if defined(__AVX512VL__)
  return mask_compare<_CMP_NEQ_UQ>(a, Floats{});
#else
  return mask_signs((Ints)(a != 0.0f));
#endif
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
