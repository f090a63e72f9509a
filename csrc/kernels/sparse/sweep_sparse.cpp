// Sweeps over a sparse problem with kLanes reads in the lanes, variables in order.
//
// With few neighbours the cost of a proposal itself prevails. Lanes that are reads share the list
// of neighbours and decide on sixteen proposals at once. Fields in int16 take less memory than
// floats and lead to the same decisions; fields in double are for problems that float would round
// away.
#include "kernels/simd/acceptance.hpp"
#include "kernels/sparse/sparse_table.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// ---- access to one variable's lanes -------------------------------------------------------------

// The type in which a tile's gains are compared: float for int16.
template <class Value>
using Gain = typename SparseTile<Value>::Linear;

template <class Value>
QPSBGD_INLINE Lanes<Gain<Value>> load_fields(const SparseTile<Value>& tile, std::size_t i) {
  if constexpr (std::is_integral_v<Value>) {
    return tile.unit * load_as_floats(tile.fields + i * kLanes);
  } else {
    return load_lanes(tile.fields + i * kLanes);
  }
}
template <class Value>
QPSBGD_INLINE Lanes<Gain<Value>> load_linear(const SparseTile<Value>& tile, std::size_t i) {
  return tile.has_linear_in_lanes ? load_lanes(tile.linear + i * kLanes)
                                  : broadcast_lanes(tile.linear[i]);
}

// Returns -s in the lanes of the mask and 0 in the others. Times twice the coupling, this is the
// change of a neighbour's field.
template <class Value>
QPSBGD_INLINE auto select_changes(std::uint32_t spins, std::uint32_t mask) {
  if constexpr (std::is_integral_v<Value>) {
    const Int16Lanes up = select_int16(mask & spins), down = select_int16(mask & ~spins);
    Int16Lanes change;
    for (std::size_t q = 0; q < kInt16Parts; ++q) change.part[q] = up.part[q] - down.part[q];
    return change;
  } else {
    Lanes<Value> change;
    for (std::size_t q = 0; q < kParts<Value>; ++q) {
      const auto one = (WordsOf<Value>)broadcast(Value{1});
      change.part[q] = (Vector<Value>)((one & select_lanes<Value>(mask, q)) |
                                       (select_lanes<Value>(mask & spins, q) & kSignBit<Value>));
    }
    return change;
  }
}

template <class Value>
QPSBGD_INLINE void change_field(const SparseEdge<Value>& edge, const Lanes<Value>& change,
                                Value* field) {
  const Vector<Value> twice = broadcast(edge.twice[0]);
  for (std::size_t q = 0; q < kParts<Value>; ++q) {
    Value* at = field + q * kWidth<Value>;
    store(at, add_exact_product(twice, change.part[q], load(at)));
  }
}
QPSBGD_INLINE void change_field(const SparseEdge<std::int16_t>& edge, const Int16Lanes& change,
                                std::int16_t* field) {
  const Int16s twice = broadcast_pair(edge.twice);
  Int16Lanes fields = load_int16(field);
  for (std::size_t q = 0; q < kInt16Parts; ++q) {
    fields.part[q] += apply_sign(twice, change.part[q]);
  }
  store_int16(field, fields);
}

// Flips variable i in the lanes of the mask.
template <class Value>
QPSBGD_INLINE void flip(const SparseTile<Value>& tile, std::size_t i, std::uint32_t mask) {
  const std::uint32_t spins = tile.spins[i];
  tile.spins[i] = static_cast<std::uint16_t>(spins ^ mask);
  const auto change = select_changes<Value>(spins, mask);
  const SparseEdge<Value>* edge = tile.edges + tile.offsets[i];
  const SparseEdge<Value>* end = tile.edges + tile.offsets[i + 1];
  for (; edge != end; edge += kEdgeGroup) {
    for (std::size_t k = 0; k < kEdgeGroup; ++k) {
      change_field(edge[k], change, tile.fields + edge[k].field);
    }
  }
}

// ---- sweeps -------------------------------------------------------------------------------------

// Decisions of the acceptance rule. Threshold is as in LaneRule.
template <Acceptance kAcceptance, class Value, class Threshold = float>
class SparseDecisions {
 public:
  QPSBGD_INLINE SparseDecisions(const SparseTile<Value>& tile, const Threshold& threshold,
                                const StreamKey* keys)
      : tile_(tile), rule_(keys, threshold) {}

