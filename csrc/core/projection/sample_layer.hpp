// A layer's gradient given as samples: its inputs X and the targets T of its neurons.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/projection/layer.hpp"
#include "core/support/inputs.hpp"

namespace qpsbgd {

// The caller's arrays: row-major float32.
struct SampleView {
  const float* inputs;        // X (num_samples, num_inputs)
  const float* targets;       // T (num_samples, num_neurons)
  std::size_t num_samples;    // N
  std::size_t num_inputs;     // n
  std::size_t num_neurons;    // m
  std::size_t first_row = 0;  // the number of T's first column in the whole layer
};

// X and T in the layouts that kernels read. Images are margins X b (N).
class SampleLayer final : public Layer {
 public:
  // Unfinished where `stop` says to end; null never does.
  SampleLayer(const SampleView& view, const KernelTable& kernels, int num_threads,
              Stop* stop = nullptr);

  const SampleView& view() const { return view_; }
  std::size_t num_samples() const { return view_.num_samples; }
  std::size_t samples_ld() const { return image_ld(); }

  float x_scale() const { return inputs_.scale(); }
  const Inputs& inputs() const { return inputs_; }
  const float* inputs_t() const { return inputs_.transposed(); }  // X^T (n, samples_ld), padding 0
  double mean_target(std::size_t row) const { return mean_targets_[row]; }  // mean|t_r|
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
  Buffer<double> mean_targets_;  // (m)
};

}  // namespace qpsbgd
