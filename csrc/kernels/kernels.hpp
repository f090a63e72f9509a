// The one interface between the core and the kernels: plain data and function pointers.
//
// Every kernel source is compiled once per instruction set (csrc/kernels/kernels.cpp) and exports
// one KernelTable; csrc/core/support/dispatch.cpp picks among them at run time. All instruction
// sets give the same bits: kernels have no reduction whose order depends on the vector width, name
// every multiply-add that is rounded once, and use their own logarithm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace qpsbgd {

// Variables are visited, and neurons of the sign objective solved, sixteen at a time on every
// instruction set. Leading dimensions of fields, spins and couplings are multiples of it.
inline constexpr std::size_t kLanes = 16;

// Rows of one tile at most: a multiple of kLanes, and few, so that threads share a layer evenly.
inline constexpr std::size_t kMaxTileRows = 2 * kLanes;

// Variables that a sweep visits before it brings the rest of the state up to date.
inline constexpr std::size_t kBlock = 64;

// What a sweep returns that was not broken off.
inline constexpr std::size_t kSweepDone = ~std::size_t{0};

// Which proposals are accepted at inverse temperature beta, d being the growth of the energy:
// Metropolis with probability min(1, exp(-beta d)), Gibbs with 1 / (1 + exp(beta d)).
enum class Acceptance { kMetropolis, kGibbs };

// Names one random stream; made by core/support/streams.hpp from (seed, row, read, sweep).
struct StreamKey {
  std::uint32_t word0;
  std::uint32_t word1;
};

// `rows` Ising problems that share one coupling matrix J and differ in their fields:
//   E(s) = sum_{i<j} J_ij s_i s_j + sum_i h_i s_i,   fields f_i = h_i + sum_j J_ij s_j.
// Flipping s_i changes E by -2 s_i f_i.
//
// A row's state is what the fields are known from: the fields themselves, or, for J = X^T X without
// its diagonal, the residual r (N) with f = X^T r - diag(X^T X) s, to which h may be added or which
// it is in. Flipping s_k by d = +-2 adds d times row k of `updates` to the state: that of J, or of
// X^T.
struct QuadraticTile {
  const float* updates;  // (num_variables, ld)
  float* state;          // (rows, ld); fields: padding -inf, so that it is never flipped
  std::size_t ld;        // of updates and state, a multiple of kLanes

  // Couplings within the blocks of kBlock variables: block b starts at coupling + b * block_step
  // and has leading dimension block_ld, a multiple of kLanes. Zero diagonal, padding zero.
  const float* coupling;
  std::size_t block_step;
  std::size_t block_ld;

  // Residual form only; packed_inputs is null if the state is the fields.
  const float* packed_inputs;  // X for `gemm`: depth num_samples
  const float* diagonal;       // (num_variables): of X^T X
  const float* const* linear;  // (rows): each row's h (num_variables); null where r has them in it
  std::size_t num_samples;

  float* spins;          // (rows, spins_ld), +-1, padding +1
  std::size_t spins_ld;  // num_variables rounded up to kLanes
  std::size_t rows;      // at most kMaxTileRows
  std::size_t num_variables;
};

// Reads of dense Ising problems in float64; energy and fields as above.
struct WideTile {
  const double* couplings;  // (num_variables, ld), zero diagonal, padding zero
  double* fields;           // (rows, ld), padding -inf, so that it is never flipped
  double* spins;            // (rows, ld), +-1, padding +1
  std::size_t ld;           // num_variables rounded up to kLanes
  std::size_t rows;
  std::size_t num_variables;
};

// kLanes small dense Ising problems, one a lane. Vectors (ld, kLanes), ld being num_variables
// rounded up to kLanes; padding: fields and linear -inf, spins +1.
struct InterleavedTile {
  const float* couplings;  // interleaved_floats(num_variables) of them, as `pack` puts them
  const float* linear;
  float* fields;
  float* spins;
  float* kept;  // spins
  std::size_t num_variables;
};
constexpr std::size_t interleaved_floats(std::size_t num_variables) {
  const std::size_t blocks = (num_variables + kLanes - 1) / kLanes;
  constexpr std::size_t kPairs = kLanes * (kLanes - 1) / 2;
  return (blocks * kPairs + blocks * (blocks - 1) / 2 * kLanes * kLanes) * kLanes;
}

