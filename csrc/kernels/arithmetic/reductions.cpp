// Passes over a caller's numbers: largest and smallest magnitude, sums and scaling.
#include "kernels/arithmetic/reductions.hpp"
#include "kernels/tables.hpp"

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

// Folds element(i) for i in [0, count) with `choose`, whose order must not matter.
template <class Result, class Element, class Choose>
QPSBGD_INLINE Result fold(std::size_t count, Result initial, const Element& element,
                          const Choose& choose) {
  constexpr std::size_t kChains = 2 * kLanes;
  Result results[kChains];
  for (std::size_t k = 0; k < kChains; ++k) results[k] = initial;
  std::size_t i = 0;
  for (; i + kChains <= count; i += kChains) {
    for (std::size_t k = 0; k < kChains; ++k) results[k] = choose(results[k], element(i + k));
  }
  for (std::size_t k = 0; i < count; ++i, ++k) results[k] = choose(results[k], element(i));
  for (std::size_t k = 1; k < kChains; ++k) results[0] = choose(results[0], results[k]);
  return results[0];
}

// Compares magnitudes by their bits, which are in the same order. The bits of NaN come last, behind
// those of infinity.
template <class Value>
Value largest(const Value* values, std::size_t count) {
  using Bits = std::make_signed_t<Word<Value>>;
  const Bits bits = fold(
      count, Bits{0},
      [values](std::size_t i) {
        return __builtin_bit_cast(Bits, values[i]) & static_cast<Bits>(kSignBit<Value> - 1);
      },
      [](Bits most, Bits x) { return x > most ? x : most; });
  const auto result = __builtin_bit_cast(Value, bits);
  return result >= 0 ? result : kInfinity<Value>;
}

template <class Value>
Value smallest(const Value* values, std::size_t count) {
  return fold(
      count, kInfinity<Value>,
      [values](std::size_t i) {
        const Value magnitude = values[i] < 0 ? -values[i] : values[i];
        return magnitude > 0 ? magnitude : kInfinity<Value>;
      },
      [](Value least, Value x) { return x < least ? x : least; });
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
