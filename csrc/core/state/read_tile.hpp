// Some reads of Ising problems with one coupling matrix that a thread anneals together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/samplers/anneal.hpp"
#include "core/samplers/ising.hpp"
#include "core/support/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// Dense reads that are worth lanes of their own; fewer are visited one by one.
inline constexpr std::size_t kLanesFrom = 4;

// At most kLanes of them. What `stop` cuts short returns false.
class ReadTile {
 public:
  virtual ~ReadTile() = default;
  // states (rows, n) are where the reads start and, after finish(), what they have kept; problems
  // (rows): whose they are.
  virtual bool start(std::int8_t* states, std::size_t rows, const std::size_t* problems,
                     Stop& stop) = 0;
  virtual bool sweep(double beta, const StreamKey* keys, const StreamKey* order, Stop& stop) = 0;
  // Fields from the spins.
  virtual bool refresh(Stop& stop) = 0;
  virtual void energies(double* out) = 0;
  // Keeps the current state of every row that is chosen.
  virtual void keep(const bool* chosen) = 0;
  virtual void finish() = 0;
};

// Keeps spins (rows, ld) of the rows that are chosen as states (rows, n).
inline void keep_rows(const KernelTable& kernels, const float* spins, std::size_t ld,
                      std::size_t rows, std::size_t n, const bool* chosen, std::int8_t* states) {
  for (std::size_t r = 0; r < rows; ++r) {
    if (chosen[r]) kernels.elementwise.to_spins(spins + r * ld, n, states + r * n);
  }
}

// The threshold of the kernels at an inverse temperature, in the problem's scaled units.
float threshold(const Ising& problem, double beta);

// Makes one tile a thread; what tiles share is made at once.
// `problem` and `options` must outlive it, and the precision must fit.
using TileMaker = std::function<std::unique_ptr<ReadTile>()>;
TileMaker dense_tiles(const KernelTable& kernels, const Ising& problem,
                      const AnnealOptions& options, Precision precision);
TileMaker wide_dense_tiles(const KernelTable& kernels, const Ising& problem,
                           const AnnealOptions& options);
TileMaker sparse_tiles(const KernelTable& kernels, const Ising& problem,
                       const AnnealOptions& options, Precision precision);
// Variables in order only.
TileMaker low_rank_tiles(const KernelTable& kernels, const Ising& problem,
                         const AnnealOptions& options);

}  // namespace qpsbgd
