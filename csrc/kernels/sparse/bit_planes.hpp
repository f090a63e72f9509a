// Planes of bits, one bit for each read, and sums of such bits.
//
// A plane is a vector of 32-bit words, 32 reads in each. Planes 0, 1, 2, ... of a sum hold the
// digits of a binary number in every read.
#pragma once

#include "kernels/simd/vectors.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

template <std::size_t kBytes>
struct PlaneTypes {
  typedef std::uint32_t Register __attribute__((vector_size(kBytes)));
  typedef std::uint32_t Unaligned __attribute__((vector_size(kBytes), aligned(4), may_alias));
};
template <std::size_t kBytes>
using Plane = typename PlaneTypes<kBytes>::Register;

template <std::size_t kBytes>
QPSBGD_INLINE Plane<kBytes> load_plane(const std::uint32_t* p) {
  return *reinterpret_cast<const typename PlaneTypes<kBytes>::Unaligned*>(p);
}
template <std::size_t kBytes>
QPSBGD_INLINE void store_plane(std::uint32_t* p, Plane<kBytes> v) {
  *reinterpret_cast<typename PlaneTypes<kBytes>::Unaligned*>(p) = v;
}

// Returns the bits of a truth table: bit 4 a + 2 b + c of kTable is the result for a, b and c.
// AVX-512 has an instruction for it.
#if defined(__AVX512VL__)
template <int kTable, class Bits>
QPSBGD_INLINE Bits look_up(Bits a, Bits b, Bits c) {
  if constexpr (sizeof(Bits) == 64) {
    return (Bits)_mm512_ternarylogic_epi32((__m512i)a, (__m512i)b, (__m512i)c, kTable);
  } else if constexpr (sizeof(Bits) == 32) {
    return (Bits)_mm256_ternarylogic_epi32((__m256i)a, (__m256i)b, (__m256i)c, kTable);
  } else {
    return (Bits)_mm_ternarylogic_epi32((__m128i)a, (__m128i)b, (__m128i)c, kTable);
  }
}
template <class Bits>
QPSBGD_INLINE Bits parity(Bits a, Bits b, Bits c) {
  return look_up<0x96>(a, b, c);
}
template <class Bits>
QPSBGD_INLINE Bits majority(Bits a, Bits b, Bits c) {
  return look_up<0xe8>(a, b, c);
}
// mask ? a : b
template <class Bits>
QPSBGD_INLINE Bits choose(Bits mask, Bits a, Bits b) {
  return look_up<0xca>(mask, a, b);
}
// a | (b & c)
template <class Bits>
QPSBGD_INLINE Bits or_and(Bits a, Bits b, Bits c) {
  return look_up<0xf8>(a, b, c);
}
// a & ~(b ^ c)
template <class Bits>
QPSBGD_INLINE Bits and_equal(Bits a, Bits b, Bits c) {
  return look_up<0x90>(a, b, c);
}
// One step of the comparison a < b from the lowest digit on: less where the digits are equal.
template <class Bits>
QPSBGD_INLINE Bits is_less(Bits a, Bits b, Bits less) {
  return look_up<0x8e>(a, b, less);
}
#else
template <class Bits>
QPSBGD_INLINE Bits parity(Bits a, Bits b, Bits c) {
  return a ^ b ^ c;
}
template <class Bits>
QPSBGD_INLINE Bits majority(Bits a, Bits b, Bits c) {
  return (a & b) | ((a ^ b) & c);
}
template <class Bits>
QPSBGD_INLINE Bits choose(Bits mask, Bits a, Bits b) {
  return b ^ (mask & (a ^ b));
}
template <class Bits>
QPSBGD_INLINE Bits or_and(Bits a, Bits b, Bits c) {
  return a | (b & c);
}
template <class Bits>
QPSBGD_INLINE Bits and_equal(Bits a, Bits b, Bits c) {
  return a & ~(b ^ c);
}
template <class Bits>
QPSBGD_INLINE Bits is_less(Bits a, Bits b, Bits less) {
  return choose<Bits>(a ^ b, b, less);
}
#endif

template <class Bits>
QPSBGD_INLINE bool is_zero(Bits v) {
#if defined(__AVX512VL__)
  if constexpr (sizeof(Bits) == 64) {
    return _mm512_test_epi32_mask((__m512i)v, (__m512i)v) == 0;
  } else if constexpr (sizeof(Bits) == 32) {
    return _mm256_testz_si256((__m256i)v, (__m256i)v);
  } else {
    return _mm_testz_si128((__m128i)v, (__m128i)v);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(Bits) == 32) {
    return _mm256_testz_si256((__m256i)v, (__m256i)v);
  } else {
    return _mm_testz_si128((__m128i)v, (__m128i)v);
  }
#else
  typedef std::uint64_t Halves __attribute__((vector_size(16)));
  const Halves halves = (Halves)v;
  return (halves[0] | halves[1]) == 0;
#endif
}

// Adds a bit of weight 2^kFirst to a sum of kCount planes.
template <std::size_t kFirst, std::size_t kCount, class Bits>
QPSBGD_INLINE void add_bit(Bits* sum, Bits bit) {
  QPSBGD_UNROLL
  for (std::size_t p = kFirst; p < kCount; ++p) {
    const Bits carry = sum[p] & bit;
    sum[p] ^= bit;
    bit = carry;
  }
}
// Adds 2^kLevels bits of weight 1, which next() returns one after the other. Returns the carry,
// whose weight is 2^kLevels.
template <std::size_t kLevels, class Bits, class Next>
QPSBGD_INLINE Bits add_up(Bits* sum, const Next& next) {
  if constexpr (kLevels == 0) {
    return next();
  } else {
    const Bits a = add_up<kLevels - 1, Bits>(sum, next);
    const Bits b = add_up<kLevels - 1, Bits>(sum, next);
    const Bits carry = majority(sum[kLevels - 1], a, b);
    sum[kLevels - 1] = parity(sum[kLevels - 1], a, b);
    return carry;
  }
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
