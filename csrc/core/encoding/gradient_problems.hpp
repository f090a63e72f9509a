// The quadratic objective as Ising problems, one for each neuron, for other solvers. If `stop` ends
// the call, the result is incomplete; `stop` may be null.
#pragma once

#include <cstdint>

#include "core/layers/sample_layer.hpp"
#include "core/threads/stop.hpp"

namespace qpsbgd {

// Writes sum_{i<j} J_ij b_i b_j + sum_i h_i b_i + offset: coupling J (n, n) with a zero diagonal,
// fields h (m, n) and offsets (m).
void gradient_ising(const KernelTable& kernels, const SampleView& view, double scale,
                    AlphaRule alpha_rule, int num_threads, float* coupling, float* fields,
                    double* offsets, Stop* stop = nullptr);

// Writes the same problems in float64, with the couplings (n (n - 1) / 2) of the pairs i < j in
// lexicographic order, as rows, columns and values.
void gradient_ising_pairs(const KernelTable& kernels, const SampleView& view, double scale,
                          AlphaRule alpha_rule, int num_threads, std::int32_t* rows,
                          std::int32_t* columns, double* couplings, double* fields, double* offsets,
                          Stop* stop = nullptr);

}  // namespace qpsbgd