// Couplings scale (A^T A - diag(squares)) in float64.
struct FactorTile {
  const double* factor;   // A (rank, num_variables)
  const double* squares;  // (num_variables): the diagonal of A^T A
  double* margins;        // (rank, kLanes): scratch of fields
  double scale;
  std::size_t rank;
  std::size_t num_variables;
};

// Reads of one dense Ising problem whose couplings are at most 127 units. Between blocks of kBlock
// variables no field is outside [-2^14, 2^14).
struct NarrowTile {
  const std::int16_t* twice;  // (num_variables, ld): twice the couplings, in units; padding 0
  std::int16_t* fields;       // (rows, ld), in units
  std::size_t ld;             // a multiple of 64 bytes
  std::size_t columns;        // num_variables rounded up to 2 kLanes
  float unit;                 // a power of two
  const float* coupling;      // as above, of QuadraticTile; kLanes rows beyond the last are there
  std::size_t block_step;
  std::size_t block_ld;
  float* spins;
  std::size_t spins_ld;
  std::size_t rows;  // at most kLanes
  std::size_t num_variables;
};

// Neurons of the sign objective: maximise sum_i t_i sign(margin_i) over s, where
// margin_i = sum_k x_ik s_k + eps and sign(0) = +1. A flip's gain is half of what it adds to that.
struct SignTile {
  const float* packed_inputs;   // x for `gemm`: depth num_samples
  const float* inputs_t;        // (num_variables, ld): x transposed, padding 0
  const float* reach;           // (blocks of kBlock variables, ld): 2 max_k |x_ik| over the block
  const std::int32_t* targets;  // (kLanes, ld), padding 0; a row's magnitudes sum to < 2^31
  float* margins;               // (kLanes, ld); +infinity where the target is 0: no flip gets there
  std::size_t ld;               // num_samples rounded up to kLanes
  float* spins;                 // (kLanes, spins_ld), +-1
  std::size_t spins_ld;         // num_variables rounded up to kLanes
  std::size_t rows;             // at most kLanes; of those beyond only the memory must be there
  std::size_t num_variables;
  std::size_t num_samples;
  std::uint64_t* critical;  // (ld / 64, rounded up): scratch
  float* lanes;             // (2 ld + spins_ld, kLanes): scratch of sign_anneal_lanes
};

// A coupling in a variable's list.
template <class Value>
struct SparseEdge {
  std::uint32_t fields;  // the neighbour's: its number times kLanes
  // Twice the coupling, which is how it comes into a flip; fills four bytes at least, so that one
  // load spreads it.
  Value twice[sizeof(Value) < sizeof(float) ? sizeof(float) / sizeof(Value) : 1];
};
// Every list is filled up to a multiple of this with couplings of 0 to variable num_variables.
inline constexpr std::size_t kEdgeGroup = 4;

// kLanes reads of one sparse Ising problem, one a lane; energy and fields as above. Fields and
// couplings are floats, doubles, or int16 or int8 that count `unit`s.
template <class Value>
struct SparseTile {
  using Linear = std::conditional_t<std::is_same_v<Value, double>, double, float>;

  const std::size_t* offsets;  // (num_variables + 1) into edges
  const SparseEdge<Value>* edges;
  const Linear* linear;  // h, not in units: (num_variables), or (num_variables, kLanes)
  bool linear_in_lanes;  // each lane's own
  Value* fields;         // (num_variables + 1, kLanes)
  std::uint16_t* spins;  // (num_variables + 1): the bit of a lane is set where the spin is +1
  std::size_t num_variables;
  float unit;  // a power of two; of floats and doubles 1
};

// All states of an Ising problem's last variables beside one state of the others. Their energies
// are made of a table that all states of the others share and two sums over few variables:
//   E = (table + row_sums) + column_sums.
// A state's row is the code of its first kRowBits variables, its column that of the others, the
// first variable being the highest bit, +1 a one.
template <class Value>
struct StateBlock {
  static constexpr std::size_t kRowBits = 6;
  static constexpr std::size_t kRows = std::size_t{1} << kRowBits;
  static constexpr std::size_t kColumns = 256 / sizeof(Value);
  static constexpr std::size_t kColumnBits = sizeof(Value) == 8 ? 5 : sizeof(Value) == 4 ? 6 : 7;
  static constexpr std::size_t kBits = kRowBits + kColumnBits;
  static constexpr std::size_t kStates = kRows * kColumns;  // 16 KiB: half of a small L1