  // Whether any lane may flip variable i, whatever the noise is.
  QPSBGD_INLINE bool is_reached(std::size_t i) const {
    return rule_.accepts(gains(i), convert_lanes<Gain<Value>>(rule_.lowest_bound())) != 0;
  }
  // Draws for the variables first, ..., first + kDrawnTogether - 1.
  QPSBGD_INLINE void draw(std::size_t first) {
    Lanes<float> bounds[kDrawnTogether];
    rule_.template draw_bounds<kDrawnTogether>(first, bounds);
    for (std::size_t k = 0; k < kDrawnTogether; ++k) {
      bounds_[k] = convert_lanes<Gain<Value>>(bounds[k]);
    }
  }
  // The lanes that flip variable i, the k-th of those drawn.
  QPSBGD_INLINE std::uint32_t decide(std::size_t i, std::size_t k) const {
    return rule_.accepts(gains(i), bounds_[k]);
  }

 private:
  QPSBGD_INLINE Lanes<Gain<Value>> gains(std::size_t i) const {
    return negate_unless(tile_.spins[i], load_fields(tile_, i));
  }

  const SparseTile<Value> tile_;
  const LaneRule<kAcceptance, Threshold> rule_;
  Lanes<Gain<Value>> bounds_[kDrawnTogether];
};

// Takes the tile by value: otherwise the compiler would have to reload it after every store.
template <class Decisions, class Value>
QPSBGD_INLINE void sweep(const SparseTile<Value> tile, std::size_t first, std::size_t last,
                         Decisions decisions) {
  for (; first < last; first += kDrawnTogether) {
    const std::size_t left = last - first, count = left < kDrawnTogether ? left : kDrawnTogether;
    std::size_t k = 0;
    while (k < count && !decisions.is_reached(first + k)) ++k;
    if (k == count) continue;  // no variable flips, so no gain changes
    decisions.draw(first);
    for (k = 0; k < count; ++k) {
      const std::uint32_t mask = decisions.decide(first + k, k);
      if (mask != 0) flip(tile, first + k, mask);
    }
  }
}

template <class Value>
void anneal(const SparseTile<Value>& tile, std::size_t first, std::size_t last,
            Acceptance acceptance, float threshold, const StreamKey* keys) {
#if defined(__AVX512BW__)
  if constexpr (std::is_integral_v<Value>) {
    if (acceptance == Acceptance::kMetropolis &&
        SparseTable::suits(tile, threshold, last - first)) {
      sweep(tile, first, last, SparseTable(tile, threshold, keys));
      return;
    }
  }
#endif
  with_acceptance(acceptance, [&]<Acceptance kAcceptance>() {
    sweep(tile, first, last, SparseDecisions<kAcceptance, Value>(tile, threshold, keys));
  });
}

template <class Value>
void anneal_each(const SparseTile<Value>& tile, std::size_t first, std::size_t last,
                 Acceptance acceptance, const float* thresholds, const StreamKey* keys) {
  with_acceptance(acceptance, [&]<Acceptance kAcceptance>() {
    using Decisions = SparseDecisions<kAcceptance, Value, Lanes<float>>;
    sweep(tile, first, last, Decisions(tile, load_lanes(thresholds), keys));
  });
}

// Every lane draws variables of its own: it is a chain by itself.
template <class Value>
void anneal_random(const SparseTile<Value>& tile, std::size_t begin, std::size_t end,
                   Acceptance acceptance, float threshold, const StreamKey* keys,
                   const StreamKey* order) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    for (std::size_t first = begin; first < end; first += kLanes) {
      std::uint32_t variables[kLanes];
      alignas(64) float bounds[kLanes];
      draw_variables(order[lane], static_cast<std::uint32_t>(first), tile.num_variables, variables);
      store_lanes(bounds, draw_read_bounds(acceptance, keys[lane], threshold, first));
      for (std::size_t k = 0; k < kLanes && first + k < end; ++k) {
        const std::size_t i = variables[k];
        const Value field = tile.fields[i * kLanes + lane];
        const bool is_up = tile.spins[i] >> lane & 1;
        if (!((is_up ? field : -field) >= static_cast<Value>(bounds[k]))) continue;
        tile.spins[i] = static_cast<std::uint16_t>(tile.spins[i] ^ 1u << lane);
        for (std::size_t e = tile.offsets[i]; e < tile.offsets[i + 1]; ++e) {
          const SparseEdge<Value>& edge = tile.edges[e];
          tile.fields[edge.field + lane] += is_up ? -edge.twice[0] : edge.twice[0];
        }
      }
    }
  }
}

