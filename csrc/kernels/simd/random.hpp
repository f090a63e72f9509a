// Random numbers that are addressed: a pure function of (key, counter), where the key names a
// stream (see StreamKey) and the counter is a variable.
//
// A stream has no state. A kernel may leave out a draw that cannot matter, and may draw for sixteen
// variables of one read or for one variable of sixteen reads: the numbers are the same.
#pragma once

#include "kernels/simd/lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Upper bound of `draw_noise`, which returns at most -log(2^-24).
constexpr float kLargestNoise = 16.7f;

// Bijective 32-bit mixer with near-ideal avalanche. Source of the constants: C. Wellons,
// hash-prospector (public domain), bias 0.107.
template <class Bits>
QPSBGD_INLINE Bits mix(Bits x) {
  x ^= x >> 16;
  x *= 0x21f0aaadu;
  x ^= x >> 15;
  x *= 0xd35a2d97u;
  x ^= x >> 15;
  return x;
}

// The functions below take kCount vectors and apply each step to all of them before the next step.
// A processor looks ahead over about two of these chains of fifty operations; one chain after the
// other would leave it waiting.

// Turns mixed counters `x` into 32 random bits: the mixer again, keyed in two places. Vector v uses
// the key words of part v % kParts. The callers mix the counters, as lanes that are reads share
// them.
template <std::size_t kCount>
QPSBGD_INLINE void hash_counters(Words* x, const Words* word0, const Words* word1) {
  constexpr std::size_t kKeys = kParts<float>;
  for (std::size_t v = 0; v < kCount; ++v) x[v] ^= word0[v % kKeys];
  for (std::size_t v = 0; v < kCount; ++v) x[v] ^= x[v] >> 16;
  for (std::size_t v = 0; v < kCount; ++v) x[v] *= 0x21f0aaadu;
  for (std::size_t v = 0; v < kCount; ++v) x[v] ^= x[v] >> 15;
  for (std::size_t v = 0; v < kCount; ++v) x[v] += word1[v % kKeys];
  for (std::size_t v = 0; v < kCount; ++v) x[v] *= 0xd35a2d97u;
  for (std::size_t v = 0; v < kCount; ++v) x[v] ^= x[v] >> 15;
}

// Uniform on the open interval (0, 1): the odd multiples of 2^-24, all exact in float32. Uses the
// highest 23 bits.
QPSBGD_INLINE Floats uniform_open(Words bits) {
  return (Floats)(bits >> 9 | 0x3f800000u) - 0x1.fffffep-1f;
}

// Computes -log(u) for u in (0, 1) to 3 ulp; the result never grows with u. Additions and products
// alone give the same bits on every instruction set, and a division would take as long as all of
// them. With u = 2^k m and m in [sqrt(1/2), sqrt(2)), log m = r P(r) where r = m - 1 and P
// interpolates at Chebyshev's nodes.
template <std::size_t kCount>
QPSBGD_INLINE void minus_log(const Floats* u, Floats* out) {
  constexpr std::int32_t kSqrtHalf = 0x3f3504f3;
  constexpr float kCoefficients[] = {-0.1623419f, 0.1724701f, -0.1989857f, 0.2497007f,
                                     -0.3333511f, 0.5000036f, -1.0f};
  Ints shifted[kCount];
  Floats r[kCount], series[kCount];
  for (std::size_t v = 0; v < kCount; ++v) shifted[v] = (Ints)u[v] - kSqrtHalf;
  for (std::size_t v = 0; v < kCount; ++v) {
    r[v] = (Floats)((shifted[v] & 0x007fffff) + kSqrtHalf) - 1.0f;
    series[v] = 0.1013406f * r[v];
  }
  for (const float term : kCoefficients) {
    for (std::size_t v = 0; v < kCount; ++v) series[v] = (series[v] + term) * r[v];
  }
  for (std::size_t v = 0; v < kCount; ++v) {
    out[v] = series[v] - __builtin_convertvector(shifted[v] >> 23, Floats) * 0.6931472f;
  }
}

// Draws the noise of an acceptance rule: a unit exponential variate for Metropolis and a logistic
// one for Gibbs, because P(noise >= -x) is then min(1, exp(x)) or 1 / (1 + exp(-x)). Both come from
// one uniform variate and never grow with it.
template <Acceptance kAcceptance, std::size_t kCount>
QPSBGD_INLINE void draw_noise(const Words* bits, Floats* out) {
  Floats u[kCount];
  for (std::size_t v = 0; v < kCount; ++v) u[v] = uniform_open(bits[v]);
  minus_log<kCount>(u, out);
  if constexpr (kAcceptance == Acceptance::kGibbs) {
    Floats rest[kCount];
    for (std::size_t v = 0; v < kCount; ++v) u[v] = 1.0f - u[v];  // exact, and also in (0, 1)
    minus_log<kCount>(u, rest);
    for (std::size_t v = 0; v < kCount; ++v) out[v] = rest[v] - out[v];
  }
}

// ---- sixteen streams, one in each lane ----------------------------------------------------------

struct LaneKeys {
  Words word0[kParts<float>], word1[kParts<float>];
};
QPSBGD_INLINE LaneKeys load_keys(const StreamKey* keys) {
  LaneKeys words;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    words.word0[lane / kWidth<float>][lane % kWidth<float>] = keys[lane].word0;
    words.word1[lane / kWidth<float>][lane % kWidth<float>] = keys[lane].word1;
  }
  return words;
}

