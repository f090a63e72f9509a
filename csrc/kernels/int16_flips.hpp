// A row's flips within a block, and their effect on fields in int16, which take half the memory of
// floats.
//
// No bound on the fields is needed in advance. As no coupling exceeds 127 units, the flips of a
// block change a field by less than 2^14. A sweep goes on only while all fields are less than 2^14
// in magnitude, so no field ever overflows. If a field grows larger, the caller goes on in float.
#pragma once

#include "int16_lanes.hpp"
#include "tables.hpp"
#include "transpose.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// A row's flips in one block. With integers their order does not matter. The arrays have room for
// what `list_bits` writes beyond the last flip.
struct Int16Flips {
  std::uint32_t num_up, num_down;
  std::uint32_t up[kBlock + kLanes], down[kBlock + kLanes];

  QPSBGD_INLINE void clear() { num_up = num_down = 0; }
  QPSBGD_INLINE bool has_any() const { return num_up + num_down != 0; }
};

// Applies a row's flips to kVectors vectors of its fields. An element of the result is negative if
// a field has left [-2^14, 2^14).
template <std::size_t kVectors>
QPSBGD_INLINE Shorts apply_to_chunk(const Int16Flips& flips, const std::int16_t* twice,
                                    std::size_t ld, std::int16_t* fields) {
  constexpr std::size_t kSize = kWidth<std::int16_t>;
  Shorts sum[kVectors];
  for (std::size_t v = 0; v < kVectors; ++v) sum[v] = load(fields + v * kSize);
  for (std::size_t k = 0; k < flips.num_up; ++k) {
    const std::int16_t* row = twice + flips.up[k] * ld;
    for (std::size_t v = 0; v < kVectors; ++v) sum[v] += load(row + v * kSize);
  }
  for (std::size_t k = 0; k < flips.num_down; ++k) {
    const std::int16_t* row = twice + flips.down[k] * ld;
    for (std::size_t v = 0; v < kVectors; ++v) sum[v] -= load(row + v * kSize);
  }
  Shorts beyond{};
  for (std::size_t v = 0; v < kVectors; ++v) {
    store(fields + v * kSize, sum[v]);
    beyond |= sum[v] ^ (sum[v] + sum[v]);  // whether the two highest bits differ
  }
  return beyond;
}

// Handles the columns from `column` on, kVectors vectors at a time, and what is left with half as
// many.
template <std::size_t kVectors>
QPSBGD_INLINE Shorts apply_to_columns(const Int16Tile& tile, const std::int16_t* twice,
                                      std::size_t column, const Int16Flips* flips) {
  constexpr std::size_t kStep = kVectors * kWidth<std::int16_t>;
  Shorts beyond{};
  for (; column + kStep <= tile.columns; column += kStep) {
    for (std::size_t row = 0; row < tile.rows; ++row) {
      if (!flips[row].has_any()) continue;
      beyond |= apply_to_chunk<kVectors>(flips[row], twice + column, tile.ld,
                                         tile.fields + row * tile.ld + column);
    }
  }
  if constexpr (kVectors > 1) beyond |= apply_to_columns<kVectors / 2>(tile, twice, column, flips);
  return beyond;
}

// Brings the fields of all rows up to date with their flips in the block from `start`. Returns
// whether all fields are small enough to go on.
QPSBGD_INLINE bool apply_flips(const Int16Tile& tile, std::size_t start, const Int16Flips* flips) {
  const Shorts beyond = apply_to_columns<8>(tile, tile.twice + start * tile.ld, 0, flips);
  bool is_small = true;
  for (std::size_t i = 0; i < kWidth<std::int16_t>; ++i) is_small &= beyond[i] >= 0;
  return is_small;
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