// ---- fields and energies ------------------------------------------------------------------------

template <class Value>
void set_fields(const SparseTile<Value>& tile, std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < last; ++i) {
    Lanes<Value> sum = load_linear(tile, i);
    for (std::size_t e = tile.offsets[i]; e < tile.offsets[i + 1]; ++e) {
      const SparseEdge<Value>& edge = tile.edges[e];
      const Lanes<Value> coupling = broadcast_lanes(edge.twice[0] / 2);
      sum = sum + negate_unless(tile.spins[edge.field / kLanes], coupling);
    }
    store_lanes(tile.fields + i * kLanes, sum);
  }
}

template <>
void set_fields(const SparseTile<std::int16_t>& tile, std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < last; ++i) {
    alignas(64) float linear[kLanes];
    store_lanes(linear, load_linear(tile, i));
    alignas(64) std::int16_t units[kLanes];
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      units[lane] = static_cast<std::int16_t>(linear[lane] / tile.unit);
    }
    Int16Lanes sum = load_int16(units);
    for (std::size_t e = tile.offsets[i]; e < tile.offsets[i + 1]; ++e) {
      const SparseEdge<std::int16_t>& edge = tile.edges[e];
      const Int16Lanes down = select_int16(~std::uint32_t{tile.spins[edge.field / kLanes]});
      const auto coupling = static_cast<std::int16_t>(edge.twice[0] / 2);
      for (std::size_t q = 0; q < kInt16Parts; ++q) {
        sum.part[q] += ((Int16s{} + coupling) ^ down.part[q]) - down.part[q];
      }
    }
    store_int16(tile.fields + i * kLanes, sum);
  }
}

// Returns the sums over variables first to last - 1 of s (h + f), where f is the local field.
template <class Value>
QPSBGD_INLINE Lanes<Gain<Value>> sum_terms(const SparseTile<Value>& tile, std::size_t first,
                                           std::size_t last) {
  Lanes<Gain<Value>> sum{};
  for (std::size_t i = first; i < last; ++i) {
    sum = sum + negate_unless(tile.spins[i], load_linear(tile, i) + load_fields(tile, i));
  }
  return sum;
}

// Returns how many terms may be added up in float32. Sums of integers must stay exact; terms that
// are rounded themselves lose nothing in short sums.
QPSBGD_INLINE std::size_t choose_run(float reach_in_units) {
  if (reach_in_units > 0x1p24f) return 8;  // rounded
  if (reach_in_units > 0x1p22f) return 1;
  return static_cast<std::size_t>(0x1p23f / (reach_in_units + 1.0f));
}

template <class Value>
void energies(const SparseTile<Value>& tile, double* out) {
  const std::size_t run = choose_run(tile.reach);
  Lanes<double> sum{};
  if constexpr (std::is_same_v<Value, double>) {
    sum = sum_terms(tile, 0, tile.num_variables);
  } else {
    for (std::size_t first = 0; first < tile.num_variables; first += run) {
      const std::size_t left = tile.num_variables - first;
      const auto terms = sum_terms(tile, first, first + (left < run ? left : run));
      sum = sum + convert_lanes<double>(terms);
    }
  }
  for (std::size_t q = 0; q < kParts<double>; ++q) {
    store_unaligned(out + q * kWidth<double>, 0.5 * sum.part[q]);
  }
}

template <class Value>
constexpr SparseKernels<Value> kFloatingPoint = {
    .set_fields = set_fields<Value>,
    .anneal = anneal<Value>,
    .anneal_each = anneal_each<Value>,
    .anneal_random = anneal_random<Value>,
    .energies = energies<Value>,
};
constexpr SparseKernels<std::int16_t> kInt16 = {
    .set_fields = set_fields<std::int16_t>,
    .anneal = anneal<std::int16_t>,
    .anneal_each = anneal_each<std::int16_t>,
    .anneal_random = nullptr,
    .energies = energies<std::int16_t>,
};

}  // namespace

constinit const TypedKernels<SparseKernels, std::int16_t, float, double> kSparse = {
    kInt16, kFloatingPoint<float>, kFloatingPoint<double>};

}  // namespace qpsbgd::QPSBGD_ISA
