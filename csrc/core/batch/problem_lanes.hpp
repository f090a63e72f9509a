// Annealing of small dense problems, sixteen at a time, a SIMD lane each.
#pragma once

#include <cstdint>

#include "core/batch/batch.hpp"

namespace qpsbgd {

// Does what solve_batch() does, for the interleaved form of matrices that are not shared.
void anneal_interleaved(const KernelTable& kernels, const BatchView& view,
                        const BatchOptions& options, std::int8_t* states, std::uint8_t* done,
                        double* energies, Stop& stop);

}  // namespace qpsbgd
