// Projecting a layer's gradient onto binary variables: what the bindings call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/projection/gram_layer.hpp"
#include "core/projection/sample_layer.hpp"
#include "core/state/tile_solver.hpp"
#include "core/support/stop.hpp"

namespace qpsbgd {

enum class Objective {
  kQuadratic,  // ||t^ - alpha X b||^2
  kSign,       // ||sign(X b + eps) - t||^2
};

enum class InitialState { kLinear, kRandom, kGiven };

struct ProjectionOptions {
  Objective objective = Objective::kQuadratic;
  double scale = 1.0;                       // of alpha; quadratic only
  AlphaRule alpha_rule = AlphaRule::kNorm;  // quadratic only
  double target_eps = 0.0;                  // eps; sign only
  Annealing annealing;
  std::size_t num_reads = 1;
  InitialState initial = InitialState::kLinear;  // of read 0; further reads start at random
  const std::int8_t* initial_states = nullptr;   // (m, n) for kGiven
};

// out (m, n) int8: for each row the best of its reads by the float64 objective. `norms` are of all
// rows of the whole layer, and unused by the sign objective. Unfinished where `stop` has a reason
// afterwards.
void project(const SampleLayer& layer, const std::vector<RowNorms>& norms,
             const ProjectionOptions& options, std::int8_t* out, Stop& stop);

// The quadratic objective of rows that were given as products. The same problems as of the samples,
// but for rounding.
void project(const GramLayer& layer, const std::vector<RowNorms>& norms,
             const ProjectionOptions& options, std::int8_t* out, Stop& stop);

// What follows is unfinished where `stop` says to end; null never does.

// energies (m): the objective of binary (m, n) in float64.
void projection_energy(const KernelTable& kernels, const SampleView& view, Objective objective,
                       double scale, AlphaRule alpha_rule, double target_eps,
                       const std::int8_t* binary, int num_threads, double* energies,
                       Stop* stop = nullptr);

// The quadratic objective as Ising problems: sum_{i<j} J_ij b_i b_j + sum_i h_i b_i + offset.
// coupling (n, n) with zero diagonal, fields (m, n), offsets (m).
void gradient_qubo(const KernelTable& kernels, const SampleView& view, double scale,
                   AlphaRule alpha_rule, int num_threads, float* coupling, float* fields,
                   double* offsets, Stop* stop = nullptr);

// The quadratic objective in float64: the pairs i < j in lexicographic order, as rows, columns and
// couplings (n (n - 1) / 2).
void gradient_ising(const KernelTable& kernels, const SampleView& view, double scale,
                    AlphaRule alpha_rule, int num_threads, std::int32_t* rows,
                    std::int32_t* columns, double* couplings, double* fields, double* offsets,
                    Stop* stop = nullptr);

// Position of the first NaN or infinity, or count.
std::size_t first_nonfinite(const KernelTable& kernels, const float* values, std::size_t count,
                            Stop* stop = nullptr);

}  // namespace qpsbgd
