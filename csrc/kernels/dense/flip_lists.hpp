// Lists of the flips that a row makes in a block, and what brings states up to date with them.
//
// The lists are filled by sources whose vectors differ (sweep_rows.cpp, sweep_eight_rows.cpp), and
// applied by apply_flips.cpp.
#pragma once

#include "kernels/simd/vectors.hpp"

namespace qpsbgd::QPSBGD_ISA {

// The size of a list of at most one entry a variable, with room for what `list_bits` writes beyond
// the last one.
inline constexpr std::size_t kListSize = kBlock + qpsbgd::kLanes;

// Flips in the order in which the row made them.
template <class Value>
struct BlockFlips {
  std::uint32_t count;
  std::uint32_t variable[kListSize];  // within the block
  Value change[kListSize];            // new spin - old spin, +-2

  QPSBGD_INLINE void clear() { count = 0; }
  QPSBGD_INLINE bool has_any() const { return count != 0; }
};

// Flips in any order, because integers add up to the same.
struct Int16Flips {
  std::uint32_t num_up, num_down;
  std::uint32_t up[kListSize], down[kListSize];

  QPSBGD_INLINE void clear() { num_up = num_down = 0; }
  QPSBGD_INLINE bool has_any() const { return num_up + num_down != 0; }
};

// Functions that bring the states of all rows up to date with the flips (rows) in the block from
// `start`. They return whether the sweep may go on to the next block.
struct FlipAppliers {
  bool (*real)(const QuadraticTile<float>& tile, std::size_t start, const BlockFlips<float>* flips);
  bool (*int16)(const Int16Tile& tile, std::size_t start, const Int16Flips* flips);
};
extern const FlipAppliers kFlipAppliers;

}  // namespace qpsbgd::QPSBGD_ISA
