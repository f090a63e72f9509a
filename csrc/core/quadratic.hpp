// The quadratic objective: min_b ||t^ - alpha X b||^2 for every neuron.
#pragma once

#include <memory>

#include "core/layer.hpp"
#include "core/tile_solver.hpp"

namespace qpsbgd {

// What all rows share: the couplings G = X^T X without its diagonal.
//
// With r = X b - t^/alpha, E = alpha^2 ||r||^2, the fields are f = X^T r - diag(G) b, and flipping
// b_i changes E by -4 alpha^2 b_i f_i. Leaving alpha out of G and f makes G a matter of X alone.
class QuadraticProblem {
 public:
  // Throws std::invalid_argument where alpha leaves the range in which float32 fields are sound.
  QuadraticProblem(const Layer& layer, double scale);

  std::unique_ptr<TileSolver> make_solver(const Annealing& annealing) const;

  const Layer& layer() const { return layer_; }
  double alpha() const { return alpha_; }
  const float* coupling() const { return coupling_.data(); }  // (n, layer.ld()), zero diagonal
  float diagonal(std::size_t i) const { return diagonal_[i]; }

 private:
  const Layer& layer_;
  double alpha_;
  Buffer<float> coupling_;
  Buffer<float> diagonal_;
};

}  // namespace qpsbgd
