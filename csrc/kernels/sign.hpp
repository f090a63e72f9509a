// Sweeps of the sign objective: sixteen neurons a time, one a lane, variables in order.
//
// A proposal needs every sample's new margin, so it costs O(num_samples) whatever is done; with the
// neurons in lanes one input value serves sixteen of them and no sum runs across lanes.
#pragma once

#include "exponential.hpp"
#include "lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// The sum over samples runs in four interleaved chains (sample index mod 4), added pairwise at the
// end: long enough to hide the latency of an addition, and the same order everywhere.
constexpr std::size_t kChains = 4;

// t with the sign of margin; margin is never -0 (it starts above 0 or is a difference of which the
// first term is not -0), so its sign bit is exactly "margin < 0".
QPSBGD_INLINE Vec signed_target(Vec t, Vec margin) {
  return (Vec)((Words)t ^ ((Words)margin & 0x80000000u));
}

// sum_i t_i sign(margin_i - step * x_i) for sixteen lanes.
QPSBGD_INLINE Lanes score_after(const SignTile& tile, const float* x, const Lanes& step) {
  Lanes sum[kChains] = {};
  std::size_t i = 0;
  for (; i + kChains <= tile.num_samples; i += kChains) {
#pragma GCC unroll 4
    for (std::size_t c = 0; c < kChains; ++c) {
      const Vec value = broadcast(x[i + c]);
      for (std::size_t q = 0; q < kParts; ++q) {
        const std::size_t at = (i + c) * kLanes + q * kWidth;
        const Vec margin = load(tile.margins + at) - step.part[q] * value;
        sum[c].part[q] += signed_target(load(tile.targets + at), margin);
      }
    }
  }
  for (std::size_t c = 0; i < tile.num_samples; ++i, ++c) {
    const Vec value = broadcast(x[i]);
    for (std::size_t q = 0; q < kParts; ++q) {
      const std::size_t at = i * kLanes + q * kWidth;
      const Vec margin = load(tile.margins + at) - step.part[q] * value;
      sum[c].part[q] += signed_target(load(tile.targets + at), margin);
    }
  }
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// Flips variable k in the lanes of mask.
QPSBGD_INLINE void flip(const SignTile& tile, std::size_t k, std::uint32_t mask,
                        const Lanes& scores) {
  const float* x = tile.inputs_t + k * tile.inputs_ld;
  Lanes step;
  for (std::size_t q = 0; q < kParts; ++q) {
    const Words chosen = select_words(mask, q);
    const std::size_t at = k * kLanes + q * kWidth;
    const Vec spin = load(tile.spins + at);
    step.part[q] = (Vec)((Words)(spin + spin) & chosen);
    store(tile.spins + at, (Vec)((Words)spin ^ (chosen & 0x80000000u)));
    const Vec old_score = load(tile.scores + q * kWidth);
    store(tile.scores + q * kWidth,
          (Vec)(((Words)scores.part[q] & chosen) | ((Words)old_score & ~chosen)));
  }
  for (std::size_t i = 0; i < tile.num_samples; ++i) {
    const Vec value = broadcast(x[i]);
    for (std::size_t q = 0; q < kParts; ++q) {
      const std::size_t at = i * kLanes + q * kWidth;
      store(tile.margins + at, load(tile.margins + at) - step.part[q] * value);
    }
  }
}

// One sweep; `passing(gain, k)` gives the mask of lanes whose flip is accepted.
template <class Passing>
QPSBGD_INLINE std::uint32_t sign_sweep(const SignTile& tile, const Passing& passing) {
  std::uint32_t flipped = 0;
  for (std::size_t k = 0; k < tile.num_variables; ++k) {
    const Lanes spin = load_lanes(tile.spins + k * kLanes);
    const Lanes scores = score_after(tile, tile.inputs_t + k * tile.inputs_ld, spin + spin);
    const std::uint32_t mask = passing(scores - load_lanes(tile.scores), k);
    if (mask == 0) continue;
    flip(tile, k, mask, scores);
    flipped |= mask;
  }
  return flipped;
}

std::uint32_t sign_descent(const SignTile& tile) {
  return sign_sweep(tile, [](const Lanes& gain, std::size_t) { return mask_positive(gain); });
}

void sign_anneal(const SignTile& tile, float threshold, const StreamKey* keys) {
  const LaneKeys words = lane_keys(keys);
  sign_sweep(tile, [&](const Lanes& gain, std::size_t k) {
    Lanes noise;
    lane_noise<Acceptance::kMetropolis, 1>(words, static_cast<std::uint32_t>(k), &noise);
    return mask_nonnegative(gain + threshold * noise);
  });
}

void sign_scores(const SignTile& tile) {
  store_lanes(tile.scores, score_after(tile, tile.inputs_t, broadcast_lanes(0.0f)));
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
