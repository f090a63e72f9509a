// Path-integral annealing of one transverse-field Ising problem, many reads at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/paths/worldlines.hpp"
#include "core/samplers/ising.hpp"
#include "core/support/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

struct PathOptions {
  std::vector<PathFields> schedule;  // finite, >= 0
  std::size_t sweeps_per_step = 1;
  PathChains chains;
  std::size_t sample_interval = 0;  // steps between samples; 0 for none
  std::uint64_t seed = 0;
  int num_threads = 1;

  // Number of samples of a read: after the first step, and after each `sample_interval` steps more.
  std::size_t num_samples() const {
    return sample_interval == 0 || schedule.empty() ? 0
                                                    : 1 + (schedule.size() - 1) / sample_interval;
  }
};

// What a call returns of each read.
struct PathResults {
  std::int8_t* spins;    // (num_reads, n): in the last slice
  std::int64_t* sweeps;  // (num_reads): made before `stop` ended the call; -1 if it did not begin
  std::int8_t* samples;  // (num_reads, num_samples(), n); 0 where a read did not get so far
  std::int32_t* num_breaks;  // (num_reads, n), or null if breaks are not wanted
  std::vector<std::vector<std::int32_t>> breaks;  // of each read, variable by variable
};

// Anneals worldlines of num_reads reads from where they start. The first reads always begin.
//
// A sweep updates every qubit, or chain, once. All reads share the random order. Read k depends on
// the problem, its start, the options and k alone: not on the number of reads or threads, nor on
// the instruction set. Dense and sparse form give the same reads.
void anneal_paths(const KernelTable& kernels, const Ising& problem, const PathOptions& options,
                  std::size_t num_reads, const PathView& starts, PathResults& results, Stop& stop);

}  // namespace qpsbgd
