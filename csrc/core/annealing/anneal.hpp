// Simulated annealing of one Ising problem, many reads at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/ising/ising.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

struct AnnealOptions {
  std::vector<double> betas;  // one for each sweep; 0 and infinity are allowed
  Acceptance acceptance = Acceptance::kMetropolis;
  bool random_order = false;  // variables are drawn with replacement, else visited in order
  std::optional<Precision> precision = std::nullopt;  // must fit; by default best_precision()
  bool keep_best = true;  // keep the best state before and after each sweep, else the last state
  // descend_at_limit: reads that a time limit ended early descend to a local minimum.
  // descend_always: all reads do. A descent would distort samples of one temperature.
  bool descend_at_limit = false, descend_always = false;
  bool watch = false;  // report energies to `stop` also where keep_best is false
  std::uint64_t seed = 0;
  std::uint64_t number = 0;    // number of the first problem, which names its random streams
  std::size_t first_read = 0;  // number of the first read, which names its random streams
  int num_threads = 1;
};

// Anneals reads. states (num_reads, n): in, where each read starts; out, the kept state. Every
// problem has the same number of reads, one problem's after the other's; several problems need the
// dense or low-rank form. sweeps (num_reads): the number of sweeps that each read made before
// `stop` ended the call, -1 for a read that did not begin. The first reads always begin. A state
// whose energy is not above stop's threshold ends the call.
//
// Read k of a problem depends on the problem, its start, the options and k alone: not on the number
// of reads or threads, nor on the instruction set.
void anneal(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
            std::size_t num_reads, std::int8_t* states, std::int64_t* sweeps, Stop& stop);

}  // namespace qpsbgd
