// The quadratic objective: min_b ||t^ - alpha X b||^2 for every neuron.
//
// With G = X^T X and the residual r = X b - t^/alpha, the energy is alpha^2 ||r||^2. The fields are
// f = X^T r - diag(G) b = (G - diag(G)) b - X^T t^/alpha, and flipping b_i changes the energy by
// -4 alpha^2 b_i f_i. Because alpha is left out of G and f, G depends on X alone.
#pragma once

#include <memory>

#include "core/layers/gram_layer.hpp"
#include "core/layers/sample_layer.hpp"
#include "core/projection/projection_rows.hpp"
#include "core/support/buffer.hpp"

namespace qpsbgd {

// Returns scale * unit_alpha, a layer's step length. Throws std::invalid_argument if it is outside
// the range in which float32 holds fields and energies.
double checked_alpha(double unit_alpha, double scale);

// The part of the problem that all rows given as samples share: G without its diagonal.
class QuadraticProblem {
 public:
  // A row's state in the sweeps. Fields need all of G, and O(n) operations a flip. Residuals need
  // only the blocks on G's diagonal, O(N) operations a flip, and one product X^T r a sweep.
  enum class Form { kFields, kResiduals };

  // Returns the form with fewer operations. It depends on the data's shape and the sweeps, not on
  // the number of rows, because the two forms round differently.
  static Form cheaper_form(std::size_t num_samples, std::size_t num_inputs,
                           const Annealing& annealing);

  // If `stop` ends the call, the result is incomplete; `stop` may be null.
  QuadraticProblem(const SampleLayer& layer, double alpha, Form form, Stop* stop = nullptr);

  // Returns the rows of one thread. This object must outlive them.
  std::unique_ptr<ProjectionRows> make_rows() const;

  const float* coupling() const { return coupling_.data(); }  // fields: (inputs_ld, inputs_ld)

 private:
  const SampleLayer& layer_;
  Form form_;
  double alpha_;
  Buffer<float> diagonal_;  // of G (n)
  Buffer<float> coupling_;  // (inputs_ld, inputs_ld), or (blocks, kBlock, kBlock); zero diagonal
};

// Returns the rows of one thread, for a layer given as products: their state is the fields.
std::unique_ptr<ProjectionRows> make_gram_rows(const GramLayer& layer, double alpha);

}  // namespace qpsbgd
