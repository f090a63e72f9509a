// Steepest descent on a dense problem: one pass updates the fields after a flip and finds the next
// variable.
#include "kernels/simd/lanes.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// For every lane, the largest gain so far, and the first variable of the kLanes that it was in.
template <class Value>
struct LargestGains {
  Lanes<Value> gain = {};
  WordsOf<Value> first[kParts<Value>] = {};

  QPSBGD_INLINE void update(std::size_t part, Vector<Value> x, std::size_t start) {
    const auto better = (WordsOf<Value>)(x > gain.part[part]);
    const WordsOf<Value> here = WordsOf<Value>{} + static_cast<Word<Value>>(start);
    gain.part[part] =
        (Vector<Value>)(((WordsOf<Value>)x & better) | ((WordsOf<Value>)gain.part[part] & ~better));
    first[part] = (here & better) | (first[part] & ~better);
  }

  // Finds the first variable of the largest gain. Returns false if no gain is positive.
  QPSBGD_INLINE bool find_variable(std::size_t& variable) const {
    Value largest = 0;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const std::size_t part = lane / kWidth<Value>, element = lane % kWidth<Value>;
      const Value value = gain.part[part][element];
      const std::size_t here = first[part][element] + lane;
      if (value > largest || (value == largest && largest > 0 && here < variable)) {
        largest = value;
        variable = here;
      }
    }
    return largest > 0;
  }
};

template <class Value>
std::size_t descend(const Value* couplings, std::size_t ld, Value* fields, Value* spins,
                    std::size_t max_steps) {
  // Calls visit(k, part, first) for all vectors.
  const auto for_each_vector = [ld](const auto& visit) {
    for (std::size_t first = 0; first < ld; first += kLanes) {
      for (std::size_t q = 0; q < kParts<Value>; ++q) visit(first + q * kWidth<Value>, q, first);
    }
  };
  LargestGains<Value> gains;
  for_each_vector([&](std::size_t k, std::size_t part, std::size_t first) {
    gains.update(part, load(spins + k) * load(fields + k), first);
  });
  std::size_t steps = 0, variable = 0;
  for (; steps < max_steps && gains.find_variable(variable); ++steps) {
    const Vector<Value> change = broadcast(Value{-2} * spins[variable]);
    const Value* row = couplings + variable * ld;
    spins[variable] = -spins[variable];
    gains = {};
    for_each_vector([&](std::size_t k, std::size_t part, std::size_t first) {
      const Vector<Value> field = add_exact_product(load(row + k), change, load(fields + k));
      store(fields + k, field);
      gains.update(part, load(spins + k) * field, first);
    });
  }
  return steps;
}

}  // namespace

constinit const TypedKernels<SteepestKernels, float, double> kSteepest = {{descend<float>},
                                                                          {descend<double>}};

}  // namespace qpsbgd::QPSBGD_ISA
