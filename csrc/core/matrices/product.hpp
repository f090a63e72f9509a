// Matrix products that a caller can stop.
#pragma once

#include <algorithm>
#include <cstddef>

#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// Returns whether `stop` says to end. Null never does.
inline bool is_stopped(Stop* stop) { return stop != nullptr && stop->poll(); }

// Returns the number of items, a multiple of `unit`, that take about a millisecond at `operations`
// each.
inline std::size_t run_length(std::size_t operations, std::size_t unit = 1) {
  constexpr std::size_t kRunOperations = std::size_t{1} << 24;
  return std::max(unit, kRunOperations / std::max<std::size_t>(1, operations) / unit * unit);
}

// Writes c (rows, columns; ldc) = a (rows, depth; lda) B, where B is packed as gemm takes it.
// Unfinished where `stop` says to end.
inline void multiply(const KernelTable& kernels, const float* a, std::size_t lda,
                     const float* packed_b, std::size_t depth, std::size_t rows,
                     std::size_t columns, float* c, std::size_t ldc, Stop* stop) {
  // The sum of an element does not depend on the number of columns of a run.
  const std::size_t run = run_length(rows * depth, kernels.gemm.panel_columns);
  for (std::size_t first = 0; first < columns && !is_stopped(stop); first += run) {
    kernels.gemm.multiply(a, lda, packed_b + first * depth, depth, rows,
                          std::min(run, columns - first), c + first, ldc);
  }
}

}  // namespace qpsbgd
