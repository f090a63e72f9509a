// Sweeps of the sign objective, variables in order, on one of two layouts that make the same flips.
//
// `sign_descent` and `sign_anneal` take a neuron at a time and test sixteen variables together. A
// flip can change the sign of few samples, its critical ones: those whose margin is no larger than
// the step it makes, 7 % of them at most with 512 inputs of +-1. A block of 64 variables looks for
// the samples that are critical to any of its flips, and a proposal looks at no others; after a
// flip they are looked for anew. With 128 samples and AVX-512 a proposal takes 6 cycles and a flip
// 100. `sign_anneal_lanes` has sixteen neurons in lanes and looks at all samples for each proposal:
// 30 cycles, whatever flips.
//
// Targets are integers, so that a gain does not depend on the order in which samples are added, nor
// on which of those were left out that keep their sign.
#pragma once

#include "gemm.hpp"
#include "lanes.hpp"
#include "random.hpp"
#include "sweep_variables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Integers of sixteen lanes: sums of targets.
struct IntLanes {
  Ints part[kParts];
};
QPSBGD_INLINE Lanes to_floats(const IntLanes& v) {
  Lanes result;
  for (std::size_t q = 0; q < kParts; ++q) {
    result.part[q] = __builtin_convertvector(v.part[q], Vec);
  }
  return result;
}
// Sums and differences modulo 2^32, so that no value is undefined: a solver's targets sum to 2^30
// at most, but a kernel takes any.
QPSBGD_INLINE Ints add_ints(Ints a, Ints b) { return (Ints)((Words)a + (Words)b); }
QPSBGD_INLINE Ints subtract_ints(Ints a, Ints b) { return (Ints)((Words)a - (Words)b); }
QPSBGD_INLINE Ints load_ints(const std::int32_t* p) {
  return (Ints)load(reinterpret_cast<const float*>(p));
}

// The sign bit of a margin says whether it is negative: it is never -0, as it starts as a sum with
// eps >= 0 and is then a difference whose first term is not -0.
QPSBGD_INLINE std::uint32_t mask_sign(Ints v) {
#if defined(__AVX512F__)
  return mask_word(_mm512_movepi32_mask((__m512i)v));
#elif defined(__AVX2__)
  return _mm256_movemask_ps((__m256)v);
#elif defined(__SSE2__)
  return _mm_movemask_ps((__m128)v);
#else
  std::uint32_t mask = 0;
  for (std::size_t i = 0; i < kWidth; ++i) mask |= std::uint32_t{v[i] < 0} << i;
  return mask;
#endif
}
// sum + value where the margin is negative.
QPSBGD_INLINE Ints add_where_negative(Vec margin, Ints value, Ints sum) {
#if defined(__AVX512F__)
  return (Ints)_mm512_mask_add_epi32((__m512i)sum, _mm512_movepi32_mask((__m512i)margin),
                                     (__m512i)sum, (__m512i)value);
#else
  return add_ints(sum, ((Ints)margin >> 31) & value);
#endif
}

// ---- variables in lanes -------------------------------------------------------------------------

// One neuron of a tile.
struct SignRow {
  const std::int32_t* targets;
  float* margins;
  float* spins;
};

// Finds the samples that are critical to a block, bits of `critical`, and, if kFlip, first takes
// step * x off the margins. Returns whether any of them has a margin of the wrong sign, that is,
// whether a flip may gain anything.
template <bool kFlip>
QPSBGD_INLINE bool find_critical(const SignTile& tile, const SignRow& row, const float* reach,
                                 const float* x, float step) {
  const Vec minus_step = broadcast(-step);
  std::uint64_t word = 0;
  std::uint32_t gainful = 0;
  for (std::size_t i = 0; i < tile.ld; i += kLanes) {
    std::uint32_t near = 0, wrong = 0;
    for (std::size_t q = 0; q < kParts; ++q) {
      const std::size_t at = i + q * kWidth;
      Vec margin = load(row.margins + at);
      if constexpr (kFlip) {
        margin = add_exact_product(load(x + at), minus_step, margin);
        store(row.margins + at, margin);
      }
      const Vec size = (Vec)((Words)margin & 0x7fffffffu);
      near |= mask_nonnegative(load(reach + at) - size) << (q * kWidth);
      wrong |= mask_sign((Ints)margin ^ load_ints(row.targets + at)) << (q * kWidth);
    }
    gainful |= near & wrong;
    word |= std::uint64_t{near} << (i % 64);
    if (i % 64 == 64 - kLanes || i + kLanes == tile.ld) {
      tile.critical[i / 64] = word;
      word = 0;
    }
  }
  return gainful != 0;
}

