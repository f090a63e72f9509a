// Simulated annealing of one Ising problem, many reads at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/ising.hpp"
#include "core/stop.hpp"
#include "kernels/table.hpp"

namespace qpsbgd {

struct AnnealOptions {
  std::vector<double> betas;  // one a sweep; 0 and infinity are allowed
  Acceptance acceptance = Acceptance::kMetropolis;
  bool random_order = false;  // variables drawn with replacement, else one after the other
  bool keep_best = true;      // the best state at the start or the end of a sweep, else the last
  bool watch = false;         // tell `stop` of energies even so
  std::uint64_t seed = 0;
  int num_threads = 1;
};

// states (num_reads, n): in, where each read starts; out, what it found. sweeps (num_reads): how
// many it made before `stop` said to end, which it does here when a state is not above its
// threshold. Read k depends on the problem, its start, the options and k alone: not on the number
// of reads, threads, or the instruction set.
void anneal(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
            std::size_t num_reads, std::int8_t* states, std::uint64_t* sweeps, Stop& stop);

}  // namespace qpsbgd
