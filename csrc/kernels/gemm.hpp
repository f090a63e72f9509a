// C = A^T B on packed panels, and float64 margins.
//
// Not a BLAS: a BLAS sums in an order of its own, different on every machine. Here each element is
// the plain left-to-right float sum over depth, so results agree bit for bit on every instruction
// set and with the NumPy twin.
#pragma once

#include "lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// 12 x 2 accumulators fill 24 of AVX-512's 32 registers; 6 x 2 fit the 16 of AVX2 and SSE2.
constexpr std::size_t kPanelRows = kWidth == 16 ? 12 : 6;
constexpr std::size_t kPanelColumns = 2 * kWidth;
// Depth a block: 128 x kPanelColumns floats of B (16 KiB at most) stay in L1.
constexpr std::size_t kDepthBlock = 128;

template <std::size_t kVectors>
QPSBGD_INLINE void micro_tile(const float* a, const float* b, std::size_t depth, bool accumulate,
                              float* c, std::size_t ldc) {
  Vec sum[kPanelRows][kVectors];
#pragma GCC unroll 12
  for (std::size_t i = 0; i < kPanelRows; ++i) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < kVectors; ++v) {
      sum[i][v] = accumulate ? load_unaligned(c + i * ldc + v * kWidth) : Vec{};
    }
  }
  for (std::size_t k = 0; k < depth; ++k) {
    Vec row[kVectors];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < kVectors; ++v) row[v] = load(b + v * kWidth);
#pragma GCC unroll 12
    for (std::size_t i = 0; i < kPanelRows; ++i) {
      const Vec scalar = broadcast(a[i]);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < kVectors; ++v) sum[i][v] += scalar * row[v];
    }
    a += kPanelRows;
    b += kPanelColumns;
  }
#pragma GCC unroll 12
  for (std::size_t i = 0; i < kPanelRows; ++i) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < kVectors; ++v) {
      store_unaligned(c + i * ldc + v * kWidth, sum[i][v]);
    }
  }
}

// A tile of at most kPanelRows x kPanelColumns at the edge of C: through a full-size buffer.
void edge_tile(const float* a, const float* b, std::size_t depth, bool accumulate, float* c,
               std::size_t ldc, std::size_t rows, std::size_t columns) {
  alignas(64) float buffer[kPanelRows * kPanelColumns] = {};
  if (accumulate) {
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < columns; ++j) buffer[i * kPanelColumns + j] = c[i * ldc + j];
    }
  }
  if (columns <= kWidth) {
    micro_tile<1>(a, b, depth, accumulate, buffer, kPanelColumns);
  } else {
    micro_tile<2>(a, b, depth, accumulate, buffer, kPanelColumns);
  }
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) c[i * ldc + j] = buffer[i * kPanelColumns + j];
  }
}

void gemm(const float* packed_a, const float* packed_b, std::size_t depth, std::size_t rows,
          std::size_t columns, float* c, std::size_t ldc) {
  for (std::size_t k0 = 0; k0 < depth; k0 += kDepthBlock) {
    const std::size_t k_count = depth - k0 < kDepthBlock ? depth - k0 : kDepthBlock;
    const bool accumulate = k0 != 0;
    for (std::size_t j = 0; j < columns; j += kPanelColumns) {
      const float* b = packed_b + j * depth + k0 * kPanelColumns;
      for (std::size_t i = 0; i < rows; i += kPanelRows) {
        const float* a = packed_a + i * depth + k0 * kPanelRows;
        float* tile = c + i * ldc + j;
        const std::size_t tile_rows = rows - i < kPanelRows ? rows - i : kPanelRows;
        const std::size_t tile_columns = columns - j < kPanelColumns ? columns - j : kPanelColumns;
        if (tile_rows == kPanelRows && tile_columns == kPanelColumns) {
          micro_tile<2>(a, b, k_count, accumulate, tile, ldc);
        } else {
          edge_tile(a, b, k_count, accumulate, tile, ldc, tile_rows, tile_columns);
        }
      }
    }
  }
}

void margins64(const float* inputs_t, const std::int8_t* spins, std::size_t num_variables,
               std::size_t num_samples, double* margins) {
  for (std::size_t i = 0; i < num_samples; ++i) margins[i] = 0.0;
  for (std::size_t k = 0; k < num_variables; ++k) {
    const float* x = inputs_t + k * num_samples;
    const double spin = spins[k];
    for (std::size_t i = 0; i < num_samples; ++i) margins[i] += spin * x[i];
  }
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
