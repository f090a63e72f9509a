// The matrix product C = A B with packed B.
//
// A BLAS sums in an order of its own, which differs between machines. Here each element is the
// plain left-to-right float sum over depth with one rounding per multiply-add, so that the results
// are the same bits on every instruction set and in the NumPy twin.
#include "kernels/arithmetic/panels.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// 12 x 2 accumulators fill 24 of AVX-512's 32 registers; 6 x 2 fit the 16 of AVX2 and SSE2.
constexpr std::size_t kTileHeight = kWidth<float> == 16 ? 12 : 6;
// Depth of a block: 128 x kPanelColumns floats of B, at most 16 KiB, stay in the L1 cache.
constexpr std::size_t kDepthBlock = 128;

// The heights of tiles at the lower edge are multiples of this.
constexpr std::size_t kHeightStep = kTileHeight / 3;

// Sets C (kHeight, kVectors * width of a vector) = A (kHeight, depth) B (depth, the same width), or
// adds the product to C.
template <std::size_t kHeight, std::size_t kVectors>
QPSBGD_INLINE void micro_tile(const float* a, std::size_t lda, const float* b, std::size_t depth,
                              bool accumulate, float* c, std::size_t ldc) {
  Floats sum[kHeight][kVectors];
#pragma GCC unroll 12
  for (std::size_t i = 0; i < kHeight; ++i) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < kVectors; ++v) {
      sum[i][v] = accumulate ? load_unaligned(c + i * ldc + v * kWidth<float>) : Floats{};
    }
  }
  for (std::size_t k = 0; k < depth; ++k) {
    Floats row[kVectors];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < kVectors; ++v)
      row[v] = load(b + k * kPanelColumns + v * kWidth<float>);
#pragma GCC unroll 12
    for (std::size_t i = 0; i < kHeight; ++i) {
      const Floats scalar = broadcast(a[i * lda + k]);
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
      store_unaligned(c + i * ldc + v * kWidth<float>, sum[i][v]);
    }
  }
}

// Calls micro_tile with the least height that holds `rows`.
template <std::size_t kVectors, std::size_t kHeight = kTileHeight>
QPSBGD_INLINE void micro_tile_of_height(std::size_t rows, const float* a, std::size_t lda,
                                        const float* b, std::size_t depth, bool accumulate,
                                        float* c, std::size_t ldc) {
  if constexpr (kHeight > kHeightStep) {
    if (rows <= kHeight - kHeightStep) {
      return micro_tile_of_height<kVectors, kHeight - kHeightStep>(rows, a, lda, b, depth,
                                                                   accumulate, c, ldc);
    }
  }
  micro_tile<kHeight, kVectors>(a, lda, b, depth, accumulate, c, ldc);
}

// Computes a tile that is narrower than a panel, or whose height is no multiple of kHeightStep, in
// padded copies of A and C.
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
  if (columns <= kWidth<float>) {
    micro_tile_of_height<1>(rows, a, lda, b, depth, accumulate, sums, kPanelColumns);
  } else {
    micro_tile_of_height<2>(rows, a, lda, b, depth, accumulate, sums, kPanelColumns);
  }
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) c[i * ldc + j] = sums[i * kPanelColumns + j];
  }
}

void multiply(const float* a, std::size_t lda, const float* packed_b, std::size_t depth,
              std::size_t rows, std::size_t columns, float* c, std::size_t ldc) {
  for (std::size_t k0 = 0; k0 < depth; k0 += kDepthBlock) {
    const std::size_t k_count = depth - k0 < kDepthBlock ? depth - k0 : kDepthBlock;
    const bool accumulate = k0 != 0;
    for (std::size_t j = 0; j < columns; j += kPanelColumns) {
      const float* b = packed_b + j * depth + k0 * kPanelColumns;
      const std::size_t tile_columns = columns - j < kPanelColumns ? columns - j : kPanelColumns;
      for (std::size_t i = 0, left = rows; left > 0;) {
        // Two tiles of equal height are faster than a full tile and a short one. With AVX-512, 8 +
        // 8 rows replace 12 + 4.
        std::size_t tile_rows = left < kTileHeight ? left : kTileHeight;
        if (left == 4 * kHeightStep) tile_rows = 2 * kHeightStep;
        const float* tile_a = a + i * lda + k0;
        float* tile_c = c + i * ldc + j;
        if (tile_rows % kHeightStep == 0 && tile_columns == kPanelColumns) {
          micro_tile_of_height<2>(tile_rows, tile_a, lda, b, k_count, accumulate, tile_c, ldc);
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
  for (std::size_t i = 0; i < count; i += kWidth<float>) {
    alignas(64) float x[3][kWidth<float>] = {};
    const std::size_t left = count - i < kWidth<float> ? count - i : kWidth<float>;
    for (std::size_t j = 0; j < left; ++j) {
      x[0][j] = a[i + j], x[1][j] = b[i + j], x[2][j] = c[i + j];
    }
    store(x[0], multiply_add(load(x[0]), load(x[1]), load(x[2])));
    for (std::size_t j = 0; j < left; ++j) out[i + j] = x[0][j];
  }
}

void compute_margins(const float* inputs_t, std::size_t ld, const std::int8_t* spins,
                     std::size_t num_variables, std::size_t num_samples, double* margins) {
  for (std::size_t i = 0; i < num_samples; ++i) margins[i] = 0.0;
  for (std::size_t k = 0; k < num_variables; ++k) {
    const float* x = inputs_t + k * ld;
    const double spin = spins[k];
    for (std::size_t i = 0; i < num_samples; ++i) {
      margins[i] += spin * static_cast<double>(x[i]);
    }
  }
}

}  // namespace

constinit const GemmKernels kGemm = {
    .panel_columns = kPanelColumns,
    .multiply = multiply,
    .margins = compute_margins,
    .multiply_adds = multiply_adds,
};

}  // namespace qpsbgd::QPSBGD_ISA
