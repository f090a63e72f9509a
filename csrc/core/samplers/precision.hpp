// Which problems float32 is too coarse for.
#pragma once

#include "core/samplers/ising.hpp"
#include "core/support/stop.hpp"

namespace qpsbgd {

// Whether fields and gains must be float64 for a search to find what the biases say. float32 is
// enough where
// - no sum of biases at a variable has more than 23 significant bits: it is exact; or
// - biases are real numbers, the energies of local minima differ by far more than float32's
//   rounding of the fields at these minima, and so does the largest field of every variable: it is
//   harmless.
// It is not enough for integers of more bits (their last bits count: number partitioning), where
// large biases cancel at the minima and small ones decide between them (penalties), and where some
// variables have small biases alone.
//
// The minima are those that descents from a few fixed states lead to: the answer depends on the
// problem alone. Of several problems with shared couplings it is that of the selected one. What it
// says does not count where an interrupt of `stop` ends it.
bool needs_float64(const Ising& problem, Stop* stop = nullptr);

// The same answer for couplings scale * (A^T A - diag), without building the problem where the
// factor A alone decides. linear: (num_variables).
bool needs_float64(const KernelTable& kernels, const double* linear, std::size_t num_variables,
                   const FactorView& factor, int num_threads, Stop* stop);

}  // namespace qpsbgd