  const Value* table;   // (kRows, kColumns): of the couplings between these variables
  const Value* fields;  // (kBits): of these variables, from the others
  Value energy;         // of the others
  Value* row_sums;      // (kRows), out: energy + sum_i s_i fields_i over the row's variables
  Value* column_sums;   // (kColumns), out: sum_i s_i fields_i over the column's
};

// Variables whose largest gain a tabu search keeps together.
inline constexpr std::size_t kTabuBlock = 128;

// Tabu search on one state of an Ising problem: gain_i = s_i f_i, half of what flipping s_i takes
// off the energy. Exact in 16 bits for small integral couplings, else float or double.
template <class Value>
struct TabuTile {
  using Coupling = std::conditional_t<std::is_floating_point_v<Value>, Value, std::int8_t>;

  const Coupling* couplings;  // (num_variables, ld), zero diagonal and padding
  Value* gains;               // (ld), padding: the lowest value
  Value* spins;               // (ld), +-2
  const Value* caps;          // (ld): the highest value where a flip is allowed, else the lowest
  Value* maxima;              // (ld / kTabuBlock, 64 bytes): scratch
  std::size_t ld;             // a multiple of kTabuBlock
};

// The same on lists of neighbours, the maxima of blocks kept from move to move.
template <class Value>
struct SparseTabuTile {
  const std::size_t* offsets;
  const std::uint32_t* neighbours;
  const Value* couplings;
  Value* gains;
  Value* spins;
  const Value* caps;
  // (ld / kTabuBlock), padded to kLanes with the lowest value: the block's largest gain of an
  // allowed flip, and of any.
  Value* allowed;
  Value* largest;
  std::uint8_t* stale;    // (ld / kTabuBlock): whether these two have to be found anew
  std::uint32_t* blocks;  // (ld / kTabuBlock): the stale blocks
  std::size_t num_stale;
  std::size_t ld;
};

// An allowed flip of the largest gain; one of several is chosen by a random word. And the largest
// gain of all flips.
struct TabuPick {
  std::size_t variable;
  double gain;
  double largest;
};

struct KernelTable {
  const char* isa;

  // Width of the panels that `gemm` expects of B: [panel][k][panel_columns], the last padded with
  // zeros, 64-byte aligned.
  std::size_t panel_columns;

  // C (rows, columns; ldc) = A B for row-major A (rows, depth; lda) and packed B (depth, columns).
  // Each element is summed over depth in order, one rounding a multiply-add.
  void (*gemm)(const float* a, std::size_t lda, const float* packed_b, std::size_t depth,
               std::size_t rows, std::size_t columns, float* c, std::size_t ldc);

  // margins[i] = sum_k inputs_t[k, i] * spins[k] in float64, k in order. inputs_t: (n, ld).
  void (*margins64)(const float* inputs_t, std::size_t ld, const std::int8_t* spins,
                    std::size_t num_variables, std::size_t num_samples, double* margins);

  // spins[i] = +1 where values[i] >= 0, else -1; and back.
  void (*to_spins)(const float* values, std::size_t count, std::int8_t* spins);
  void (*from_spins)(const std::int8_t* spins, std::size_t count, float* values);

  // weights[i] -= lr * binary[i], kept in [-clip, clip]; binary of -1, 0 and +1.
  void (*step_along)(float* weights, const std::int8_t* binary, std::size_t count, float lr,
                     float clip);

  // Largest bit pattern of |values[i]|: below 0x7f800000 if all are finite, and the largest
  // magnitude's then.
  std::uint32_t (*largest_magnitude)(const float* values, std::size_t count);

  // The state from the spins, summed in the variables' order: fields, with each row's h
  // (num_variables), or residuals, without.
  void (*quadratic_fields)(const QuadraticTile& tile, const float* const* linear);

