// Unit exponential variates, addressed rather than drawn: a pure function of (key, counter).
//
// A stream has no state, so a kernel may skip a draw that cannot matter, or draw sixteen variables
// of one row or one variable of sixteen rows, and always meets the same numbers.
#pragma once

#include "lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Largest value `noise` returns: -log(2^-24), rounded up.
constexpr float kExponentialMax = 16.7f;

// Bijective 32-bit mixer with near-ideal avalanche; constants by C. Wellons (hash-prospector,
// public domain, bias 0.107).
QPSBGD_INLINE Words mix(Words x) {
  x ^= x >> 16;
  x *= 0x21f0aaadu;
  x ^= x >> 15;
  x *= 0xd35a2d97u;
  x ^= x >> 15;
  return x;
}

// Uniform on the open interval: odd multiples of 2^-24, all exact in float.
QPSBGD_INLINE Vec uniform_open(Words counter, Words word0, Words word1) {
  const Words bits = mix(mix(counter + word0) ^ word1);
  const Ints top = (Ints)(bits >> 9);
  return (__builtin_convertvector(top, Vec) + 0.5f) * 0x1p-23f;
}

// -log(u), u in (0, 1), to 2 ulp, with additions, products and one division only (the same bits on
// every instruction set). u = 2^k m, m in [sqrt(1/2), sqrt(2)); log m = 2 artanh((m-1)/(m+1)).
QPSBGD_INLINE Vec minus_log(Vec u) {
  constexpr std::int32_t kSqrtHalf = 0x3f3504f3;
  const Ints shifted = (Ints)u - kSqrtHalf;
  const Ints k = shifted >> 23;
  const Vec m = (Vec)((shifted & 0x007fffff) + kSqrtHalf);
  const Vec z = (m - 1.0f) / (m + 1.0f);
  const Vec w = z * z;
  const Vec series = z * (2.0f + w * (0.6666667f + w * (0.4f + w * (0.2857143f + w * 0.2222222f))));
  return -(__builtin_convertvector(k, Vec) * 0.6931472f + series);
}

// The noise that an acceptance rule adds to a proposal: Metropolis a unit exponential variate,
// Gibbs a logistic one, as P(noise >= -x) is min(1, exp(x)) and 1 / (1 + exp(-x)). Both from one
// uniform.
template <Acceptance kAcceptance>
QPSBGD_INLINE Vec noise(Words counter, Words word0, Words word1) {
  const Vec u = uniform_open(counter, word0, word1);
  if constexpr (kAcceptance == Acceptance::kMetropolis) return minus_log(u);
  return minus_log(1.0f - u) - minus_log(u);  // 1 - u is exact, and in (0, 1) too
}

// Counters first, first + 1, ... of one stream.
template <Acceptance kAcceptance>
QPSBGD_INLINE Lanes noise_run(StreamKey key, std::uint32_t first) {
  Lanes v;
  for (std::size_t q = 0; q < kParts; ++q) {
    Words counter;
    for (std::size_t i = 0; i < kWidth; ++i) {
      counter[i] = static_cast<std::uint32_t>(q * kWidth + i);
    }
    v.part[q] = noise<kAcceptance>(counter + first, Words{} + key.word0, Words{} + key.word1);
  }
  return v;
}

// Sixteen variables of [0, num_variables), uniform to 2^-32 * num_variables.
QPSBGD_INLINE void random_variables(StreamKey key, std::uint32_t first, std::size_t num_variables,
                                    std::uint32_t* out) {
  for (std::size_t q = 0; q < kParts; ++q) {
    Words counter;
    for (std::size_t i = 0; i < kWidth; ++i) {
      counter[i] = first + static_cast<std::uint32_t>(q * kWidth + i);
    }
    const Words bits = mix(mix(counter + key.word0) ^ (Words{} + key.word1));
    for (std::size_t i = 0; i < kWidth; ++i) {
      out[q * kWidth + i] =
          static_cast<std::uint32_t>(bits[i] * std::uint64_t{num_variables} >> 32);
    }
  }
}

void exponential_values(StreamKey key, std::uint32_t first, std::size_t count, float* out) {
  for (std::size_t start = 0; start < count; start += kLanes) {
    alignas(64) float block[kLanes];
    store_lanes(block,
                noise_run<Acceptance::kMetropolis>(key, first + static_cast<std::uint32_t>(start)));
    for (std::size_t i = 0; i < kLanes && start + i < count; ++i) out[start + i] = block[i];
  }
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
