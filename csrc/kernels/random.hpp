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
template <class Word>
QPSBGD_INLINE Word mix(Word x) {
  x ^= x >> 16;
  x *= 0x21f0aaadu;
  x ^= x >> 15;
  x *= 0xd35a2d97u;
  x ^= x >> 15;
  return x;
}

// What follows takes kCount vectors and does each step to all of them before the next: a processor
// sees no more than about two of these chains of fifty operations at a time, and would wait.

// Thirty-two bits of mixed counters and streams: the mixer again, keyed in two places. Mixing the
// counters is left to the caller, as lanes that are rows share them. Vector v has the words of part
// v % kParts.
template <std::size_t kCount>
QPSBGD_INLINE void random_bits(Words* x, const Words* word0, const Words* word1) {
  for (std::size_t v = 0; v < kCount; ++v) x[v] ^= word0[v % kParts];
  for (std::size_t v = 0; v < kCount; ++v) x[v] ^= x[v] >> 16;
  for (std::size_t v = 0; v < kCount; ++v) x[v] *= 0x21f0aaadu;
  for (std::size_t v = 0; v < kCount; ++v) x[v] ^= x[v] >> 15;
  for (std::size_t v = 0; v < kCount; ++v) x[v] += word1[v % kParts];
  for (std::size_t v = 0; v < kCount; ++v) x[v] *= 0xd35a2d97u;
  for (std::size_t v = 0; v < kCount; ++v) x[v] ^= x[v] >> 15;
}

// Uniform on the open interval: odd multiples of 2^-24, all exact in float. From the highest bits.
QPSBGD_INLINE Vec uniform_open(Words bits) {
  return (Vec)(bits >> 9 | 0x3f800000u) - 0x1.fffffep-1f;
}

// -log(u), u in (0, 1), to 3 ulp, never growing with u, with additions and products only (the same
// bits on every instruction set): a division would take as long as all of them. u = 2^k m, m in
// [sqrt(1/2), sqrt(2)); log m = r P(r), r = m - 1, P interpolating at Chebyshev's nodes.
template <std::size_t kCount>
QPSBGD_INLINE void minus_log(const Vec* u, Vec* out) {
  constexpr std::int32_t kSqrtHalf = 0x3f3504f3;
  Ints shifted[kCount];
  Vec r[kCount], series[kCount];
  for (std::size_t v = 0; v < kCount; ++v) shifted[v] = (Ints)u[v] - kSqrtHalf;
  for (std::size_t v = 0; v < kCount; ++v) {
    r[v] = (Vec)((shifted[v] & 0x007fffff) + kSqrtHalf) - 1.0f;
    series[v] = 0.1013406f * r[v];
  }
  for (const float term :
       {-0.1623419f, 0.1724701f, -0.1989857f, 0.2497007f, -0.3333511f, 0.5000036f, -1.0f}) {
    for (std::size_t v = 0; v < kCount; ++v) series[v] = (series[v] + term) * r[v];
  }
  for (std::size_t v = 0; v < kCount; ++v) {
    out[v] = series[v] - __builtin_convertvector(shifted[v] >> 23, Vec) * 0.6931472f;
  }
}

// The noise that an acceptance rule adds to a proposal: Metropolis a unit exponential variate,
// Gibbs a logistic one, as P(noise >= -x) is min(1, exp(x)) and 1 / (1 + exp(-x)). Both from one
// uniform, and both fall as it grows.
template <Acceptance kAcceptance, std::size_t kCount>
QPSBGD_INLINE void noise(const Words* bits, Vec* out) {
  Vec u[kCount];
  for (std::size_t v = 0; v < kCount; ++v) u[v] = uniform_open(bits[v]);
  minus_log<kCount>(u, out);
  if constexpr (kAcceptance == Acceptance::kGibbs) {
    Vec rest[kCount];
    for (std::size_t v = 0; v < kCount; ++v) u[v] = 1.0f - u[v];  // exact, and in (0, 1) too
    minus_log<kCount>(u, rest);
    for (std::size_t v = 0; v < kCount; ++v) out[v] = rest[v] - out[v];
  }
}

// The words of sixteen streams, one a lane.
struct LaneKeys {
  Words word0[kParts], word1[kParts];
};
QPSBGD_INLINE LaneKeys lane_keys(const StreamKey* keys) {
  LaneKeys words;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    words.word0[lane / kWidth][lane % kWidth] = keys[lane].word0;
    words.word1[lane / kWidth][lane % kWidth] = keys[lane].word1;
  }
  return words;
}

// Bits of the counters first, ..., first + kCounters - 1, each of sixteen streams. The counters are
// mixed as scalars, by units that the vectors leave idle.
template <std::size_t kCounters>
QPSBGD_INLINE void lane_bits(const LaneKeys& keys, std::uint32_t first, Words* bits) {
  for (std::size_t i = 0; i < kCounters; ++i) {
    const std::uint32_t counter = mix(first + static_cast<std::uint32_t>(i));
    for (std::size_t q = 0; q < kParts; ++q) bits[i * kParts + q] = Words{} + counter;
  }
  random_bits<kCounters * kParts>(bits, keys.word0, keys.word1);
}
template <Acceptance kAcceptance, std::size_t kCounters>
QPSBGD_INLINE void lane_noise(const LaneKeys& keys, std::uint32_t first, Lanes* out) {
  Words bits[kCounters * kParts];
  Vec values[kCounters * kParts];
  lane_bits<kCounters>(keys, first, bits);
  noise<kAcceptance, kCounters * kParts>(bits, values);
  for (std::size_t v = 0; v < kCounters * kParts; ++v) out[v / kParts].part[v % kParts] = values[v];
}

// Bits of the counters first, first + 1, ... of one stream.
QPSBGD_INLINE void run_bits(StreamKey key, std::uint32_t first, Words* bits) {
  Words word0[kParts], word1[kParts];
  for (std::size_t q = 0; q < kParts; ++q) {
    Words counter;
    for (std::size_t i = 0; i < kWidth; ++i) {
      counter[i] = static_cast<std::uint32_t>(q * kWidth + i);
    }
    bits[q] = mix(counter + first);
    word0[q] = Words{} + key.word0;
    word1[q] = Words{} + key.word1;
  }
  random_bits<kParts>(bits, word0, word1);
}
template <Acceptance kAcceptance>
QPSBGD_INLINE Lanes noise_run(StreamKey key, std::uint32_t first) {
  Words bits[kParts];
  Lanes v;
  run_bits(key, first, bits);
  noise<kAcceptance, kParts>(bits, v.part);
  return v;
}

// Sixteen variables of [0, num_variables), uniform to 2^-32 * num_variables.
QPSBGD_INLINE void random_variables(StreamKey key, std::uint32_t first, std::size_t num_variables,
                                    std::uint32_t* out) {
  Words bits[kParts];
  run_bits(key, first, bits);
  for (std::size_t q = 0; q < kParts; ++q) {
    for (std::size_t i = 0; i < kWidth; ++i) {
      out[q * kWidth + i] =
          static_cast<std::uint32_t>(bits[q][i] * std::uint64_t{num_variables} >> 32);
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
