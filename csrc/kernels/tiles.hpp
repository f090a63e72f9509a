// The data that kernels work on. Pointers are not owned. All arrays of floats, doubles and integers
// that kernels load as vectors are 64-byte aligned, and so are their rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace qpsbgd {

// Kernels process kLanes variables, reads or neurons at a time on every instruction set.
// Leading dimensions of fields, spins and couplings are multiples of it.
inline constexpr std::size_t kLanes = 16;

// Up to this number of rows, sweeps with rows in the lanes use half of kLanes
// (sweep_eight_rows.cpp).
inline constexpr std::size_t kEightRows = kLanes / 2;

// The largest number of rows of a tile: a multiple of kLanes, and small, so that threads share a
// layer evenly.
inline constexpr std::size_t kMaxTileRows = 2 * kLanes;

// Variables of a block. A sweep visits a block before it brings the rest of the state up to date.
inline constexpr std::size_t kBlock = 64;

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
  float* spins;  // as in QuadraticTile
  std::size_t spins_ld;
  std::size_t rows;  // at most kLanes
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

// A coupling in a variable's list of neighbours.
template <class Value>
struct SparseEdge {
  std::uint32_t field;  // position of the neighbour's fields: its number times kLanes
  // Twice the coupling, which a flip adds to the field or subtracts. It fills at least four bytes,
  // so that one load can spread it over a vector.
  Value twice[sizeof(Value) < sizeof(float) ? sizeof(float) / sizeof(Value) : 1];
};
// Every list is padded to a multiple of this length with couplings of 0 to variable num_variables.
inline constexpr std::size_t kEdgeGroup = 4;

// kLanes reads of one sparse problem, one in each lane. Fields and couplings are float, double, or
// int16 in units.
template <class Value>
struct SparseTile {
  using Linear = std::conditional_t<std::is_same_v<Value, double>, double, float>;

  const std::size_t* offsets;  // (num_variables + 1) into edges
  const SparseEdge<Value>* edges;
  const Linear* linear;      // h, not in units: (num_variables), or (num_variables, kLanes)
  bool has_linear_in_lanes;  // whether each lane has its own h
  Value* fields;             // (num_variables + 1, kLanes)
  std::uint16_t* spins;      // (num_variables + 1): bit i is set if the spin of lane i is +1
  std::size_t num_variables;
  float unit;   // a power of two; 1 for float and double
  float reach;  // largest magnitude that a field can have, in units
};

// Slices of a worldline. A break is a place between two slices, or between the last and the first.
inline constexpr std::int32_t kNumSlices = 1 << 16;
// Positions of breaks and cuts are stored as int16, kFirstPosition for 0. Padding is the last one.
inline constexpr std::int16_t kFirstPosition = -(1 << 15);
inline constexpr std::int16_t kLastPosition = (1 << 15) - 1;
// Cuts that a sweep integrates fields up to together, at most; see WorldlineScratch.
inline constexpr std::size_t kCutRows = 8;

// A neighbour whose worldline has breaks in a lane.
struct BrokenNeighbour {
  const std::int16_t* breaks;  // (2 num_pairs, kLanes)
  const float* spins;          // (kLanes)
  std::size_t num_pairs;
  float coupling;
};

// What an update of the qubits of a chain needs; `rows` is capacity + kCutRows of the tile.
struct WorldlineScratch {
  std::int16_t* cuts;           // (chain_length, rows, kLanes)
  float* integrals;             // (chain_length, rows, kLanes): of the field, up to each cut
  std::int16_t* proposals;      // (rows, kLanes)
  std::uint16_t* masks;         // (2, rows)
  BrokenNeighbour* neighbours;  // (num_variables)

  // The rest is for updates of chains alone.
  std::int32_t* num_cuts;    // (chain_length, kLanes)
  std::uint32_t* most_cuts;  // (chain_length): largest number of a lane
  float* segment_noise;      // (chain_length, rows, kLanes)
  float* bond_noise;         // (chain_length, 2 rows, kLanes)
  // Of one lane. Segment m of qubit q has the number q * rows + m.
  std::int32_t* distances;  // (chain_length, rows): of the cuts from slice 0
  std::int8_t* spins;       // (chain_length, rows)
  float* energies;          // (chain_length, rows)
  std::uint32_t* parents;   // (chain_length, rows)
};

// kLanes reads of a transverse-field Ising problem, one in each lane. The state of a qubit is a
// worldline: its spin in each of kNumSlices slices of imaginary time, which is periodic. It is
// stored as the spin in the last slice, which holds until the first break, and the breaks.
struct WorldlineTile {
  const std::size_t* offsets;       // (num_variables + 1) into neighbours and couplings, or null
  const std::uint32_t* neighbours;  // where all qubits are neighbours
  const float* couplings;           // of the lists, or (num_variables, ld)
  std::size_t ld;
  const float* linear;       // (num_variables)
  float* spins;              // (num_variables, kLanes)
  std::int16_t* breaks;      // (num_variables, capacity, kLanes), ascending
  std::int32_t* num_breaks;  // (num_variables, kLanes), even
  std::uint32_t* num_pairs;  // (num_variables): half of the largest number of a lane
  std::size_t capacity;      // even
  std::size_t num_variables;
  std::size_t chain_length;  // qubits of a chain, which have consecutive numbers
  WorldlineScratch scratch;
};

