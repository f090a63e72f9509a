// Passes over couplings as a caller holds them, in float64 or float32.
#pragma once

#include "float64_lanes.hpp"
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

// The smallest |values[i]| that is not 0.
template <class Value>
double smallest_of(const Value* values, std::size_t count) {
  constexpr Value kInfinity = static_cast<Value>(__builtin_inf());
  Value least[kSums];
  for (std::size_t k = 0; k < kSums; ++k) least[k] = kInfinity;
  const auto see = [](Value& smallest, Value value) {
    const Value magnitude = value < 0 ? -value : value;
    const Value nonzero = magnitude > 0 ? magnitude : kInfinity;
    smallest = nonzero < smallest ? nonzero : smallest;
  };
  std::size_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (std::size_t k = 0; k < kSums; ++k) see(least[k], values[i + k]);
  }
  for (std::size_t k = 0; i < count; ++i, ++k) see(least[k], values[i]);
  Value smallest = kInfinity;
  for (std::size_t k = 0; k < kSums; ++k) smallest = least[k] < smallest ? least[k] : smallest;
  return static_cast<double>(smallest);
}

// sums[r] += sum_j J[r, j] x_j, j in [0, count), for kRows rows of J and sixteen states; the
// entries of J are row_step and column_step apart.
template <std::size_t kRows, class Value>
QPSBGD_INLINE void add_products(const Value* couplings, std::size_t row_step,
                                std::size_t column_step, const double* states, std::size_t count,
                                Doubles (*sums)[kDoubleParts]) {
  for (std::size_t j = 0; j < count; ++j) {
    for (std::size_t r = 0; r < kRows; ++r) {
      const Doubles value =
          static_cast<double>(couplings[r * row_step + j * column_step]) - Doubles{};
      for (std::size_t q = 0; q < kDoubleParts; ++q) {
        sums[r][q] += value * load_doubles(states + j * kLanes + q * kDoubles);
      }
    }
  }
}

// Rows at a time, as each is a chain of additions.
constexpr std::size_t kRowGroup = 4;

// Calls take(row, sums) for every row of J x, J (num_rows, count).
template <class Value, class Take>
QPSBGD_INLINE void for_each_product(const Value* couplings, std::size_t row_step,
                                    std::size_t column_step, std::size_t num_rows,
                                    std::size_t count, const double* states, const Take& take) {
  std::size_t row = 0;
  for (; row + kRowGroup <= num_rows; row += kRowGroup) {
    Doubles sums[kRowGroup][kDoubleParts] = {};
    add_products<kRowGroup>(couplings + row * row_step, row_step, column_step, states, count, sums);
    for (std::size_t r = 0; r < kRowGroup; ++r) take(row + r, sums[r]);
  }
  for (; row < num_rows; ++row) {
    Doubles sums[1][kDoubleParts] = {};
    add_products<1>(couplings + row * row_step, row_step, column_step, states, count, sums);
    take(row, sums[0]);
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
  Doubles total[kDoubleParts] = {};
  add_linear(linear, states, n, total);
  for (std::size_t first = 0; first < n; first += kRowGroup) {
    const std::size_t rows = n - first < kRowGroup ? n - first : kRowGroup;
    const Value* row = couplings + first * n;
    Doubles sums[kRowGroup][kDoubleParts] = {};
    if (rows == kRowGroup) add_products<kRowGroup>(row, n, 1, states, first, sums);
    for (std::size_t r = 0; r < rows; ++r, row += n) {
      const std::size_t done = rows == kRowGroup ? first : 0;
      add_products<1>(row + done, n, 1, states + done * kLanes, first + r - done, sums + r);
      for (std::size_t q = 0; q < kDoubleParts; ++q) {
        total[q] += load_doubles(states + (first + r) * kLanes + q * kDoubles) * sums[r][q];
      }
    }
  }
  for (std::size_t q = 0; q < kDoubleParts; ++q) store_doubles(energies + q * kDoubles, total[q]);
}

// h + J x of sixteen states.
template <class Value>
void matrix_fields(const Value* couplings, const double* linear, const double* states,
                   std::size_t n, double* fields) {
  for_each_product(couplings, n, 1, n, n, states, [&](std::size_t i, const Doubles* sums) {
    for (std::size_t q = 0; q < kDoubleParts; ++q) {
      const std::size_t at = i * kLanes + q * kDoubles;
      store_doubles(fields + at, load_doubles(linear + at) + sums[q]);
    }
  });
}

// Both for J = scale (A^T A - diag(squares)), A (rank, n). margins (rank, kLanes): scratch.
void factor_energies(const FactorTile& tile, const double* linear, const double* states,
                     double* energies) {
  Doubles total[kDoubleParts] = {}, products[kDoubleParts] = {};
  add_linear(linear, states, tile.num_variables, total);
  for_each_product(tile.factor, tile.num_variables, 1, tile.rank, tile.num_variables, states,
                   [&](std::size_t, const Doubles* sums) {
                     for (std::size_t q = 0; q < kDoubleParts; ++q) {
                       products[q] += sums[q] * sums[q];
                     }
                   });
  for (std::size_t i = 0; i < tile.num_variables; ++i) {
    for (std::size_t q = 0; q < kDoubleParts; ++q) {
      const Doubles x = load_doubles(states + i * kLanes + q * kDoubles);
      products[q] -= tile.squares[i] * x * x;
    }
  }
  for (std::size_t q = 0; q < kDoubleParts; ++q) {
    store_doubles(energies + q * kDoubles, total[q] + 0.5 * tile.scale * products[q]);
  }
}

void factor_fields(const FactorTile& tile, const double* linear, const double* states,
                   double* fields) {
  const std::size_t n = tile.num_variables;
  for_each_product(tile.factor, n, 1, tile.rank, n, states,
                   [&](std::size_t k, const Doubles* sums) {
                     for (std::size_t q = 0; q < kDoubleParts; ++q) {
                       store_doubles(tile.margins + k * kLanes + q * kDoubles, sums[q]);
                     }
                   });
  for_each_product(
      tile.factor, 1, n, n, tile.rank, tile.margins, [&](std::size_t i, const Doubles* sums) {
        for (std::size_t q = 0; q < kDoubleParts; ++q) {
          const std::size_t at = i * kLanes + q * kDoubles;
          store_doubles(fields + at,
                        load_doubles(linear + at) +
                            tile.scale * (sums[q] - tile.squares[i] * load_doubles(states + at)));
        }
      });
}

// The energy of one state (n).
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
    .smallest = smallest_of<Value>,
    .sum_magnitudes = sum_magnitudes<Value>,
    .sum_squares = sum_squares<Value>,
    .scaled = scaled_floats<Value>,
    .energy = matrix_energy<Value>,
    .energies = matrix_energies<Value>,
    .fields = matrix_fields<Value>,
};

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
