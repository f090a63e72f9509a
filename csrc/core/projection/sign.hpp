// The sign objective: max_b <sign(X b + eps), t> for every neuron, without auxiliary variables.
#pragma once

#include <memory>

#include "core/projection/sample_layer.hpp"
#include "core/state/tile_solver.hpp"

namespace qpsbgd {

// What a layer's neurons share.
class SignProblem {
 public:
  // eps: PAPER 0.01, in the caller's units of X. Unfinished where `stop` says to end; null never
  // does.
  SignProblem(const SampleLayer& layer, double eps, Stop* stop = nullptr);

  std::unique_ptr<TileSolver> make_solver(const Annealing& annealing) const;

  const SampleLayer& layer() const { return layer_; }
  float eps() const { return eps_; }  // in the layer's scaled units
  // Solvers count targets in units of t^ / target_scale(), and cut off what is less: a power of
  // two, so large that the magnitudes of a neuron's sum to 2^29 .. 2^30.
  float target_scale() const { return target_scale_; }
  // (blocks of kBlock variables, samples_ld): 2 max|x_ik| over a block, the longest step.
  const float* reach() const { return reach_.data(); }

 private:
  const SampleLayer& layer_;
  float eps_;
  float target_scale_;
  Buffer<float> reach_;
};

}  // namespace qpsbgd