  // One sweep, variables in order: flips where that lowers the energy (strictly). Sets active[r] to
  // whether row r flipped anything; rows that did not in the sweep before need not be visited.
  // spins are there up to a multiple of kLanes rows.
  void (*quadratic_descent)(const QuadraticTile& tile, std::uint8_t* active);

  // One sweep at a temperature, variables in order: flips i where s_i f_i + threshold * e >= 0, e
  // the acceptance rule's noise at (keys[row], i). threshold = 1 / (2 beta), in units of the
  // fields.
  void (*quadratic_anneal)(const QuadraticTile& tile, Acceptance acceptance, float threshold,
                           const StreamKey* keys);

  // The same flips from variable `start` on, a multiple of kBlock, of rows that are visited kLanes
  // together, one a lane. Returns kSweepDone, or, as soon as a field in int16 is too large, the
  // variable to go on from with floats, which may be one beyond the last. spins and keys are there
  // up to a multiple of kLanes rows.
  std::size_t (*dense_anneal_float)(const QuadraticTile& tile, std::size_t start,
                                    Acceptance acceptance, float threshold, const StreamKey* keys);
  std::size_t (*dense_anneal_int16)(const NarrowTile& tile, std::size_t start,
                                    Acceptance acceptance, float threshold, const StreamKey* keys);

  // A sweep of num_variables proposals, each of a variable drawn uniformly, with replacement, from
  // order[row]. Fields form only.
  void (*quadratic_anneal_random)(const QuadraticTile& tile, Acceptance acceptance, float threshold,
                                  const StreamKey* keys, const StreamKey* order);

  // quadratic_fields, quadratic_anneal, quadratic_anneal_random and energy in float64, where these
  // would round. Where float32 is exact they make the same flips.
  void (*wide_fields)(const WideTile& tile, const double* const* linear);
  void (*wide_anneal)(const WideTile& tile, Acceptance acceptance, float threshold,
                      const StreamKey* keys);
  void (*wide_anneal_random)(const WideTile& tile, Acceptance acceptance, float threshold,
                             const StreamKey* keys, const StreamKey* order);
  double (*wide_energy)(const double* fields, const double* linear, const double* spins,
                        std::size_t count);

  // The same flips as quadratic_anneal's, by Metropolis's rule, and the same energies as
  // `energy`'s.
  struct Interleaved {
    // from (kLanes, num_variables, ld): matrices, padding 0, ld a multiple of kLanes.
    void (*pack)(const float* from, std::size_t num_variables, std::size_t ld, float* couplings);
    void (*fields)(const InterleavedTile& tile);  // from spins, in the variables' order
    void (*anneal)(const InterleavedTile& tile, const float* thresholds, const StreamKey* keys);
    void (*energies)(const InterleavedTile& tile, double* energies);      // (kLanes)
    void (*keep)(const InterleavedTile& tile, std::uint32_t lanes_mask);  // kept = spins
  };
  Interleaved interleaved;

  // Passes over a caller's couplings.
  template <class Value>
  struct Matrix {
    // The largest magnitude; infinity if a value is infinite or not a number.
    double (*largest)(const Value* values, std::size_t count);
    // The smallest magnitude that is not 0; infinity if all are.
    double (*smallest)(const Value* values, std::size_t count);
    double (*sum_magnitudes)(const Value* values, std::size_t count);
    double (*sum_squares)(const Value* values, std::size_t count, double factor);  // of factor * x
    void (*scaled)(const Value* values, std::size_t count, double factor, float* out);
    // h.x + x^T J x / 2 in float64, J (n, n) symmetric with a zero diagonal: of h and x (n), and of
    // sixteen of them (n, kLanes).
    double (*energy)(const Value* couplings, const double* linear, const double* state,
                     std::size_t n);
    void (*energies)(const Value* couplings, const double* linear, const double* states,
                     std::size_t n, double* energies);
    // h + J x of sixteen states (n, kLanes).
    void (*fields)(const Value* couplings, const double* linear, const double* states,
                   std::size_t n, double* fields);
  };
  Matrix<double> matrix_double;
  Matrix<float> matrix_float;
  void (*factor_energies)(const FactorTile& tile, const double* linear, const double* states,
                          double* energies);
  void (*factor_fields)(const FactorTile& tile, const double* linear, const double* states,
                        double* fields);

