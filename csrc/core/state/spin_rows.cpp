#include "core/state/spin_rows.hpp"

#include <algorithm>
#include <limits>

#include "core/support/streams.hpp"

namespace qpsbgd {

RowCouplings matrix_couplings(const float* matrix, std::size_t num_variables) {
  const std::size_t ld = round_up(num_variables, kLanes);
  return {.updates = matrix,
          .ld = ld,
          .blocks = matrix,
          .block_step = kBlock * (ld + 1),  // down the diagonal
          .block_ld = ld,
          .num_variables = num_variables};
}

RowCouplings factor_couplings(const Inputs& factor, const float* blocks, const float* diagonal) {
  return {.updates = factor.transposed(),
          .ld = factor.samples_ld(),
          .blocks = blocks,
          .block_step = kBlock * kBlock,
          .block_ld = kBlock,
          .num_variables = factor.num_inputs(),
          .packed_inputs = factor.packed(),
          .diagonal = diagonal,
          .num_samples = factor.num_samples()};
}

SpinRows::SpinRows(const KernelTable& kernels, const RowCouplings& couplings, std::size_t max_rows)
    : kernels_(kernels),
      couplings_(couplings),
      state_(max_rows * couplings.ld),
      spins_(round_up(max_rows, kLanes) * ld()) {
  const bool is_factor = couplings.is_factor();
  const std::size_t count = is_factor ? couplings.num_samples : couplings.num_variables;
  const float padding = is_factor ? 0.0f : -std::numeric_limits<float>::infinity();
  for (std::size_t r = 0; r < max_rows; ++r) {
    std::fill(state(r) + count, state(r) + couplings.ld, padding);
  }
  for (std::size_t i = 0; is_factor && i < num_variables(); ++i) trace_ += couplings.diagonal[i];
}

void SpinRows::set_spins(const std::int8_t* from, std::size_t num_rows) {
  const std::size_t n = num_variables();
  num_rows_ = num_rows;
  for (std::size_t r = 0; r < num_rows; ++r) {
    kernels_.from_spins(from + r * n, n, spins(r));
    std::fill(spins(r) + n, spins(r) + ld(), 1.0f);
  }
  // Kernels read rows up to a multiple of kLanes.
  std::fill(spins(num_rows), spins(round_up(num_rows, kLanes)), 1.0f);
}

void SpinRows::set_linear(std::size_t row, const float* linear) {
  linear_[row] = linear;
  has_linear_ = true;
}

void SpinRows::compute_state() { kernels_.quadratic_fields(make_tile(), linear_); }

void SpinRows::copy_spins(std::size_t row, std::int8_t* out) const {
  kernels_.to_spins(spins(row), num_variables(), out);
}

void SpinRows::descend(std::uint8_t* active) { kernels_.quadratic_descent(make_tile(), active); }

void SpinRows::anneal(Acceptance acceptance, float threshold, const StreamKey* keys,
                      std::size_t first) {
  if (first == 0 && num_rows_ < kMinLaneRows) {
    kernels_.quadratic_anneal(make_tile(), acceptance, threshold, keys);
  } else {
    kernels_.dense_anneal_float(make_tile(), first, acceptance, threshold, keys);
  }
}

void SpinRows::anneal_in_random_order(Acceptance acceptance, float threshold,
                                      const StreamKey* keys) {
  StreamKey order[kMaxTileRows];
  std::transform(keys, keys + num_rows_, order, order_key);
  kernels_.quadratic_anneal_random(make_tile(), acceptance, threshold, keys, order);
}

double SpinRows::energy(std::size_t row) const {
  const std::size_t n = num_variables();
  if (!couplings_.is_factor()) return kernels_.energy(state(row), linear_[row], spins(row), n);
  // h.s + (|A s|^2 - trace) / 2
  const double linear = kernels_.energy(linear_[row], linear_[row], spins(row), n);
  const double norm2 = kernels_.energy(state(row), state(row), state(row), couplings_.num_samples);
  return linear + 0.5 * (norm2 - trace_);
}

QuadraticTile SpinRows::make_tile() {
  return {.updates = couplings_.updates,
          .state = state_.data(),
          .ld = couplings_.ld,
          .coupling = couplings_.blocks,
          .block_step = couplings_.block_step,
          .block_ld = couplings_.block_ld,
          .packed_inputs = couplings_.packed_inputs,
          .diagonal = couplings_.diagonal,
          .linear = couplings_.is_factor() && has_linear_ ? linear_ : nullptr,
          .num_samples = couplings_.num_samples,
          .spins = spins_.data(),
          .spins_ld = ld(),
          .rows = num_rows_,
          .num_variables = num_variables()};
}

}  // namespace qpsbgd