// What flipping each of sixteen variables would add to half the score. inputs: their x of sample 0.
QPSBGD_INLINE Lanes critical_gains(const SignTile& tile, const SignRow& row,
                                   const float* const* inputs, const Lanes& spins) {
  const Lanes minus_steps = -2.0f * spins;
  std::uint32_t before = 0;  // sums of the targets whose margins are negative
  IntLanes after{};
  for (std::size_t w = 0; w * 64 < tile.ld; ++w) {
    for (std::uint64_t word = tile.critical[w]; word != 0; word &= word - 1) {
      const std::size_t i = w * 64 + static_cast<std::size_t>(__builtin_ctzll(word));
      const float margin = row.margins[i];
      const std::int32_t target = row.targets[i];
      before +=
          static_cast<std::uint32_t>(target & (__builtin_bit_cast(std::int32_t, margin) >> 31));
      for (std::size_t q = 0; q < kParts; ++q) {
        const Vec flipped = add_exact_product(load(inputs[q] + i * kPanelColumns),
                                              minus_steps.part[q], broadcast(margin));
        after.part[q] = add_where_negative(flipped, Ints{} + target, after.part[q]);
      }
    }
  }
  const Ints sum = (Ints)(Words{} + before);
  for (std::size_t q = 0; q < kParts; ++q) after.part[q] = subtract_ints(sum, after.part[q]);
  return to_floats(after);
}

// Visits the variables [start, start + kBlock) of one neuron and returns how many it flipped.
// `passing` as in sweep_variables.hpp; if kDescent, it lets no flip pass that gains nothing.
template <bool kDescent, class Passing>
QPSBGD_INLINE std::size_t visit_critical(const SignTile& tile, const SignRow& row,
                                         std::size_t start, const Passing& passing) {
  const std::size_t left = tile.num_variables - start;
  const std::size_t end = start + (left < kBlock ? left : kBlock);
  const float* reach = tile.reach + start / kBlock * tile.ld;
  bool gainful = find_critical<false>(tile, row, reach, nullptr, 0.0f);
  std::size_t flips = 0;
  for (std::size_t first = start; first < end && (!kDescent || gainful); first += kLanes) {
    const float* inputs[kParts];
    for (std::size_t q = 0; q < kParts; ++q) {
      // Lanes beyond the last variable read any panel that is there.
      const std::size_t column = first + q * kWidth, last = column < end ? column : end - 1;
      inputs[q] = tile.packed_inputs + last / kPanelColumns * kPanelColumns * tile.num_samples +
                  column % kPanelColumns;
    }
    // Kept in registers: a vector load behind a scalar store of one lane would wait for it.
    Lanes spins = load_lanes(row.spins + first);
    const std::uint32_t used = end - first < kLanes ? (1u << (end - first)) - 1 : 0xffffu;
    const Lanes gains = critical_gains(tile, row, inputs, spins);
    if ((passing(first, gains) & used) == 0) continue;
    const auto decide = passing.acceptance(first);
    std::uint32_t mask = decide(gains) & used;
    if (mask == 0) continue;
    while (mask != 0) {
      const unsigned lane = static_cast<unsigned>(__builtin_ctz(mask));
      const std::size_t variable = first + lane;
      // In memory is the spin from before the visit, which flips a variable at most once.
      gainful = find_critical<true>(tile, row, reach, tile.inputs_t + variable * tile.ld,
                                    2.0f * row.spins[variable]);
      negate_lane(spins, lane);
      ++flips;
      // Only later lanes: an earlier one has had its turn in this sweep.
      mask = decide(critical_gains(tile, row, inputs, spins)) & used & (0xfffffffeu << lane);
    }
    store_lanes(row.spins + first, spins);
  }
  return flips;
}

// Descent: a flip is accepted where its gain is positive.
struct Downhill {
  QPSBGD_INLINE std::uint32_t operator()(std::size_t, const Lanes& gain) const {
    return mask_positive(gain);
  }
  QPSBGD_INLINE auto acceptance(std::size_t) const {
    return [](const Lanes& gain) { return mask_positive(gain); };
  }
};

QPSBGD_INLINE SignRow sign_row(const SignTile& tile, std::size_t row) {
  return {tile.targets + row * tile.ld, tile.margins + row * tile.ld,
          tile.spins + row * tile.spins_ld};
}

void sign_descent(const SignTile& tile, std::uint8_t* active) {
  constexpr std::uint8_t kVisit = 1, kFlipped = 2;
  for (std::size_t start = 0; start < tile.num_variables; start += kBlock) {
    for (std::size_t row = 0; row < tile.rows; ++row) {
      if (!(active[row] & kVisit)) continue;
      if (visit_critical<true>(tile, sign_row(tile, row), start, Downhill{}) != 0) {
        active[row] |= kFlipped;
      }
    }
  }
  for (std::size_t row = 0; row < tile.rows; ++row) active[row] = (active[row] & kFlipped) != 0;
}

