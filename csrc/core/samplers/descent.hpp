// Steepest descent of one Ising problem, one read a thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/samplers/ising.hpp"
#include "core/support/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// states (num_reads, n): in, where each read starts; out, the minimum that it comes to by flipping,
// again and again, the variable that lowers the energy most, the first of equal ones. steps
// (num_reads): how many it flipped, or -1 for a read that `stop` did not let begin. A time limit
// ends the call between two reads, of which the first always begins; an interrupt ends a read too.
//
// Steps are chosen by fields in `precision`, float32 or float64, then by such in float64: no flip
// of a final state lowers the energy by more than float64's rounding. Where the problem is exact()
// both forms make the same steps. A read does not depend on the others, on threads, or on the
// instruction set.
void descend(const KernelTable& kernels, const Ising& problem, Precision precision, int num_threads,
             std::size_t num_reads, std::int8_t* states, std::int64_t* steps, Stop& stop);

}  // namespace qpsbgd
