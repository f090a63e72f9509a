// Which problems float32 is too coarse for.
#pragma once

#include "core/ising.hpp"
#include "core/stop.hpp"

namespace qpsbgd {

// Whether fields and gains must be float64 for a search to find what the biases say. float32 is
// enough where
// - no sum of biases has more than 24 significant bits: it is exact; or
// - biases are real numbers, and the energies of local minima differ by far more than float32's
//   rounding of the fields at these minima: it is harmless.
// It is not enough for integers of more bits (their last bits count: number partitioning), and
// where large biases cancel at the minima and small ones decide between them (penalties).
//
// The minima are those that descents from a few fixed states lead to: the answer depends on the
// problem alone. Of several problems with shared couplings it is that of the selected one.
bool needs_float64(const Ising& problem);

}  // namespace qpsbgd
