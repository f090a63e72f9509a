// Projection of a layer's gradient onto binary variables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/layers/gram_layer.hpp"
#include "core/layers/sample_layer.hpp"
#include "core/projection/projection_rows.hpp"
#include "core/projection/ranking.hpp"
#include "core/threads/stop.hpp"

namespace qpsbgd {

enum class InitialState { kLinear, kRandom, kGiven };

struct ProjectionOptions {
  Objective objective = Objective::kQuadratic;
  double scale = 1.0;                       // of alpha; quadratic only
  AlphaRule alpha_rule = AlphaRule::kNorm;  // quadratic only
  double target_eps = 0.0;                  // eps; sign only
  Annealing annealing;
  std::size_t num_reads = 1;
  InitialState initial = InitialState::kLinear;  // of read 0; other reads start at random
  const std::int8_t* initial_states = nullptr;   // (m, n) for kGiven
};

// Writes out (m, n): for each row the best of its reads by the float64 objective. `norms` are those
// of all rows of the whole layer; the sign objective does not use them. Unfinished where `stop` has
// a reason afterwards.
void project(const SampleLayer& layer, const std::vector<RowNorms>& norms,
             const ProjectionOptions& options, std::int8_t* out, Stop& stop);

// Writes out (m, n) for the quadratic objective of a layer given as products. The problems are
// those of the samples, except for rounding.
void project(const GramLayer& layer, const std::vector<RowNorms>& norms,
             const ProjectionOptions& options, std::int8_t* out, Stop& stop);

// Writes energies (m): the objective of binary (m, n) in float64. If `stop` ends the call, the
// result is incomplete; `stop` may be null.
void projection_energy(const KernelTable& kernels, const SampleView& view, Objective objective,
                       double scale, AlphaRule alpha_rule, double target_eps,
                       const std::int8_t* binary, int num_threads, double* energies,
                       Stop* stop = nullptr);

}  // namespace qpsbgd
