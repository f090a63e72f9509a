// One layer's gradient, prepared for projection: what all its problems share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/buffer.hpp"
#include "core/inputs.hpp"
#include "kernels/table.hpp"

namespace qpsbgd {

// What the caller hands over; row-major float32.
struct LayerView {
  const float* inputs;      // X (num_samples, num_inputs)
  const float* targets;     // T (num_samples, num_neurons)
  std::size_t num_samples;  // N
  std::size_t num_inputs;   // n
  std::size_t num_neurons;  // m
};

// X and T in the layouts that kernels read, the linear minimiser, and the step length alpha.
//
// Everything below is about x_scale() * X (see core/inputs.hpp), to which the problems are
// invariant.
//
//   t^_r = t_r / mean|t_r|                   a row's target; 0 where the row's targets are all 0
//   b0_r = sign(X^T t_r), sign(0) = +1       the linear minimiser: signSGD's direction
//   alpha = scale * ||T^||_F / ||X B0^T||_F  0 where T or X B0^T vanishes
class Layer {
 public:
  static constexpr std::size_t kTileRows = kMaxTileRows;

  Layer(const LayerView& view, const KernelTable& kernels, int num_threads);

  std::size_t num_samples() const { return view_.num_samples; }
  std::size_t num_inputs() const { return view_.num_inputs; }
  std::size_t num_neurons() const { return view_.num_neurons; }
  std::size_t num_tiles() const { return divide_up(num_neurons(), kTileRows); }
  std::size_t tile_rows(std::size_t tile) const;

  const KernelTable& kernels() const { return kernels_; }
  int num_threads() const { return num_threads_; }

  float x_scale() const { return inputs_.scale(); }
  double alpha(double scale) const { return scale * unit_alpha_; }
  // Leading dimensions: samples and inputs rounded up to kLanes.
  std::size_t samples_ld() const { return inputs_.samples_ld(); }
  std::size_t inputs_ld() const { return inputs_.inputs_ld(); }

  const Inputs& inputs() const { return inputs_; }
  const float* inputs_t() const { return inputs_.transposed(); }  // X^T (n, samples_ld), padding 0
  double mean_target(std::size_t row) const { return mean_targets_[row]; }  // mean|t_r|
  const float* targets(std::size_t row) const {  // t^_r (N), rows samples_ld apart
    return &targets_[row * samples_ld()];
  }
  const std::int8_t* linear(std::size_t row) const {  // b0_r (n), rows n apart
    return &linear_[row * num_inputs()];
  }
  const float* linear_margins(std::size_t row) const {  // X b0_r (N), rows samples_ld apart
    return &linear_margins_[row * samples_ld()];
  }

  // c (rows, N; samples_ld) = spins (rows, n) X^T for rows <= kTileRows; `scratch` holds
  // kTileRows * n floats.
  void times_inputs_t(const std::int8_t* spins, std::size_t rows, float* c, float* scratch) const;

 private:
  void prepare_rows();
  void prepare_targets(std::size_t tile);

  LayerView view_;
  const KernelTable& kernels_;
  int num_threads_;
  Inputs inputs_;
  Buffer<float> targets_;         // t^ (m, samples_ld)
  Buffer<double> mean_targets_;   // (m)
  Buffer<std::int8_t> linear_;    // (m, n)
  Buffer<float> linear_margins_;  // (m, N)
  double unit_alpha_ = 0.0;
};

}  // namespace qpsbgd
