// The acceptance rule: which flips a sweep makes.
//
// A sweep at inverse temperature beta flips variable i if gain + threshold * noise >= 0, that is,
// if its gain s_i f_i is at least a random bound, -threshold * noise. The threshold is 1 / (2 beta)
// in units of the gain, and the noise follows from the rule (see `draw_noise`). A descent flips if
// the gain is positive.
//
// clang-format off
// A rule has these members:
//   kDraws                   whether the bounds are random
//   lowest_bound()           lower limit of all bounds that can be drawn; a sweep makes no draw for
//                            gains below it
//   draw_bounds(...)         the bounds of the next variables
//   accepts(gain, bound)     mask of the lanes whose flips are accepted
//   select_accepted(gain, bound, value)   value where the flip is accepted, else 0
// clang-format on
#pragma once

#include "kernels/simd/random.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Calls body<kAcceptance>() with the rule as a constant.
template <class Body>
QPSBGD_INLINE auto with_acceptance(Acceptance acceptance, const Body& body) {
  if (acceptance == Acceptance::kMetropolis) {
    return body.template operator()<Acceptance::kMetropolis>();
  }
  return body.template operator()<Acceptance::kGibbs>();
}

struct AtLeastBound {
  static constexpr bool kDraws = true;

  template <class Value>
  static QPSBGD_INLINE std::uint32_t accepts(const Lanes<Value>& gain, const Lanes<Value>& bound) {
    return mask_at_least(gain, bound);
  }
  static QPSBGD_INLINE Floats select_accepted(Floats gain, Floats bound, Floats value) {
    return gain >= bound ? value : Floats{};
  }
};

// One read at a temperature, with kLanes of its variables in the lanes.
template <Acceptance kAcceptance>
struct ReadRule : AtLeastBound {
  StreamKey key;
  float threshold;

  QPSBGD_INLINE ReadRule(StreamKey stream_key, float scale) : key(stream_key), threshold(scale) {}
  QPSBGD_INLINE Lanes<float> lowest_bound() const {
    return broadcast_lanes(-threshold * kLargestNoise);
  }
  QPSBGD_INLINE Lanes<float> draw_bounds(std::size_t first) const {
    return -threshold * draw_run_noise<kAcceptance>(key, static_cast<std::uint32_t>(first));
  }
};

// For proposals in random order: the bounds of kLanes consecutive proposals of one read.
QPSBGD_INLINE Lanes<float> draw_read_bounds(Acceptance acceptance, StreamKey key, float threshold,
                                            std::size_t first) {
  return with_acceptance(acceptance, [&]<Acceptance kAcceptance>() {
    return ReadRule<kAcceptance>(key, threshold).draw_bounds(first);
  });
}

// kLanes reads or problems at a temperature, one in each lane. Threshold is float, or Lanes<float>
// where every lane has its own.
template <Acceptance kAcceptance, class Threshold = float>
struct LaneRule : AtLeastBound {
  LaneKeys keys;
  Threshold minus_threshold;

  QPSBGD_INLINE LaneRule(const StreamKey* stream_keys, const Threshold& threshold)
      : keys(load_keys(stream_keys)), minus_threshold(-1.0f * threshold) {}
  QPSBGD_INLINE Lanes<float> lowest_bound() const {
    return minus_threshold * broadcast_lanes(kLargestNoise);
  }
  // For the variables first, ..., first + kCount - 1.
  template <std::size_t kCount>
  QPSBGD_INLINE void draw_bounds(std::size_t first, Lanes<float>* bounds) const {
    draw_lane_noise<kAcceptance, kCount>(keys, static_cast<std::uint32_t>(first), bounds);
    for (std::size_t k = 0; k < kCount; ++k) bounds[k] = minus_threshold * bounds[k];
  }
};

// Descent, for one read or kLanes of them.
struct DescentRule {
  static constexpr bool kDraws = false;

  QPSBGD_INLINE Lanes<float> lowest_bound() const { return broadcast_lanes(0.0f); }
  QPSBGD_INLINE Lanes<float> draw_bounds(std::size_t) const { return lowest_bound(); }
  static QPSBGD_INLINE std::uint32_t accepts(const Lanes<float>& gain, const Lanes<float>& bound) {
    return mask_above(gain, bound);
  }
  static QPSBGD_INLINE Floats select_accepted(Floats gain, Floats bound, Floats value) {
    return gain > bound ? value : Floats{};
  }
};

// Visits kLanes variables of one read in order and returns the number of flips. `gains()` returns
// the present gains of all of them, and `flip(lane)` flips one. The variables of lanes outside
// `used` do not exist. All variables are tested at once; after a flip those behind it are tested
// again. The flips are those of a visit one by one.
template <class Value, class Rule, class Gains, class Flip>
QPSBGD_INLINE std::size_t accept_flips(const Rule& rule, std::size_t first, std::uint32_t used,
                                       const Gains& gains, const Flip& flip) {
  const Lanes<Value> present = gains();
  const Lanes<Value> lowest = convert_lanes<Value>(rule.lowest_bound());
  if ((rule.accepts(present, lowest) & used) == 0) return 0;
  const Lanes<Value> bounds = convert_lanes<Value>(rule.draw_bounds(first));
  std::uint32_t mask = rule.accepts(present, bounds) & used;
  std::size_t flips = 0;
  for (; mask != 0; ++flips) {
    const auto lane = static_cast<unsigned>(__builtin_ctz(mask));
    flip(lane);
    mask = rule.accepts(gains(), bounds) & used & (0xfffffffeu << lane);
  }
  return flips;
}

// Decides on the kLanes variables from `first` in kLanes reads, one in each lane. Returns the mask
// of the variables that any lane flips. `gain(i)` returns the gains of variable first + i before
// the visit. `decide(bounds)` decides on the variables in order, given bounds for each, and returns
// the mask; it may be called repeatedly and starts from the same state every time.
template <class Rule, class Gain, class Decide>
QPSBGD_INLINE std::uint32_t settle_flips(const Rule& rule, std::size_t first, const Gain& gain,
                                         const Decide& decide) {
  constexpr std::size_t kDrawn = 8 / kParts<float>;  // variables that are drawn together
  constexpr std::uint32_t kAll = (1u << kDrawn) - 1;
  const Lanes<float> lowest = rule.lowest_bound();
  Lanes<float> bounds[kLanes];
  std::uint32_t drawn = 0;
  const auto draw = [&](std::size_t i) {
    if constexpr (Rule::kDraws) rule.template draw_bounds<kDrawn>(first + i, bounds + i);
    drawn |= kAll << i;
  };
  for (std::size_t i = 0; i < kLanes; i += kDrawn) {
    std::uint32_t reached = 0;
    for (std::size_t k = i; k < i + kDrawn; ++k) {
      bounds[k] = lowest;
      reached |= rule.accepts(gain(k), lowest);
    }
    if (reached != 0) draw(i);
  }
  if (drawn == 0) return 0;  // no variable flips, so no gain changes
  if constexpr (!Rule::kDraws) drawn = ~0u;
  for (;;) {
    const std::uint32_t flipped = decide(bounds);
    // A flip may bring the gain of a variable above the lowest bound. Such variables are drawn now,
    // and all are decided on again.
    const std::uint32_t missing = flipped & ~drawn;
    if (missing == 0) return flipped;
    for (std::size_t i = 0; i < kLanes; i += kDrawn) {
      if (missing >> i & kAll) draw(i);
    }
  }
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
