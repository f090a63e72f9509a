// Annealing of the rotor model of one problem, many reads at a time.
//
// The spin of each variable is the cosine of an angle. The weight of a state is
// exp(-problem field E(cosines) + transverse field sum_i transverse_i |sin_i|).
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/ising/ising.hpp"
#include "core/paths/field_schedule.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// How an update proposes an angle and accepts it.
struct RotorDynamics {
  RotorProposal proposal = RotorProposal::kUniform;
  Acceptance acceptance = Acceptance::kMetropolis;
};

// What a call returns of each read.
struct RotorResults {
  std::uint8_t* angles;  // (num_reads, n), in units of 2 pi / kNumAngles
  std::int8_t* spins;    // (num_reads, n): +1 with the probability (1 + cosine) / 2
  std::int64_t* sweeps;  // (num_reads): as anneal_fields() sets them
  std::uint8_t*
      samples;  // (num_reads, num_samples(), n): angles; 0 where a read did not get so far
};

// Anneals num_reads reads from the angles (num_reads, n). transverse (n). The order of a schedule
// is kInOrder or kDrawn.
//
// Read k depends on the problem, its start, the schedule and k alone: not on the number of reads or
// threads, nor on the instruction set. Dense and sparse form give the same reads.
void anneal_rotors(const KernelTable& kernels, const Ising& problem, const FieldSchedule& schedule,
                   const RotorDynamics& dynamics, const float* transverse, std::size_t num_reads,
                   const std::uint8_t* angles, const RotorResults& results, Stop& stop);

// Projects angles (num_reads, n) on spins: +1 with the probability (1 + cosine) / 2. The stream of
// a read follows from the seed and its number.
void project_angles(const KernelTable& kernels, std::uint64_t seed, std::size_t num_reads,
                    std::size_t n, const std::uint8_t* angles, std::int8_t* spins);

}  // namespace qpsbgd
