// The lowest energy of a block of states: one addition and one comparison a state.
//
// The table comes from L1, a row's sum is the same for a whole row of states, and a column's sum is
// added once, to the minimum over the rows. Rounding keeps order, so that this is the minimum of
// (table + row) + column on every instruction set.
#pragma once

#include "lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

constexpr std::size_t kVectorBytes = sizeof(Vec);

template <class Value>
struct VectorOf {
  typedef Value Type __attribute__((vector_size(kVectorBytes), may_alias));
};

// Sums of +-fields over all states of `bits` variables, from `start`; the last is the lowest bit.
template <class Value>
QPSBGD_INLINE void signed_sums(const Value* fields, std::size_t bits, Value start, Value* sums) {
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
  using Values = typename VectorOf<Value>::Type;
  constexpr std::size_t kPerVector = kVectorBytes / sizeof(Value);
  // Registers: a row on AVX2 and AVX-512, half of one on SSE2 and NEON.
  constexpr std::size_t kVectors = 256 / kVectorBytes < 8 ? 256 / kVectorBytes : 8;
  constexpr std::size_t kChunkColumns = kVectors * kPerVector;
  signed_sums(block.fields, Block::kRowBits, block.energy, block.row_sums);
  signed_sums(block.fields + Block::kRowBits, Block::kColumnBits, Value{0}, block.column_sums);
  const auto at = [](const Value* p) { return *reinterpret_cast<const Values*>(p); };
  Values lowest{};
  for (std::size_t column = 0; column < Block::kColumns; column += kChunkColumns) {
    Values low[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) {
      low[v] = at(block.table + column + v * kPerVector) + block.row_sums[0];
    }
    for (std::size_t row = 1; row < Block::kRows; ++row) {
      const Value* table = block.table + row * Block::kColumns + column;
      const Values row_sum = Values{} + block.row_sums[row];
      for (std::size_t v = 0; v < kVectors; ++v) {
        const Values energy = at(table + v * kPerVector) + row_sum;
        low[v] = energy < low[v] ? energy : low[v];
      }
    }
    for (std::size_t v = 0; v < kVectors; ++v) {
      const Values energy = low[v] + at(block.column_sums + column + v * kPerVector);
      lowest = column + v == 0 || energy < lowest ? energy : lowest;
    }
  }
  Value least = lowest[0];
  for (std::size_t k = 1; k < kPerVector; ++k) least = lowest[k] < least ? lowest[k] : least;
  return least;
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