  // sum_i s_i (h_i + f_i) / 2 over `count` variables: an energy, summed in float64.
  double (*energy)(const float* fields, const float* linear, const float* spins, std::size_t count);

  // As quadratic_fields, quadratic_anneal, quadratic_anneal_random and energy, for kLanes reads of
  // a sparse problem; the first three for the variables in [first, last), so that a long sweep can
  // be interrupted.
  template <class Value>
  struct Sparse {
    void (*fields)(const SparseTile<Value>& tile, std::size_t first, std::size_t last);
    void (*anneal)(const SparseTile<Value>& tile, std::size_t first, std::size_t last,
                   Acceptance acceptance, float threshold, const StreamKey* keys);
    void (*anneal_random)(const SparseTile<Value>& tile, std::size_t first, std::size_t last,
                          Acceptance acceptance, float threshold, const StreamKey* keys,
                          const StreamKey* order);
    void (*energies)(const SparseTile<Value>& tile, double* energies);
  };
  Sparse<double> sparse_double;
  Sparse<float> sparse_float;
  Sparse<std::int16_t> sparse_int16;
  Sparse<std::int8_t> sparse_int8;

  // Flips the variable that lowers the energy most, the first of equal ones, until none does or
  // max_steps are made; returns how many were. couplings (n, ld), fields and spins (ld), padding of
  // fields -inf.
  template <class Value>
  using SteepestDescent = std::size_t (*)(const Value* couplings, std::size_t ld, Value* fields,
                                          Value* spins, std::size_t max_steps);
  SteepestDescent<float> steepest_descent_float;
  SteepestDescent<double> steepest_descent_double;

  // Lowest energy of a block's states; in 16 bits no sum may overflow. Sets row and column sums.
  double (*lowest_double)(const StateBlock<double>& block);
  float (*lowest_float)(const StateBlock<float>& block);
  std::int16_t (*lowest_int16)(const StateBlock<std::int16_t>& block);

  // out[i] = values[i] * factor, integers in -127 .. 127; count a multiple of kLanes.
  void (*narrow)(const float* values, std::size_t count, float factor, std::int8_t* out);

  // `flip` flips a variable and brings the gains up to date, `pick` finds the next one, `move` does
  // both in one pass. `tabu_largest_int16` is the largest magnitude of a gain: what 16 bits hold is
  // for the caller to watch.
  template <class Value>
  struct Tabu {
    TabuPick (*pick)(const TabuTile<Value>& tile, std::uint32_t random);
    TabuPick (*move)(const TabuTile<Value>& tile, std::size_t variable, std::uint32_t random);
    void (*flip)(const TabuTile<Value>& tile, std::size_t variable);
  };
  Tabu<std::int16_t> tabu_int16;
  Tabu<float> tabu_float;
  Tabu<double> tabu_double;
  int (*tabu_largest_int16)(const std::int16_t* gains, std::size_t count);
  template <class Value>
  struct SparseTabu {
    TabuPick (*pick)(SparseTabuTile<Value>& tile, std::uint32_t random);
    void (*flip)(SparseTabuTile<Value>& tile, std::size_t variable);
  };
  SparseTabu<float> sparse_tabu_float;
  SparseTabu<double> sparse_tabu_double;

  // As quadratic_descent and quadratic_anneal (Metropolis): flips where gain > 0, or where
  // gain + threshold * e >= 0, in units of the targets. The two that anneal make the same flips,
  // one faster where they are few, the other where they are many, and return their number.
  void (*sign_descent)(const SignTile& tile, std::uint8_t* active);
  std::size_t (*sign_anneal)(const SignTile& tile, float threshold, const StreamKey* keys);
  std::size_t (*sign_anneal_lanes)(const SignTile& tile, float threshold, const StreamKey* keys);

  // out[i] = a[i] * b[i] + c[i], rounded once; for tests of the matrix product's arithmetic.
  void (*multiply_adds)(const float* a, const float* b, const float* c, std::size_t count,
                        float* out);

  // out[i] = exponential variate of (key, first + i); for tests of the random stream.
  void (*exponential)(StreamKey key, std::uint32_t first, std::size_t count, float* out);
};

}  // namespace qpsbgd
