#include "core/layer.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "core/parallel.hpp"

namespace qpsbgd {
namespace {

// The power of two that brings the largest magnitude into [1/2, 1); 1 for all zeros.
float unit_scale(const LayerView& view, const KernelTable& kernels) {
  const auto bits = kernels.largest_magnitude(view.inputs, view.num_samples * view.num_inputs);
  int exponent = 0;
  std::frexp(std::bit_cast<float>(bits), &exponent);
  return std::ldexp(1.0f, -std::clamp(exponent, -126, 126));
}

}  // namespace

Layer::Layer(const LayerView& view, const KernelTable& kernels, int num_threads)
    : view_(view),
      kernels_(kernels),
      num_threads_(num_threads),
      x_scale_(unit_scale(view, kernels)),
      inputs_t_(view.num_inputs * samples_ld()),
      packed_inputs_(round_up(view.num_inputs, kernels.panel_columns) * view.num_samples),
      packed_inputs_t_(round_up(view.num_samples, kernels.panel_columns) * view.num_inputs),
      targets_(view.num_neurons * samples_ld()),
      mean_targets_(view.num_neurons),
      linear_(view.num_neurons * view.num_inputs),
      linear_margins_(view.num_neurons * samples_ld()) {
  pack_inputs();
  prepare_rows();
}

void Layer::pack_inputs() {
  const std::size_t n = num_inputs(), samples = num_samples(), stride = samples_ld();
  const std::size_t width = kernels_.panel_columns;
  parallel_for(divide_up(n, width), num_threads_, [&](std::size_t task, int) {
    const std::size_t first = task * width, count = std::min(width, n - first);
    float* panel = &packed_inputs_[first * samples];
    for (std::size_t i = 0; i < samples; ++i) {
      const float* x = view_.inputs + i * n + first;
      for (std::size_t j = 0; j < count; ++j) panel[i * width + j] = x_scale_ * x[j];
      std::fill(panel + i * width + count, panel + (i + 1) * width, 0.0f);
    }
    for (std::size_t j = 0; j < count; ++j) {
      float* row = &inputs_t_[(first + j) * stride];
      for (std::size_t i = 0; i < samples; ++i) row[i] = panel[i * width + j];
      std::fill(row + samples, row + stride, 0.0f);
      for (std::size_t i = 0; i < samples; i += width) {
        float* out = &packed_inputs_t_[i * n + (first + j) * width];
        const std::size_t left = std::min(width, samples - i);
        std::copy_n(row + i, left, out);
        std::fill(out + left, out + width, 0.0f);
      }
    }
  });
}

std::size_t Layer::tile_rows(std::size_t tile) const {
  return std::min(kTileRows, num_neurons() - tile * kTileRows);
}

void Layer::prepare_targets(std::size_t tile) {
  const std::size_t m = num_neurons(), samples = num_samples(), stride = samples_ld();
  const std::size_t first = tile * kTileRows, rows = tile_rows(tile);
  double sums[kTileRows] = {};
  for (std::size_t i = 0; i < samples; ++i) {
    for (std::size_t r = 0; r < rows; ++r) sums[r] += std::fabs(view_.targets[i * m + first + r]);
  }
  for (std::size_t r = 0; r < rows; ++r) {
    const double mean = sums[r] / static_cast<double>(samples);
    // NOTES: the paper leaves the mean of an all-zero target open; its problem keeps target 0.
    const double inverse = mean > 0.0 ? 1.0 / mean : 0.0;
    mean_targets_[first + r] = mean;
    float* row = &targets_[(first + r) * stride];
    const float* t = view_.targets + first + r;
    for (std::size_t i = 0; i < samples; ++i) row[i] = static_cast<float>(t[i * m] * inverse);
  }
}

void Layer::prepare_rows() {
  const std::size_t n = num_inputs(), samples = num_samples();
  const int workers = num_workers(num_tiles(), num_threads_);
  Buffer<float> scratch(workers * kTileRows * n);
  struct Norms {
    double target2, margin2;
  };
  std::vector<Norms> norms(num_neurons());
  parallel_for(num_tiles(), num_threads_, [&](std::size_t tile, int worker) {
    const std::size_t first = tile * kTileRows, rows = tile_rows(tile);
    float* own_scratch = &scratch[worker * kTileRows * n];
    prepare_targets(tile);
    times_inputs(targets(first), rows, own_scratch, n);
    std::int8_t* spins = &linear_[first * n];
    kernels_.to_spins(own_scratch, rows * n, spins);
    times_inputs_t(spins, rows, &linear_margins_[first * samples_ld()], own_scratch);
    for (std::size_t r = first; r < first + rows; ++r) {
      Norms row{};
      for (std::size_t i = 0; i < samples; ++i) {
        row.target2 += static_cast<double>(targets(r)[i]) * targets(r)[i];
        row.margin2 += static_cast<double>(linear_margins(r)[i]) * linear_margins(r)[i];
      }
      norms[r] = row;
    }
  });
  // Row by row in order: the same alpha for any number of threads.
  Norms sum{};
  for (const Norms& row : norms) {
    sum.target2 += row.target2;
    sum.margin2 += row.margin2;
  }
  // PAPER: alpha makes X b0 as long as the targets, one alpha a layer.
  if (sum.margin2 > 0.0) unit_alpha_ = std::sqrt(sum.target2 / sum.margin2);
}

void Layer::times_inputs(const float* residuals, std::size_t rows, float* c,
                         std::size_t ldc) const {
  kernels_.gemm(residuals, samples_ld(), packed_inputs_.data(), num_samples(), rows, num_inputs(),
                c, ldc);
}

void Layer::times_inputs_t(const std::int8_t* spins, std::size_t rows, float* c,
                           float* scratch) const {
  const std::size_t n = num_inputs();
  kernels_.from_spins(spins, rows * n, scratch);
  kernels_.gemm(scratch, n, packed_inputs_t_.data(), n, rows, num_samples(), c, samples_ld());
}

Buffer<float> Layer::gram() const {
  const std::size_t n = num_inputs(), stride = inputs_ld();
  Buffer<float> g(n * stride);
  const std::size_t width = kernels_.panel_columns;
  parallel_for(divide_up(n, kTileRows), num_threads_, [&](std::size_t block, int) {
    // From the diagonal on; starts at a whole panel.
    const std::size_t first = block * kTileRows, rows = std::min(kTileRows, n - first);
    const std::size_t column = first / width * width;
    kernels_.gemm(inputs_t_.data() + first * samples_ld(), samples_ld(),
                  packed_inputs_.data() + column * num_samples(), num_samples(), rows, n - column,
                  g.data() + first * stride + column, stride);
  });
  parallel_for(divide_up(n, kTileRows), num_threads_, [&](std::size_t block, int) {
    const std::size_t first = block * kTileRows, end = std::min(first + kTileRows, n);
    for (std::size_t source = 0; source < end; source += kTileRows) {
      for (std::size_t i = first; i < end; ++i) {
        const std::size_t stop = std::min(source + kTileRows, i);
        for (std::size_t j = source; j < stop; ++j) g[i * stride + j] = g[j * stride + i];
      }
    }
    for (std::size_t i = first; i < end; ++i) {
      std::fill(&g[i * stride] + n, &g[i * stride] + stride, 0.0f);
    }
  });
  return g;
}

Buffer<float> Layer::gram_blocks() const {
  const std::size_t n = num_inputs(), num_blocks = divide_up(n, kBlock);
  Buffer<float> blocks(num_blocks * kBlock * kBlock);
  parallel_for(num_blocks, num_threads_, [&](std::size_t block, int) {
    const std::size_t first = block * kBlock, count = std::min(kBlock, n - first);
    float* g = &blocks[block * kBlock * kBlock];
    std::fill_n(g, kBlock * kBlock, 0.0f);
    kernels_.gemm(inputs_t_.data() + first * samples_ld(), samples_ld(),
                  packed_inputs_.data() + first * num_samples(), num_samples(), count, count, g,
                  kBlock);
  });
  return blocks;
}

}  // namespace qpsbgd
