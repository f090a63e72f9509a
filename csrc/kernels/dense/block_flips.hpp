// A row's flips within a block, and their effect on its state.
//
// A sweep visits a block of 64 variables in all rows of its tile and updates only the fields of the
// block. Then it updates the state of every row, a chunk of columns at a time: the chunk of the 64
// update vectors stays in the L1 cache, and the same chunk of a row's state is held in registers.
#pragma once

#include "kernels/dense/flip_lists.hpp"
#include "kernels/simd/transpose.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Vectors of the state that a row holds in registers. A chunk of kBlock update rows fills at most
// 32 KiB.
constexpr std::size_t kChunkVectors = 8;

// Computes the fields of the block from `start` for every row: (rows, kBlock), padding -infinity.
template <class Value>
QPSBGD_INLINE void compute_block_fields(const QuadraticTile<Value>& tile, std::size_t start,
                                        Value* fields) {
  const std::size_t left = tile.num_variables - start;
  const std::size_t count = left < kBlock ? left : kBlock;
  const std::size_t size = (count + kLanes - 1) / kLanes * kLanes;
  if constexpr (std::is_same_v<Value, float>) {
    if (tile.packed_inputs != nullptr) {
      kGemm.multiply(tile.state, tile.ld, tile.packed_inputs + start * tile.num_samples,
                     tile.num_samples, tile.rows, count, fields, kBlock);
      for (std::size_t row = 0; row < tile.rows; ++row) {
        float* row_fields = fields + row * kBlock;
        const float* spins = tile.spins + row * tile.spins_ld + start;
        for (std::size_t i = 0; i < count; ++i) {
          row_fields[i] -= tile.diagonal[start + i] * spins[i];
        }
        if (tile.linear != nullptr) {
          for (std::size_t i = 0; i < count; ++i) row_fields[i] += tile.linear[row][start + i];
        }
        for (std::size_t i = count; i < size; ++i) row_fields[i] = -__builtin_inff();
      }
      return;
    }
  }
  for (std::size_t row = 0; row < tile.rows; ++row) {
    const Value* state = tile.state + row * tile.ld + start;
    for (std::size_t i = 0; i < size; i += kLanes) {
      store_lanes(fields + row * kBlock + i, load_lanes(state + i));
    }
  }
}

// Adds change * update row to kVectors vectors of a state, flip by flip.
template <std::size_t kVectors, class Value>
QPSBGD_INLINE void apply_to_chunk(const BlockFlips<Value>& flips, const Value* updates,
                                  std::size_t ld, Value* state) {
  Vector<Value> sum[kVectors];
  for (std::size_t v = 0; v < kVectors; ++v) sum[v] = load(state + v * kWidth<Value>);
  for (std::size_t k = 0; k < flips.count; ++k) {
    const Value* row = updates + flips.variable[k] * ld;
    const Vector<Value> change = broadcast(flips.change[k]);
    for (std::size_t v = 0; v < kVectors; ++v) {
      sum[v] = add_exact_product(load(row + v * kWidth<Value>), change, sum[v]);
    }
  }
  for (std::size_t v = 0; v < kVectors; ++v) store(state + v * kWidth<Value>, sum[v]);
}

template <std::size_t kVectors, class Value>
void apply_to_columns(const QuadraticTile<Value>& tile, const Value* updates, Value* state,
                      const BlockFlips<Value>* flips) {
  for (std::size_t row = 0; row < tile.rows; ++row) {
    if (!flips[row].has_any()) continue;
    apply_to_chunk<kVectors>(flips[row], updates, tile.ld, state + row * tile.ld);
  }
}

// Handles the last columns, fewer than kChunkVectors vectors, in one pass.
template <std::size_t kVectors, class Value>
void apply_to_rest(const QuadraticTile<Value>& tile, std::size_t vectors, const Value* updates,
                   Value* state, const BlockFlips<Value>* flips) {
  if (vectors == kVectors) {
    apply_to_columns<kVectors>(tile, updates, state, flips);
  } else if constexpr (kVectors > 1) {
    apply_to_rest<kVectors - 1>(tile, vectors, updates, state, flips);
  }
}

// Brings the states of all rows up to date with their flips in the block from `start`.
template <class Value>
QPSBGD_INLINE void apply_flips(const QuadraticTile<Value>& tile, std::size_t start,
                               const BlockFlips<Value>* flips) {
  constexpr std::size_t kChunk = kChunkVectors * kWidth<Value>;
  const Value* updates = tile.updates + start * tile.ld;
  std::size_t column = 0;
  for (; column + kChunk <= tile.ld; column += kChunk) {
    apply_to_columns<kChunkVectors>(tile, updates + column, tile.state + column, flips);
  }
  apply_to_rest<kChunkVectors - 1>(tile, (tile.ld - column) / kWidth<Value>, updates + column,
                                   tile.state + column, flips);
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
