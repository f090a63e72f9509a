// Sweeps over a sparse Ising problem: sixteen reads at a time, one a lane, variables in order.
//
// With few neighbours a proposal's own cost prevails; lanes that are reads share the neighbour list
// and test sixteen proposals at once. Fields are floats, or int16 or int8 where all values fit:
// less memory, and the same decisions; or doubles where floats would round differences away.
#pragma once

#include <type_traits>

#include "float64_lanes.hpp"
#include "lanes.hpp"
#include "random.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Variables whose random numbers are drawn together: eight vectors.
constexpr std::size_t kSparseDrawn = 8 / kParts;

QPSBGD_INLINE Lanes load_fields(const SparseTile<float>& tile, std::size_t i) {
  return load_lanes(tile.fields + i * kLanes);
}
QPSBGD_INLINE WideLanes load_fields(const SparseTile<double>& tile, std::size_t i) {
  return load_wide(tile.fields + i * kLanes);
}
template <class Value>
QPSBGD_INLINE Lanes load_fields(const SparseTile<Value>& tile, std::size_t i) {
  return tile.unit * load_as_floats(tile.fields + i * kLanes);
}

// What a variable's neighbours' fields change by, in couplings of twice its size: -s in the lanes
// of mask, 0 in the others.
QPSBGD_INLINE Lanes change_of(const SparseTile<float>&, std::uint32_t spins, std::uint32_t mask) {
  Lanes change;
  for (std::size_t q = 0; q < kParts; ++q) {
    change.part[q] = (Vec)(((Words)broadcast(1.0f) & select_words(mask, q)) |
                           (select_words(mask & spins, q) & 0x80000000u));
  }
  return change;
}
QPSBGD_INLINE WideLanes change_of(const SparseTile<double>&, std::uint32_t spins,
                                  std::uint32_t mask) {
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
  WideLanes change;
  for (std::size_t q = 0; q < kDoubleParts; ++q) {
    change.part[q] = (Doubles)(((LongWords)(1.0 - Doubles{}) & select_long_words(mask, q)) |
                               (select_long_words(mask & spins, q) & kSign));
  }
  return change;
}
template <class Value>
QPSBGD_INLINE Small<Value> change_of(const SparseTile<Value>&, std::uint32_t spins,
                                     std::uint32_t mask) {
  return select_small<Value>(mask & spins) - select_small<Value>(mask & ~spins);
}

QPSBGD_INLINE void change_field(const SparseEdge<float>& edge, const Lanes& change, float* field) {
  const Vec twice = broadcast(edge.twice[0]);
  for (std::size_t q = 0; q < kParts; ++q) {
    store(field + q * kWidth, add_exact_product(twice, change.part[q], load(field + q * kWidth)));
  }
}
QPSBGD_INLINE void change_field(const SparseEdge<double>& edge, const WideLanes& change,
                                double* field) {
  const Doubles twice = edge.twice[0] - Doubles{};
  WideLanes sum = load_wide(field);
  for (std::size_t q = 0; q < kDoubleParts; ++q) {
    sum.part[q] = add_exact_product(twice, change.part[q], sum.part[q]);
  }
  store_wide(field, sum);
}
template <class Value>
QPSBGD_INLINE void change_field(const SparseEdge<Value>& edge, Small<Value> change, Value* field) {
  typedef std::int32_t Copies __attribute__((vector_size(kLanes * sizeof(Value))));
  typedef std::int32_t Copy __attribute__((may_alias));
  const Copies twice = Copies{} + *reinterpret_cast<const Copy*>(edge.twice);
  store_small(field, load_small(field) + apply_sign((Small<Value>)twice, change));
}

// Flips variable i in the lanes of mask.
template <class Value>
QPSBGD_INLINE void flip(const SparseTile<Value>& tile, std::size_t i, std::uint32_t mask) {
  const std::uint32_t spins = tile.spins[i];
  tile.spins[i] = static_cast<std::uint16_t>(spins ^ mask);
  const auto change = change_of(tile, spins, mask);
  const SparseEdge<Value>* edge = tile.edges + tile.offsets[i];
  const SparseEdge<Value>* end = tile.edges + tile.offsets[i + 1];
  for (; edge != end; edge += kEdgeGroup) {
    for (std::size_t k = 0; k < kEdgeGroup; ++k) {
      change_field(edge[k], change, tile.fields + edge[k].fields);
    }
  }
}

