// Sweeps over problems that share one coupling matrix: exact sequential updates, sixteen proposals
// tested at a time.
//
// For a block of sixteen variables and one row, all sixteen are tested at once; the first that
// passes is flipped, the block's own fields are updated in registers, and the lanes after it are
// tested again: the same flips as visiting them one by one. The other fields follow when the block
// is done, several flips in one pass. The loop over rows is inside the loop over blocks, so that
// the block's sixteen rows of the coupling matrix are read from cache by every row of the tile.
#pragma once

#include "exponential.hpp"
#include "lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Flips of one block in the order they were made: at most one a variable.
struct BlockFlips {
  const float* coupling[kLanes];  // row of the coupling matrix
  float change[kLanes];           // new spin - old spin, +-2
  std::size_t count = 0;
};

// fields += sum over flips of change * coupling row, flip by flip for each element.
QPSBGD_INLINE void apply_flips(const BlockFlips& flips, float* fields, std::size_t ld) {
  std::size_t first = 0;
  for (; first + 4 <= flips.count; first += 4) {
    const float* const* j = flips.coupling + first;
    const Vec d0 = broadcast(flips.change[first]), d1 = broadcast(flips.change[first + 1]),
              d2 = broadcast(flips.change[first + 2]), d3 = broadcast(flips.change[first + 3]);
    for (std::size_t i = 0; i < ld; i += kWidth) {
      Vec f = add_exact_product(load(j[0] + i), d0, load(fields + i));
      f = add_exact_product(load(j[1] + i), d1, f);
      f = add_exact_product(load(j[2] + i), d2, f);
      store(fields + i, add_exact_product(load(j[3] + i), d3, f));
    }
  }
  if (first + 2 <= flips.count) {
    const float* const* j = flips.coupling + first;
    const Vec d0 = broadcast(flips.change[first]), d1 = broadcast(flips.change[first + 1]);
    for (std::size_t i = 0; i < ld; i += kWidth) {
      const Vec f = add_exact_product(load(j[0] + i), d0, load(fields + i));
      store(fields + i, add_exact_product(load(j[1] + i), d1, f));
    }
    first += 2;
  }
  if (first < flips.count) {
    const float* j = flips.coupling[first];
    const Vec d = broadcast(flips.change[first]);
    for (std::size_t i = 0; i < ld; i += kWidth) {
      store(fields + i, add_exact_product(load(j + i), d, load(fields + i)));
    }
  }
}

// Visits the sixteen variables from `start` of one row; `passing(s * f)` gives the mask of lanes
// whose flip is accepted.
template <class Passing>
QPSBGD_INLINE void visit_block(const QuadraticTile& tile, std::size_t row, std::size_t start,
                               std::uint32_t first_mask, const Passing& passing) {
  float* row_fields = tile.fields + row * tile.ld;
  float* spins = tile.spins + row * tile.ld + start;
  Lanes f = load_lanes(row_fields + start);
  BlockFlips flips;
  for (std::uint32_t mask = first_mask; mask != 0;) {
    const unsigned lane = static_cast<unsigned>(__builtin_ctz(mask));
    const float change = -2.0f * spins[lane];
    const float* coupling = tile.coupling + (start + lane) * tile.ld;
    flips.coupling[flips.count] = coupling;
    flips.change[flips.count++] = change;
    spins[lane] = -spins[lane];
    const Vec d = broadcast(change);
    for (std::size_t q = 0; q < kParts; ++q) {
      f.part[q] = add_exact_product(load(coupling + start + q * kWidth), d, f.part[q]);
    }
    // Only later lanes: an earlier one has had its turn in this sweep.
    mask = passing(load_lanes(spins) * f) & (0xfffffffeu << lane);
  }
  apply_flips(flips, row_fields, tile.ld);
}

void quadratic_descent(const QuadraticTile& tile, std::uint8_t* active) {
  constexpr std::uint8_t kVisit = 1, kFlipped = 2;
  const auto passing = [](const Lanes& sf) { return mask_positive(sf); };
  for (std::size_t start = 0; start < tile.num_variables; start += kLanes) {
    for (std::size_t row = 0; row < tile.rows; ++row) {
      if (!(active[row] & kVisit)) continue;
      const std::size_t at = row * tile.ld + start;
      const std::uint32_t mask =
          passing(load_lanes(tile.spins + at) * load_lanes(tile.fields + at));
      if (mask == 0) continue;
      visit_block(tile, row, start, mask, passing);
      active[row] |= kFlipped;
    }
  }
  for (std::size_t row = 0; row < tile.rows; ++row) active[row] = (active[row] & kFlipped) != 0;
}

void quadratic_anneal(const QuadraticTile& tile, float threshold, const StreamKey* keys) {
  const Lanes reach = broadcast_lanes(threshold * kExponentialMax);
  const Lanes scale = broadcast_lanes(threshold);
  for (std::size_t start = 0; start < tile.num_variables; start += kLanes) {
    for (std::size_t row = 0; row < tile.rows; ++row) {
      const std::size_t at = row * tile.ld + start;
      const Lanes sf = load_lanes(tile.spins + at) * load_lanes(tile.fields + at);
      // Even the largest variate passes no lane: skip the draw, it is addressed, not consumed.
      if (mask_nonnegative(sf + reach) == 0) continue;
      const Lanes slack = scale * exponential_run(keys[row], static_cast<std::uint32_t>(start));
      const auto passing = [&](const Lanes& x) { return mask_nonnegative(x + slack); };
      const std::uint32_t mask = passing(sf);
      if (mask != 0) visit_block(tile, row, start, mask, passing);
    }
  }
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
