// Spins of rows that share one coupling matrix, with their fields or residuals, in float or double.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/matrices/inputs.hpp"
#include "core/support/buffer.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// From this number of rows on, SIMD lanes are rows; fewer rows are swept one by one, with lanes
// that are variables. Both ways make the same flips.
inline constexpr std::size_t kMinLaneRows = 4;

// Couplings in the layouts that the sweep kernels read. Not owned.
template <class Value>
struct RowCouplings {
  const Value* updates;  // what a flip adds to the state: row i of J or of A^T, ld apart
  std::size_t ld;
  const Value* blocks;  // couplings within blocks of kBlock variables: see QuadraticTile
  std::size_t block_step, block_ld;
  std::size_t num_variables;  // n
  // Only where the state is residuals, which are float:
  const Value* packed_inputs = nullptr;  // A as gemm takes it
  const Value* diagonal = nullptr;       // of A^T A (n)
  std::size_t num_samples = 0;

  bool is_factor() const { return packed_inputs != nullptr; }
};

// Returns couplings J = matrix (ld, ld), symmetric, with zero diagonal and padding, where ld is
// num_variables rounded up to kLanes. A row's state is its fields.
template <class Value>
RowCouplings<Value> matrix_couplings(const Value* matrix, std::size_t num_variables);

// Returns couplings J = A^T A without its diagonal. blocks and diagonal: from A.gram_blocks(). A
// row's state is its residuals.
RowCouplings<float> factor_couplings(const Inputs& factor, const float* blocks,
                                     const float* diagonal);

template <class Value>
class SpinRows {
 public:
  SpinRows(const KernelTable& kernels, const RowCouplings<Value>& couplings, std::size_t max_rows);

  std::size_t num_rows() const { return num_rows_; }
  std::size_t num_variables() const { return couplings_.num_variables; }
  std::size_t ld() const { return round_up(num_variables(), kLanes); }

  // Takes spins (num_rows, n). Leaves the state as it is: compute_state() or the caller sets it.
  void set_spins(const std::int8_t* spins, std::size_t num_rows);
  // Sets each row's h (n), which must outlive the sweeps. Residuals that include it need none.
  void set_linear(std::size_t row, const Value* linear);
  // Computes the state from the spins and h.
  void compute_state();

  // The state of a row: fields (ld), or residuals (num_samples, rounded up). The caller writes the
  // n or num_samples entries; padding is set.
  Value* state(std::size_t row) { return &state_[row * couplings_.ld]; }
  const Value* state(std::size_t row) const { return &state_[row * couplings_.ld]; }
  Value* spins(std::size_t row) { return &spins_[row * ld()]; }
  const Value* spins(std::size_t row) const { return &spins_[row * ld()]; }
  void copy_spins(std::size_t row, std::int8_t* out) const;

  // float only. Visits the variables in order and flips those whose flip lowers the energy. active
  // (num_rows): in, which rows flipped something in the sweep before; out, which did in this one.
  void descend(std::uint8_t* active);
  // Makes one sweep at a temperature, in float from variable `first` on, a multiple of kBlock.
  void anneal(Acceptance acceptance, float threshold, const StreamKey* keys, std::size_t first = 0);
  // Makes a sweep in which each row has its own threshold. thresholds (rows, readable up to a
  // multiple of kLanes) is 64-byte aligned.
  void anneal_each(Acceptance acceptance, const float* thresholds, const StreamKey* keys,
                   std::size_t first = 0);
  // Makes num_variables proposals, each of a variable drawn at random. Fields only.
  void anneal_in_random_order(Acceptance acceptance, float threshold, const StreamKey* keys);

  // Returns a row's energy, from its state, in float64.
  double energy(std::size_t row) const;

 private:
  QuadraticTile<Value> make_tile();

  const KernelTable& kernels_;
  const RowCouplings<Value> couplings_;
  std::size_t num_rows_ = 0;
  double trace_ = 0.0;  // of A^T A
  bool has_linear_ = false;
  const Value* linear_[kMaxTileRows] = {};
  Buffer<Value> state_;  // (max_rows, couplings.ld); padding: fields -inf, residuals 0
  Buffer<Value> spins_;  // (max_rows rounded up to kLanes, ld), padding +1
};

}  // namespace qpsbgd
