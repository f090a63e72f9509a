// Rows of a layer, prepared for projection, whether they came as samples or as products.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/support/buffer.hpp"
#include "core/support/streams.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// Rule for the length of alpha X B0^T, all rows together.
enum class AlphaRule {
  kNorm,  // the length of T^
  kFit,   // the length that is nearest to T^ (least squares)
};

// The part of the step length that one row contributes.
struct RowNorms {
  double target2;  // ||t^||^2
  double margin2;  // ||X b0||^2
  double product;  // <t^, X b0>: the sum of |X^T t^|, as b0 is the signs of X^T t^
};

// Returns alpha for scale 1 from the norms of all rows of a layer, added in order. It is 0 where T
// or X B0^T vanishes, and with kFit also where X^T T does.
double unit_alpha(const std::vector<RowNorms>& norms, AlphaRule alpha_rule);

// Consecutive rows of a layer: all rows, or the share of a process. A row gets the same bits in any
// share. It depends on the other rows only through alpha, which is computed from the norms of all.
//
// A SampleLayer has X and T, a GramLayer X^T X and X^T T. Both scale X by a power of two to about
// unit size, which does not change the problems. Below, X is the scaled X.
//
//   t^_r = t_r / mean|t_r|                   a row's target; 0 where the row's targets are all 0
//   b0_r = sign(X^T t_r), sign(0) = +1       the linear minimiser: signSGD's direction
//   A b                                      the image of a state, from which sweeps start: A is X
//                                            for samples, X^T X without its diagonal for products
class Layer {
 public:
  static constexpr std::size_t kTileRows = kMaxTileRows;

  virtual ~Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  std::size_t num_inputs() const { return num_inputs_; }    // n
  std::size_t num_neurons() const { return num_neurons_; }  // m: the number of these rows
  std::size_t num_tiles() const { return divide_up(num_neurons(), kTileRows); }
  std::size_t tile_rows(std::size_t tile) const {
    return std::min(kTileRows, num_neurons() - tile * kTileRows);
  }
  // Leading dimensions of states and images: rounded up to kLanes.
  std::size_t inputs_ld() const { return round_up(num_inputs_, kLanes); }
  std::size_t image_ld() const { return image_ld_; }

  const KernelTable& kernels() const { return kernels_; }
  int num_threads() const { return num_threads_; }

  const std::int8_t* linear(std::size_t row) const {  // b0_r (n), rows n apart
    return &linear_[row * num_inputs()];
  }
  const float* linear_image(std::size_t row) const {  // A b0_r, rows image_ld apart
    return &linear_images_[row * image_ld()];
  }
  const std::vector<RowNorms>& norms() const { return norms_; }  // (m)

  // Writes the images c (rows, image_ld) of spins (rows, n) for rows <= kTileRows. `scratch` holds
  // kTileRows * n floats. If `stop` ends the call, the result is incomplete; `stop` may be null.
  virtual void image(const std::int8_t* spins, std::size_t rows, float* c, float* scratch,
                     Stop* stop) const = 0;

  // Returns the random streams of a read of a row. They are named by the row's number in the whole
  // layer.
  ReadStreams streams(std::uint64_t seed, std::size_t row, std::size_t read) const {
    return {seed, first_row_ + row, read};
  }

 protected:
  // Subclasses fill linear_, linear_images_ and norms_.
  Layer(const KernelTable& kernels, std::size_t num_inputs, std::size_t num_neurons,
        std::size_t first_row, std::size_t image_size, int num_threads)
      : linear_(num_neurons * num_inputs),
        linear_images_(num_neurons * round_up(image_size, kLanes)),
        norms_(num_neurons),
        kernels_(kernels),
        num_inputs_(num_inputs),
        num_neurons_(num_neurons),
        first_row_(first_row),
        image_ld_(round_up(image_size, kLanes)),
        num_threads_(num_threads) {}

  Buffer<std::int8_t> linear_;   // (m, n)
  Buffer<float> linear_images_;  // (m, image_ld)
  std::vector<RowNorms> norms_;

 private:
  const KernelTable& kernels_;
  std::size_t num_inputs_, num_neurons_, first_row_, image_ld_;
  int num_threads_;
};

}  // namespace qpsbgd
