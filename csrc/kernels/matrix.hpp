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

typedef double Doubles __attribute__((vector_size(kWidth * 4)));
typedef double AlignedDoubles __attribute__((vector_size(kWidth * 4), may_alias));
constexpr std::size_t kDoubles = kWidth / 2;  // in a vector
constexpr std::size_t kDoubleParts = kLanes / kDoubles;

QPSBGD_INLINE Doubles load_doubles(const double* p) {
  return *reinterpret_cast<const AlignedDoubles*>(p);
}

QPSBGD_INLINE void store_doubles(double* p, Doubles v) {
  for (std::size_t k = 0; k < kDoubles; ++k) p[k] = v[k];
}

// fields[r] += sum_j J[r, j] x_j, j in [0, count), for kRows rows of J and the lanes of a part.
template <std::size_t kRows, class Value>
QPSBGD_INLINE void add_products(const Value* couplings, std::size_t n, const double* states,
                                std::size_t count, Doubles (*fields)[kDoubleParts]) {
  for (std::size_t j = 0; j < count; ++j) {
    for (std::size_t r = 0; r < kRows; ++r) {
      const Doubles value = static_cast<double>(couplings[r * n + j]) - Doubles{};
      for (std::size_t q = 0; q < kDoubleParts; ++q) {
        fields[r][q] += value * load_doubles(states + j * kLanes + q * kDoubles);
      }
    }
  }
}

// h.x of sixteen states x and fields h (n, kLanes).
QPSBGD_INLINE void add_linear(const double* linear, const double* states, std::size_t n,
                              Doubles* total) {
  for (std::size_t at = 0; at < n * kLanes; at += kLanes) {
    for (std::size_t q = 0; q < kDoubleParts; ++q) {
      total[q] +=
          load_doubles(states + at + q * kDoubles) * load_doubles(linear + at + q * kDoubles);
    }
  }
}

// h.x + x^T J x / 2 for sixteen states x and fields h (n, kLanes), in float64; J symmetric with a
// zero diagonal.
template <class Value>
void matrix_energies(const Value* couplings, const double* linear, const double* states,
                     std::size_t n, double* energies) {
  constexpr std::size_t kRows = 4;  // at a time, as each is a chain of additions
  Doubles total[kDoubleParts] = {};
  add_linear(linear, states, n, total);
  for (std::size_t first = 0; first < n; first += kRows) {
    const std::size_t rows = n - first < kRows ? n - first : kRows;
    const Value* row = couplings + first * n;
    Doubles fields[kRows][kDoubleParts] = {};
    if (rows == kRows) add_products<kRows>(row, n, states, first, fields);
    for (std::size_t r = 0; r < rows; ++r, row += n) {
      const std::size_t done = rows == kRows ? first : 0;
      add_products<1>(row + done, n, states + done * kLanes, first + r - done, fields + r);
      for (std::size_t q = 0; q < kDoubleParts; ++q) {
        total[q] += load_doubles(states + (first + r) * kLanes + q * kDoubles) * fields[r][q];
      }
    }
  }
  for (std::size_t q = 0; q < kDoubleParts; ++q) store_doubles(energies + q * kDoubles, total[q]);
}

// h.x + scale (|A x|^2 - sum_i x_i^2 |a_i|^2) / 2 likewise; A (rank, n), squares |a_i|^2 (n).
void factor_energies(const double* factor, std::size_t rank, const double* squares, double scale,
                     const double* linear, const double* states, std::size_t n, double* energies) {
  constexpr std::size_t kRows = 4;
  Doubles total[kDoubleParts] = {}, products[kDoubleParts] = {};
  add_linear(linear, states, n, total);
  for (std::size_t row = 0; row < rank; row += kRows) {
    Doubles margins[kRows][kDoubleParts] = {};
    if (rank - row >= kRows) {
      add_products<kRows>(factor + row * n, n, states, n, margins);
    } else {
      for (std::size_t r = 0; r < rank - row; ++r) {
        add_products<1>(factor + (row + r) * n, n, states, n, margins + r);
      }
    }
    for (std::size_t r = 0; r < kRows; ++r) {
      for (std::size_t q = 0; q < kDoubleParts; ++q) products[q] += margins[r][q] * margins[r][q];
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t q = 0; q < kDoubleParts; ++q) {
      const Doubles x = load_doubles(states + i * kLanes + q * kDoubles);
      products[q] -= squares[i] * x * x;
    }
  }
  for (std::size_t q = 0; q < kDoubleParts; ++q) {
    store_doubles(energies + q * kDoubles, total[q] + 0.5 * scale * products[q]);
  }
}

// The same for one state (n).
template <class Value>
double matrix_energy(const Value* couplings, const double* linear, const double* state,
                     std::size_t n) {
  double sums[kSums] = {}, total = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    const Value* row = couplings + i * n;
    const double half = 0.5 * state[i];
    std::size_t j = 0;
    for (; j + kSums <= n; j += kSums) {
      for (std::size_t k = 0; k < kSums; ++k) {
        sums[k] += half * static_cast<double>(row[j + k]) * state[j + k];
      }
    }
    for (std::size_t k = 0; j < n; ++j, ++k) {
      sums[k] += half * static_cast<double>(row[j]) * state[j];
    }
    total += state[i] * linear[i];
  }
  for (std::size_t k = 0; k < kSums; ++k) total += sums[k];
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
