// Many Ising problems of one size in one call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/ising.hpp"
#include "core/stop.hpp"
#include "kernels/table.hpp"

namespace qpsbgd {

enum class BatchMethod { kAnneal, kDescent, kTabu };

// E(s) = h.s + (1/2) s^T J s. J symmetric with a zero diagonal; the upper triangle is read.
struct BatchView {
  const double* couplings;  // (num_problems, n, n), or (n, n) where shared
  const double* linear;     // (num_problems, n)
  std::size_t num_problems;
  std::size_t num_variables;
  bool shared;  // one J for all
};

struct BatchOptions {
  BatchMethod method = BatchMethod::kAnneal;
  std::size_t num_reads = 1;  // of each problem
  // Annealing: one a sweep, times the problem's own factor; shared J: one factor for all.
  std::vector<double> betas;
  std::vector<double> beta_factors;  // (num_problems)
  bool keep_best = true;             // what an anneal returns: see AnnealOptions
  std::size_t moves = 0;             // tabu search: of a read's one search
  std::size_t tenure = 0;
  std::uint64_t seed = 0;
  std::uint64_t number = 0;  // of the first problem: its streams are those of a batch's problem
  int num_threads = 1;
};

// states (num_problems * num_reads, n): in, where each read starts; out, what it found: the best or
// last state of an anneal, the best of a tabu search, the end of a descent. done (num_problems):
// whether a problem was begun before `stop` said to end. A problem's reads depend on its number in
// the batch, not on the others.
void solve_batch(const KernelTable& kernels, const BatchView& view, const BatchOptions& options,
                 std::int8_t* states, std::uint8_t* done, Stop& stop);

}  // namespace qpsbgd
