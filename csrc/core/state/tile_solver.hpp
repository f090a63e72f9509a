// The interface of the two objectives' solvers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/support/stop.hpp"

namespace qpsbgd {

struct Annealing {
  std::size_t num_sweeps = 0;
  std::vector<double> betas;  // one a sweep, in units of the objective; empty means descent
  std::uint64_t seed = 0;

  bool descent() const { return betas.empty(); }
};

// Improves the states of a tile of neurons: up to Layer::kTileRows (quadratic) or kLanes (sign).
// Holds scratch space: one a worker.
class TileSolver {
 public:
  virtual ~TileSolver() = default;

  // Rows [first_row, first_row + rows) of the layer. spins (rows, n): in, the states to start from;
  // out, the states after the sweeps. images (rows, image_ld): of the states to start from. read:
  // names the random streams. Where `stop` says so, the states are left as they are after some
  // sweep.
  virtual void solve(std::size_t first_row, std::size_t rows, std::size_t read, const float* images,
                     std::int8_t* spins, Stop& stop) = 0;
};

}  // namespace qpsbgd
