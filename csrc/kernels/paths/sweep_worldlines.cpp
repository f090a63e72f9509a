// Sweeps that update one qubit's worldline at a time, with kLanes reads in the lanes.
#include "kernels/paths/worldline_steps.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// The spins of the segments of one qubit. Segment m is the one before cut m; segment 0 also lies
// behind the last cut.
class Segments {
 public:
  // spins (rows): masks of the lanes in which a segment is +1. counted (rows): masks of the lanes
  // that have the segment.
  QPSBGD_INLINE Segments(const Cuts& cuts, std::uint16_t* spins, std::uint16_t* counted)
      : cuts_(cuts), spins_(spins), counted_(counted) {}

  // Draws them, given the cuts and the integrals of the field.
  QPSBGD_INLINE void draw(const LaneKeys& keys, float energy_factor) {
    Lanes<float> last = broadcast_lanes(0.0f);
    for (std::size_t m = 0; m < cuts_.largest; ++m) {
      const std::uint32_t mask = mask_above(cuts_.numbers, static_cast<std::int32_t>(m));
      counted_[m] = static_cast<std::uint16_t>(mask);
      last = select(mask, integral(m), last);
    }
    const Lanes<float> whole = integral(cuts_.largest);
    Lanes<float> noise[kDrawnCounters];
    draw_noise<1>(keys, 0, noise);
    const Lanes<float> first = cuts_.largest == 0
                                   ? broadcast_lanes(0.0f)
                                   : select(counted_[0], integral(0), broadcast_lanes(0.0f));
    spins_[0] = decide(noise[0], energy_factor * (first + (whole - last)));
    std::size_t m = 1;
    for (; m + kDrawnCounters <= cuts_.largest; m += kDrawnCounters) {
      draw_noise<kDrawnCounters>(keys, m, noise);
      for (std::size_t k = 0; k < kDrawnCounters; ++k) draw_spin(m + k, noise[k], energy_factor);
    }
    for (; m < cuts_.largest; ++m) {
      draw_noise<1>(keys, m, noise);
      draw_spin(m, noise[0], energy_factor);
    }
  }

 private:
  QPSBGD_INLINE Lanes<float> integral(std::size_t m) const {
    return load_lanes(cuts_.integrals + m * kLanes);
  }
  template <std::size_t kCount>
  static QPSBGD_INLINE void draw_noise(const LaneKeys& keys, std::size_t m, Lanes<float>* noise) {
    draw_lane_noise<Acceptance::kGibbs, kCount>(keys, kSegmentDraws + static_cast<std::uint32_t>(m),
                                                noise);
  }
  static QPSBGD_INLINE std::uint16_t decide(const Lanes<float>& noise, const Lanes<float>& energy) {
    return static_cast<std::uint16_t>(mask_at_least(noise, energy));
  }
  QPSBGD_INLINE void draw_spin(std::size_t m, const Lanes<float>& noise, float energy_factor) {
    const std::uint32_t up = decide(noise, energy_factor * (integral(m) - integral(m - 1)));
    // Two cuts at one place are one: the segment between them has no spin of its own.
    const std::int16_t* cut = cuts_.positions + m * kLanes;
    const std::uint32_t empty = mask_equal(load_positions(cut), load_positions(cut - kLanes));
    spins_[m] = static_cast<std::uint16_t>((up & ~empty) | (spins_[m - 1] & empty));
  }

  const Cuts& cuts_;
  std::uint16_t* const spins_;
  std::uint16_t* const counted_;
};

// Stores the worldline that the segments make.
QPSBGD_INLINE void store_worldline(const WorldlineTile& tile, std::size_t qubit, const Cuts& cuts,
                                   const std::uint16_t* spins, const std::uint16_t* counted) {
  store_lanes(tile.spins + qubit * kLanes, negate_unless(spins[0], broadcast_lanes(1.0f)));
  std::int16_t* breaks = tile.breaks + qubit * tile.capacity * kLanes;
  std::int32_t* numbers = tile.num_breaks + qubit * kLanes;
  for (std::size_t k = 0; k < cuts.largest; ++k) {
    store_positions(breaks + k * kLanes, broadcast_position(kLastPosition));
  }
  for (std::size_t lane = 0; lane < kLanes; ++lane) numbers[lane] = 0;
  std::int32_t most = 0;
  for (std::size_t m = 0; m < cuts.largest; ++m) {
    const std::uint32_t is_followed = m + 1 < cuts.largest ? counted[m + 1] : 0;
    const std::uint32_t next =
        (is_followed & (m + 1 < cuts.largest ? spins[m + 1] : 0u)) | (~is_followed & spins[0]);
    for (std::uint32_t mask = counted[m] & (spins[m] ^ next); mask != 0; mask &= mask - 1) {
      const auto lane = static_cast<std::size_t>(__builtin_ctz(mask));
      const std::int32_t number = numbers[lane]++;
      breaks[static_cast<std::size_t>(number) * kLanes + lane] = cuts.positions[m * kLanes + lane];
      if (number >= most) most = number + 1;
    }
  }
  tile.num_pairs[qubit] = static_cast<std::uint32_t>(most / 2);
}

std::size_t update_qubits(const WorldlineTile& tile, const std::uint32_t* order, std::size_t first,
                          std::size_t last, const WorldlineFields& fields, const StreamKey* keys) {
  const LaneKeys sweep_keys = load_keys(keys);
  std::uint16_t* spins = tile.scratch.masks;
  std::uint16_t* counted = spins + tile.capacity + kCutRows;
  for (std::size_t place = first; place < last; ++place) {
    const std::size_t qubit = order[place];
    const LaneKeys own_keys = qubit_keys(sweep_keys, qubit);
    Cuts cuts = cuts_of(tile, 0);
    if (!make_cuts(tile, qubit, own_keys, fields.mean_gap, cuts)) return place;
    integrate_field(tile, qubit, cuts);
    Segments(cuts, spins, counted).draw(own_keys, fields.energy_factor);
    store_worldline(tile, qubit, cuts, spins, counted);
  }
  return kSweepDone;
}

}  // namespace

constinit const WorldlineKernels kWorldlines = {.update = update_qubits};

}  // namespace qpsbgd::QPSBGD_ISA
