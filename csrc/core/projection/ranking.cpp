#include "core/projection/ranking.hpp"

#include <algorithm>

#include "core/matrices/product.hpp"

namespace qpsbgd {

SampleRanking::SampleRanking(const SampleLayer& layer, Objective objective, double alpha,
                             double eps)
    : layer_(layer),
      objective_(objective),
      alpha_(alpha),
      eps_(eps * layer.x_scale()),
      margins_(layer.num_samples()) {}

double SampleRanking::energy(std::size_t row, const std::int8_t* state, Stop* stop) {
  set_margins(state, stop);
  // An all-zero target has mean 0; its t^ is 0.
  const double mean = layer_.target_unit(row);
  const double inverse_mean = mean > 0.0 ? 1.0 / mean : 0.0;
  double sum = 0.0;
  for (std::size_t i = 0; i < layer_.num_samples(); ++i) {
    const double residual = objective_ == Objective::kQuadratic
                                ? target(row, i) * inverse_mean - alpha_ * margins_[i]
                                : output(i) - target(row, i);
    sum += residual * residual;
  }
  return sum;
}

void SampleRanking::rank(std::size_t first_row, std::size_t rows, const std::int8_t* states,
                         double* ranks, Stop* stop) {
  for (std::size_t r = 0; r < rows && !is_stopped(stop); ++r) {
    const std::int8_t* state = states + r * layer_.num_inputs();
    ranks[r] = objective_ == Objective::kQuadratic ? energy(first_row + r, state, stop)
                                                   : -agreement(first_row + r, state, stop);
  }
}

// Returns the part of the sign objective that depends on the state. If N + ||t||^2 were added, it
// would be rounded away for targets that are much larger or much smaller than 1.
double SampleRanking::agreement(std::size_t row, const std::int8_t* state, Stop* stop) {
  set_margins(state, stop);
  double sum = 0.0;
  for (std::size_t i = 0; i < layer_.num_samples(); ++i) sum += output(i) * target(row, i);
  return sum;
}

// Sets margins_ to X b.
void SampleRanking::set_margins(const std::int8_t* state, Stop* stop) {
  const std::size_t samples = layer_.num_samples();
  const std::size_t run = run_length(4 * layer_.num_inputs(), kLanes);
  for (std::size_t first = 0; first < samples && !is_stopped(stop); first += run) {
    layer_.kernels().gemm.margins(layer_.inputs_t() + first, layer_.samples_ld(), state,
                                  layer_.num_inputs(), std::min(run, samples - first),
                                  margins_.data() + first);
  }
}

GramRanking::GramRanking(const GramLayer& layer, double alpha)
    : layer_(layer),
      alpha_(alpha * layer.x_scale()),  // the X of the view is not scaled
      states_(layer.num_inputs() * kLanes),
      zeros_(layer.num_inputs() * kLanes) {
  std::fill_n(zeros_.data(), zeros_.size(), 0.0);
}

void GramRanking::rank(std::size_t first_row, std::size_t rows, const std::int8_t* states,
                       double* ranks, Stop* stop) {
  for (std::size_t r = 0; r < rows && !is_stopped(stop); r += kLanes) {
    rank_lanes(first_row + r, std::min(kLanes, rows - r), states + r * layer_.num_inputs(),
               ranks + r);
  }
}

void GramRanking::rank_lanes(std::size_t first_row, std::size_t rows, const std::int8_t* states,
                             double* ranks) {
  const std::size_t n = layer_.num_inputs();
  std::fill_n(states_.data(), states_.size(), 0.0);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t i = 0; i < n; ++i) states_[i * kLanes + r] = states[r * n + i];
  }
  alignas(64) double halves[kLanes];  // of b^T (G - diag(G)) b
  layer_.kernels().energies.of<double>().energies(layer_.view().gram, n, zeros_.data(),
                                                  states_.data(), n, halves);
  for (std::size_t r = 0; r < rows; ++r) {
    const double* cross = layer_.view().cross + (first_row + r) * n;
    double linear = 0.0;
    for (std::size_t i = 0; i < n; ++i) linear += cross[i] * states[r * n + i];
    linear *= layer_.inverse_mean(first_row + r);
    ranks[r] = alpha_ * (alpha_ * (2.0 * halves[r]) - 2.0 * linear);
  }
}

}  // namespace qpsbgd
