// Sweeps of at most eight rows, as those of sweep_rows.cpp.
//
// Eight rows would fill half of sixteen lanes, and a block would take as long as with sixteen rows.
// Here a vector has eight lanes.
#define QPSBGD_EIGHT_LANES
#include "kernels/dense/sweep_rows.hpp"

namespace qpsbgd::QPSBGD_ISA {

constinit const RowKernels kEightRowKernels = {
    .descend = descend,
    .anneal = anneal<BlockFlips<float>, QuadraticTile<float>>,
    .anneal_int16 = anneal<Int16Flips, Int16Tile>,
    .anneal_each = anneal_each<BlockFlips<float>, QuadraticTile<float>>,
    .anneal_each_int16 = anneal_each<Int16Flips, Int16Tile>,
};

}  // namespace qpsbgd::QPSBGD_ISA
