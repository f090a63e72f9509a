// Run-time choice of the instruction set.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.hpp"

namespace qpsbgd {

// The levels that were compiled in and that this processor runs, slowest first: "baseline"
// (x86-64 or aarch64 with NEON), "v3" (x86-64-v3, AVX2), "v4" (x86-64-v4, AVX-512).
std::vector<std::string> available_isas();

// The level in use: the fastest there is, or the one that the environment variable QPSBGD_ISA
// names. Read at every call, so that a test can change it. Throws std::invalid_argument if
// QPSBGD_ISA names a level that is not available.
const KernelTable& kernels();

}  // namespace qpsbgd