// Noise as it is added to fields of these types.
template <class Value>
struct SparseNoise {
  using Type = Lanes;
  static QPSBGD_INLINE Lanes from(const Lanes& noise) { return noise; }
};
template <>
struct SparseNoise<double> {
  using Type = WideLanes;
  static QPSBGD_INLINE WideLanes from(const Lanes& noise) { return widen(noise); }
};

// The acceptance rule at a temperature.
template <Acceptance kAcceptance, class Value>
class SparseThermal {
 public:
  QPSBGD_INLINE SparseThermal(const SparseTile<Value>& tile, float threshold, const StreamKey* keys)
      : tile_(tile), keys_(lane_keys(keys)), threshold_(threshold) {}

  // Whether any lane could flip i: if not, the draw is left out. It is addressed, not consumed.
  QPSBGD_INLINE bool near(std::size_t i) const {
    const auto reach = Noise::from(broadcast_lanes(threshold_ * kExponentialMax));
    return mask_nonnegative(spin_field(i) + reach) != 0;
  }
  QPSBGD_INLINE void draw(std::size_t first) {
    Lanes noise[kSparseDrawn];
    lane_noise<kAcceptance, kSparseDrawn>(keys_, static_cast<std::uint32_t>(first), noise);
    for (std::size_t k = 0; k < kSparseDrawn; ++k) slack_[k] = Noise::from(threshold_ * noise[k]);
  }
  // The lanes that flip i, the k-th variable that was drawn.
  QPSBGD_INLINE std::uint32_t flips(std::size_t i, std::size_t k) const {
    return mask_nonnegative(spin_field(i) + slack_[k]);
  }

 private:
  using Noise = SparseNoise<Value>;
  QPSBGD_INLINE typename Noise::Type spin_field(std::size_t i) const {
    return negate_unless(tile_.spins[i], load_fields(tile_, i));
  }
  const SparseTile<Value> tile_;
  LaneKeys keys_;
  float threshold_;
  typename Noise::Type slack_[kSparseDrawn];
};

#if defined(__AVX512BW__)
// SparseThermal's decisions for Metropolis acceptance and integer fields, without a logarithm. The
// noise never grows with the uniform variate, so a flip that raises the energy by a given number of
// units is accepted if and only if the variate, counted in steps of 2^-23, is below a bound. Two
// registers hold the bounds of 32 values.
template <class Value>
class SparseTable {
 public:
  static constexpr int kNumValues = 32;

  // Whether no value outside the table can be accepted, and the sweep is long enough to pay for it:
  // the table costs about as much as a hundred variables.
  static QPSBGD_INLINE bool suits(float unit, float threshold, std::size_t num_variables) {
    return threshold * kExponentialMax < unit * kNumValues && num_variables >= 256;
  }

  QPSBGD_INLINE SparseTable(const SparseTile<Value>& tile, float threshold, const StreamKey* keys)
      : tile_(tile), keys_(lane_keys(keys)) {
    Vec fields[2];
    Ints below[2] = {};
    for (int part = 0; part < 2; ++part) {
      for (int lane = 0; lane < 16; ++lane) {
        fields[part][lane] = tile.unit * static_cast<float>(16 * part + lane - kNumValues);
      }
    }
    // A bisection by powers of two. The second step of 1 reaches 2^23: every variate is accepted.
    for (int bit = 22; bit >= -1; --bit) {
      const std::int32_t step = bit < 0 ? 1 : 1 << bit;
      Words bits[2];
      Vec slack[2];
      for (int part = 0; part < 2; ++part) bits[part] = (Words)(below[part] + (step - 1)) << 9;
      noise<Acceptance::kMetropolis, 2>(bits, slack);
      for (int part = 0; part < 2; ++part) {
        below[part] += (Ints)(fields[part] + threshold * slack[part] >= 0.0f) & step;
      }
    }
    lowest_ = 0;
    for (int part = 0; part < 2; ++part) {
      bounds_[part] = (__m512i)below[part];
      lowest_ -=
          __builtin_popcount(mask_word(_mm512_test_epi32_mask(bounds_[part], bounds_[part])));
    }
  }

