// Product of inputs with a matrix of signs, stored as bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/support/dispatch.hpp"

namespace qpsbgd {

// A bit is 1 for +1. The lowest bit of a byte comes first, and zeros fill the last byte of a row.
struct PackedMatrix {
  const std::uint8_t* bits;  // (num_rows, row_bytes)
  std::size_t num_rows;
  std::size_t num_columns;

  std::size_t row_bytes() const { return (num_columns + 7) / 8; }
};

// Nanoseconds of one thread for `num_inputs` inputs that are not signs; signs take less.
double packed_product_work(const PackedMatrix& matrix, std::size_t num_inputs);

// Sets outputs (num_inputs, num_rows) = inputs (num_inputs, num_columns) times the transposed
// matrix. Inputs of -1 and +1 are counted, which is exact. Returns false if more than max_real
// input vectors hold other values; outputs are then incomplete.
bool packed_product(const KernelTable& table, const PackedMatrix& matrix, const float* inputs,
                    std::size_t num_inputs, std::size_t max_real, float* outputs, int num_threads);

}  // namespace qpsbgd
