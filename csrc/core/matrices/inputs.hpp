// Matrix X of samples in the layouts that kernels read, and X^T X.
#pragma once

#include <cstddef>

#include "core/support/buffer.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// Returns the position of the first NaN or infinity, or count. Unfinished where `stop` says to end.
std::size_t first_nonfinite(const KernelTable& kernels, const float* values, std::size_t count,
                            Stop* stop = nullptr);

// Returns the power of two that brings the largest magnitude into [1/2, 1); 1 for all zeros.
// If `stop` ends the call, the result is incomplete; `stop` may be null.
float scale_to_unit(const float* x, std::size_t count, const KernelTable& kernels,
                    Stop* stop = nullptr);

// Scaled samples scale() * X. The scale is the power of two that brings max|X| into [1/2, 1): no
// sum can overflow or vanish, and no rounding changes. If `stop` ends the call, the result is
// incomplete; `stop` may be null.
class Inputs {
 public:
  // x: (num_samples, num_inputs), row-major. pack_transposed: whether packed_transposed() exists.
  Inputs(const float* x, std::size_t num_samples, std::size_t num_inputs,
         const KernelTable& kernels, int num_threads, bool pack_transposed, Stop* stop = nullptr);

  std::size_t num_samples() const { return num_samples_; }
  std::size_t num_inputs() const { return num_inputs_; }
  float scale() const { return scale_; }
  // Leading dimensions: samples and inputs rounded up to kLanes.
  std::size_t samples_ld() const { return round_up(num_samples_, kLanes); }
  std::size_t inputs_ld() const { return round_up(num_inputs_, kLanes); }

  const float* transposed() const { return transposed_.data(); }  // X^T (n, samples_ld), padding 0
  const float* packed() const { return packed_.data(); }          // X for gemm: depth N, columns n
  const float* packed_transposed() const { return packed_transposed_.data(); }  // X^T for gemm

  // Writes c (rows, n; ldc) = residuals (rows, N; samples_ld) X.
  void times_inputs(const float* residuals, std::size_t rows, float* c, std::size_t ldc,
                    Stop* stop = nullptr) const;

  // Returns X^T X (inputs_ld, inputs_ld) with zero padding and a zero diagonal. The diagonal itself
  // goes to `diagonal` (n). The lower half is a copy of the upper one.
  Buffer<float> gram(float* diagonal, Stop* stop = nullptr) const;
  // Returns only the blocks on its diagonal, (blocks, kBlock, kBlock).
  Buffer<float> gram_blocks(float* diagonal, Stop* stop = nullptr) const;

 private:
  std::size_t num_samples_, num_inputs_;
  const KernelTable& kernels_;
  int num_threads_;
  float scale_;
  Buffer<float> transposed_;
  Buffer<float> packed_;
  Buffer<float> packed_transposed_;
};

}  // namespace qpsbgd
