// The data of kernels for exhaustive and tabu search (sizes.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/sizes.hpp"

namespace qpsbgd {

// All states of the last variables of a problem, next to one state of the others. Their energies
// are (table + row_sums) + column_sums, where all states of the other variables share the table.
// The row of a state is the code of its first kRowBits variables, and its column the code of the
// rest. In a code the first variable is the highest bit, and +1 is a one.
template <class Value>
struct StateBlock {
  static constexpr std::size_t kRowBits = 6;
  static constexpr std::size_t kRows = std::size_t{1} << kRowBits;
  static constexpr std::size_t kColumns = 256 / sizeof(Value);
  static constexpr std::size_t kColumnBits = sizeof(Value) == 8 ? 5 : sizeof(Value) == 4 ? 6 : 7;
  static constexpr std::size_t kBits = kRowBits + kColumnBits;
  static constexpr std::size_t kStates = kRows * kColumns;  // 16 KiB: half of a small L1 cache

  const Value* table;   // (kRows, kColumns): energies of the couplings between these variables
  const Value* fields;  // (kBits): local fields of these variables from the others
  Value energy;         // energy of the others
  Value* row_sums;     // (kRows), output: energy + sum_i s_i fields_i over the variables of the row
  Value* column_sums;  // (kColumns), output: sum_i s_i fields_i over those of the column
};

// Variables whose largest gain a tabu search stores together.
inline constexpr std::size_t kTabuBlock = 128;

// One state of a dense problem in a tabu search. Gains in int16 or int32 are exact for small
// integral couplings.
template <class Value>
struct TabuTile {
  using Coupling = std::conditional_t<std::is_floating_point_v<Value>, Value, std::int8_t>;
  using Spin = Coupling;

  const Coupling* couplings;  // (num_variables, ld), zero diagonal and padding
  Value* gains;               // (ld), padding: the lowest value
  Spin* spins;                // (ld): 2 s_i where gains are floats, else s_i
  const Value* caps;          // (ld): the highest value if a flip is allowed, else the lowest
  Value* maxima;              // (ld / kTabuBlock, 64 bytes): scratch
  std::size_t ld;             // a multiple of kTabuBlock
};

// One state of a sparse problem in a tabu search. The maxima of blocks remain from move to move.
template <class Value>
struct SparseTabuTile {
  const std::size_t* offsets;  // (num_variables + 1) into neighbours and couplings
  const std::uint32_t* neighbours;
  const Value* couplings;
  Value* gains;  // this and the next two as in TabuTile
  Value* spins;
  const Value* caps;
  Value* allowed;         // (ld / kTabuBlock): a block's largest gain of an allowed flip
  Value* largest;         // (ld / kTabuBlock): a block's largest gain
  std::uint8_t* stale;    // (ld / kTabuBlock): whether the two maxima are out of date
  std::uint32_t* blocks;  // (ld / kTabuBlock + 1): the stale blocks
  std::size_t num_stale;
  std::size_t ld;  // allowed and largest are padded to kLanes with the lowest value
};

// The result of a tabu search's choice: an allowed flip of the largest gain, and the largest gain
// of all flips. A random word chooses among equal gains.
struct TabuPick {
  std::size_t variable;
  double gain;
  double largest;
};

}  // namespace qpsbgd
