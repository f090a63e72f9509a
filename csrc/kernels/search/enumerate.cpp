// The lowest energy of a block of states, for one addition and one comparison per state.
//
// The table is in the L1 cache, a row's sum is the same for a whole row of states, and a column's
// sum is added once, to the minimum over the rows. Rounding preserves order, so that the result is
// the minimum of (table + row) + column on every instruction set.
#include "kernels/simd/lanes.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Computes start + sum_i s_i fields_i for all states of `bits` variables. The last variable is the
// lowest bit of the code.
template <class Value>
QPSBGD_INLINE void add_signed(const Value* fields, std::size_t bits, Value start, Value* sums) {
  sums[0] = start;
  for (std::size_t bit = 0; bit < bits; ++bit) {
    const std::size_t count = std::size_t{1} << bit;
    const Value field = fields[bits - 1 - bit];
    for (std::size_t k = 0; k < count; ++k) {
      sums[count + k] = static_cast<Value>(sums[k] + field);
      sums[k] = static_cast<Value>(sums[k] - field);
    }
  }
}

template <class Value>
Value lowest_energy(const StateBlock<Value>& block) {
  using Block = StateBlock<Value>;
  using Values = Vector<Value>;
  constexpr std::size_t kSize = kWidth<Value>;
  // Vectors in registers: a whole row on AVX2 and AVX-512, half a row on SSE2 and NEON.
  constexpr std::size_t kVectors = 256 / kVectorBytes < 8 ? 256 / kVectorBytes : 8;
  constexpr std::size_t kChunkColumns = kVectors * kSize;
  add_signed(block.fields, Block::kRowBits, block.energy, block.row_sums);
  add_signed(block.fields + Block::kRowBits, Block::kColumnBits, Value{0}, block.column_sums);
  Values lowest{};
  for (std::size_t column = 0; column < Block::kColumns; column += kChunkColumns) {
    Values low[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) {
      low[v] = load(block.table + column + v * kSize) + block.row_sums[0];
    }
    for (std::size_t row = 1; row < Block::kRows; ++row) {
      const Value* table = block.table + row * Block::kColumns + column;
      const Values row_sum = Values{} + block.row_sums[row];
      for (std::size_t v = 0; v < kVectors; ++v) {
        const Values energy = load(table + v * kSize) + row_sum;
        low[v] = energy < low[v] ? energy : low[v];
      }
    }
    for (std::size_t v = 0; v < kVectors; ++v) {
      const Values energy = low[v] + load(block.column_sums + column + v * kSize);
      lowest = column + v == 0 || energy < lowest ? energy : lowest;
    }
  }
  Value least = lowest[0];
  for (std::size_t k = 1; k < kSize; ++k) least = lowest[k] < least ? lowest[k] : least;
  return least;
}

}  // namespace

constinit const TypedKernels<EnumerationKernels, std::int16_t, float, double> kEnumeration = {
    {lowest_energy<std::int16_t>}, {lowest_energy<float>}, {lowest_energy<double>}};

}  // namespace qpsbgd::QPSBGD_ISA
