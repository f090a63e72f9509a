// The options of a projection as the bindings receive them.
#pragma once

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/projection/projection.hpp"

namespace qpsbgd::bindings {

inline ProjectionOptions make_options(Objective objective, double scale, AlphaRule alpha_rule,
                                      double target_eps, std::size_t num_sweeps,
                                      std::vector<double> betas, std::size_t num_reads,
                                      InitialState initial, std::uint64_t seed) {
  if (!betas.empty() && betas.size() != num_sweeps) {
    throw std::invalid_argument("betas must be empty or have one value for each sweep");
  }
  if (num_reads > std::numeric_limits<std::int32_t>::max()) {
    throw std::invalid_argument("num_reads must be less than 2^31");
  }
  ProjectionOptions options;
  options.objective = objective;
  options.scale = scale;
  options.alpha_rule = alpha_rule;
  options.target_eps = target_eps;
  options.annealing = {.num_sweeps = num_sweeps, .betas = std::move(betas), .seed = seed};
  options.num_reads = num_reads;
  options.initial = initial;
  return options;
}

}  // namespace qpsbgd::bindings