// Draws the bits of the counters first, ..., first + kCounters - 1 in every lane. Scalar units,
// which the vector code leaves idle, mix the counters.
template <std::size_t kCounters>
QPSBGD_INLINE void draw_lane_bits(const LaneKeys& keys, std::uint32_t first, Words* bits) {
  for (std::size_t i = 0; i < kCounters; ++i) {
    const std::uint32_t counter = mix(first + static_cast<std::uint32_t>(i));
    for (std::size_t q = 0; q < kParts<float>; ++q) bits[i * kParts<float> + q] = Words{} + counter;
  }
  hash_counters<kCounters * kParts<float>>(bits, keys.word0, keys.word1);
}
template <Acceptance kAcceptance, std::size_t kCounters>
QPSBGD_INLINE void draw_lane_noise(const LaneKeys& keys, std::uint32_t first, Lanes<float>* out) {
  constexpr std::size_t kCount = kCounters * kParts<float>;
  Words bits[kCount];
  Floats values[kCount];
  draw_lane_bits<kCounters>(keys, first, bits);
  draw_noise<kAcceptance, kCount>(bits, values);
  for (std::size_t v = 0; v < kCount; ++v) {
    out[v / kParts<float>].part[v % kParts<float>] = values[v];
  }
}

// ---- streams of words whose bits decide one after the other -------------------------------------

// The constants that tell the words of one counter from each other.
struct RoundWords {
  std::uint32_t of[32];
};
constexpr RoundWords make_round_words() {
  RoundWords words{};
  for (std::uint32_t round = 0; round < 32; ++round) {
    std::uint32_t x = 0x9e3779b9u * (round + 1);
    x ^= x >> 16;
    x *= 0x21f0aaadu;
    x ^= x >> 15;
    x *= 0xd35a2d97u;
    x ^= x >> 15;
    words.of[round] = x;
  }
  return words;
}
constexpr RoundWords kRoundWords = make_round_words();

// Hashes a mixed counter with keys. Words of all rounds start from the result.
template <class Bits>
QPSBGD_INLINE Bits begin_rounds(std::uint32_t counter, Bits word0, Bits word1) {
  Bits x = word0 ^ counter;
  x ^= x >> 16;
  x *= 0x21f0aaadu;
  x ^= x >> 15;
  return x + word1;
}
// Turns kCount starts, each with the constant of its round, into random words.
template <std::size_t kCount, class Bits>
QPSBGD_INLINE void finish_rounds(Bits* x) {
  QPSBGD_UNROLL
  for (std::size_t k = 0; k < kCount; ++k) x[k] *= 0x21f0aaadu;
  QPSBGD_UNROLL
  for (std::size_t k = 0; k < kCount; ++k) x[k] ^= x[k] >> 15;
  QPSBGD_UNROLL
  for (std::size_t k = 0; k < kCount; ++k) x[k] *= 0xd35a2d97u;
  QPSBGD_UNROLL
  for (std::size_t k = 0; k < kCount; ++k) x[k] ^= x[k] >> 16;
}
// Draws the words of the rounds first, ..., first + kCount - 1.
template <std::size_t kCount, class Bits>
QPSBGD_INLINE void draw_rounds(Bits start, std::size_t first, Bits* x) {
  QPSBGD_UNROLL
  for (std::size_t k = 0; k < kCount; ++k) x[k] = start ^ kRoundWords.of[first + k];
  finish_rounds<kCount>(x);
}

// ---- one stream, kLanes counters in the lanes ---------------------------------------------------

// Draws the bits of the counters first, first + 1, ...
QPSBGD_INLINE void draw_run_bits(StreamKey key, std::uint32_t first, Words* bits) {
  Words word0[kParts<float>], word1[kParts<float>];
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    Words counter;
    for (std::size_t i = 0; i < kWidth<float>; ++i) {
      counter[i] = static_cast<std::uint32_t>(q * kWidth<float> + i);
    }
    bits[q] = mix(counter + first);
    word0[q] = Words{} + key.word0;
    word1[q] = Words{} + key.word1;
  }
  hash_counters<kParts<float>>(bits, word0, word1);
}
template <Acceptance kAcceptance>
QPSBGD_INLINE Lanes<float> draw_run_noise(StreamKey key, std::uint32_t first) {
  Words bits[kParts<float>];
  Lanes<float> v;
  draw_run_bits(key, first, bits);
  draw_noise<kAcceptance, kParts<float>>(bits, v.part);
  return v;
}
// Draws kLanes variables from [0, num_variables). Their probabilities are equal up to
// num_variables / 2^32.
QPSBGD_INLINE void draw_variables(StreamKey key, std::uint32_t first, std::size_t num_variables,
                                  std::uint32_t* out) {
  Words bits[kParts<float>];
  draw_run_bits(key, first, bits);
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    for (std::size_t i = 0; i < kWidth<float>; ++i) {
      out[q * kWidth<float> + i] =
          static_cast<std::uint32_t>(bits[q][i] * std::uint64_t{num_variables} >> 32);
    }
  }
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
