#include "core/inputs.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "core/parallel.hpp"

namespace qpsbgd {

float unit_scale(const float* x, std::size_t count, const KernelTable& kernels) {
  const auto bits = kernels.largest_magnitude(x, count);
  int exponent = 0;
  std::frexp(std::bit_cast<float>(bits), &exponent);
  return std::ldexp(1.0f, -std::clamp(exponent, -126, 126));
}

Inputs::Inputs(const float* x, std::size_t num_samples, std::size_t num_inputs,
               const KernelTable& kernels, int num_threads, bool pack_transposed)
    : num_samples_(num_samples),
      num_inputs_(num_inputs),
      kernels_(kernels),
      num_threads_(num_threads),
      scale_(unit_scale(x, num_samples * num_inputs, kernels)),
      transposed_(num_inputs * samples_ld()),
      packed_(round_up(num_inputs, kernels.panel_columns) * num_samples),
      packed_transposed_(pack_transposed ? round_up(num_samples, kernels.panel_columns) * num_inputs
                                         : 0) {
  const std::size_t n = num_inputs_, samples = num_samples_, stride = samples_ld();
  const std::size_t width = kernels_.panel_columns;
  parallel_for(divide_up(n, width), num_threads_, [&](std::size_t task, int) {
    const std::size_t first = task * width, count = std::min(width, n - first);
    float* panel = &packed_[first * samples];
    for (std::size_t i = 0; i < samples; ++i) {
      const float* row = x + i * n + first;
      for (std::size_t j = 0; j < count; ++j) panel[i * width + j] = scale_ * row[j];
      std::fill(panel + i * width + count, panel + (i + 1) * width, 0.0f);
    }
    for (std::size_t j = 0; j < count; ++j) {
      float* row = &transposed_[(first + j) * stride];
      for (std::size_t i = 0; i < samples; ++i) row[i] = panel[i * width + j];
      std::fill(row + samples, row + stride, 0.0f);
      for (std::size_t i = 0; pack_transposed && i < samples; i += width) {
        float* out = &packed_transposed_[i * n + (first + j) * width];
        const std::size_t left = std::min(width, samples - i);
        std::copy_n(row + i, left, out);
        std::fill(out + left, out + width, 0.0f);
      }
    }
  });
}

void Inputs::times_inputs(const float* residuals, std::size_t rows, float* c,
                          std::size_t ldc) const {
  kernels_.gemm(residuals, samples_ld(), packed_.data(), num_samples_, rows, num_inputs_, c, ldc);
}

Buffer<float> Inputs::gram(float* diagonal) const {
  const std::size_t n = num_inputs(), stride = inputs_ld();
  Buffer<float> g(stride * stride);
  const std::size_t width = kernels_.panel_columns;
  parallel_for(divide_up(n, kMaxTileRows), num_threads_, [&](std::size_t block, int) {
    // From the diagonal on; starts at a whole panel.
    const std::size_t first = block * kMaxTileRows, rows = std::min(kMaxTileRows, n - first);
    const std::size_t column = first / width * width;
    kernels_.gemm(transposed_.data() + first * samples_ld(), samples_ld(),
                  packed_.data() + column * num_samples(), num_samples(), rows, n - column,
                  g.data() + first * stride + column, stride);
  });
  parallel_for(divide_up(n, kMaxTileRows), num_threads_, [&](std::size_t block, int) {
    const std::size_t first = block * kMaxTileRows, end = std::min(first + kMaxTileRows, n);
    for (std::size_t source = 0; source < end; source += kMaxTileRows) {
      for (std::size_t i = first; i < end; ++i) {
        const std::size_t stop = std::min(source + kMaxTileRows, i);
        for (std::size_t j = source; j < stop; ++j) g[i * stride + j] = g[j * stride + i];
      }
    }
    for (std::size_t i = first; i < end; ++i) {
      diagonal[i] = std::exchange(g[i * stride + i], 0.0f);
      std::fill(&g[i * stride] + n, &g[i * stride] + stride, 0.0f);
    }
  });
  std::fill(&g[n * stride], g.data() + g.size(), 0.0f);
  return g;
}

Buffer<float> Inputs::gram_blocks(float* diagonal) const {
  const std::size_t n = num_inputs(), num_blocks = divide_up(n, kBlock);
  Buffer<float> blocks(num_blocks * kBlock * kBlock);
  parallel_for(num_blocks, num_threads_, [&](std::size_t block, int) {
    const std::size_t first = block * kBlock, count = std::min(kBlock, n - first);
    float* g = &blocks[block * kBlock * kBlock];
    std::fill_n(g, kBlock * kBlock, 0.0f);
    kernels_.gemm(transposed_.data() + first * samples_ld(), samples_ld(),
                  packed_.data() + first * num_samples(), num_samples(), count, count, g, kBlock);
    for (std::size_t k = 0; k < count; ++k) {
      diagonal[first + k] = std::exchange(g[k * (kBlock + 1)], 0.0f);
    }
  });
  return blocks;
}

}  // namespace qpsbgd
