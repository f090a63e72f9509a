#include "core/layer.hpp"

#include <algorithm>
#include <cmath>

#include "core/parallel.hpp"

namespace qpsbgd {
namespace {

// panel[k][width] from `count` vectors of length depth: element k of vector j is
// factor * source[j * vector_stride + k * depth_stride]. Padded with zeros.
template <class T>
void pack_panel(const T* source, std::size_t vector_stride, std::size_t depth_stride,
                std::size_t depth, std::size_t count, std::size_t width, float factor,
                float* panel) {
  for (std::size_t k = 0; k < depth; ++k) {
    const T* at = source + k * depth_stride;
    float* row = panel + k * width;
    for (std::size_t j = 0; j < count; ++j)
      row[j] = factor * static_cast<float>(at[j * vector_stride]);
    for (std::size_t j = count; j < width; ++j) row[j] = 0.0f;
  }
}

// packed[panel][k][width]: the same for any number of vectors.
template <class T>
void pack(const T* source, std::size_t vector_stride, std::size_t depth_stride, std::size_t depth,
          std::size_t count, std::size_t width, float factor, float* packed) {
  for (std::size_t first = 0; first < count; first += width) {
    pack_panel(source + first * vector_stride, vector_stride, depth_stride, depth,
               std::min(width, count - first), width, factor, packed + first * depth);
  }
}

// The power of two that brings the largest magnitude into [1/2, 1); 1 for all zeros.
float unit_scale(const float* values, std::size_t count) {
  float largest = 0.0f;
  for (std::size_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(values[i]));
  int exponent = 0;
  std::frexp(largest, &exponent);
  return std::ldexp(1.0f, -std::clamp(exponent, -126, 126));
}

}  // namespace

Layer::Layer(const LayerView& view, const KernelTable& kernels, int num_threads)
    : view_(view),
      kernels_(kernels),
      num_threads_(num_threads),
      x_scale_(unit_scale(view.inputs, view.num_samples * view.num_inputs)),
      inputs_t_(view.num_inputs * view.num_samples),
      packed_inputs_(round_up(view.num_inputs, kernels.panel_columns) * view.num_samples),
      packed_inputs_t_(round_up(view.num_samples, kernels.panel_columns) * view.num_inputs),
      targets_(view.num_neurons * view.num_samples),
      mean_targets_(view.num_neurons),
      linear_(view.num_neurons * view.num_inputs),
      linear_margins_(view.num_neurons * view.num_samples) {
  const std::size_t n = num_inputs(), samples = num_samples(), width = kernels.panel_columns;
  parallel_for(divide_up(n, width), num_threads, [&](std::size_t panel, int) {
    const std::size_t first = panel * width, count = std::min(width, n - first);
    pack_panel(view_.inputs + first, 1, n, samples, count, width, x_scale_,
               &packed_inputs_[first * samples]);
    for (std::size_t i = 0; i < samples; ++i) {
      for (std::size_t k = first; k < first + count; ++k) {
        inputs_t_[k * samples + i] = x_scale_ * view_.inputs[i * n + k];
      }
    }
  });
  parallel_for(divide_up(samples, width), num_threads, [&](std::size_t panel, int) {
    const std::size_t first = panel * width;
    pack_panel(inputs_t_.data() + first, 1, samples, n, std::min(width, samples - first), width,
               1.0f, &packed_inputs_t_[first * n]);
  });
  prepare_targets();
  prepare_linear();
}

std::size_t Layer::tile_rows(std::size_t tile) const {
  return std::min(kTileRows, num_neurons() - tile * kTileRows);
}

std::size_t Layer::scratch_size() const {
  return kTileRows * std::max(num_inputs(), num_samples());
}

void Layer::prepare_targets() {
  const std::size_t m = num_neurons(), samples = num_samples();
  parallel_for(num_tiles(), num_threads_, [&](std::size_t tile, int) {
    const std::size_t first = tile * kTileRows, rows = tile_rows(tile);
    double sums[kTileRows] = {};
    for (std::size_t i = 0; i < samples; ++i) {
      for (std::size_t r = 0; r < rows; ++r) sums[r] += std::fabs(view_.targets[i * m + first + r]);
    }
    for (std::size_t r = 0; r < rows; ++r) {
      const double mean = sums[r] / static_cast<double>(samples);
      mean_targets_[first + r] = mean;
      // NOTES: the paper leaves the mean of an all-zero target open; its problem keeps target 0.
      for (std::size_t i = 0; i < samples; ++i) {
        const double t = view_.targets[i * m + first + r];
        targets_[(first + r) * samples + i] = mean > 0.0 ? static_cast<float>(t / mean) : 0.0f;
      }
    }
  });
}

void Layer::prepare_linear() {
  const std::size_t n = num_inputs(), samples = num_samples();
  const int workers = num_workers(num_tiles(), num_threads_);
  Buffer<float> scratch(workers * scratch_size());
  Buffer<float> sums(workers * kTileRows * n);
  parallel_for(num_tiles(), num_threads_, [&](std::size_t tile, int worker) {
    const std::size_t first = tile * kTileRows, rows = tile_rows(tile);
    float* own_scratch = &scratch[worker * scratch_size()];
    float* own_sums = &sums[worker * kTileRows * n];
    times_inputs(targets(first), rows, own_sums, n, own_scratch);
    std::int8_t* spins = &linear_[first * n];
    for (std::size_t i = 0; i < rows * n; ++i) spins[i] = own_sums[i] >= 0.0f ? 1 : -1;
    times_inputs_t(spins, rows, &linear_margins_[first * samples], own_scratch);
  });
  // Row by row in order: the same alpha for any number of threads.
  double target_norm2 = 0.0, margin_norm2 = 0.0;
  for (std::size_t i = 0; i < num_neurons() * samples; ++i) {
    target_norm2 += static_cast<double>(targets_[i]) * targets_[i];
    margin_norm2 += static_cast<double>(linear_margins_[i]) * linear_margins_[i];
  }
  // PAPER: alpha makes X b0 as long as the targets, one alpha a layer.
  if (margin_norm2 > 0.0) unit_alpha_ = std::sqrt(target_norm2 / margin_norm2);
}

void Layer::times_inputs(const float* rows_n, std::size_t rows, float* c, std::size_t ldc,
                         float* scratch) const {
  const std::size_t samples = num_samples();
  pack(rows_n, samples, 1, samples, rows, kernels_.panel_rows, 1.0f, scratch);
  kernels_.gemm(scratch, packed_inputs_.data(), samples, rows, num_inputs(), c, ldc);
}

void Layer::times_inputs_t(const std::int8_t* spins, std::size_t rows, float* c,
                           float* scratch) const {
  const std::size_t n = num_inputs();
  pack(spins, n, 1, n, rows, kernels_.panel_rows, 1.0f, scratch);
  kernels_.gemm(scratch, packed_inputs_t_.data(), n, rows, num_samples(), c, num_samples());
}

Buffer<float> Layer::gram() const {
  const std::size_t n = num_inputs(), samples = num_samples(), stride = ld();
  Buffer<float> g(n * stride);
  const std::size_t num_blocks = divide_up(n, kTileRows);
  const int workers = num_workers(num_blocks, num_threads_);
  Buffer<float> scratch(workers * scratch_size());
  const std::size_t width = kernels_.panel_columns;
  parallel_for(num_blocks, num_threads_, [&](std::size_t block, int worker) {
    // Rows [first, first + rows), from the diagonal on; starts at a whole panel.
    const std::size_t first = block * kTileRows, rows = std::min(kTileRows, n - first);
    const std::size_t column = first / width * width;
    float* packed = &scratch[worker * scratch_size()];
    pack(view_.inputs + first, 1, n, samples, rows, kernels_.panel_rows, x_scale_, packed);
    kernels_.gemm(packed, packed_inputs_.data() + column * samples, samples, rows, n - column,
                  g.data() + first * stride + column, stride);
  });
  parallel_for(num_blocks, num_threads_, [&](std::size_t block, int) {
    const std::size_t first = block * kTileRows, end = std::min(first + kTileRows, n);
    for (std::size_t source = 0; source < end; source += kTileRows) {
      for (std::size_t i = first; i < end; ++i) {
        const std::size_t stop = std::min({source + kTileRows, i, end});
        for (std::size_t j = source; j < stop; ++j) g[i * stride + j] = g[j * stride + i];
      }
    }
    for (std::size_t i = first; i < end; ++i) {
      for (std::size_t j = n; j < stride; ++j) g[i * stride + j] = 0.0f;
    }
  });
  return g;
}

}  // namespace qpsbgd
