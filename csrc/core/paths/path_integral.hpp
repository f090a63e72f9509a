// Path-integral annealing of one transverse-field Ising problem, many reads at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/ising/ising.hpp"
#include "core/paths/field_schedule.hpp"
#include "core/paths/worldlines.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// What a call returns of each read.
struct PathResults {
  std::int8_t* spins;        // (num_reads, n): in the last slice
  std::int64_t* sweeps;      // (num_reads): as anneal_fields() sets them
  std::int8_t* samples;      // (num_reads, num_samples(), n); 0 where a read did not get so far
  std::int32_t* num_breaks;  // (num_reads, n), or null if breaks are not wanted
  std::vector<std::vector<std::int32_t>> breaks;  // of each read, variable by variable
};

// Anneals worldlines of num_reads reads from where they start. A sweep updates every qubit, or
// chain, once if the order is kPermuted.
//
// Read k depends on the problem, its start, the schedule, the chains and k alone: not on the number
// of reads or threads, nor on the instruction set. Dense and sparse form give the same reads.
void anneal_paths(const KernelTable& kernels, const Ising& problem, const FieldSchedule& schedule,
                  const PathChains& chains, std::size_t num_reads, const PathView& starts,
                  PathResults& results, Stop& stop);

}  // namespace qpsbgd
