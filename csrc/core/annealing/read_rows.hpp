// Reads of Ising problems with one coupling matrix that a thread anneals together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/annealing/anneal.hpp"
#include "core/ising/ising.hpp"
#include "core/state/anneal_rows.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// The largest number of reads that a thread anneals together.
inline constexpr std::size_t kMaxReads = kMaxBitWords * kWordReads;

// At most kLanes reads, or kMaxReads where their spins are bits.
class ReadRows : public AnnealedRows {
 public:
  // Takes the states (rows, n) that the reads start from; `first` is the number of the first of
  // them, and problems (rows) are the problems that they belong to. `states` also receives the kept
  // states. Returns false where `stop` ended it early.
  virtual bool start(std::int8_t* states, std::size_t rows, std::size_t first,
                     const std::size_t* problems, Stop& stop) = 0;
  // Makes one sweep in which each row has its own inverse temperature (rows), and the
  // variables are in order. Otherwise as sweep(). Rows of bits throw std::logic_error.
  virtual bool sweep_each(const double* betas, const StreamKey* keys, Stop& stop);
  // Copies the current state of a row (n).
  virtual void copy_state(std::size_t row, std::int8_t* out) const = 0;
  // Returns the current spins (n), bit r of which is set where row r has +1, if the rows store them
  // so, else null. After a change the caller calls refresh_fields().
  virtual std::uint16_t* spin_bits() { return nullptr; }
  // Writes the energies (rows) of the current states, in the problem's scaled units.
  virtual void energies(double* out) = 0;
  // Keeps the current state of every row that is chosen.
  virtual void keep(const bool* chosen) = 0;
  // Brings `states` up to date with the kept states.
  virtual void finish() {}
};

// Makes the rows of one thread. What all threads share was made with the maker. The problem and the
// options must outlive it, and the precision must fit the problem.
using RowsMaker = std::function<std::unique_ptr<ReadRows>()>;
// For a problem of any form and a precision other than bits, which has makers of its own.
RowsMaker rows_maker(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
                     Precision precision);
RowsMaker dense_rows(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
                     Precision precision);
RowsMaker sparse_rows(const KernelTable& kernels, const Ising& problem,
                      const AnnealOptions& options, Precision precision);
// For precision bits: kWordReads reads share a random stream, that of the first of them. A thread
// takes at most most_reads reads at a time: with byte_rows() at most kMostByteReads.
RowsMaker bit_rows(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
                   std::size_t most_reads);
RowsMaker byte_rows(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options);
inline constexpr std::size_t kMostByteReads = 3;
// For problems of low rank, whose variables are visited in order.
RowsMaker low_rank_rows(const KernelTable& kernels, const Ising& problem,
                        const AnnealOptions& options);

// Returns the kernels' threshold in the problem's scaled units.
inline float threshold_of(const Ising& problem, double beta) {
  return acceptance_threshold(problem.scale(), 2.0, beta);
}

// The thresholds of kLanes rows, each with its own inverse temperature. A lane without a row has a
// threshold of 0.
struct LaneThresholds {
  LaneThresholds(const Ising& problem, const double* betas, std::size_t rows) {
    for (std::size_t r = 0; r < rows; ++r) values[r] = threshold_of(problem, betas[r]);
  }
  alignas(64) float values[kLanes] = {};
};

}  // namespace qpsbgd
