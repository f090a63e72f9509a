// C = A B with packed B, and float64 margins.
//
// Not a BLAS: a BLAS sums in an order of its own, different on every machine. Here each element is
// the plain left-to-right float sum over depth, one rounding a multiply-add, so results agree bit
// for bit on every instruction set and with the NumPy twin.
#pragma once

#include "lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// 12 x 2 accumulators fill 24 of AVX-512's 32 registers; 6 x 2 fit the 16 of AVX2 and SSE2.
constexpr std::size_t kTileHeight = kWidth == 16 ? 12 : 6;
constexpr std::size_t kPanelColumns = 2 * kWidth;
// Depth a block: 128 x kPanelColumns floats of B (16 KiB at most) stay in L1.
constexpr std::size_t kDepthBlock = 128;

// The heights of tiles at the lower edge are multiples of this.
constexpr std::size_t kHeightStep = kTileHeight / 3;

// C (kHeight, kVectors * kWidth) = or += A (kHeight, depth) B (depth, ...).
template <std::size_t kHeight, std::size_t kVectors>
QPSBGD_INLINE void micro_tile(const float* a, std::size_t lda, const float* b, std::size_t depth,
                              bool accumulate, float* c, std::size_t ldc) {
  Vec sum[kHeight][kVectors];
#pragma GCC unroll 12
  for (std::size_t i = 0; i < kHeight; ++i) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < kVectors; ++v) {
      sum[i][v] = accumulate ? load_unaligned(c + i * ldc + v * kWidth) : Vec{};
    }
  }
  for (std::size_t k = 0; k < depth; ++k) {
    Vec row[kVectors];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < kVectors; ++v) row[v] = load(b + k * kPanelColumns + v * kWidth);
#pragma GCC unroll 12
    for (std::size_t i = 0; i < kHeight; ++i) {
      const Vec scalar = broadcast(a[i * lda + k]);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < kVectors; ++v) {
        sum[i][v] = multiply_add(row[v], scalar, sum[i][v]);
      }
    }
  }
#pragma GCC unroll 12
  for (std::size_t i = 0; i < kHeight; ++i) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < kVectors; ++v) {
      store_unaligned(c + i * ldc + v * kWidth, sum[i][v]);
    }
  }
}

// The same of a height that is known only now.
template <std::size_t kVectors, std::size_t kHeight = kTileHeight>
QPSBGD_INLINE void micro_tile_of(std::size_t rows, const float* a, std::size_t lda, const float* b,
                                 std::size_t depth, bool accumulate, float* c, std::size_t ldc) {
  if constexpr (kHeight > kHeightStep) {
    if (rows <= kHeight - kHeightStep) {
      return micro_tile_of<kVectors, kHeight - kHeightStep>(rows, a, lda, b, depth, accumulate, c,
                                                            ldc);
    }
  }
  micro_tile<kHeight, kVectors>(a, lda, b, depth, accumulate, c, ldc);
}

// A tile that is not of a whole height or width: through copies of A and C that are.
void edge_tile(const float* a, std::size_t lda, const float* b, std::size_t depth, bool accumulate,
               float* c, std::size_t ldc, std::size_t rows, std::size_t columns) {
  alignas(64) float sums[kTileHeight * kPanelColumns] = {};
  alignas(64) float padded[kTileHeight * kDepthBlock];
  if (accumulate) {
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < columns; ++j) sums[i * kPanelColumns + j] = c[i * ldc + j];
    }
  }
  if (rows % kHeightStep != 0) {
    for (std::size_t i = 0; i < rows + kHeightStep - rows % kHeightStep; ++i) {
      for (std::size_t k = 0; k < depth; ++k) {
        padded[i * kDepthBlock + k] = i < rows ? a[i * lda + k] : 0.0f;
      }
    }
    a = padded;
    lda = kDepthBlock;
  }
  if (columns <= kWidth) {
    micro_tile_of<1>(rows, a, lda, b, depth, accumulate, sums, kPanelColumns);
  } else {
    micro_tile_of<2>(rows, a, lda, b, depth, accumulate, sums, kPanelColumns);
  }
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) c[i * ldc + j] = sums[i * kPanelColumns + j];
  }
}

