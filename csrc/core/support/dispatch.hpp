// Choice of the instruction set at run time.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.hpp"

namespace qpsbgd {

// Returns the instruction sets that this build has and this processor runs, slowest first:
// "baseline" (x86-64 or aarch64 with NEON), "v3" (x86-64-v3, AVX2), "v4" (x86-64-v4, AVX-512).
std::vector<std::string> available_isas();

// Returns the kernels of the fastest instruction set, or of the one that the environment variable
// QPSBGD_ISA names. Every call reads the variable, so that a test can change it. Throws
// std::invalid_argument if QPSBGD_ISA names an instruction set that is not available.
const KernelTable& kernels();

}  // namespace qpsbgd
