// A layer's gradient given as products of its samples. Processes that each have some of the samples
// can add up their products.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/layers/layer.hpp"

namespace qpsbgd {

// The caller's arrays: row-major float64, in which sums of integral data are exact.
struct GramView {
  const double* gram;         // X^T X (n, n), symmetric
  const double* cross;        // T^T X (m, n)
  const double* magnitudes;   // sum of |t| (m)
  const double* squares;      // sum of t^2 (m)
  std::size_t num_samples;    // N
  std::size_t num_inputs;     // n
  std::size_t num_neurons;    // m
  std::size_t first_row = 0;  // the number of the first row of `cross` in the whole layer
};

// The couplings in the layouts that kernels read. Images are (X^T X - its diagonal) b (n).
class GramLayer final : public Layer {
 public:
  // If `stop` ends the call, the result is incomplete; `stop` may be null.
  GramLayer(const GramView& view, const KernelTable& kernels, int num_threads,
            Stop* stop = nullptr);

  const GramView& view() const { return view_; }
  // The factor of X: a power of two that brings the largest mean square of a variable into [1/4,
  // 1).
  double x_scale() const { return scale_; }
  // X^T X (inputs_ld, inputs_ld), zero diagonal, padding zero.
  const float* coupling() const { return coupling_.data(); }
  double inverse_mean(std::size_t row) const { return inverse_means_[row]; }  // 1 / mean|t|, or 0

  void image(const std::int8_t* spins, std::size_t rows, float* c, float* scratch,
             Stop* stop) const override;

 private:
  void prepare_couplings(Stop* stop);
  void prepare_rows(Stop* stop);

  GramView view_;
  double scale_;
  Buffer<float> coupling_;
  Buffer<float> packed_;          // coupling for gemm: depth n, columns n
  Buffer<double> inverse_means_;  // (m)
};

}  // namespace qpsbgd
