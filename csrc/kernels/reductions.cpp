// Passes over a caller's numbers: largest and smallest magnitude, sums and scaling.
#include "reductions.hpp"
#include "tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

template <class Value>
constexpr Value kInfinity = static_cast<Value>(__builtin_inf());

template <class Value>
double sum_magnitudes(const Value* values, std::size_t count) {
  return sum_terms(
      count, [values](std::size_t i) { return __builtin_fabs(static_cast<double>(values[i])); });
}

template <class Value>
double sum_squares(const Value* values, std::size_t count, double factor) {
  return sum_terms(count, [values, factor](std::size_t i) {
    const double x = factor * static_cast<double>(values[i]);
    return x * x;
  });
}

template <class Value>
void scale(const Value* values, std::size_t count, double factor, float* out) {
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = static_cast<float>(factor * static_cast<double>(values[i]));
  }
}

// Folds the magnitudes of the values with `choose`, in kLanes results that start at `initial`.
template <class Value, class Choose>
QPSBGD_INLINE Value fold_magnitudes(const Value* values, std::size_t count, Value initial,
                                    const Choose& choose) {
  const auto magnitude = [values](std::size_t i) { return values[i] < 0 ? -values[i] : values[i]; };
  Value results[kLanes];
  for (std::size_t k = 0; k < kLanes; ++k) results[k] = initial;
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t k = 0; k < kLanes; ++k) results[k] = choose(results[k], magnitude(i + k));
  }
  for (std::size_t k = 0; i < count; ++i, ++k) results[k] = choose(results[k], magnitude(i));
  for (std::size_t k = 1; k < kLanes; ++k) results[0] = choose(results[0], results[k]);
  return results[0];
}

template <class Value>
Value largest(const Value* values, std::size_t count) {
  return fold_magnitudes(values, count, Value{0}, [](Value most, Value magnitude) {
    // No comparison holds with NaN, which becomes infinity.
    const Value larger = magnitude <= most ? most : magnitude;
    return larger >= 0 ? larger : kInfinity<Value>;
  });
}

template <class Value>
Value smallest(const Value* values, std::size_t count) {
  return fold_magnitudes(values, count, kInfinity<Value>, [](Value least, Value magnitude) {
    const Value nonzero = magnitude > 0 ? magnitude : kInfinity<Value>;
    return nonzero < least ? nonzero : least;
  });
}

template <class Value>
constexpr ReductionKernels<Value> kKernels = {
    .largest = largest<Value>,
    .smallest = smallest<Value>,
    .sum_magnitudes = sum_magnitudes<Value>,
    .sum_squares = sum_squares<Value>,
    .scale = scale<Value>,
};

}  // namespace

constinit const TypedKernels<ReductionKernels, float, double> kReductions = {kKernels<float>,
                                                                             kKernels<double>};

}  // namespace qpsbgd::QPSBGD_ISA
