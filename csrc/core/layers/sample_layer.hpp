// A layer's gradient given as samples: its inputs X and the targets T of its neurons.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/layers/layer.hpp"
#include "core/matrices/inputs.hpp"

namespace qpsbgd {

// The caller's arrays: row-major float32.
struct SampleView {
  const float* inputs;        // X (num_samples, num_inputs)
  const float* targets;       // T (num_samples, num_neurons)
  std::size_t num_samples;    // N
  std::size_t num_inputs;     // n
  std::size_t num_neurons;    // m
  std::size_t first_row = 0;  // the number of T's first column in the whole layer
  // Step length of each row (num_neurons), > 0, or null. With steps the objective of a row is
  // ||t_r - scale * step_r * X b||^2: t^_r is t_r / step_r for the scaled X, and alpha is the
  // scale.
  const double* steps = nullptr;
};

// X and T in the layouts that kernels read. Images are margins X b (N).
class SampleLayer final : public Layer {
 public:
  // If `stop` ends the call, the result is incomplete; `stop` may be null.
  SampleLayer(const SampleView& view, const KernelTable& kernels, int num_threads,
              Stop* stop = nullptr);

  const SampleView& view() const { return view_; }
  std::size_t num_samples() const { return view_.num_samples; }
  std::size_t samples_ld() const { return image_ld(); }

  float x_scale() const { return inputs_.scale(); }
  // Returns alpha for scale 1 by the rule, or 1 where the rows have steps.
  double unit_step(const std::vector<RowNorms>& norms, AlphaRule alpha_rule) const {
    return view_.steps != nullptr ? 1.0 : unit_alpha(norms, alpha_rule);
  }
  const Inputs& inputs() const { return inputs_; }
  const float* inputs_t() const { return inputs_.transposed(); }  // X^T (n, samples_ld), padding 0
  // The unit of t^_r: mean|t_r|, or the row's step for the scaled X.
  double target_unit(std::size_t row) const { return target_units_[row]; }
  const float* targets(std::size_t row) const {  // t^_r (N), rows samples_ld apart
    return &targets_[row * samples_ld()];
  }

  void image(const std::int8_t* spins, std::size_t rows, float* c, float* scratch,
             Stop* stop) const override;

 private:
  void prepare_rows(Stop* stop);
  void prepare_targets(std::size_t tile, Stop* stop);

  SampleView view_;
  Inputs inputs_;
  Buffer<float> targets_;        // t^ (m, samples_ld)
  Buffer<double> target_units_;  // (m)
};

}  // namespace qpsbgd
