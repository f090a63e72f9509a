// Steepest descent of one Ising problem, one read a thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/ising/ising.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// Descends: flips the variable that lowers the energy most, the first of equal ones, until none
// does. states (num_reads, n): in, where each read starts; out, its minimum. steps (num_reads): the
// number of flips, -1 for a read that did not begin. A time limit ends the call between two reads,
// and the first read always begins. An interrupt ends a read, too.
//
// Fields in `precision`, float32 or float64, choose the steps, and then fields in float64 do, so
// that no flip of a final state lowers the energy by more than float64's rounding. Where the
// problem is exact(), dense and sparse forms make the same steps. A read does not depend on the
// other reads, on threads, or on the instruction set.
void descend(const KernelTable& kernels, const Ising& problem, Precision precision, int num_threads,
             std::size_t num_reads, std::int8_t* states, std::int64_t* steps, Stop& stop);

}  // namespace qpsbgd
