#include "core/layers/gram_layer.hpp"

#include <algorithm>
#include <cmath>

#include "core/matrices/product.hpp"
#include "core/support/scale.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

// Returns the power of two that brings the largest mean square of a variable into [1/4, 1).
double scale_of(const GramView& view) {
  const std::size_t n = view.num_inputs;
  double largest = 0.0;
  for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, view.gram[i * (n + 1)]);
  const int exponent = exponent_of(largest / static_cast<double>(view.num_samples));
  return std::ldexp(1.0, -((exponent + (exponent > 0)) / 2));  // half of it, rounded up
}

}  // namespace

GramLayer::GramLayer(const GramView& view, const KernelTable& kernels, int num_threads, Stop* stop)
    : Layer(kernels, view.num_inputs, view.num_neurons, view.first_row, view.num_inputs,
            num_threads),
      view_(view),
      scale_(scale_of(view)),
      coupling_(inputs_ld() * inputs_ld()),
      packed_(round_up(view.num_inputs, kernels.gemm.panel_columns) * view.num_inputs),
      inverse_means_(view.num_neurons) {
  prepare_couplings(stop);
  prepare_rows(stop);
}

void GramLayer::prepare_couplings(Stop* stop) {
  const std::size_t n = num_inputs(), ld = inputs_ld(), width = kernels().gemm.panel_columns;
  const auto waiting = [&] { is_stopped(stop); };
  for (std::size_t i = 0; i < ld && !is_stopped(stop); ++i) {
    std::fill_n(&coupling_[i * ld], ld, 0.0f);
  }
  parallel_for(
      divide_up(n, kTileRows), num_threads(),
      [&](std::size_t block, int) {
        if (is_stopped(stop)) return;
        for (std::size_t i = block * kTileRows; i < std::min(n, (block + 1) * kTileRows); ++i) {
          kernels().reductions.of<double>().scale(view_.gram + i * n, n, scale_ * scale_,
                                                  &coupling_[i * ld]);
          coupling_[i * (ld + 1)] = 0.0f;
        }
      },
      waiting);
  parallel_for(
      divide_up(n, width), num_threads(),
      [&](std::size_t panel, int) {
        if (is_stopped(stop)) return;
        const std::size_t first = panel * width, count = std::min(width, n - first);
        for (std::size_t k = 0; k < n; ++k) {
          float* row = &packed_[first * n + k * width];
          std::copy_n(&coupling_[k * ld + first], count, row);
          std::fill(row + count, row + width, 0.0f);
        }
      },
      waiting);
}

void GramLayer::prepare_rows(Stop* stop) {
  const std::size_t n = num_inputs();
  double trace = 0.0;
  for (std::size_t i = 0; i < n; ++i) trace += scale_ * scale_ * view_.gram[i * (n + 1)];
  Buffer<float> scratch(num_workers(num_tiles(), num_threads()) * kTileRows * n);
  parallel_for(
      num_tiles(), num_threads(),
      [&](std::size_t tile, int worker) {
        if (is_stopped(stop)) return;
        const std::size_t first = tile * kTileRows, rows = tile_rows(tile);
        const double* cross = view_.cross + first * n;
        std::int8_t* spins = &linear_[first * n];
        for (std::size_t i = 0; i < rows * n; ++i) spins[i] = cross[i] >= 0.0 ? 1 : -1;
        image(spins, rows, &linear_images_[first * image_ld()], &scratch[worker * kTileRows * n],
              stop);
        for (std::size_t r = first; r < first + rows; ++r) {
          const double mean = view_.magnitudes[r] / static_cast<double>(view_.num_samples);
          // NOTES: the paper leaves the mean of an all-zero target open; its problem keeps target
          // 0.
          const double inverse = mean > 0.0 ? 1.0 / mean : 0.0;
          inverse_means_[r] = inverse;
          double margin2 = trace;  // ||X b||^2 = b^T X^T X b
          for (std::size_t i = 0; i < n; ++i) {
            margin2 += static_cast<double>(linear(r)[i]) * linear_image(r)[i];
          }
          const double sum =
              kernels().reductions.of<double>().sum_magnitudes(view_.cross + r * n, n);
          // Rounding may make the sum negative where X b is 0.
          norms_[r] = {.target2 = view_.squares[r] * inverse * inverse,
                       .margin2 = std::max(margin2, 0.0),
                       .product = sum * inverse * scale_};
        }
      },
      [&] { is_stopped(stop); });
}

void GramLayer::image(const std::int8_t* spins, std::size_t rows, float* c, float* scratch,
                      Stop* stop) const {
  const std::size_t n = num_inputs();
  kernels().elementwise.from_spins(spins, rows * n, scratch);
  multiply(kernels(), scratch, n, packed_.data(), n, rows, n, c, image_ld(), stop);
}

}  // namespace qpsbgd
