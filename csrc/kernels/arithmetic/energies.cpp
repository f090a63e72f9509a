// Energies and products in float64 for a matrix as the caller holds it, float64 or float32.
#include "kernels/arithmetic/reductions.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// One state (n) has sums of type double; kLanes states (n, kLanes) have sums of type Lanes<double>.
template <class Sum>
constexpr std::size_t kStates = sizeof(Sum) / sizeof(double);

template <class Sum>
QPSBGD_INLINE Sum load_states(const double* states) {
  if constexpr (kStates<Sum> == 1) {
    return *states;
  } else {
    return load_lanes(states);
  }
}

// Rows of a matrix that are multiplied together, because each is a chain of dependent additions.
template <class Sum>
constexpr std::size_t kRowGroup = kStates<Sum> == 1 ? 8 : 4;

// Adds the products of kRows rows of a matrix with the states to the sums. The elements of the
// matrix are row_step and column_step apart.
template <std::size_t kRows, class Value, class Sum>
QPSBGD_INLINE void add_products(const Value* matrix, std::size_t row_step, std::size_t column_step,
                                const double* states, std::size_t count, Sum* sums) {
  for (std::size_t j = 0; j < count; ++j) {
    for (std::size_t r = 0; r < kRows; ++r) {
      const auto value = static_cast<double>(matrix[r * row_step + j * column_step]);
      sums[r] = sums[r] + value * load_states<Sum>(states + j * kStates<Sum>);
    }
  }
}

template <class Value>
void products(const Value* matrix, std::size_t row_step, std::size_t column_step,
              std::size_t num_rows, std::size_t count, const double* states, double* out) {
  constexpr std::size_t kGroup = kRowGroup<Lanes<double>>;
  const auto multiply = [&]<std::size_t kRows>(std::size_t row) {
    Lanes<double> sums[kRows] = {};
    add_products<kRows>(matrix + row * row_step, row_step, column_step, states, count, sums);
    for (std::size_t r = 0; r < kRows; ++r) store_lanes(out + (row + r) * kLanes, sums[r]);
  };
  std::size_t row = 0;
  for (; row + kGroup <= num_rows; row += kGroup) multiply.template operator()<kGroup>(row);
  for (; row < num_rows; ++row) multiply.template operator()<1>(row);
}

// Returns h.x + sum_i x_i sum_{j<i} J_ij x_j. It reads the lower triangle of J alone.
template <class Sum, class Value>
QPSBGD_INLINE Sum total_energy(const Value* couplings, std::size_t ld, const double* linear,
                               const double* states, std::size_t n) {
  constexpr std::size_t kGroup = kRowGroup<Sum>;
  Sum total{};
  for (std::size_t at = 0; at < n * kStates<Sum>; at += kStates<Sum>) {
    total = total + load_states<Sum>(states + at) * load_states<Sum>(linear + at);
  }
  for (std::size_t first = 0; first < n; first += kGroup) {
    const std::size_t rows = n - first < kGroup ? n - first : kGroup;
    const Value* row = couplings + first * ld;
    Sum sums[kGroup] = {};
    if (rows == kGroup) add_products<kGroup>(row, ld, 1, states, first, sums);
    const std::size_t added = rows == kGroup ? first : 0;
    for (std::size_t r = 0; r < rows; ++r, row += ld) {
      const double* rest = states + added * kStates<Sum>;
      add_products<1>(row + added, ld, 1, rest, first + r - added, sums + r);
      total = total + load_states<Sum>(states + (first + r) * kStates<Sum>) * sums[r];
    }
  }
  return total;
}

template <class Value>
double energy(const Value* couplings, std::size_t ld, const double* linear, const double* state,
              std::size_t n) {
  return total_energy<double>(couplings, ld, linear, state, n);
}

template <class Value>
void energies(const Value* couplings, std::size_t ld, const double* linear, const double* states,
              std::size_t n, double* out) {
  const Lanes<double> total = total_energy<Lanes<double>>(couplings, ld, linear, states, n);
  for (std::size_t q = 0; q < kParts<double>; ++q) {
    store_unaligned(out + q * kWidth<double>, total.part[q]);
  }
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
