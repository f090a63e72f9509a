// The sign objective: max_b <sign(X b + eps), t> for every neuron, without auxiliary variables.
#pragma once

#include <memory>

#include "core/layers/sample_layer.hpp"
#include "core/projection/projection_rows.hpp"

namespace qpsbgd {

// The part of the problem that all neurons of a layer share.
class SignProblem {
 public:
  // eps: PAPER 0.01, in the caller's units of X. If `stop` ends the call, the result is incomplete;
  // `stop` may be null.
  SignProblem(const SampleLayer& layer, double eps, Stop* stop = nullptr);

  // Returns the rows of one thread. This object must outlive them.
  std::unique_ptr<ProjectionRows> make_rows() const;

  const SampleLayer& layer() const { return layer_; }
  float eps() const { return eps_; }  // in the layer's scaled units
  // Solvers use the integers t^ * target_scale(), rounded towards zero. The scale is a power of two
  // for which the magnitudes of a neuron's targets sum to between 2^29 and 2^30.
  float target_scale() const { return target_scale_; }
  // (blocks of kBlock variables, samples_ld): 2 max|x_ik| over a block, the largest change of a
  // margin by one flip.
  const float* reach() const { return reach_.data(); }

 private:
  const SampleLayer& layer_;
  float eps_;
  float target_scale_;
  Buffer<float> reach_;
};

}  // namespace qpsbgd
