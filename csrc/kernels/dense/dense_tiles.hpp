// The data of kernels for dense problems (sizes.hpp).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/sizes.hpp"

namespace qpsbgd {

// `rows` problems that share one coupling matrix and differ in their biases.
//
// The state of a row is either its local fields, or, for J = X^T X without its diagonal, the
// residual r (num_samples), from which the fields are X^T r - diag(X^T X) s + h. Flipping s_k by d
// = +-2 adds d times row k of `updates` to the state: the rows of J, or those of X^T.
template <class Value>
struct QuadraticTile {
  const Value* updates;  // (num_variables, ld)
  Value* state;          // (rows, ld); padding of fields: -infinity, so that it never flips
  std::size_t ld;        // of updates and state, a multiple of kLanes

  // Couplings within blocks. Block b starts at coupling + b * block_step and has the leading
  // dimension block_ld, a multiple of kLanes. Zero diagonal, padding zero. For sweeps with rows in
  // the lanes, rows up to a multiple of kLanes are readable.
  const Value* coupling;
  std::size_t block_step;
  std::size_t block_ld;

  // For residuals (float only); packed_inputs is null if the state is the fields.
  const Value* packed_inputs;  // X as `gemm` packs it, of depth num_samples
  const Value* diagonal;       // (num_variables): of X^T X
  const Value* const* linear;  // (rows): h (num_variables) of each row; null if residuals include h
  std::size_t num_samples;

  Value* spins;  // (rows, spins_ld), padding +1; rows up to a multiple of kLanes are readable
  std::size_t spins_ld;  // num_variables rounded up to kLanes
  std::size_t rows;      // at most kMaxTileRows
  std::size_t num_variables;
};

// Reads of one dense problem in units, each coupling at most 127 units in magnitude. Between blocks
// every field lies in [-2^14, 2^14).
struct Int16Tile {
  const std::int8_t* updates;  // (num_variables, updates_ld): the couplings; padding 0
  std::size_t updates_ld;      // a multiple of 64
  std::int16_t* fields;        // (rows, ld)
  std::size_t ld;              // a multiple of 32
  std::size_t columns;         // num_variables rounded up to 2 kLanes
  float unit;                  // a power of two
  const float* coupling;       // this and the next two as in QuadraticTile, not in units
  std::size_t block_step;
  std::size_t block_ld;
  float* spins;  // this and the next three as in QuadraticTile
  std::size_t spins_ld;
  std::size_t rows;
  std::size_t num_variables;
};

// kLanes small dense problems, one in each lane. Vectors are (ld, kLanes), where ld is
// num_variables rounded up to kLanes. Padding: -infinity in fields and linear, +1 in spins.
struct InterleavedTile {
  const float* couplings;  // num_interleaved_floats(num_variables), in the order that `pack` makes
  const float* linear;
  float* fields;
  float* spins;
  float* kept;  // the best spins so far
  std::size_t num_variables;
};
constexpr std::size_t num_interleaved_floats(std::size_t num_variables) {
  const std::size_t blocks = (num_variables + kLanes - 1) / kLanes;
  constexpr std::size_t kPairs = kLanes * (kLanes - 1) / 2;
  return (blocks * kPairs + blocks * (blocks - 1) / 2 * kLanes * kLanes) * kLanes;
}

// Neurons of the sign objective: maximise sum_i t_i sign(margin_i) over s, where
// margin_i = sum_k x_ik s_k + eps and sign(0) = +1. Here a flip's gain is half of what it adds to
// the sum.
struct SignTile {
  const float* packed_inputs;  // x as `gemm` packs it, of depth num_samples
  const float* inputs_t;       // (num_variables, ld): x transposed, padding 0
  const float* reach;          // (blocks, ld): 2 max_k |x_ik| over the variables k of a block
  const std::int32_t*
      targets;           // (kLanes, ld), padding 0; magnitudes of a row sum to less than 2^31
  float* margins;        // (kLanes, ld); +infinity where the target is 0, as no flip matters there
  std::size_t ld;        // num_samples rounded up to kLanes
  float* spins;          // (kLanes, spins_ld), +-1
  std::size_t spins_ld;  // num_variables rounded up to kLanes
  std::size_t rows;      // at most kLanes
  std::size_t num_variables;
  std::size_t num_samples;
  std::uint64_t* critical;  // (ld / 64, rounded up): scratch
};

}  // namespace qpsbgd
