// kLanes integers of 16 bits as one value.
#pragma once

#include "kernels/simd/lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// The vectors hold at most a register. GCC 12 splits wider ones into single elements.
constexpr std::size_t kInt16Bytes =
    kVectorBytes < kLanes * sizeof(std::int16_t) ? kVectorBytes : kLanes * sizeof(std::int16_t);
constexpr std::size_t kInt16Width = kInt16Bytes / sizeof(std::int16_t);
constexpr std::size_t kInt16Parts = kLanes / kInt16Width;
typedef std::int16_t Int16s __attribute__((vector_size(kInt16Bytes)));

struct Int16Lanes {
  Int16s part[kInt16Parts];
};

QPSBGD_INLINE Int16Lanes load_int16(const std::int16_t* p) {
  typedef std::int16_t Aligned __attribute__((vector_size(kInt16Bytes), may_alias));
  Int16Lanes v;
  for (std::size_t q = 0; q < kInt16Parts; ++q) {
    v.part[q] = *reinterpret_cast<const Aligned*>(p + q * kInt16Width);
  }
  return v;
}
QPSBGD_INLINE void store_int16(std::int16_t* p, const Int16Lanes& v) {
  typedef std::int16_t Aligned __attribute__((vector_size(kInt16Bytes), may_alias));
  for (std::size_t q = 0; q < kInt16Parts; ++q) {
    *reinterpret_cast<Aligned*>(p + q * kInt16Width) = v.part[q];
  }
}

// Returns as many copies of two integers as a register holds.
QPSBGD_INLINE Int16s broadcast_pair(const std::int16_t* pair) {
  typedef std::int32_t Copies __attribute__((vector_size(kInt16Bytes)));
  typedef std::int32_t Copy __attribute__((may_alias));
  return (Int16s)(Copies{} + *reinterpret_cast<const Copy*>(pair));
}

// Loads kWidth<float> int16 values as int32. GCC 12 turns __builtin_convertvector into several
// instructions, and warns about intrinsics without a mask.
QPSBGD_INLINE Ints load_as_ints(const std::int16_t* p) {
#if defined(QPSBGD_AVX512)
  return (Ints)_mm512_maskz_cvtepi16_epi32(0xffff,
                                           _mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
#else
  typedef std::int16_t Part __attribute__((vector_size(kVectorBytes / 2), may_alias));
  return __builtin_convertvector(*reinterpret_cast<const Part*>(p), Ints);
#endif
}
QPSBGD_INLINE Lanes<float> load_as_floats(const std::int16_t* p) {
  Lanes<float> v;
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    v.part[q] = __builtin_convertvector(load_as_ints(p + q * kWidth<float>), Floats);
  }
  return v;
}

// Returns -1 in lane i if bit i of the mask is set, else 0.
QPSBGD_INLINE Int16Lanes select_int16(std::uint32_t mask) {
#if defined(QPSBGD_AVX512)
  return {{(Int16s)_mm256_movm_epi16(static_cast<__mmask16>(mask))}};
#else
  Int16Lanes selected;
  for (std::size_t q = 0; q < kInt16Parts; ++q) {
    Int16s bit;
    for (std::size_t i = 0; i < kInt16Width; ++i) bit[i] = static_cast<std::int16_t>(1u << i);
    const auto bits = static_cast<std::int16_t>(mask >> q * kInt16Width);
    selected.part[q] = (Int16s)((bit & bits) == bit);
  }
  return selected;
#endif
}

// Returns v where the sign is 1, -v where it is -1, and 0 where it is 0.
QPSBGD_INLINE Int16s apply_sign(Int16s v, Int16s sign) {
#if defined(__AVX2__) && !defined(QPSBGD_EIGHT_LANES)
  return (Int16s)_mm256_sign_epi16((__m256i)v, (__m256i)sign);
#else
  return v * sign;
#endif
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
