// Annealed importance sampling: weights whose mean is the partition function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/ising/ising.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

struct PartitionOptions {
  std::vector<double> betas;        // ascending and finite; chains start at beta = 0
  std::vector<std::size_t> marked;  // ascending numbers of betas at which weights are wanted
  std::uint64_t seed = 0;
  std::uint64_t number = 0;  // number of the first problem, which names its random streams
  int num_threads = 1;
};

struct Weights {
  // Logarithms of weights at the marked betas: (problems, chains, marked). The mean of the weights
  // is an unbiased estimate of sum_s exp(-beta E(s)) / 2^n.
  std::vector<double> logs;
  // Where no beta is marked: the variances over chains of the energies before the sweep at each of
  // the betas, means over the problems. (betas)
  std::vector<double> variances;
};

// Runs num_chains chains for each problem. A chain starts at a uniformly distributed state. At each
// of the betas its weight is multiplied by exp(-(beta - previous beta) E), and then it makes a
// Gibbs sweep at this beta. Metropolis sweeps in a fixed order do not reach all states where flips
// leave the energy as it is, as on a ring without linear biases.
//
// Chain k of a problem depends on the problem, the options and k alone: not on the number of chains
// or threads, nor on the instruction set. Throws Stopped where `stop` says to end.
//
// Reference: R. M. Neal, Statistics and Computing 11, 125 (2001).
Weights importance_weights(const KernelTable& kernels, const Ising& problem,
                           const PartitionOptions& options, std::size_t num_chains, Stop& stop);

}  // namespace qpsbgd
