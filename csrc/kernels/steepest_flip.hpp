// Steepest descent on a dense Ising problem: a step's update of the fields finds the next step's
// variable in the same pass.
#pragma once

#include "float64_lanes.hpp"
#include "lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

template <class Value>
struct DescentVector;
template <>
struct DescentVector<float> {
  using Type = AlignedVec;
  using Index = Words;
  using Number = std::uint32_t;
};
template <>
struct DescentVector<double> {
  using Type = AlignedDoubles;
  using Index = LongWords;
  using Number = std::uint64_t;
};

// In every lane the largest spin times field so far, and where its sixteen begin.
template <class Value>
struct SteepestLanes {
  using Type = typename DescentVector<Value>::Type;
  using Index = typename DescentVector<Value>::Index;
  static constexpr std::size_t kStep = sizeof(Type) / sizeof(Value);

  Type gain[kLanes / kStep] = {};
  Index first[kLanes / kStep] = {};

  QPSBGD_INLINE void see(std::size_t part, Type x, std::size_t start) {
    const Index better = (Index)(x > gain[part]);
    const Index here = Index{} + static_cast<typename DescentVector<Value>::Number>(start);
    gain[part] = (Type)(((Index)x & better) | ((Index)gain[part] & ~better));
    first[part] = (here & better) | (first[part] & ~better);
  }

  // The first variable of the largest gain; false if no gain is positive.
  QPSBGD_INLINE bool variable(std::size_t& out) const {
    Value largest = 0;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const Value value = gain[lane / kStep][lane % kStep];
      const std::size_t here = first[lane / kStep][lane % kStep] + lane;
      if (value > largest || (value == largest && largest > 0 && here < out)) {
        largest = value;
        out = here;
      }
    }
    return largest > 0;
  }
};

template <class Value>
std::size_t steepest_descent(const Value* couplings, std::size_t ld, Value* fields, Value* spins,
                             std::size_t max_steps) {
  using Steepest = SteepestLanes<Value>;
  using Type = typename Steepest::Type;
  constexpr std::size_t kStep = Steepest::kStep;
  const auto at = [](auto* p) -> auto& { return *reinterpret_cast<Type*>(p); };
  const auto read = [](const Value* p) { return *reinterpret_cast<const Type*>(p); };
  Steepest steepest;
  for (std::size_t i = 0; i < ld; i += kLanes) {
    for (std::size_t q = 0; q < kLanes / kStep; ++q) {
      const std::size_t k = i + q * kStep;
      steepest.see(q, read(spins + k) * read(fields + k), i);
    }
  }
  std::size_t steps = 0, variable = 0;
  for (; steps < max_steps && steepest.variable(variable); ++steps) {
    const Type change = Value{-2} * spins[variable] - Type{};
    const Value* row = couplings + variable * ld;
    spins[variable] = -spins[variable];
    steepest = {};
    for (std::size_t i = 0; i < ld; i += kLanes) {
      for (std::size_t q = 0; q < kLanes / kStep; ++q) {
        const std::size_t k = i + q * kStep;
        const Type field = add_exact_product(read(row + k), change, read(fields + k));
        at(fields + k) = field;
        steepest.see(q, read(spins + k) * field, i);
      }
    }
  }
  return steps;
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
