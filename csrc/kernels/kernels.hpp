// The one interface between the core and the kernels: plain data (tiles) and tables of function
// pointers.
//
// CMake compiles every source in and below this folder once per instruction set. Each exports one
// table, and kernels.cpp joins them in a KernelTable; core/support/dispatch.cpp chooses one at run
// time. All instruction sets give the same bits: no order of a sum depends on the width of a
// vector, every multiply-add that is rounded once is named in the source, and the logarithm is our
// own.
//
// clang-format off
// Glossary
//   bias h_i, coupling J_ij   coefficients of E(s) = sum_i h_i s_i + sum_{i<j} J_ij s_i s_j
//   spin s_i                  a variable, +1 or -1
//   local field f_i           h_i + sum_j J_ij s_j
//   gain                      s_i f_i: half of the energy decrease if variable i flips
//   beta, threshold           inverse temperature, and 1 / (2 beta), the factor of the noise
//   noise                     random number that lets flips of negative gain pass (acceptance.hpp)
//   read                      one independent run of a sampler on a problem
//   sweep                     one visit to every variable
//   row                       one problem of a tile: a neuron of a layer, or a read
//   tile                      rows or reads that one thread processes together
//   block                     kBlock consecutive variables
//   lane                      one element of a SIMD vector, or of kLanes values that act as one
//   word                      32 bits, one of each of 32 reads (sweep_bits.cpp); 64 bits, one of each
//                             of 64 samples (sweep_sign.cpp)
//   plane                     a vector of words: one binary digit of a number in every read
//   part                      one of the vectors that make up kLanes values
//   state                     spins plus what is kept up to date with them (fields or residuals)
//   residual                  X s - t, for couplings X^T X; fields follow from it
//   unit                      power of two of which all biases are small integral multiples
//   ld                        leading dimension: the distance between two rows of a matrix
//   padding                   elements between a row's length and ld
// clang-format on
#pragma once

#include "kernels/dense/dense_tiles.hpp"
#include "kernels/paths/path_tiles.hpp"
#include "kernels/search/search_tiles.hpp"
#include "kernels/sizes.hpp"
#include "kernels/sparse/sparse_tiles.hpp"

namespace qpsbgd {

// Which flips a sweep at inverse temperature beta accepts, if d is the increase of the energy:
// Metropolis with probability min(1, exp(-beta d)), Gibbs with 1 / (1 + exp(beta d)).
enum class Acceptance { kMetropolis, kGibbs };

// Names a random stream. core/support/streams.hpp makes it from (seed, row, read, sweep).
struct StreamKey {
  std::uint32_t word0;
  std::uint32_t word1;
};

// Return value of a sweep that visited all variables.
inline constexpr std::size_t kSweepDone = ~std::size_t{0};

// Kernels of one family for several value types.
template <template <class> class Kernels, class... Values>
struct TypedKernels : Kernels<Values>... {
  template <class Value>
  const Kernels<Value>& of() const {
    return *this;
  }
};

struct GemmKernels {
  // Columns of the panels that `multiply` expects of B: [panel][k][panel_columns], 64-byte aligned;
  // zeros pad the last one.
  std::size_t panel_columns;

  // Sets C (rows, columns; ldc) = A B for row-major A (rows, depth; lda) and packed B (depth,
  // columns). Sums each element over depth in order and rounds once per multiply-add.
  void (*multiply)(const float* a, std::size_t lda, const float* packed_b, std::size_t depth,
                   std::size_t rows, std::size_t columns, float* c, std::size_t ldc);

  // Sets margins[i] = sum_k inputs_t[k, i] spins[k] in float64, k in order; inputs_t (n, ld).
  void (*margins)(const float* inputs_t, std::size_t ld, const std::int8_t* spins,
                  std::size_t num_variables, std::size_t num_samples, double* margins);

  // Sets out[i] = a[i] * b[i] + c[i], rounded once. For tests of the arithmetic of `multiply`.
  void (*multiply_adds)(const float* a, const float* b, const float* c, std::size_t count,
                        float* out);
};

struct ElementwiseKernels {
  // Sets spins[i] = +1 if values[i] >= 0, else -1; and the reverse conversion.
  void (*to_spins)(const float* values, std::size_t count, std::int8_t* spins);
  void (*from_spins)(const std::int8_t* spins, std::size_t count, float* values);

