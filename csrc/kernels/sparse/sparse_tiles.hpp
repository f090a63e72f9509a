// The data of kernels for sparse problems (sizes.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/sizes.hpp"

namespace qpsbgd {

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
// With W the sum of the terms' magnitudes and c the sum of the magnitudes of those whose bit is 1,
// s_i f_i = 2 c - W. The sum that a sweep computes starts at a value that makes its highest digit
// tell whether s_i f_i >= 0.
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

}  // namespace qpsbgd
