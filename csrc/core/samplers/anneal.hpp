// Simulated annealing of one Ising problem, many reads at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/samplers/ising.hpp"
#include "core/support/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

struct AnnealOptions {
  std::vector<double> betas;  // one a sweep; 0 and infinity are allowed
  Acceptance acceptance = Acceptance::kMetropolis;
  bool random_order = false;  // variables drawn with replacement, else one after the other
  std::optional<Precision> precision = std::nullopt;  // must fit; by default best_precision's
  bool keep_best = true;  // the best state at the start or the end of a sweep, else the last
  // Reads that a time limit ends, or all reads, go on to a local minimum: not where they are
  // samples.
  bool descend_at_limit = false, descend_always = false;
  bool watch = false;  // tell `stop` of energies even so
  std::uint64_t seed = 0;
  std::uint64_t number = 0;  // of the first problem, for the random streams
  int num_threads = 1;
};

// Whether a problem's fields can be kept so. Integers need biases that are multiples of a unit;
// sparse ones that every field and twice every coupling fits, dense ones couplings of at most 127
// units: where fields grow too large they become floats. Problems of low rank have float32 alone.
bool fits(const Ising& problem, Precision precision, bool random_order);
// The fastest for so many reads that fits, float64 left out; and with it, where
// needs_float64(problem).
Precision narrow_precision(const Ising& problem, bool random_order, std::size_t num_reads);
Precision best_precision(const Ising& problem, bool random_order, std::size_t num_reads);

// states (num_reads, n): in, where each read starts; out, what it found; as many of each problem,
// one problem after the other, several problems in dense or low-rank form. sweeps (num_reads): how
// many it made, or -1 if it was not begun, before `stop` said to end, which it does here when a
// state is not above its threshold. The first read always begins. Read k of a problem
// depends on the problem, its start, the options and k alone: not on the number of reads, threads,
// or the instruction set.
void anneal(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
            std::size_t num_reads, std::int8_t* states, std::int64_t* sweeps, Stop& stop);

}  // namespace qpsbgd
