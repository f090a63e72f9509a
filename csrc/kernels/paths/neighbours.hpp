// Neighbours of a variable, from lists or from a row of a matrix.
#pragma once

#include "kernels/simd/vectors.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Calls visit(neighbour, coupling) for every neighbour of a qubit, in order.
template <class Tile, class Visit>
QPSBGD_INLINE void for_each_neighbour(const Tile& tile, std::size_t qubit, const Visit& visit) {
  if (tile.offsets == nullptr) {
    const float* couplings = tile.couplings + qubit * tile.ld;
    for (std::size_t j = 0; j < tile.num_variables; ++j) {
      if (couplings[j] != 0.0f) visit(j, couplings[j]);
    }
  } else {
    for (std::size_t e = tile.offsets[qubit]; e < tile.offsets[qubit + 1]; ++e) {
      visit(std::size_t{tile.neighbours[e]}, tile.couplings[e]);
    }
  }
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