void gemm(const float* a, std::size_t lda, const float* packed_b, std::size_t depth,
          std::size_t rows, std::size_t columns, float* c, std::size_t ldc) {
  for (std::size_t k0 = 0; k0 < depth; k0 += kDepthBlock) {
    const std::size_t k_count = depth - k0 < kDepthBlock ? depth - k0 : kDepthBlock;
    const bool accumulate = k0 != 0;
    for (std::size_t j = 0; j < columns; j += kPanelColumns) {
      const float* b = packed_b + j * depth + k0 * kPanelColumns;
      const std::size_t tile_columns = columns - j < kPanelColumns ? columns - j : kPanelColumns;
      for (std::size_t i = 0, left = rows; left > 0;) {
        // Two tiles of 8 are better than one of 12 and one of 4.
        std::size_t tile_rows = left < kTileHeight ? left : kTileHeight;
        if (left == 4 * kHeightStep) tile_rows = 2 * kHeightStep;
        const float* tile_a = a + i * lda + k0;
        float* tile_c = c + i * ldc + j;
        if (tile_rows % kHeightStep == 0 && tile_columns == kPanelColumns) {
          micro_tile_of<2>(tile_rows, tile_a, lda, b, k_count, accumulate, tile_c, ldc);
        } else {
          edge_tile(tile_a, lda, b, k_count, accumulate, tile_c, ldc, tile_rows, tile_columns);
        }
        i += tile_rows;
        left -= tile_rows;
      }
    }
  }
}

void multiply_adds(const float* a, const float* b, const float* c, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; i += kWidth) {
    alignas(64) float x[3][kWidth] = {};
    const std::size_t left = count - i < kWidth ? count - i : kWidth;
    for (std::size_t j = 0; j < left; ++j) {
      x[0][j] = a[i + j], x[1][j] = b[i + j], x[2][j] = c[i + j];
    }
    store(x[0], multiply_add(load(x[0]), load(x[1]), load(x[2])));
    for (std::size_t j = 0; j < left; ++j) out[i + j] = x[0][j];
  }
}

void margins64(const float* inputs_t, std::size_t ld, const std::int8_t* spins,
               std::size_t num_variables, std::size_t num_samples, double* margins) {
  for (std::size_t i = 0; i < num_samples; ++i) margins[i] = 0.0;
  for (std::size_t k = 0; k < num_variables; ++k) {
    const float* x = inputs_t + k * ld;
    const double spin = spins[k];
    for (std::size_t i = 0; i < num_samples; ++i) margins[i] += spin * x[i];
  }
}

void to_spins(const float* values, std::size_t count, std::int8_t* spins) {
  for (std::size_t i = 0; i < count; ++i) spins[i] = values[i] >= 0.0f ? 1 : -1;
}

void from_spins(const std::int8_t* spins, std::size_t count, float* values) {
  for (std::size_t i = 0; i < count; ++i) values[i] = spins[i];
}

void step_along(float* weights, const std::int8_t* binary, std::size_t count, float lr,
                float clip) {
  for (std::size_t i = 0; i < count; ++i) {
    const float moved = weights[i] - lr * static_cast<float>(binary[i]);
    const float above = moved < -clip ? -clip : moved;  // a NaN stays
    weights[i] = above > clip ? clip : above;
  }
}

std::uint32_t largest_magnitude(const float* values, std::size_t count) {
  Ints largest[4] = {};
  std::size_t i = 0;
  for (; i + 4 * kWidth <= count; i += 4 * kWidth) {
    for (std::size_t q = 0; q < 4; ++q) {
      const Ints bits = (Ints)load_unaligned(values + i + q * kWidth) & 0x7fffffff;
      largest[q] = bits > largest[q] ? bits : largest[q];
    }
  }
  std::int32_t result = 0;
  for (std::size_t q = 0; q < 4; ++q) {
    for (std::size_t j = 0; j < kWidth; ++j) {
      result = largest[q][j] > result ? largest[q][j] : result;
    }
  }
  for (; i < count; ++i) {
    const std::int32_t bits = __builtin_bit_cast(std::int32_t, values[i]) & 0x7fffffff;
    result = bits > result ? bits : result;
  }
  return static_cast<std::uint32_t>(result);
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
