#include "core/matrices/inputs.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/matrices/product.hpp"
#include "core/support/scale.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {

float scale_to_unit(const float* x, std::size_t count, const KernelTable& kernels, Stop* stop) {
  const std::size_t run = run_length(1);
  float largest = 0.0f;
  for (std::size_t first = 0; first < count && !is_stopped(stop); first += run) {
    const std::size_t length = std::min(run, count - first);
    largest = std::max(largest, kernels.reductions.of<float>().largest(x + first, length));
  }
  return static_cast<float>(unit_scale(largest, 126));
}

std::size_t first_nonfinite(const KernelTable& kernels, const float* values, std::size_t count,
                            Stop* stop) {
  const std::size_t run = run_length(1);
  for (std::size_t first = 0; first < count && !is_stopped(stop); first += run) {
    const float* end = values + std::min(count, first + run);
    const auto length = static_cast<std::size_t>(end - (values + first));
    if (std::isfinite(kernels.reductions.of<float>().largest(values + first, length))) continue;
    return static_cast<std::size_t>(
        std::find_if(values + first, end, [](float x) { return !std::isfinite(x); }) - values);
  }
  return count;
}

Inputs::Inputs(const float* x, std::size_t num_samples, std::size_t num_inputs,
               const KernelTable& kernels, int num_threads, bool pack_transposed, Stop* stop)
    : num_samples_(num_samples),
      num_inputs_(num_inputs),
      kernels_(kernels),
      num_threads_(num_threads),
      scale_(scale_to_unit(x, num_samples * num_inputs, kernels, stop)),
      transposed_(num_inputs * samples_ld()),
      packed_(round_up(num_inputs, kernels.gemm.panel_columns) * num_samples),
      packed_transposed_(
          pack_transposed ? round_up(num_samples, kernels.gemm.panel_columns) * num_inputs : 0) {
  const std::size_t n = num_inputs_, samples = num_samples_, stride = samples_ld();
  const std::size_t width = kernels_.gemm.panel_columns;
  const std::size_t run = run_length(16 * width, width);
  parallel_for(
      divide_up(n, width), num_threads_,
      [&](std::size_t task, int) {
        const std::size_t first = task * width, count = std::min(width, n - first);
        float* panel = &packed_[first * samples];
        for (std::size_t start = 0; start < samples; start += run) {
          if (is_stopped(stop)) return;
          const std::size_t end = std::min(start + run, samples);
          for (std::size_t i = start; i < end; ++i) {
            const float* row = x + i * n + first;
            for (std::size_t j = 0; j < count; ++j) panel[i * width + j] = scale_ * row[j];
            std::fill(panel + i * width + count, panel + (i + 1) * width, 0.0f);
          }
          for (std::size_t j = 0; j < count; ++j) {
            float* row = &transposed_[(first + j) * stride];
            for (std::size_t i = start; i < end; ++i) row[i] = panel[i * width + j];
            for (std::size_t i = start; pack_transposed && i < end; i += width) {
              float* out = &packed_transposed_[i * n + (first + j) * width];
              const std::size_t left = std::min(width, samples - i);
              std::copy_n(row + i, left, out);
              std::fill(out + left, out + width, 0.0f);
            }
          }
        }
        for (std::size_t j = 0; j < count; ++j) {
          float* row = &transposed_[(first + j) * stride];
          std::fill(row + samples, row + stride, 0.0f);
        }
      },
      [&] { is_stopped(stop); });
}

void Inputs::times_inputs(const float* residuals, std::size_t rows, float* c, std::size_t ldc,
                          Stop* stop) const {
  multiply(kernels_, residuals, samples_ld(), packed_.data(), num_samples_, rows, num_inputs_, c,
           ldc, stop);
}

Buffer<float> Inputs::gram(float* diagonal, Stop* stop) const {
  const std::size_t n = num_inputs(), stride = inputs_ld();
  Buffer<float> g(stride * stride);
  const std::size_t width = kernels_.gemm.panel_columns;
  const auto waiting = [&] { is_stopped(stop); };
  parallel_for(
      divide_up(n, kMaxTileRows), num_threads_,
      [&](std::size_t block, int) {
        // Computes the columns from the diagonal on, beginning with a whole panel.
        const std::size_t first = block * kMaxTileRows, rows = std::min(kMaxTileRows, n - first);
        const std::size_t column = first / width * width;
        multiply(kernels_, transposed_.data() + first * samples_ld(), samples_ld(),
                 packed_.data() + column * num_samples(), num_samples(), rows, n - column,
                 g.data() + first * stride + column, stride, stop);
      },
      waiting);
  parallel_for(
      divide_up(n, kMaxTileRows), num_threads_,
      [&](std::size_t block, int) {
        const std::size_t first = block * kMaxTileRows, end = std::min(first + kMaxTileRows, n);
        for (std::size_t source = 0; source < end; source += kMaxTileRows) {
          if (is_stopped(stop)) return;
          for (std::size_t i = first; i < end; ++i) {
            const std::size_t last = std::min(source + kMaxTileRows, i);
            for (std::size_t j = source; j < last; ++j) g[i * stride + j] = g[j * stride + i];
          }
        }
        for (std::size_t i = first; i < end; ++i) {
          diagonal[i] = std::exchange(g[i * stride + i], 0.0f);
          std::fill(&g[i * stride] + n, &g[i * stride] + stride, 0.0f);
        }
      },
      waiting);
  std::fill(&g[n * stride], g.data() + g.size(), 0.0f);
  return g;
}

Buffer<float> Inputs::gram_blocks(float* diagonal, Stop* stop) const {
  const std::size_t n = num_inputs(), num_blocks = divide_up(n, kBlock);
  Buffer<float> blocks(num_blocks * kBlock * kBlock);
  const std::size_t width = kernels_.gemm.panel_columns;
  parallel_for(
      num_blocks, num_threads_,
      [&](std::size_t block, int) {
        const std::size_t first = block * kBlock, count = std::min(kBlock, n - first);
        float* g = &blocks[block * kBlock * kBlock];
        std::fill_n(g, kBlock * kBlock, 0.0f);
        // Multiplies some rows at a time, so that stop is also polled often if there are very many
        // samples.
        const std::size_t run = run_length(num_samples() * width);
        for (std::size_t row = 0; row < count; row += run) {
          multiply(kernels_, transposed_.data() + (first + row) * samples_ld(), samples_ld(),
                   packed_.data() + first * num_samples(), num_samples(),
                   std::min(run, count - row), count, g + row * kBlock, kBlock, stop);
        }
        for (std::size_t k = 0; k < count; ++k) {
          diagonal[first + k] = std::exchange(g[k * (kBlock + 1)], 0.0f);
        }
      },
      [&] { is_stopped(stop); });
  return blocks;
}

}  // namespace qpsbgd
