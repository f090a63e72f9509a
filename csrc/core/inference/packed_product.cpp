#include "core/inference/packed_product.hpp"

#include <algorithm>

#include "core/support/buffer.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {

double packed_product_work(const PackedMatrix& matrix, std::size_t num_inputs) {
  constexpr double kNanosecondsPerWeight = 0.04;
  return kNanosecondsPerWeight * static_cast<double>(num_inputs) *
         static_cast<double>(matrix.num_rows) * static_cast<double>(matrix.num_columns);
}

bool packed_product(const KernelTable& table, const PackedMatrix& matrix, const float* inputs,
                    std::size_t num_inputs, std::size_t max_real, float* outputs, int num_threads) {
  constexpr std::size_t kRun = 256;  // rows that a thread takes at once
  const std::size_t num_columns = matrix.num_columns, row_bytes = matrix.row_bytes();
  const std::size_t width = round_up(num_columns, kLanes);
  Buffer<float> values(width);
  Buffer<std::uint8_t> input_bits(width / 8);
  std::fill(values.data() + num_columns, values.data() + width, 0.0f);
  std::size_t num_real = 0;
  for (std::size_t i = 0; i < num_inputs; ++i) {
    std::copy_n(inputs + i * num_columns, num_columns, values.data());
    const bool is_signs = table.packed.pack_signs(values.data(), num_columns, input_bits.data());
    if (!is_signs && ++num_real > max_real) return false;
    if (!is_signs) {
      for (std::size_t k = 0; k < num_columns; ++k) values[k] = -values[k];
    }
    parallel_for(divide_up(matrix.num_rows, kRun), num_threads, [&](std::size_t run, int) {
      const std::size_t first = run * kRun;
      const std::size_t count = std::min(kRun, matrix.num_rows - first);
      const std::uint8_t* bits = matrix.bits + first * row_bytes;
      float* out = outputs + i * matrix.num_rows + first;
      if (is_signs) {
        table.packed.multiply_signs(bits, row_bytes, count, input_bits.data(), num_columns, out);
      } else {
        table.packed.multiply(bits, row_bytes, count, values.data(), out);
      }
    });
  }
  return true;
}

}  // namespace qpsbgd