  // Subtracts lr * binary[i] from weights[i] and clamps the result to [-clip, clip]; binary is -1,
  // 0 or +1.
  void (*step_along)(float* weights, const std::int8_t* binary, std::size_t count, float lr,
                     float clip);

  // Sets out[i] to the unit exponential variate of (key, first + i).
  void (*exponential)(StreamKey key, std::uint32_t first, std::size_t count, float* out);
};

// Passes over the numbers of a caller, in float64 or float32.
template <class Value>
struct ReductionKernels {
  // Largest magnitude; infinity if a value is infinite or NaN.
  Value (*largest)(const Value* values, std::size_t count);
  // Smallest magnitude that is not 0; infinity if all are 0.
  Value (*smallest)(const Value* values, std::size_t count);
  double (*sum_magnitudes)(const Value* values, std::size_t count);
  // Sum of (factor * values[i])^2.
  double (*sum_squares)(const Value* values, std::size_t count, double factor);
  // Sets out[i] = factor * values[i].
  void (*scale)(const Value* values, std::size_t count, double factor, float* out);
};

// Energies and fields in float64 for a matrix as the caller holds it.
template <class Value>
struct EnergyKernels {
  // h.x + x^T J x / 2 for J (n, n) symmetric with a zero diagonal, whose rows are ld apart: for h
  // and x (n), and for kLanes of them, (n, kLanes). Both add in the same order.
  double (*energy)(const Value* couplings, std::size_t ld, const double* linear,
                   const double* state, std::size_t n);
  void (*energies)(const Value* couplings, std::size_t ld, const double* linear,
                   const double* states, std::size_t n, double* energies);
  // Products (num_rows, kLanes) of a matrix (num_rows, count) with kLanes states (count, kLanes).
  // Its elements are row_step and column_step apart, so that it may be transposed.
  void (*products)(const Value* matrix, std::size_t row_step, std::size_t column_step,
                   std::size_t num_rows, std::size_t count, const double* states, double* products);
  // sum_i s_i (h_i + f_i) / 2, an energy, over `count` variables.
  double (*energy_of_fields)(const Value* fields, const Value* linear, const Value* spins,
                             std::size_t count);
};

// Sweeps whose lanes are kLanes variables of one row (sweep_variables.cpp), float or double.
template <class Value>
struct QuadraticKernels {
  // Computes the state from the spins, summed in the order of the variables: fields that include
  // the h (num_variables) of each row, or residuals, which do not.
  void (*set_state)(const QuadraticTile<Value>& tile, const Value* const* linear);

  // One sweep at a temperature, variables in order. Variable i of a row meets the noise of
  // (keys[row], i).
  void (*anneal)(const QuadraticTile<Value>& tile, Acceptance acceptance, float threshold,
                 const StreamKey* keys);

  // Makes a sweep in which each row has its own threshold (rows).
  void (*anneal_each)(const QuadraticTile<Value>& tile, Acceptance acceptance,
                      const float* thresholds, const StreamKey* keys);

  // A sweep of num_variables proposals, each of a variable drawn uniformly, with replacement, from
  // the stream order[row]. The state must be fields.
  void (*anneal_random)(const QuadraticTile<Value>& tile, Acceptance acceptance, float threshold,
                        const StreamKey* keys, const StreamKey* order);
};

// Sweeps whose lanes are kLanes rows (sweep_rows.cpp). They make the same flips as
// QuadraticKernels<float>.
struct RowKernels {
  // One sweep of descent, variables in order. Sets active[r] to whether row r flipped anything;
  // rows that flipped nothing in the previous sweep need no visit.
  void (*descend)(const QuadraticTile<float>& tile, std::uint8_t* active);

  // One sweep at a temperature from variable `start` on, a multiple of kBlock. keys are readable up
  // to a multiple of kLanes rows. Returns kSweepDone, or, once a field in int16 leaves
  // [-2^14, 2^14), the variable from which the caller must go on in float; it may be one beyond the
  // last.
  std::size_t (*anneal)(const QuadraticTile<float>& tile, std::size_t start, Acceptance acceptance,
                        float threshold, const StreamKey* keys);
  std::size_t (*anneal_int16)(const Int16Tile& tile, std::size_t start, Acceptance acceptance,
                              float threshold, const StreamKey* keys);

