#include "core/state/spin_rows.hpp"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "core/support/streams.hpp"

namespace qpsbgd {

template <class Value>
RowCouplings<Value> matrix_couplings(const Value* matrix, std::size_t num_variables) {
  const std::size_t ld = round_up(num_variables, kLanes);
  return {.updates = matrix,
          .ld = ld,
          .blocks = matrix,
          .block_step = kBlock * (ld + 1),  // down the diagonal
          .block_ld = ld,
          .num_variables = num_variables};
}

RowCouplings<float> factor_couplings(const Inputs& factor, const float* blocks,
                                     const float* diagonal) {
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

template <class Value>
SpinRows<Value>::SpinRows(const KernelTable& kernels, const RowCouplings<Value>& couplings,
                          std::size_t max_rows)
    : kernels_(kernels),
      couplings_(couplings),
      state_(max_rows * couplings.ld),
      spins_(round_up(max_rows, kLanes) * ld()) {
  const bool is_factor = couplings.is_factor();
  const std::size_t count = is_factor ? couplings.num_samples : couplings.num_variables;
  const Value padding = is_factor ? Value{0} : -std::numeric_limits<Value>::infinity();
  for (std::size_t r = 0; r < max_rows; ++r) {
    std::fill(state(r) + count, state(r) + couplings.ld, padding);
  }
  for (std::size_t i = 0; is_factor && i < num_variables(); ++i) trace_ += couplings.diagonal[i];
}

template <class Value>
void SpinRows<Value>::set_spins(const std::int8_t* from, std::size_t num_rows) {
  const std::size_t n = num_variables();
  num_rows_ = num_rows;
  for (std::size_t r = 0; r < num_rows; ++r) {
    if constexpr (std::is_same_v<Value, float>) {
      kernels_.elementwise.from_spins(from + r * n, n, spins(r));
    } else {
      std::copy_n(from + r * n, n, spins(r));
    }
    std::fill(spins(r) + n, spins(r) + ld(), Value{1});
  }
  // Kernels read rows up to a multiple of kLanes.
  std::fill(spins(num_rows), spins(round_up(num_rows, kLanes)), Value{1});
}

template <class Value>
void SpinRows<Value>::set_linear(std::size_t row, const Value* linear) {
  linear_[row] = linear;
  has_linear_ = true;
}

template <class Value>
void SpinRows<Value>::compute_state() {
  kernels_.quadratic.of<Value>().set_state(make_tile(), linear_);
}

template <class Value>
void SpinRows<Value>::copy_spins(std::size_t row, std::int8_t* out) const {
  if constexpr (std::is_same_v<Value, float>) {
    kernels_.elementwise.to_spins(spins(row), num_variables(), out);
  } else {
    for (std::size_t i = 0; i < num_variables(); ++i) out[i] = spins(row)[i] > 0 ? 1 : -1;
  }
}

template <class Value>
void SpinRows<Value>::descend(std::uint8_t* active) {
  if constexpr (std::is_same_v<Value, float>) kernels_.rows.descend(make_tile(), active);
}

template <class Value>
void SpinRows<Value>::anneal(Acceptance acceptance, float threshold, const StreamKey* keys,
                             std::size_t first) {
  if constexpr (std::is_same_v<Value, float>) {
    if (first > 0 || num_rows_ >= kMinLaneRows) {
      kernels_.rows.anneal(make_tile(), first, acceptance, threshold, keys);
      return;
    }
  }
  kernels_.quadratic.of<Value>().anneal(make_tile(), acceptance, threshold, keys);
}

template <class Value>
void SpinRows<Value>::anneal_each(Acceptance acceptance, const float* thresholds,
                                  const StreamKey* keys, std::size_t first) {
  if constexpr (std::is_same_v<Value, float>) {
    if (first > 0 || num_rows_ >= kMinLaneRows) {
      kernels_.rows.anneal_each(make_tile(), first, acceptance, thresholds, keys);
      return;
    }
  }
  kernels_.quadratic.of<Value>().anneal_each(make_tile(), acceptance, thresholds, keys);
}

template <class Value>
void SpinRows<Value>::anneal_in_random_order(Acceptance acceptance, float threshold,
                                             const StreamKey* keys) {
  StreamKey order[kMaxTileRows];
  std::transform(keys, keys + num_rows_, order, order_key);
  kernels_.quadratic.of<Value>().anneal_random(make_tile(), acceptance, threshold, keys, order);
}

template <class Value>
double SpinRows<Value>::energy(std::size_t row) const {
  const auto energy_of = kernels_.energies.of<Value>().energy_of_fields;
  const std::size_t n = num_variables();
  if (!couplings_.is_factor()) return energy_of(state(row), linear_[row], spins(row), n);
  // h.s + (|A s|^2 - trace) / 2
  const double linear = energy_of(linear_[row], linear_[row], spins(row), n);
  const double norm2 = energy_of(state(row), state(row), state(row), couplings_.num_samples);
  return linear + 0.5 * (norm2 - trace_);
}

template <class Value>
QuadraticTile<Value> SpinRows<Value>::make_tile() {
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

template RowCouplings<float> matrix_couplings(const float*, std::size_t);
template RowCouplings<double> matrix_couplings(const double*, std::size_t);
template class SpinRows<float>;
template class SpinRows<double>;

}  // namespace qpsbgd
