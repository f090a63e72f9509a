// Sweeps over problems that share one coupling matrix, with kLanes variables of one row in the
// lanes.
//
// Updates are exact and sequential: accept_flips tests sixteen variables at once and makes the
// flips of a visit one by one. float64 is for problems whose energy differences float32 would round
// away. The noise and its product with the threshold are float32 in both, so that the flips are the
// same where float32 fields are exact.
#include "kernels/dense/block_flips.hpp"
#include "kernels/simd/acceptance.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Visits the variables [start, start + kBlock) of one row, given their fields, which it updates.
template <class Value, class Rule>
QPSBGD_INLINE void visit_block(const QuadraticTile<Value>& tile, std::size_t row, std::size_t start,
                               const Rule& rule, Value* fields, BlockFlips<Value>& flips) {
  const std::size_t left = tile.spins_ld - start;
  const std::size_t size = left < kBlock ? left : kBlock;
  Value* spins = tile.spins + row * tile.spins_ld + start;
  const Value* block = tile.coupling + start / kBlock * tile.block_step;
  flips.clear();
  for (std::size_t first = 0; first < size; first += kLanes) {
    // Fields and spins stay in registers: a vector load after a scalar store of one of its lanes
    // would have to wait for the store.
    Lanes<Value> f = load_lanes(fields + first);
    Lanes<Value> s = load_lanes(spins + first);
    const auto flip = [&](unsigned lane) {
      const std::size_t variable = first + lane;
      // The spin in memory is still the old one, as a visit flips a variable at most once.
      const Value change = Value{-2} * spins[variable];
      negate_lane(s, lane);
      flips.variable[flips.count] = static_cast<std::uint32_t>(variable);
      flips.change[flips.count++] = change;
      const Value* coupling = block + variable * tile.block_ld;
      const Vector<Value> d = broadcast(change);
      for (std::size_t q = 0; q < kParts<Value>; ++q) {
        f.part[q] = add_exact_product(load(coupling + first + q * kWidth<Value>), d, f.part[q]);
      }
      for (std::size_t i = first + kLanes; i < size; i += kWidth<Value>) {
        store(fields + i, add_exact_product(load(coupling + i), d, load(fields + i)));
      }
    };
    if (accept_flips<Value>(rule, start + first, 0xffffu, [&] { return s * f; }, flip) != 0) {
      store_lanes(spins + first, s);
    }
  }
}

template <class Value>
void set_state(const QuadraticTile<Value>& tile, const Value* const* linear) {
  for (std::size_t row = 0; row < tile.rows; ++row) {
    Value* state = tile.state + row * tile.ld;
    const bool is_fields = tile.packed_inputs == nullptr;
    const std::size_t count = is_fields ? tile.num_variables : 0;
    const Value padding = is_fields ? static_cast<Value>(-__builtin_inf()) : Value{0};
    for (std::size_t i = 0; i < count; ++i) state[i] = linear[row][i];
    for (std::size_t i = count; i < tile.ld; ++i) state[i] = padding;
  }
  // From the state of s = 0 to the spins: every variable "flips" by s_i.
  BlockFlips<Value> flips[kMaxTileRows];
  for (std::size_t start = 0; start < tile.num_variables; start += kBlock) {
    const std::size_t left = tile.num_variables - start, count = left < kBlock ? left : kBlock;
    for (std::size_t row = 0; row < tile.rows; ++row) {
      flips[row].count = static_cast<std::uint32_t>(count);
      for (std::size_t i = 0; i < count; ++i) {
        flips[row].variable[i] = static_cast<std::uint32_t>(i);
        flips[row].change[i] = tile.spins[row * tile.spins_ld + start + i];
      }
    }
    apply_flips(tile, start, flips);
  }
}

// Makes one sweep, with the rule rule_of(row) in each row.
template <class Value, class RuleOf>
QPSBGD_INLINE void sweep(const QuadraticTile<Value>& tile, const RuleOf& rule_of) {
  alignas(64) Value fields[kMaxTileRows * kBlock];
  BlockFlips<Value> flips[kMaxTileRows];
  for (std::size_t start = 0; start < tile.num_variables; start += kBlock) {
    compute_block_fields(tile, start, fields);
    for (std::size_t row = 0; row < tile.rows; ++row) {
      visit_block(tile, row, start, rule_of(row), fields + row * kBlock, flips[row]);
    }
    apply_flips(tile, start, flips);
  }
}

template <class Value>
void anneal(const QuadraticTile<Value>& tile, Acceptance acceptance, float threshold,
            const StreamKey* keys) {
  with_acceptance(acceptance, [&]<Acceptance kAcceptance>() {
    sweep(tile, [&](std::size_t row) { return ReadRule<kAcceptance>(keys[row], threshold); });
  });
}

template <class Value>
void anneal_each(const QuadraticTile<Value>& tile, Acceptance acceptance, const float* thresholds,
                 const StreamKey* keys) {
  with_acceptance(acceptance, [&]<Acceptance kAcceptance>() {
    sweep(tile, [&](std::size_t row) { return ReadRule<kAcceptance>(keys[row], thresholds[row]); });
  });
}

template <class Value>
void anneal_random(const QuadraticTile<Value>& tile, Acceptance acceptance, float threshold,
                   const StreamKey* keys, const StreamKey* order) {
  for (std::size_t row = 0; row < tile.rows; ++row) {
    Value* fields = tile.state + row * tile.ld;
    Value* spins = tile.spins + row * tile.spins_ld;
    for (std::size_t first = 0; first < tile.num_variables; first += kLanes) {
      std::uint32_t variables[kLanes];
      alignas(64) float bounds[kLanes];
      draw_variables(order[row], static_cast<std::uint32_t>(first), tile.num_variables, variables);
      store_lanes(bounds, draw_read_bounds(acceptance, keys[row], threshold, first));
      for (std::size_t k = 0; k < kLanes && first + k < tile.num_variables; ++k) {
        const std::size_t i = variables[k];
        if (!(spins[i] * fields[i] >= static_cast<Value>(bounds[k]))) continue;
        const Vector<Value> change = broadcast(Value{-2} * spins[i]);
        spins[i] = -spins[i];
        const Value* updates = tile.updates + i * tile.ld;
        for (std::size_t j = 0; j < tile.ld; j += kWidth<Value>) {
          store(fields + j, add_exact_product(load(updates + j), change, load(fields + j)));
        }
      }
    }
  }
}

template <class Value>
constexpr QuadraticKernels<Value> kKernels = {
    .set_state = set_state<Value>,
    .anneal = anneal<Value>,
    .anneal_each = anneal_each<Value>,
    .anneal_random = anneal_random<Value>,
};

}  // namespace

constinit const TypedKernels<QuadraticKernels, float, double> kQuadratic = {kKernels<float>,
                                                                            kKernels<double>};

}  // namespace qpsbgd::QPSBGD_ISA