std::size_t sign_anneal(const SignTile& tile, float threshold, const StreamKey* keys) {
  const Lanes scale = broadcast_lanes(threshold);
  const Lanes reach = broadcast_lanes(threshold * kExponentialMax);
  std::size_t flips = 0;
  for (std::size_t start = 0; start < tile.num_variables; start += kBlock) {
    for (std::size_t row = 0; row < tile.rows; ++row) {
      const Thermal<Acceptance::kMetropolis> passing{keys[row], scale, reach};
      flips += visit_critical<false>(tile, sign_row(tile, row), start, passing);
    }
  }
  return flips;
}

// ---- neurons in lanes ---------------------------------------------------------------------------

// A tile with its neurons in lanes: rows of kLanes.
struct SignLanes {
  float* margins;         // (ld)
  std::int32_t* targets;  // (ld)
  float* spins;           // (spins_ld)
};

QPSBGD_INLINE void transpose_rows(const float* rows, std::size_t ld, float* lanes) {
  for (std::size_t i = 0; i < ld; i += kLanes) transpose(rows + i, ld, lanes + i * kLanes, kLanes);
}
QPSBGD_INLINE void transpose_lanes(const float* lanes, std::size_t ld, float* rows) {
  for (std::size_t i = 0; i < ld; i += kLanes) transpose(lanes + i * kLanes, kLanes, rows + i, ld);
}

// Sums of the targets whose margins are negative once steps * x are added to them.
QPSBGD_INLINE IntLanes sum_negative(const SignTile& tile, const SignLanes& lanes, const float* x,
                                    const Lanes& steps) {
  IntLanes sum{};
  for (std::size_t i = 0; i < tile.num_samples; ++i) {
    const Vec value = broadcast(x[i]);
    for (std::size_t q = 0; q < kParts; ++q) {
      const std::size_t at = i * kLanes + q * kWidth;
      const Vec margin = add_exact_product(value, steps.part[q], load(lanes.margins + at));
      sum.part[q] = add_where_negative(margin, load_ints(lanes.targets + at), sum.part[q]);
    }
  }
  return sum;
}

std::size_t sign_anneal_lanes(const SignTile& tile, float threshold, const StreamKey* keys) {
  const SignLanes lanes{tile.lanes, reinterpret_cast<std::int32_t*>(tile.lanes + tile.ld * kLanes),
                        tile.lanes + 2 * tile.ld * kLanes};
  transpose_rows(tile.margins, tile.ld, lanes.margins);
  transpose_rows(reinterpret_cast<const float*>(tile.targets), tile.ld,
                 reinterpret_cast<float*>(lanes.targets));
  transpose_rows(tile.spins, tile.spins_ld, lanes.spins);
  const LaneKeys words = lane_keys(keys);
  const std::uint32_t used = (1u << tile.rows) - 1;
  IntLanes before = sum_negative(tile, lanes, tile.inputs_t, Lanes{});
  std::size_t flips = 0;
  for (std::size_t k = 0; k < tile.num_variables; ++k) {
    const float* x = tile.inputs_t + k * tile.ld;
    const Lanes spins = load_lanes(lanes.spins + k * kLanes);
    const IntLanes after = sum_negative(tile, lanes, x, -2.0f * spins);
    IntLanes gain;
    for (std::size_t q = 0; q < kParts; ++q)
      gain.part[q] = subtract_ints(before.part[q], after.part[q]);
    Lanes noise;
    lane_noise<Acceptance::kMetropolis, 1>(words, static_cast<std::uint32_t>(k), &noise);
    const std::uint32_t mask = mask_nonnegative(to_floats(gain) + threshold * noise) & used;
    if (mask == 0) continue;
    flips += static_cast<std::size_t>(__builtin_popcount(mask));
    Lanes steps;
    for (std::size_t q = 0; q < kParts; ++q) {
      const Words chosen = select_words(mask, q);
      steps.part[q] = (Vec)((Words)(-2.0f * spins.part[q]) & chosen);
      before.part[q] = subtract_ints(before.part[q], gain.part[q] & (Ints)chosen);
    }
    store_lanes(lanes.spins + k * kLanes, spins + steps);
    for (std::size_t i = 0; i < tile.num_samples; ++i) {
      const Vec value = broadcast(x[i]);
      for (std::size_t q = 0; q < kParts; ++q) {
        float* margin = lanes.margins + i * kLanes + q * kWidth;
        store(margin, add_exact_product(value, steps.part[q], load(margin)));
      }
    }
  }
  transpose_lanes(lanes.margins, tile.ld, tile.margins);
  transpose_lanes(lanes.spins, tile.spins_ld, tile.spins);
  return flips;
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