  QPSBGD_INLINE bool near(std::size_t i) const {
    return _mm512_cmpge_epi32_mask(spin_field(i), _mm512_set1_epi32(lowest_)) != 0;
  }
  QPSBGD_INLINE void draw(std::size_t first) {
    lane_bits<kSparseDrawn>(keys_, static_cast<std::uint32_t>(first), bits_);
    for (Words& bits : bits_) bits >>= 9;
  }
  QPSBGD_INLINE std::uint32_t flips(std::size_t i, std::size_t k) const {
    // The bound of the lowest value is 0, so it serves everything below. The low five bits of a
    // value in [-32, -1] choose among the 32 bounds.
    const Ints field = (Ints)spin_field(i), lowest = Ints{} - kNumValues;
    const auto value = (__m512i)(field > lowest ? field : lowest);
    const __m512i bound = _mm512_permutex2var_epi32(bounds_[0], value, bounds_[1]);
    return _mm512_cmplt_epi32_mask((__m512i)bits_[k], bound) |
           _mm512_cmpge_epi32_mask(value, _mm512_setzero_si512());
  }

 private:
  QPSBGD_INLINE __m512i spin_field(std::size_t i) const {
    const auto field = (__m512i)load_as_ints(tile_.fields + i * kLanes);
    const auto down = static_cast<__mmask16>(~tile_.spins[i]);
    return _mm512_mask_sub_epi32(field, down, _mm512_setzero_si512(), field);
  }
  const SparseTile<Value> tile_;
  LaneKeys keys_;
  __m512i bounds_[2];  // of spin times field in [-32, -17] and [-16, -1]
  int lowest_;         // the lowest value whose bound is not 0
  Words bits_[kSparseDrawn];
};
#endif

// The tile by value: stores to fields might change it else, and it would be read again and again.
template <class Decision, class Value>
QPSBGD_INLINE void sparse_sweep(const SparseTile<Value> tile, std::size_t first, std::size_t last,
                                Decision decision) {
  for (; first < last; first += kSparseDrawn) {
    const std::size_t left = last - first, count = left < kSparseDrawn ? left : kSparseDrawn;
    std::size_t far = 0;
    while (far < count && !decision.near(first + far)) ++far;
    if (far == count) continue;  // nothing flips, so nothing comes near
    decision.draw(first);
    for (std::size_t k = 0; k < count; ++k) {
      const std::uint32_t mask = decision.flips(first + k, k);
      if (mask != 0) flip(tile, first + k, mask);
    }
  }
}

template <class Value>
void sparse_anneal(const SparseTile<Value>& tile, std::size_t first, std::size_t last,
                   Acceptance acceptance, float threshold, const StreamKey* keys) {
  if (acceptance == Acceptance::kGibbs) {
    sparse_sweep(tile, first, last,
                 SparseThermal<Acceptance::kGibbs, Value>(tile, threshold, keys));
    return;
  }
#if defined(__AVX512BW__)
  if constexpr (std::is_integral_v<Value>) {
    if (SparseTable<Value>::suits(tile.unit, threshold, last - first)) {
      sparse_sweep(tile, first, last, SparseTable<Value>(tile, threshold, keys));
      return;
    }
  }
#endif
  sparse_sweep(tile, first, last,
               SparseThermal<Acceptance::kMetropolis, Value>(tile, threshold, keys));
}

// Every lane draws variables of its own, so each is a chain by itself.
template <Acceptance kAcceptance, class Value>
void sparse_random_sweep(const SparseTile<Value>& tile, std::size_t begin, std::size_t end,
                         float threshold, const StreamKey* keys, const StreamKey* order) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    for (std::size_t first = begin; first < end; first += kLanes) {
      std::uint32_t variables[kLanes];
      alignas(64) float slack[kLanes];
      random_variables(order[lane], static_cast<std::uint32_t>(first), tile.num_variables,
                       variables);
      store_lanes(
          slack, threshold * noise_run<kAcceptance>(keys[lane], static_cast<std::uint32_t>(first)));
      for (std::size_t k = 0; k < kLanes && first + k < end; ++k) {
        const std::size_t i = variables[k];
        using Field = typename SparseTile<Value>::Linear;
        const Field field = tile.unit * static_cast<Field>(tile.fields[i * kLanes + lane]);
        const bool up = tile.spins[i] >> lane & 1;
        if (!((up ? field : -field) + static_cast<Field>(slack[k]) >= 0)) continue;
        tile.spins[i] = static_cast<std::uint16_t>(tile.spins[i] ^ 1u << lane);
        for (std::size_t e = tile.offsets[i]; e < tile.offsets[i + 1]; ++e) {
          const SparseEdge<Value>& edge = tile.edges[e];
          Value& other = tile.fields[edge.fields + lane];
          other = static_cast<Value>(up ? other - edge.twice[0] : other + edge.twice[0]);
        }
      }
    }
  }
}

