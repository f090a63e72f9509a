// The steps of an update of a qubit's worldline in kLanes reads.
//
// Cuts divide a worldline into segments. They are its breaks and further places, each slice's end
// with probability 1 - exp(-transverse field / kNumSlices). Given the cuts, the segments are
// independent of each other, and each takes the spin -1 or +1 with the weight of its own energy
// (Rieger and Kawashima 1999, doi:10.1007/s100510050826). The cuts between segments of different
// spins are the new breaks.
//
// All sums over time are integers, so that lanes with fewer breaks than others need only padding:
// a pair of breaks at one place.
#pragma once

#include <limits>

#include "kernels/paths/neighbours.hpp"
#include "kernels/paths/positions.hpp"
#include "kernels/simd/acceptance.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Random numbers of an update: gaps between proposed cuts count from 0, decisions on segments and
// on bonds from here.
constexpr std::uint32_t kSegmentDraws = std::uint32_t{1} << 31, kBondDraws = kSegmentDraws >> 1;
// Counters whose random numbers are drawn together: four vectors.
constexpr std::size_t kDrawnCounters = kParts<float> < 4 ? 4 / kParts<float> : 1;

// The cuts of one qubit.
struct Cuts {
  std::int16_t* positions;      // (rows, kLanes), ascending, padding kLastPosition
  float* integrals;             // (rows, kLanes)
  Lanes<std::int32_t> numbers;  // of each lane
  std::size_t largest = 0;      // of all lanes
};

QPSBGD_INLINE Cuts cuts_of(const WorldlineTile& tile, std::size_t chain_place) {
  const std::size_t at = chain_place * (tile.capacity + kCutRows) * kLanes;
  return {tile.scratch.cuts + at, tile.scratch.integrals + at, {}, 0};
}

// Returns the keys of the random numbers of a qubit in a sweep.
QPSBGD_INLINE LaneKeys qubit_keys(const LaneKeys& sweep, std::size_t qubit) {
  Words bits[2 * kParts<float>];
  draw_lane_bits<2>(sweep, static_cast<std::uint32_t>(2 * qubit), bits);
  LaneKeys keys;
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    keys.word0[q] = bits[q];
    keys.word1[q] = bits[kParts<float> + q];
  }
  return keys;
}

// Returns the mask of the lanes whose number is above m.
QPSBGD_INLINE std::uint32_t mask_above(const Lanes<std::int32_t>& v, std::int32_t m) {
  std::uint32_t mask = 0;
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    mask |= mask_signs((Ints)(v.part[q] > m)) << (q * kWidth<float>);
  }
  return mask;
}
QPSBGD_INLINE Lanes<float> select(std::uint32_t mask, const Lanes<float>& a,
                                  const Lanes<float>& b) {
  Lanes<float> v;
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    const Words chosen = select_lanes<float>(mask, q);
    v.part[q] = (Floats)(((Words)a.part[q] & chosen) | ((Words)b.part[q] & ~chosen));
  }
  return v;
}

// ---- cuts ---------------------------------------------------------------------------------------

// Draws new cuts, at most `room` in a lane, in ascending order. Adds their number in each lane to
// `numbers` and returns the largest number; a number above `room` means that there was no room.
QPSBGD_INLINE std::size_t propose_cuts(const LaneKeys& keys, float mean_gap, std::size_t room,
                                       std::int16_t* proposals, Lanes<std::int32_t>& numbers) {
  constexpr float kBeyond = 2.0f * kNumSlices;  // a gap that leaves the worldline
  Lanes<std::int32_t> distance;
  for (std::size_t q = 0; q < kParts<float>; ++q) distance.part[q] = Ints{} - 1;
  for (std::size_t row = 0;; row += kDrawnCounters) {
    Lanes<float> gaps[kDrawnCounters];
    draw_lane_noise<Acceptance::kMetropolis, kDrawnCounters>(keys, static_cast<std::uint32_t>(row),
                                                             gaps);
    for (std::size_t k = 0; k < kDrawnCounters; ++k) {
      bool any = false;
      Lanes<std::int32_t> last;
      for (std::size_t q = 0; q < kParts<float>; ++q) {
        const Floats gap = mean_gap * gaps[k].part[q];
        const Floats bounded = gap < kBeyond ? gap : Floats{} + kBeyond;
        const Ints next = distance.part[q] + 1 + __builtin_convertvector(bounded, Ints);
        const Ints limited = next < kNumSlices ? next : Ints{} + kNumSlices;
        distance.part[q] = limited;
        const auto is_inside = (Ints)(limited < kNumSlices);
        numbers.part[q] -= is_inside;
        last.part[q] = limited + (~is_inside);
        any |= mask_signs(is_inside) != 0;
      }
      if (!any) return row + k;
      if (row + k >= room) return room + 1;
      store_distances(proposals + (row + k) * kLanes, last);
    }
  }
}

