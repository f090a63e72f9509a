// Sweeps that update one rotor at a time, with kLanes reads in the lanes.
#include "kernels/paths/neighbours.hpp"
#include "kernels/simd/acceptance.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

constexpr auto kLargestAngle = static_cast<std::int32_t>(kNumAngles - 1);

// Returns the elements of a table (kNumAngles).
QPSBGD_INLINE Lanes<float> pick(const float* table, const Lanes<std::int32_t>& angles) {
  Lanes<float> v;
#if defined(__AVX512F__)
  v.part[0] = (Floats)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), 0xffff, (__m512i)angles.part[0],
                                               table, sizeof(float));
#else
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    for (std::size_t i = 0; i < kWidth<float>; ++i) v.part[q][i] = table[angles.part[q][i]];
  }
#endif
  return v;
}

QPSBGD_INLINE Lanes<std::int32_t> propose(const RotorRule& rule, const Lanes<std::int32_t>& angles,
                                          const LaneKeys& keys, std::uint32_t counter) {
  Lanes<std::int32_t> proposed;
  Words bits[2 * kParts<float>];
  if (rule.proposal != RotorProposal::kReflect) draw_lane_bits<2>(keys, counter, bits);
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    const Ints angle = angles.part[q];
    if (rule.proposal == RotorProposal::kReflect) {
      proposed.part[q] = (angle + static_cast<std::int32_t>(kNumAngles / 2)) & kLargestAngle;
    } else if (rule.proposal == RotorProposal::kUniform) {
      proposed.part[q] = (Ints)(bits[q] >> 24);
    } else {
      const Words second = bits[kParts<float> + q];
      const Ints inside = (Ints)(((bits[q] >> 16) * (2 * rule.reach + 1)) >> 16) -
                          static_cast<std::int32_t>(rule.reach);
      const auto edge = static_cast<std::int32_t>(rule.reach + 1);
      const Ints sign = (Ints)(second & 1u) * 2 - 1;
      const Ints is_outside = (Ints)((second >> 8) < rule.outside);
      const Ints step = (is_outside & (sign * edge)) | (~is_outside & inside);
      proposed.part[q] = (angle + step) & kLargestAngle;
    }
  }
  return proposed;
}

void update(const RotorTile& tile, const std::uint32_t* order, std::size_t first, std::size_t last,
            Acceptance acceptance, const RotorRule& rule, const StreamKey* keys) {
  const LaneKeys lane_keys = load_keys(keys);
  for (std::size_t place = first; place < last; ++place) {
    const std::size_t i = order[place];
    const auto counter = static_cast<std::uint32_t>(3 * place);
    std::int32_t* angles = tile.angles + i * kLanes;
    float* spins = tile.spins + i * kLanes;
    const Lanes<std::int32_t> old = load_lanes(angles);
    const Lanes<std::int32_t> proposed = propose(rule, old, lane_keys, counter);
    Lanes<float> field = broadcast_lanes(tile.linear[i]);
    for_each_neighbour(tile, i, [&](std::size_t j, float coupling) {
      field = field + coupling * load_lanes(tile.spins + j * kLanes);
    });
    const Lanes<float> spin = load_lanes(spins), new_spin = pick(tile.cosines, proposed);
    const Lanes<float> sines = pick(tile.sines, proposed) - pick(tile.sines, old);
    const Lanes<float> cost = rule.energy_factor * (field * (new_spin - spin)) -
                              (rule.transverse * tile.transverse[i]) * sines;
    Lanes<float> noise;
    with_acceptance(acceptance, [&]<Acceptance kAcceptance>() {
      draw_lane_noise<kAcceptance, 1>(lane_keys, counter + 2, &noise);
    });
    const std::uint32_t accepted = mask_at_least(noise, cost);
    for (std::size_t q = 0; q < kParts<float>; ++q) {
      const Words chosen = select_lanes<float>(accepted, q);
      store(angles + q * kWidth<float>,
            (Ints)(((Words)proposed.part[q] & chosen) | ((Words)old.part[q] & ~chosen)));
      store(spins + q * kWidth<float>,
            (Floats)(((Words)new_spin.part[q] & chosen) | ((Words)spin.part[q] & ~chosen)));
    }
  }
}

}  // namespace

constinit const RotorKernels kRotors = {.update = update};

}  // namespace qpsbgd::QPSBGD_ISA