template <class Value>
void sparse_anneal_random(const SparseTile<Value>& tile, std::size_t first, std::size_t last,
                          Acceptance acceptance, float threshold, const StreamKey* keys,
                          const StreamKey* order) {
  if (acceptance == Acceptance::kMetropolis) {
    sparse_random_sweep<Acceptance::kMetropolis>(tile, first, last, threshold, keys, order);
  } else {
    sparse_random_sweep<Acceptance::kGibbs>(tile, first, last, threshold, keys, order);
  }
}

// h of variable i in all lanes.
template <class Value>
QPSBGD_INLINE Lanes load_linear(const SparseTile<Value>& tile, std::size_t i) {
  return tile.linear_in_lanes ? load_lanes(tile.linear + i * kLanes)
                              : broadcast_lanes(tile.linear[i]);
}

QPSBGD_INLINE WideLanes load_linear(const SparseTile<double>& tile, std::size_t i) {
  return tile.linear_in_lanes ? load_wide(tile.linear + i * kLanes)
                              : broadcast_wide(tile.linear[i]);
}

void sparse_fields(const SparseTile<double>& tile, std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < last; ++i) {
    WideLanes sum = load_linear(tile, i);
    for (std::size_t e = tile.offsets[i]; e < tile.offsets[i + 1]; ++e) {
      const SparseEdge<double>& edge = tile.edges[e];
      sum = sum +
            negate_unless(tile.spins[edge.fields / kLanes], broadcast_wide(0.5 * edge.twice[0]));
    }
    store_wide(tile.fields + i * kLanes, sum);
  }
}
void sparse_fields(const SparseTile<float>& tile, std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < last; ++i) {
    Lanes sum = load_linear(tile, i);
    for (std::size_t e = tile.offsets[i]; e < tile.offsets[i + 1]; ++e) {
      const SparseEdge<float>& edge = tile.edges[e];
      sum = sum +
            negate_unless(tile.spins[edge.fields / kLanes], broadcast_lanes(0.5f * edge.twice[0]));
    }
    store_lanes(tile.fields + i * kLanes, sum);
  }
}
template <class Value>
void sparse_fields(const SparseTile<Value>& tile, std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < last; ++i) {
    alignas(64) float linear[kLanes];
    store_lanes(linear, load_linear(tile, i));
    Small<Value> sum;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      sum[lane] = static_cast<Value>(linear[lane] / tile.unit);
    }
    for (std::size_t e = tile.offsets[i]; e < tile.offsets[i + 1]; ++e) {
      const SparseEdge<Value>& edge = tile.edges[e];
      const Small<Value> down =
          select_small<Value>(~std::uint32_t{tile.spins[edge.fields / kLanes]});
      const auto coupling = static_cast<Value>(edge.twice[0] / 2);
      sum += ((Small<Value>{} + coupling) ^ down) - down;
    }
    store_small(tile.fields + i * kLanes, sum);
  }
}

QPSBGD_INLINE WideLanes widen(const WideLanes& v) { return v; }

// In float64: floats would round sums of integers that fields hold exactly.
template <class Value>
void sparse_energies(const SparseTile<Value>& tile, double* energies) {
  WideLanes sum = broadcast_wide(0.0);
  for (std::size_t i = 0; i < tile.num_variables; ++i) {
    sum = sum + widen(negate_unless(tile.spins[i], load_linear(tile, i) + load_fields(tile, i)));
  }
  alignas(64) double lanes[kLanes];
  store_wide(lanes, sum);
  for (std::size_t lane = 0; lane < kLanes; ++lane) energies[lane] = 0.5 * lanes[lane];
}

template <class Value>
constexpr KernelTable::Sparse<Value> kSparse = {
    .fields = sparse_fields,
    .anneal = sparse_anneal<Value>,
    .anneal_random = sparse_anneal_random<Value>,
    .energies = sparse_energies<Value>,
};

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
