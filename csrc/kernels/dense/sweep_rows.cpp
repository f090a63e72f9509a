// Sweeps of up to kMaxTileRows rows (sweep_rows.hpp). Few rows are swept by sweep_eight_rows.cpp.
#include "kernels/dense/sweep_rows.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

static_assert(kMaxRows == kMaxTileRows);

void descend_rows(const QuadraticTile<float>& tile, std::uint8_t* active) {
  if (tile.rows <= kEightRows) return kEightRowKernels.descend(tile, active);
  descend(tile, active);
}

std::size_t anneal_rows(const QuadraticTile<float>& tile, std::size_t start, Acceptance acceptance,
                        float threshold, const StreamKey* keys) {
  if (tile.rows <= kEightRows) {
    return kEightRowKernels.anneal(tile, start, acceptance, threshold, keys);
  }
  return anneal<BlockFlips<float>>(tile, start, acceptance, threshold, keys);
}
std::size_t anneal_rows_int16(const Int16Tile& tile, std::size_t start, Acceptance acceptance,
                              float threshold, const StreamKey* keys) {
  if (tile.rows <= kEightRows) {
    return kEightRowKernels.anneal_int16(tile, start, acceptance, threshold, keys);
  }
  return anneal<Int16Flips>(tile, start, acceptance, threshold, keys);
}

std::size_t anneal_rows_each(const QuadraticTile<float>& tile, std::size_t start,
                             Acceptance acceptance, const float* thresholds,
                             const StreamKey* keys) {
  if (tile.rows <= kEightRows) {
    return kEightRowKernels.anneal_each(tile, start, acceptance, thresholds, keys);
  }
  return anneal_each<BlockFlips<float>>(tile, start, acceptance, thresholds, keys);
}
std::size_t anneal_rows_each_int16(const Int16Tile& tile, std::size_t start, Acceptance acceptance,
                                   const float* thresholds, const StreamKey* keys) {
  if (tile.rows <= kEightRows) {
    return kEightRowKernels.anneal_each_int16(tile, start, acceptance, thresholds, keys);
  }
  return anneal_each<Int16Flips>(tile, start, acceptance, thresholds, keys);
}

}  // namespace

constinit const RowKernels kRows = {
    .descend = descend_rows,
    .anneal = anneal_rows,
    .anneal_int16 = anneal_rows_int16,
    .anneal_each = anneal_rows_each,
    .anneal_each_int16 = anneal_rows_each_int16,
};

}  // namespace qpsbgd::QPSBGD_ISA
