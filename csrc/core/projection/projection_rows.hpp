// The interface of the two objectives' solvers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/state/anneal_rows.hpp"
#include "core/threads/stop.hpp"

namespace qpsbgd {

struct Annealing {
  std::size_t num_sweeps = 0;
  std::vector<double> betas;  // one a sweep, in units of the objective; empty means descent
  std::uint64_t seed = 0;

  bool is_descent() const { return betas.empty(); }
};

// States of neurons that one thread improves together: up to Layer::kTileRows (quadratic objective)
// or kLanes (sign objective).
class ProjectionRows : public AnnealedRows {
 public:
  // Takes the states (rows, n) of the layer's rows [first_row, first_row + rows) and their images
  // (rows, image_ld). Returns false where all states are equally good.
  virtual bool load(std::size_t first_row, std::size_t rows, const float* images,
                    const std::int8_t* states, Stop& stop) = 0;
  // Makes one sweep of descent. active (rows): in, which rows flipped something in the sweep
  // before; out, which did in this one.
  virtual void descend(std::uint8_t* active) = 0;
  virtual void save(std::int8_t* states) const = 0;  // (rows, n)

  // Projections make too few sweeps for rounding to add up.
  bool refresh_fields(Stop&) override { return true; }
};

}  // namespace qpsbgd