// Fields at which a sweep updates worldlines.
struct WorldlineFields {
  float energy_factor;    // factor from an integral of a field to twice an energy
  float mean_gap;         // mean number of slices between proposed cuts; infinite for none
  float chain_factor;     // -log(1 - probability) that a slice joins aligned qubits of a chain
  bool is_ferromagnetic;  // whether aligned means equal
};

// Angles of a rotor: multiples of 2 pi / kNumAngles.
inline constexpr std::size_t kNumAngles = 256;

// Angles that an update of a rotor proposes.
enum class RotorProposal {
  kReflect,  // that of the opposite cosine
  kUniform,  // any
  kNear,     // one within a reach
};

// kLanes reads of a problem whose spins are the cosines of angles, one in each lane.
struct RotorTile {
  const std::size_t* offsets;  // this and the next four as in WorldlineTile
  const std::uint32_t* neighbours;
  const float* couplings;
  std::size_t ld;
  const float* linear;
  const float* transverse;  // (num_variables): factors of the transverse field
  const float* cosines;     // (kNumAngles)
  const float* sines;       // (kNumAngles): magnitudes
  std::int32_t* angles;     // (num_variables, kLanes)
  float* spins;             // (num_variables, kLanes): cosines of the angles
  std::size_t num_variables;
};

// A sweep's rule.
struct RotorRule {
  RotorProposal proposal;
  float energy_factor;  // factor from a field times a spin to an energy
  float transverse;     // factor of the sines' energies
  // kNear proposes angles at most `reach` away with equal probabilities, or, with the probability
  // outside / 2^24, one of the two that are one step further.
  std::uint32_t reach;
  std::uint32_t outside;
};

// ---- reads as bits (sweep_bits.cpp) -------------------------------------------------------------

// Reads of a 32-bit word, words of a tile, and the digits of the largest number that a bit-sliced
// sum holds: the largest magnitude of a field, in units, is below 2^kMaxPlanes.
inline constexpr std::size_t kWordReads = 32;
inline constexpr std::size_t kMaxBitWords = 16;
inline constexpr std::size_t kMaxPlanes = 6;
// Digits of an acceptance probability.
inline constexpr std::size_t kChanceBits = 32;
// Lists of edges and of pairs are padded to a multiple of these lengths.
constexpr std::size_t bit_edge_group(std::size_t num_planes) { return num_planes < 5 ? 4 : 8; }
inline constexpr std::size_t kBitPairGroup = 16;
inline constexpr std::size_t kBitPosition = 2;

// A pair of neighbours, for energies: as a bit, whether the planes at the two positions differ.
struct BitPair {
  std::uint32_t first, second;
};

// Up to kMaxBitWords words of reads of one sparse problem whose biases are small integers.
//
// Every variable has two planes, its spins and their complement. A term of s_i f_i is a bit,
// whether the spins of variable i differ from the plane at an edge's position: the neighbour's
// spins if the coupling is negative, else their complement. Positions count kBitPosition words.
// Terms of magnitude 2^b are in list b; other magnitudes are sums of these. Edges to variable
// num_variables, whose spin is always -1, stand for h. Edges from a variable to itself pad a list.
// With c the sum of the terms' bits and W that of their magnitudes, s_i f_i = 2 c - W. The sum that
// a sweep computes starts at a value that makes its highest digit tell whether s_i f_i >= 0.
struct BitTile {
  const std::size_t* offsets;  // (num_variables * num_lists + 1) into edges
  const std::uint32_t* edges;
  const std::uint8_t* starts;       // (num_variables): 2^(num_planes - 1) - (W + 1) / 2
  const std::uint8_t* is_odd;       // (num_variables): whether W is odd
  const std::size_t* pair_offsets;  // (num_lists + 1) into pairs
  const BitPair* pairs;
  std::uint32_t* spins;  // (num_variables + 1, 2, words): a set bit is +1, or -1 in complements
  std::size_t num_variables;
  std::size_t words;  // 4, 8 or 16
  std::size_t num_lists;
  std::size_t num_planes;  // 3 to kMaxPlanes
};

// The probabilities of flips in one sweep. A flip is accepted if a random number of kChanceBits
// digits is less than its probability, whose digits are, the highest first, at [g][v][k] of digits
// (kChanceBits / 4, 2^kMaxPlanes, 4): all bits set or none for digit 4 g + k of the sum v.
struct BitChances {
  const std::uint32_t* digits[2];  // for even and odd W
  // Sums below lowest[g] have no digit in the first groups up to g; no sum below the last one
  // flips.
  std::size_t lowest[kChanceBits / 4];
};

// A coupling in the list of a variable's neighbours, for one read whose fields are bytes.
struct ByteEdge {
  std::uint32_t neighbour;
  std::int32_t twice;  // twice the coupling, in units
};

// One read of a problem that a BitTile can hold.
struct ByteTile {
  const std::size_t* offsets;  // (num_variables + 1) into edges
  const ByteEdge* edges;
  std::int8_t* fields;  // (num_variables), in units
  std::int8_t* spins;   // (num_variables), +-1
};

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