  // Make such sweeps in which each row has its own threshold. The thresholds are 64-byte aligned
  // and readable up to a multiple of kLanes rows.
  std::size_t (*anneal_each)(const QuadraticTile<float>& tile, std::size_t start,
                             Acceptance acceptance, const float* thresholds, const StreamKey* keys);
  std::size_t (*anneal_each_int16)(const Int16Tile& tile, std::size_t start, Acceptance acceptance,
                                   const float* thresholds, const StreamKey* keys);
};

// Sweeps whose lanes are kLanes problems (sweep_problems.cpp). They make the same flips as
// QuadraticKernels<float>, and give the same energies.
struct InterleavedKernels {
  // Packs matrices (kLanes, num_variables, ld), padding 0, ld a multiple of kLanes.
  void (*pack)(const float* matrices, std::size_t num_variables, std::size_t ld, float* couplings);
  // Computes the fields from the spins, in the order of the variables.
  void (*set_fields)(const InterleavedTile& tile);
  void (*anneal)(const InterleavedTile& tile, Acceptance acceptance, const float* thresholds,
                 const StreamKey* keys);
  void (*energies)(const InterleavedTile& tile, double* energies);  // (kLanes)
  // Copies the spins of the lanes in the mask to `kept`.
  void (*keep)(const InterleavedTile& tile, std::uint32_t lanes);
};

// Sweeps over kLanes reads of a sparse problem (sweep_sparse.cpp), int16, float or double. The
// first four process the variables in [first, last), so that a caller can interrupt a long sweep.
template <class Value>
struct SparseKernels {
  void (*set_fields)(const SparseTile<Value>& tile, std::size_t first, std::size_t last);
  void (*anneal)(const SparseTile<Value>& tile, std::size_t first, std::size_t last,
                 Acceptance acceptance, float threshold, const StreamKey* keys);
  // Makes a sweep in which each lane has its own threshold (kLanes, 64-byte aligned).
  void (*anneal_each)(const SparseTile<Value>& tile, std::size_t first, std::size_t last,
                      Acceptance acceptance, const float* thresholds, const StreamKey* keys);
  // As in QuadraticKernels. Null for int16.
  void (*anneal_random)(const SparseTile<Value>& tile, std::size_t first, std::size_t last,
                        Acceptance acceptance, float threshold, const StreamKey* keys,
                        const StreamKey* order);
  void (*energies)(const SparseTile<Value>& tile, double* energies);  // (kLanes)
};

// Sweeps over the bits of up to 512 reads of a sparse problem of small integers (sweep_bits.cpp).
struct BitKernels {
  // Visits the variables in [first, last). keys (kMaxBitWords) name the words' random streams. Bits
  // of `active` (words) are the reads that exist.
  void (*anneal)(const BitTile& tile, std::size_t first, std::size_t last, Acceptance acceptance,
                 const BitChances& chances, const StreamKey* keys, const std::uint32_t* active);
  // Adds the bits of the pairs in [first, last), multiples of kBitPairGroup, to counts (32, words):
  // those of bit b of word w at [b][w].
  void (*count_terms)(const BitTile& tile, std::size_t first, std::size_t last,
                      std::uint32_t* counts);
  // Copies the spins of the chosen (words) reads to kept (num_variables, words).
  void (*keep)(const BitTile& tile, const std::uint32_t* chosen, std::uint32_t* kept);
};

// Sweeps over one read (sweep_bytes.cpp). They make the flips that BitKernels make in this read.
struct ByteKernels {
  // Visits the variables in [first, last). chances[g + 2^kMaxPlanes] is the probability that a flip
  // of gain g units is accepted, with its highest digit in the lowest bit. Gains from `always` on
  // need no draw. The key names the stream of the read's word, and `bit` is its place in the word.
  // Returns the sum of the gains of all flips.
  std::int64_t (*anneal)(const ByteTile& tile, std::size_t first, std::size_t last,
                         const std::uint32_t* chances, int always, StreamKey key, unsigned bit);
};

// Sweeps over kLanes reads of a transverse-field Ising problem. They draw worldlines of one qubit
// (sweep_worldlines.cpp), or of all qubits of a chain (sweep_chains.cpp), at equilibrium with those
// of the neighbours.
struct WorldlineKernels {
  // Updates the qubits, or chains, order[first], ..., order[last - 1]. Returns kSweepDone, or the
  // place in `order` of the first one that was not updated, as the tile's capacity is too small.
  std::size_t (*update)(const WorldlineTile& tile, const std::uint32_t* order, std::size_t first,
                        std::size_t last, const WorldlineFields& fields, const StreamKey* keys);
};

// Sweeps over kLanes reads of a rotor model (sweep_rotors.cpp).
struct RotorKernels {
  // Updates the rotors order[first], ..., order[last - 1], which may repeat.
  void (*update)(const RotorTile& tile, const std::uint32_t* order, std::size_t first,
                 std::size_t last, Acceptance acceptance, const RotorRule& rule,
                 const StreamKey* keys);
};

// Sweeps of the sign objective (sweep_sign.cpp), threshold in units of the targets, Metropolis
// acceptance. `active` is as in RowKernels.
struct SignKernels {
  void (*descend)(const SignTile& tile, std::uint8_t* active);
  void (*anneal)(const SignTile& tile, float threshold, const StreamKey* keys);
};

// Steepest descent (steepest_flip.cpp).
template <class Value>
struct SteepestKernels {
  // Flips the variable of the largest gain, the first of equal ones, until no gain is positive or
  // max_steps flips are made. Returns the number of flips. couplings (n, ld), fields and spins
  // (ld), padding of fields -infinity.
  std::size_t (*descend)(const Value* couplings, std::size_t ld, Value* fields, Value* spins,
                         std::size_t max_steps);
};

// Exhaustive search (enumerate.cpp).
template <class Value>
struct EnumerationKernels {
  // Returns the lowest energy of a block's states and sets its row and column sums. In int16 no sum
  // may overflow.
  Value (*lowest_energy)(const StateBlock<Value>& block);
};

// Tabu search (tabu_moves.cpp). `flip` flips a variable and brings the gains up to date, `pick`
// finds the next flip, and `move` does both in one pass. Gains in int16 may overflow: the caller
// must watch them.
template <class Value>
struct TabuKernels {
  TabuPick (*pick)(const TabuTile<Value>& tile, std::uint32_t random);
  TabuPick (*move)(const TabuTile<Value>& tile, std::size_t variable, std::uint32_t random);
  void (*flip)(const TabuTile<Value>& tile, std::size_t variable);
};
template <class Value>
struct SparseTabuKernels {
  TabuPick (*pick)(SparseTabuTile<Value>& tile, std::uint32_t random);
  void (*flip)(SparseTabuTile<Value>& tile, std::size_t variable);
};
struct AllTabuKernels {
  TypedKernels<TabuKernels, std::int16_t, std::int32_t, float, double> dense;
  TypedKernels<SparseTabuKernels, float, double> sparse;
};

// Products with a matrix of signs, one bit each (packed.cpp). A bit is 1 for +1; the lowest bit of
// a byte comes first, and zeros fill the last byte of a row. Zeros pad the inputs to a multiple of
// kLanes.
struct PackedKernels {
  // Sets out[r] to the product of row r with the inputs: kLanes sums over every kLanes-th input in
  // order, whose halves are then added to each other. Takes the negated inputs, which saves an
  // operation: a set bit then changes a sign.
  void (*multiply)(const std::uint8_t* bits, std::size_t row_bytes, std::size_t num_rows,
                   const float* negated_inputs, float* out);
  // Sets out[r] to the same product for inputs that are signs, as bits.
  void (*multiply_signs)(const std::uint8_t* bits, std::size_t row_bytes, std::size_t num_rows,
                         const std::uint8_t* input_bits, std::size_t num_columns, float* out);
  // Packs inputs (count), and returns whether all are -1 or +1. Writes whole pairs of bytes.
  bool (*pack_signs)(const float* inputs, std::size_t count, std::uint8_t* bits);
};

struct KernelTable {
  const char* isa;
  const GemmKernels& gemm;
  const ElementwiseKernels& elementwise;
  const TypedKernels<ReductionKernels, float, double>& reductions;
  const TypedKernels<EnergyKernels, float, double>& energies;
  const TypedKernels<QuadraticKernels, float, double>& quadratic;
  const RowKernels& rows;
  const InterleavedKernels& interleaved;
  const TypedKernels<SparseKernels, std::int16_t, float, double>& sparse;
  const BitKernels& bits;
  const ByteKernels& bytes;
  const WorldlineKernels& worldlines;
  const WorldlineKernels& chains;
  const RotorKernels& rotors;
  const SignKernels& sign;
  const TypedKernels<SteepestKernels, float, double>& steepest;
  const TypedKernels<EnumerationKernels, std::int16_t, float, double>& enumeration;
  const AllTabuKernels& tabu;
  const PackedKernels& packed;
};

}  // namespace qpsbgd
