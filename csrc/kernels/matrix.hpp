// Passes over couplings as a caller holds them, in float64 or float32.
#pragma once

#include "lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

constexpr std::size_t kSums = 16;  // of a reduction: the same order on every instruction set

// sum of term(values[i]) over `count`.
template <class Value, class Term>
QPSBGD_INLINE double sum_of(const Value* values, std::size_t count, const Term& term) {
  double sums[kSums] = {};
  std::size_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (std::size_t k = 0; k < kSums; ++k) sums[k] += term(static_cast<double>(values[i + k]));
  }
  for (std::size_t k = 0; i < count; ++i, ++k) sums[k] += term(static_cast<double>(values[i]));
  double total = 0.0;
  for (std::size_t k = 0; k < kSums; ++k) total += sums[k];
  return total;
}

template <class Value>
double sum_magnitudes(const Value* values, std::size_t count) {
  return sum_of(values, count, [](double x) { return __builtin_fabs(x); });
}
template <class Value>
double sum_squares(const Value* values, std::size_t count, double factor) {
  return sum_of(values, count, [factor](double x) { return factor * x * (factor * x); });
}
template <class Value>
void scaled_floats(const Value* values, std::size_t count, double factor, float* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<float>(factor * values[i]);
}

// The largest |values[i]|, or infinity if one is infinite or not a number.
template <class Value>
double largest_of(const Value* values, std::size_t count) {
  constexpr double kInfinity = __builtin_inf();
  double most[kSums] = {};
  for (std::size_t i = 0; i < count; i += kSums) {
    const std::size_t left = count - i;
    for (std::size_t k = 0; k < (left < kSums ? left : kSums); ++k) {
      const double magnitude = __builtin_fabs(static_cast<double>(values[i + k]));
      most[k] = most[k] >= magnitude ? most[k] : magnitude;  // a NaN stays
      most[k] = magnitude <= most[k] ? most[k] : kInfinity;
    }
  }
  double largest = 0.0;
  for (std::size_t k = 0; k < kSums; ++k) largest = largest >= most[k] ? largest : most[k];
  return largest;
}

// h.x + x^T J x / 2 for sixteen states x and fields h (n, kLanes), in float64; J symmetric with a
// zero diagonal.
template <class Value>
void matrix_energies(const Value* couplings, const double* linear, const double* states,
                     std::size_t n, double* energies) {
  double total[kLanes] = {};
  for (std::size_t i = 0; i < n; ++i) {
    double field[kLanes];
    for (std::size_t k = 0; k < kLanes; ++k) field[k] = linear[i * kLanes + k];
    const Value* row = couplings + i * n;
    for (std::size_t j = 0; j < i; ++j) {
      const double value = static_cast<double>(row[j]);
      for (std::size_t k = 0; k < kLanes; ++k) field[k] += value * states[j * kLanes + k];
    }
    for (std::size_t k = 0; k < kLanes; ++k) total[k] += states[i * kLanes + k] * field[k];
  }
  for (std::size_t k = 0; k < kLanes; ++k) energies[k] = total[k];
}

// The same for one state (n).
template <class Value>
double matrix_energy(const Value* couplings, const double* linear, const double* state,
                     std::size_t n) {
  double total = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    double sums[kSums] = {};
    const Value* row = couplings + i * n;
    std::size_t j = 0;
    for (; j + kSums <= n; j += kSums) {
      for (std::size_t k = 0; k < kSums; ++k) {
        sums[k] += static_cast<double>(row[j + k]) * state[j + k];
      }
    }
    for (std::size_t k = 0; j < n; ++j, ++k) sums[k] += static_cast<double>(row[j]) * state[j];
    double field = 0.0;
    for (std::size_t k = 0; k < kSums; ++k) field += sums[k];
    total += state[i] * (linear[i] + 0.5 * field);
  }
  return total;
}

template <class Value>
constexpr KernelTable::Matrix<Value> kMatrix = {
    .largest = largest_of<Value>,
    .sum_magnitudes = sum_magnitudes<Value>,
    .sum_squares = sum_squares<Value>,
    .scaled = scaled_floats<Value>,
    .energy = matrix_energy<Value>,
    .energies = matrix_energies<Value>,
};

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
