// Numbers that the data of all kernels agree on.
//
// Tiles are the data that kernels work on. They do not own what their pointers refer to. All arrays
// of floats, doubles and integers that kernels load as vectors are 64-byte aligned, and so are
// their rows.
#pragma once

#include <cstddef>

namespace qpsbgd {

// Kernels process kLanes variables, reads or neurons at a time on every instruction set.
// Leading dimensions of fields, spins and couplings are multiples of it.
inline constexpr std::size_t kLanes = 16;

// Up to this number of rows, sweeps with rows in the lanes use half of kLanes
// (sweep_eight_rows.cpp).
inline constexpr std::size_t kEightRows = kLanes / 2;

// The largest number of rows of a tile: a multiple of kLanes, and small, so that threads share a
// layer evenly.
inline constexpr std::size_t kMaxTileRows = 2 * kLanes;

// Variables of a block. A sweep visits a block before it brings the rest of the state up to date.
inline constexpr std::size_t kBlock = 64;

}  // namespace qpsbgd
