// Places in imaginary time of kLanes reads: integers of 16 bits in one or two vectors.
#pragma once

#include "kernels/simd/lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

constexpr std::size_t kPositionBytes = kVectorBytes < 32 ? kVectorBytes : 32;
constexpr std::size_t kPositionWidth = kPositionBytes / sizeof(std::int16_t);
constexpr std::size_t kPositionParts = kLanes / kPositionWidth;
typedef std::int16_t PositionPart __attribute__((vector_size(kPositionBytes)));
typedef std::uint16_t ModularPart __attribute__((vector_size(kPositionBytes)));
typedef std::int16_t AlignedPositionPart __attribute__((vector_size(kPositionBytes), may_alias));

struct Positions {
  PositionPart part[kPositionParts];
};

QPSBGD_INLINE Positions load_positions(const std::int16_t* p) {
  Positions v;
  for (std::size_t q = 0; q < kPositionParts; ++q) {
    v.part[q] = *reinterpret_cast<const AlignedPositionPart*>(p + q * kPositionWidth);
  }
  return v;
}
QPSBGD_INLINE void store_positions(std::int16_t* p, const Positions& v) {
  for (std::size_t q = 0; q < kPositionParts; ++q) {
    *reinterpret_cast<AlignedPositionPart*>(p + q * kPositionWidth) = v.part[q];
  }
}
QPSBGD_INLINE Positions broadcast_position(std::int16_t x) {
  Positions v;
  for (std::size_t q = 0; q < kPositionParts; ++q) v.part[q] = x - PositionPart{};
  return v;
}
QPSBGD_INLINE Positions least(const Positions& a, const Positions& b) {
  Positions v;
  for (std::size_t q = 0; q < kPositionParts; ++q) {
    v.part[q] = a.part[q] < b.part[q] ? a.part[q] : b.part[q];
  }
  return v;
}
QPSBGD_INLINE Positions greatest(const Positions& a, const Positions& b) {
  Positions v;
  for (std::size_t q = 0; q < kPositionParts; ++q) {
    v.part[q] = a.part[q] > b.part[q] ? a.part[q] : b.part[q];
  }
  return v;
}
// Sums and differences are modulo 2^16.
QPSBGD_INLINE Positions operator+(const Positions& a, const Positions& b) {
  Positions v;
  for (std::size_t q = 0; q < kPositionParts; ++q) {
    v.part[q] = (PositionPart)((ModularPart)a.part[q] + (ModularPart)b.part[q]);
  }
  return v;
}
QPSBGD_INLINE Positions operator-(const Positions& a, const Positions& b) {
  Positions v;
  for (std::size_t q = 0; q < kPositionParts; ++q) {
    v.part[q] = (PositionPart)((ModularPart)a.part[q] - (ModularPart)b.part[q]);
  }
  return v;
}

// Returns the mask of the lanes that are equal.
QPSBGD_INLINE std::uint32_t mask_equal(const Positions& a, const Positions& b) {
#if defined(__AVX512BW__)
  return mask_word(_mm256_cmpeq_epi16_mask((__m256i)a.part[0], (__m256i)b.part[0]));
#elif defined(__AVX2__)
  const __m256i equal = _mm256_cmpeq_epi16((__m256i)a.part[0], (__m256i)b.part[0]);
  return static_cast<std::uint32_t>(_mm_movemask_epi8(
      _mm_packs_epi16(_mm256_castsi256_si128(equal), _mm256_extracti128_si256(equal, 1))));
#elif defined(__SSE2__)
  return static_cast<std::uint32_t>(
      _mm_movemask_epi8(_mm_packs_epi16(_mm_cmpeq_epi16((__m128i)a.part[0], (__m128i)b.part[0]),
                                        _mm_cmpeq_epi16((__m128i)a.part[1], (__m128i)b.part[1]))));
#else
  std::uint32_t mask = 0;
  for (std::size_t i = 0; i < kLanes; ++i) {
    const std::size_t q = i / kPositionWidth, k = i % kPositionWidth;
    mask |= std::uint32_t{a.part[q][k] == b.part[q][k]} << i;
  }
  return mask;
#endif
}

// Reads the bits as integers without a sign.
QPSBGD_INLINE Lanes<std::int32_t> widen(const Positions& v) {
  Lanes<std::int32_t> wide;
#if defined(__AVX512F__)
  wide.part[0] = (Ints)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)v.part[0]);
#elif defined(__AVX2__)
  wide.part[0] = (Ints)_mm256_cvtepu16_epi32(_mm256_castsi256_si128((__m256i)v.part[0]));
  wide.part[1] = (Ints)_mm256_cvtepu16_epi32(_mm256_extracti128_si256((__m256i)v.part[0], 1));
#elif defined(__SSE2__)
  for (std::size_t q = 0; q < kPositionParts; ++q) {
    const auto part = (__m128i)v.part[q];
    wide.part[2 * q] = (Ints)_mm_unpacklo_epi16(part, _mm_setzero_si128());
    wide.part[2 * q + 1] = (Ints)_mm_unpackhi_epi16(part, _mm_setzero_si128());
  }
#else
  for (std::size_t i = 0; i < kLanes; ++i) {
    wide.part[i / kWidth<float>][i % kWidth<float>] =
        static_cast<std::uint16_t>(v.part[i / kPositionWidth][i % kPositionWidth]);
  }
#endif
  return wide;
}
QPSBGD_INLINE Lanes<float> to_floats(const Lanes<std::int32_t>& v) {
  Lanes<float> floats;
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    floats.part[q] = __builtin_convertvector(v.part[q], Floats);
  }
  return floats;
}
// Returns the distances from slice 0.
QPSBGD_INLINE Lanes<std::int32_t> distances(const Positions& v) {
  return widen(v - broadcast_position(kFirstPosition));
}

// Stores distances below kNumSlices as positions.
QPSBGD_INLINE void store_distances(std::int16_t* p, const Lanes<std::int32_t>& v) {
#if defined(__AVX512F__)
  const __m512i shifted = (__m512i)(v.part[0] + kFirstPosition);
  _mm256_store_si256(reinterpret_cast<__m256i*>(p), _mm512_maskz_cvtepi32_epi16(0xffff, shifted));
#else
  typedef std::int16_t Half __attribute__((vector_size(kVectorBytes / 2), may_alias));
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    typedef std::int16_t Value __attribute__((vector_size(kVectorBytes / 2)));
    *reinterpret_cast<Half*>(p + q * kWidth<float>) =
        __builtin_convertvector(v.part[q] + kFirstPosition, Value);
  }
#endif
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
