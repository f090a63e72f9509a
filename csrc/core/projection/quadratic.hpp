// The quadratic objective: min_b ||t^ - alpha X b||^2 for every neuron.
#pragma once

#include <memory>

#include "core/projection/gram_layer.hpp"
#include "core/projection/sample_layer.hpp"
#include "core/state/tile_solver.hpp"

namespace qpsbgd {

// With G = X^T X and r = X b - t^/alpha, E = alpha^2 ||r||^2, the fields are
// f = X^T r - diag(G) b = (G - diag(G)) b - X^T t^/alpha, and flipping b_i changes E by
// -4 alpha^2 b_i f_i. Leaving alpha out of G and f makes G a matter of X alone.

// A layer's step length from that for scale 1. Throws std::invalid_argument where it leaves the
// range in which float32 fields are sound.
double checked_alpha(double unit_alpha, double scale);

// What rows that were given as samples share: G without its diagonal.
class QuadraticProblem {
 public:
  // What a row's state is in the sweeps. Fields: all of G, and O(n) a flip. Residuals: only the
  // blocks on G's diagonal, O(N) a flip, and one product X^T r a sweep.
  enum class Form { kFields, kResiduals };

  // The cheaper one by the number of operations. Depends on the data's shape and the sweeps only,
  // not on the number of rows: the two round differently.
  static Form cheaper_form(std::size_t num_samples, std::size_t num_inputs,
                           const Annealing& annealing);

  // Unfinished where `stop` says to end; null never does.
  QuadraticProblem(const SampleLayer& layer, double alpha, Form form, Stop* stop = nullptr);

  std::unique_ptr<TileSolver> make_solver(const Annealing& annealing) const;

  const SampleLayer& layer() const { return layer_; }
  double alpha() const { return alpha_; }
  // (inputs_ld, inputs_ld), or (blocks, kBlock, kBlock); zero diagonal.
  const float* coupling() const { return coupling_.data(); }
  const float* diagonal() const { return diagonal_.data(); }  // of G (n)

 private:
  const SampleLayer& layer_;
  Form form_;
  double alpha_;
  Buffer<float> diagonal_;
  Buffer<float> coupling_;
};

// For rows that were given as products, which have G: their state is the fields.
std::unique_ptr<TileSolver> make_gram_solver(const GramLayer& layer, double alpha,
                                             const Annealing& annealing);

}  // namespace qpsbgd
