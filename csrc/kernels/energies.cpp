// Energies and products in float64 for a matrix as the caller holds it, float64 or float32.
#include "reductions.hpp"
#include "tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Rows of a matrix that are multiplied together, because each is a chain of dependent additions.
constexpr std::size_t kRowGroup = 4;

// Adds the products of kRows rows of a matrix with kLanes states (count, kLanes) to the sums. The
// elements of the matrix are row_step and column_step apart.
template <std::size_t kRows, class Value>
QPSBGD_INLINE void add_products(const Value* matrix, std::size_t row_step, std::size_t column_step,
                                const double* states, std::size_t count, Lanes<double>* sums) {
  for (std::size_t j = 0; j < count; ++j) {
    for (std::size_t r = 0; r < kRows; ++r) {
      const auto value = static_cast<double>(matrix[r * row_step + j * column_step]);
      sums[r] = sums[r] + value * load_lanes(states + j * kLanes);
    }
  }
}

template <class Value>
void products(const Value* matrix, std::size_t row_step, std::size_t column_step,
              std::size_t num_rows, std::size_t count, const double* states, double* out) {
  const auto multiply = [&]<std::size_t kRows>(std::size_t row) {
    Lanes<double> sums[kRows] = {};
    add_products<kRows>(matrix + row * row_step, row_step, column_step, states, count, sums);
    for (std::size_t r = 0; r < kRows; ++r) store_lanes(out + (row + r) * kLanes, sums[r]);
  };
  std::size_t row = 0;
  for (; row + kRowGroup <= num_rows; row += kRowGroup) {
    multiply.template operator()<kRowGroup>(row);
  }
  for (; row < num_rows; ++row) multiply.template operator()<1>(row);
}

// Uses the lower triangle of the matrix alone: h.x + sum_i x_i sum_{j<i} J_ij x_j.
template <class Value>
void energies(const Value* couplings, const double* linear, const double* states, std::size_t n,
              double* out) {
  Lanes<double> total{};
  for (std::size_t at = 0; at < n * kLanes; at += kLanes) {
    total = total + load_lanes(states + at) * load_lanes(linear + at);
  }
  for (std::size_t first = 0; first < n; first += kRowGroup) {
    const std::size_t rows = n - first < kRowGroup ? n - first : kRowGroup;
    const Value* row = couplings + first * n;
    Lanes<double> sums[kRowGroup] = {};
    if (rows == kRowGroup) add_products<kRowGroup>(row, n, 1, states, first, sums);
    const std::size_t added = rows == kRowGroup ? first : 0;
    for (std::size_t r = 0; r < rows; ++r, row += n) {
      add_products<1>(row + added, n, 1, states + added * kLanes, first + r - added, sums + r);
      total = total + load_lanes(states + (first + r) * kLanes) * sums[r];
    }
  }
  for (std::size_t q = 0; q < kParts<double>; ++q) {
    store_unaligned(out + q * kWidth<double>, total.part[q]);
  }
}

template <class Value>
double energy(const Value* couplings, const double* linear, const double* state, std::size_t n) {
  double sums[kLanes] = {}, total = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    const Value* row = couplings + i * n;
    const double half = 0.5 * state[i];
    std::size_t j = 0;
    for (; j + kLanes <= n; j += kLanes) {
      for (std::size_t k = 0; k < kLanes; ++k) {
        sums[k] += half * static_cast<double>(row[j + k]) * state[j + k];
      }
    }
    for (std::size_t k = 0; j < n; ++j, ++k) {
      sums[k] += half * static_cast<double>(row[j]) * state[j];
    }
    total += state[i] * linear[i];
  }
  for (std::size_t k = 0; k < kLanes; ++k) total += sums[k];
  return total;
}

// Sums in float64: float32 would round sums of integers that the fields hold exactly.
template <class Value>
double energy_of_fields(const Value* fields, const Value* linear, const Value* spins,
                        std::size_t count) {
  return 0.5 * sum_terms(count, [=](std::size_t i) {
           return static_cast<double>(spins[i] * (linear[i] + fields[i]));
         });
}

template <class Value>
constexpr EnergyKernels<Value> kKernels = {
    .energy = energy<Value>,
    .energies = energies<Value>,
    .products = products<Value>,
    .energy_of_fields = energy_of_fields<Value>,
};

}  // namespace

constinit const TypedKernels<EnergyKernels, float, double> kEnergies = {kKernels<float>,
                                                                        kKernels<double>};

}  // namespace qpsbgd::QPSBGD_ISA