// Makes the cuts of a qubit. Returns false if the tile's capacity is too small.
QPSBGD_INLINE bool make_cuts(const WorldlineTile& tile, std::size_t qubit, const LaneKeys& keys,
                             float mean_gap, Cuts& cuts) {
  std::size_t rows = 2 * std::size_t{tile.num_pairs[qubit]};
  cuts.numbers = load_lanes(tile.num_breaks + qubit * kLanes);
  const std::int16_t* breaks = tile.breaks + qubit * tile.capacity * kLanes;
  for (std::size_t k = 0; k < rows; ++k) {
    store_positions(cuts.positions + k * kLanes, load_positions(breaks + k * kLanes));
  }
  if (mean_gap <= std::numeric_limits<float>::max()) {
    const std::size_t room = tile.capacity - rows;
    std::int16_t* proposals = tile.scratch.proposals;
    const std::size_t num_proposals = propose_cuts(keys, mean_gap, room, proposals, cuts.numbers);
    if (num_proposals > room) return false;
    // Inserts each proposal. Those before it are not above it.
    for (std::size_t p = 0; p < num_proposals; ++p, ++rows) {
      Positions carried = load_positions(proposals + p * kLanes);
      for (std::size_t k = p; k < rows; ++k) {
        const Positions cut = load_positions(cuts.positions + k * kLanes);
        store_positions(cuts.positions + k * kLanes, least(cut, carried));
        carried = greatest(cut, carried);
      }
      store_positions(cuts.positions + rows * kLanes, carried);
    }
  }
  while (cuts.largest < rows &&
         mask_above(cuts.numbers, static_cast<std::int32_t>(cuts.largest)) != 0) {
    ++cuts.largest;
  }
  for (std::size_t k = 0; k < kCutRows; ++k) {
    store_positions(cuts.positions + (cuts.largest + k) * kLanes,
                    broadcast_position(kLastPosition));
  }
  return true;
}

// ---- fields -------------------------------------------------------------------------------------

// Sets sums, for each of kRows cuts, to the sum over neighbours j of J_j s_j times the number of
// slices before the cut in which j has the spin -s_j.
template <std::size_t kRows>
QPSBGD_INLINE void add_opposite_times(const BrokenNeighbour* neighbours, std::size_t count,
                                      const std::int16_t* cuts, float* sums) {
  Positions cut[kRows];
  Lanes<float> sum[kRows];
  QPSBGD_UNROLL
  for (std::size_t r = 0; r < kRows; ++r) {
    cut[r] = load_positions(cuts + r * kLanes);
    sum[r] = broadcast_lanes(0.0f);
  }
  for (std::size_t j = 0; j < count; ++j) {
    const BrokenNeighbour& neighbour = neighbours[j];
    Positions times[kRows], starts = broadcast_position(0);
    QPSBGD_UNROLL
    for (std::size_t r = 0; r < kRows; ++r) times[r] = starts;
    for (std::size_t p = 0; p < neighbour.num_pairs; ++p) {
      const Positions start = load_positions(neighbour.breaks + 2 * p * kLanes);
      const Positions end = load_positions(neighbour.breaks + (2 * p + 1) * kLanes);
      starts = starts + start;
      QPSBGD_UNROLL
      for (std::size_t r = 0; r < kRows; ++r) {
        times[r] = times[r] + least(greatest(cut[r], start), end);
      }
    }
    const Lanes<float> aligned = neighbour.coupling * load_lanes(neighbour.spins);
    QPSBGD_UNROLL
    for (std::size_t r = 0; r < kRows; ++r) {
      sum[r] = sum[r] + aligned * to_floats(widen(times[r] - starts));
    }
  }
  QPSBGD_UNROLL
  for (std::size_t r = 0; r < kRows; ++r) store_lanes(sums + r * kLanes, sum[r]);
}

// Sets the integrals of a qubit's field from slice 0 up to each cut, and up to the last slice at
// place cuts.largest.
QPSBGD_INLINE void integrate_field(const WorldlineTile& tile, std::size_t qubit, const Cuts& cuts) {
  // The field of the neighbours' stored spins, corrected for the times of opposite spins.
  Lanes<float> field = broadcast_lanes(tile.linear[qubit]);
  BrokenNeighbour* neighbours = tile.scratch.neighbours;
  std::size_t count = 0;
  for_each_neighbour(tile, qubit, [&](std::size_t j, float coupling) {
    const float* spins = tile.spins + j * kLanes;
    field = field + coupling * load_lanes(spins);
    neighbours[count] = {tile.breaks + j * tile.capacity * kLanes, spins, tile.num_pairs[j],
                         coupling};
    count += tile.num_pairs[j] != 0;
  });
  const std::size_t rows = cuts.largest + 1;
  for (std::size_t row = 0; row < rows;) {
    const std::int16_t* positions = cuts.positions + row * kLanes;
    float* sums = cuts.integrals + row * kLanes;
    if (rows - row > kCutRows / 2) {
      add_opposite_times<kCutRows>(neighbours, count, positions, sums);
      row += kCutRows;
    } else if (rows - row > 1) {
      add_opposite_times<kCutRows / 2>(neighbours, count, positions, sums);
      row += kCutRows / 2;
    } else {
      add_opposite_times<1>(neighbours, count, positions, sums);
      row += 1;
    }
  }
  for (std::size_t row = 0; row < rows; ++row) {
    const Lanes<float> distance =
        row < cuts.largest ? to_floats(distances(load_positions(cuts.positions + row * kLanes)))
                           : broadcast_lanes(static_cast<float>(kNumSlices));
    float* integral = cuts.integrals + row * kLanes;
    store_lanes(integral, distance * field - 2.0f * load_lanes(integral));
  }
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
