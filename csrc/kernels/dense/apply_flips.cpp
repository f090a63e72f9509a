// Application of the flips in a block of 64 variables to the states of all rows.
#include "kernels/dense/block_flips.hpp"
#include "kernels/dense/int16_flips.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

bool apply_real(const QuadraticTile<float>& tile, std::size_t start,
                const BlockFlips<float>* flips) {
  apply_flips(tile, start, flips);
  return true;
}

bool apply_int16(const Int16Tile& tile, std::size_t start, const Int16Flips* flips) {
  return apply_flips(tile, start, flips);
}

}  // namespace

constinit const FlipAppliers kFlipAppliers = {.real = apply_real, .int16 = apply_int16};

}  // namespace qpsbgd::QPSBGD_ISA
