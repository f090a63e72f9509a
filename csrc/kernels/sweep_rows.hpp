// Sweeps over problems that share one coupling matrix: sixteen rows at a time, one a lane,
// variables in order.
//
// A block of 64 variables is visited in lanes that are rows, so that nothing waits for the outcome
// of one proposal but its row. Then each row's state follows, as most of a block's variables do not
// flip. The same flips, and roundings, as the quadratic kernels'.
#pragma once

#include "lanes.hpp"
#include "random.hpp"
#include "sweep_variables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// A block of variables in lanes: (kBlock, kLanes).
struct LaneBlock {
  alignas(64) float fields[kBlock * kLanes];
  alignas(64) float spins[kBlock * kLanes];
  alignas(64) float changes[kBlock * kLanes];  // -2 s where flipped, else 0
};

// Brings the fields of the variables [first, last) up to date with the changes of `chosen`.
void follow(const float* coupling, std::size_t ld, const std::uint8_t* chosen,
            std::size_t num_chosen, std::size_t first, std::size_t last, LaneBlock& block) {
  constexpr std::size_t kGroup = 8;  // variables whose fields are in registers; divides kLanes
  for (; first < last; first += kGroup) {
    Lanes sums[kGroup];
    for (std::size_t g = 0; g < kGroup; ++g) {
      sums[g] = load_lanes(block.fields + (first + g) * kLanes);
    }
    for (std::size_t k = 0; k < num_chosen; ++k) {
      const Lanes change = load_lanes(block.changes + chosen[k] * kLanes);
      const float* row = coupling + chosen[k] * ld + first;
      for (std::size_t g = 0; g < kGroup; ++g) {
        for (std::size_t q = 0; q < kParts; ++q) {
          sums[g].part[q] = add_exact_product(broadcast(row[g]), change.part[q], sums[g].part[q]);
        }
      }
    }
    for (std::size_t g = 0; g < kGroup; ++g) {
      store_lanes(block.fields + (first + g) * kLanes, sums[g]);
    }
  }
}

// At a temperature: a flip of variable i is accepted where s f + threshold * e_i >= 0.
template <Acceptance kAcceptance>
struct ThermalLanes {
  static constexpr bool kStrict = false;
  LaneKeys keys;
  float threshold;

  Lanes least() const { return broadcast_lanes(-threshold * kExponentialMax); }  // of any s f
  // That of the variables first, first + 1, ...
  template <std::size_t kCount>
  QPSBGD_INLINE void draw(std::size_t first, Lanes* least) const {
    lane_noise<kAcceptance, kCount>(keys, static_cast<std::uint32_t>(first), least);
    for (std::size_t k = 0; k < kCount; ++k) least[k] = -threshold * least[k];
  }
};

// Descent: where s f > 0.
struct DownhillLanes {
  static constexpr bool kStrict = true;

  Lanes least() const { return broadcast_lanes(0.0f); }
  template <std::size_t kCount>
  QPSBGD_INLINE void draw(std::size_t, Lanes*) const {}
};

template <bool kStrict>
QPSBGD_INLINE Vec select_passing(Vec x, Vec least, Vec value) {
  if constexpr (kStrict) return x > least ? value : Vec{};
  return x >= least ? value : Vec{};
}
template <bool kStrict>
QPSBGD_INLINE std::uint32_t mask_passing(const Lanes& x, const Lanes& least) {
  return kStrict ? mask_positive(x - least) : mask_nonnegative(x - least);
}

// Decides on the kLanes variables from `first` one after the other, without a branch: where -2 s is
// their change, those with s f >= least, or >, flip. Returns the mask of variables that any lane
// flips.
template <bool kStrict>
std::uint32_t decide(const float* coupling, std::size_t ld, std::size_t first, const Lanes* least,
                     LaneBlock& block) {
  std::uint32_t flipped = 0;
  for (std::size_t q = 0; q < kParts; ++q) {
    Vec fields[kLanes];
    for (std::size_t i = 0; i < kLanes; ++i) {
      fields[i] = load(block.fields + (first + i) * kLanes + q * kWidth);
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kLanes; ++i) {
      const std::size_t at = (first + i) * kLanes + q * kWidth;
      const Vec spin = load(block.spins + at);
      const Vec change = select_passing<kStrict>(spin * fields[i], least[i].part[q], -2.0f * spin);
      store(block.changes + at, change);
      flipped |= std::uint32_t{mask_nonzero(change) != 0} << i;
#pragma GCC unroll 16
      for (std::size_t j = i + 1; j < kLanes; ++j) {
        fields[j] =
            add_exact_product(broadcast(coupling[(first + i) * ld + first + j]), change, fields[j]);
      }
    }
  }
  return flipped;
}

// Visits `count` variables in sixteen rows; returns whether anything flipped.
template <class Rule>
QPSBGD_INLINE bool visit_lanes(const float* coupling, std::size_t ld, std::size_t start,
                               std::size_t count, const Rule& rule, LaneBlock& block) {
  const Lanes beyond = rule.least();
  bool any = false;
  for (std::size_t i = 0; i < kBlock; ++i) {
    store_lanes(block.changes + i * kLanes, broadcast_lanes(0.0f));
  }
  for (std::size_t first = 0; first < count; first += kLanes) {
    constexpr std::size_t kDrawn = 8 / kParts;  // variables that are drawn together
    constexpr std::uint32_t kAll = (1u << kDrawn) - 1;
    Lanes least[kLanes];
    std::uint32_t drawn = 0;
    const auto draw = [&](std::size_t i) {
      rule.template draw<kDrawn>(start + first + i, least + i);
      drawn |= kAll << i;
    };
    for (std::size_t i = 0; i < kLanes; i += kDrawn) {
      std::uint32_t near = 0;
      for (std::size_t k = i; k < i + kDrawn; ++k) {
        const std::size_t at = (first + k) * kLanes;
        least[k] = beyond;
        near |= mask_passing<Rule::kStrict>(
            load_lanes(block.spins + at) * load_lanes(block.fields + at), beyond);
      }
      if (near != 0) draw(i);
    }
    if (drawn == 0) continue;  // nothing flips, so nothing comes within reach
    std::uint32_t flipped = decide<Rule::kStrict>(coupling, ld, first, least, block);
    if constexpr (Rule::kStrict) drawn = ~0u;  // there is nothing to draw
    // Flips may bring others within reach that were not drawn.
    while ((flipped & ~drawn) != 0) {
      for (std::size_t i = 0; i < kLanes; i += kDrawn) {
        if ((flipped & ~drawn) >> i & kAll) draw(i);
      }
      flipped = decide<Rule::kStrict>(coupling, ld, first, least, block);
    }
    any |= flipped != 0;
    std::uint8_t chosen[kLanes];
    std::size_t num_chosen = 0;
    for (; flipped != 0; flipped &= flipped - 1) {
      chosen[num_chosen++] = static_cast<std::uint8_t>(first + __builtin_ctz(flipped));
    }
    follow(coupling, ld, chosen, num_chosen, first + kLanes, count, block);
  }
  return any;
}

// list[0 ..] = first + i for every bit i of mask; returns how many. Writes kLanes of them.
QPSBGD_INLINE std::uint32_t list_bits(std::size_t first, std::uint32_t mask, std::uint32_t* list) {
#if defined(__AVX512F__)
  const __m512i index =
      _mm512_add_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                       _mm512_set1_epi32(static_cast<int>(first)));
  _mm512_storeu_si512(list, _mm512_maskz_compress_epi32(static_cast<__mmask16>(mask), index));
  return static_cast<std::uint32_t>(__builtin_popcount(mask));
#else
  std::uint32_t count = 0;
  for (; mask != 0; mask &= mask - 1) {
    list[count++] = static_cast<std::uint32_t>(first + static_cast<unsigned>(__builtin_ctz(mask)));
  }
  return count;
#endif
}

// ---- fields in float ----------------------------------------------------------------------------

// Fields of the block from `start` that are made for all rows at once: (rows, kBlock).
QPSBGD_INLINE void prepare_fields(const QuadraticTile& tile, std::size_t start, float* fields) {
  if (tile.packed_inputs != nullptr) block_fields(tile, start, fields);
}

// Takes kLanes rows of fields, ld apart, the first `rows` of which are there, into lanes. Lanes of
// no row never flip.
QPSBGD_INLINE void load_lanes_of(const float* fields, std::size_t ld, std::size_t rows,
                                 std::size_t count, LaneBlock& block) {
  const Lanes never = broadcast_lanes(-__builtin_inff());
  alignas(64) float padded[kLanes * kLanes];
  for (std::size_t i = 0; i < count; i += kLanes) {
    if (rows == kLanes) {
      transpose(fields + i, ld, block.fields + i * kLanes, kLanes);
      continue;
    }
    for (std::size_t row = 0; row < kLanes; ++row) {
      store_lanes(padded + row * kLanes, row < rows ? load_lanes(fields + row * ld + i) : never);
    }
    transpose(padded, kLanes, block.fields + i * kLanes, kLanes);
  }
}

QPSBGD_INLINE void load_group(const QuadraticTile& tile, std::size_t start, std::size_t count,
                              std::size_t group, std::size_t rows, const float* fields,
                              LaneBlock& block) {
  if (tile.packed_inputs != nullptr) {
    load_lanes_of(fields + group * kBlock, kBlock, rows, count, block);
  } else {
    load_lanes_of(tile.state + group * tile.ld + start, tile.ld, rows, count, block);
  }
}

QPSBGD_INLINE void clear(BlockFlips& flips) { flips.count = 0; }
QPSBGD_INLINE bool has_any(const BlockFlips& flips) { return flips.count != 0; }

// Adds the flips of the kLanes variables from `first`, whose changes are given.
QPSBGD_INLINE void add_flips(std::size_t first, const float* changes, BlockFlips& flips) {
  const std::uint32_t begin = flips.count;
  const Lanes change = load_lanes(changes + first);
  const std::uint32_t mask = mask_nonzero(change);
  flips.count = begin + list_bits(first, mask, flips.variable + begin);
#if defined(__AVX512F__)
  _mm512_storeu_ps(flips.change + begin,
                   _mm512_maskz_compress_ps(static_cast<__mmask16>(mask), (__m512)change.part[0]));
#else
  for (std::uint32_t k = begin; k < flips.count; ++k) {
    flips.change[k] = changes[flips.variable[k]];
  }
#endif
}

QPSBGD_INLINE bool follow_rows(const QuadraticTile& tile, std::size_t start,
                               const BlockFlips* flips) {
  apply_flips(tile, start, flips);
  return true;
}

// ---- fields in int16 ----------------------------------------------------------------------------
//
// For couplings of at most 127 units, half the bytes of floats. No bound on a field is needed
// beforehand: a block's flips change one by less than 2^14, and a sweep goes on only while all are
// less than 2^14 in magnitude, so none ever wraps around. Where they grow beyond, the caller goes
// on with floats, at the same variable.

typedef std::int16_t Shorts __attribute__((vector_size(kWidth * 4)));
typedef std::int16_t AlignedShorts __attribute__((vector_size(kWidth * 4), may_alias));
constexpr std::size_t kShorts = 2 * kWidth;

QPSBGD_INLINE Shorts load_shorts(const std::int16_t* p) {
  return *reinterpret_cast<const AlignedShorts*>(p);
}
QPSBGD_INLINE void store_shorts(std::int16_t* p, Shorts v) {
  *reinterpret_cast<AlignedShorts*>(p) = v;
}

QPSBGD_INLINE void prepare_fields(const NarrowTile&, std::size_t, float*) {}

QPSBGD_INLINE void load_group(const NarrowTile& tile, std::size_t start, std::size_t count,
                              std::size_t, std::size_t, const float*, LaneBlock& block) {
  const Lanes never = broadcast_lanes(-__builtin_inff());  // flips
  alignas(64) float rows[kLanes * kLanes];
  for (std::size_t row = tile.rows; row < kLanes; ++row) store_lanes(rows + row * kLanes, never);
  for (std::size_t i = 0; i < count; i += kLanes) {
    for (std::size_t row = 0; row < tile.rows; ++row) {
      store_lanes(rows + row * kLanes,
                  tile.unit * load_as_floats(tile.fields + row * tile.ld + start + i));
    }
    transpose(rows, kLanes, block.fields + i * kLanes, kLanes);
  }
  for (std::size_t i = count; i % kLanes != 0; ++i) store_lanes(block.fields + i * kLanes, never);
}

// A row's flips in one block. In integers their order does not matter.
struct SignedFlips {
  std::uint32_t num_up, num_down;
  std::uint32_t up[kBlock + kLanes], down[kBlock + kLanes];  // room for `list_bits`
};

QPSBGD_INLINE void clear(SignedFlips& flips) { flips.num_up = flips.num_down = 0; }
QPSBGD_INLINE bool has_any(const SignedFlips& flips) { return flips.num_up + flips.num_down != 0; }

QPSBGD_INLINE void add_flips(std::size_t first, const float* changes, SignedFlips& flips) {
  const Lanes change = load_lanes(changes + first);
  flips.num_up += list_bits(first, mask_positive(change), flips.up + flips.num_up);
  flips.num_down += list_bits(first, mask_positive(-1.0f * change), flips.down + flips.num_down);
}

// fields[0 .. kVectors) += change * couplings, flip by flip. The result is negative somewhere if a
// field has left [-2^14, 2^14).
template <std::size_t kVectors>
QPSBGD_INLINE Shorts follow_row(const SignedFlips& flips, const std::int16_t* twice, std::size_t ld,
                                std::int16_t* fields) {
  Shorts sum[kVectors];
  for (std::size_t v = 0; v < kVectors; ++v) sum[v] = load_shorts(fields + v * kShorts);
  for (std::size_t k = 0; k < flips.num_up; ++k) {
    const std::int16_t* row = twice + flips.up[k] * ld;
    for (std::size_t v = 0; v < kVectors; ++v) sum[v] += load_shorts(row + v * kShorts);
  }
  for (std::size_t k = 0; k < flips.num_down; ++k) {
    const std::int16_t* row = twice + flips.down[k] * ld;
    for (std::size_t v = 0; v < kVectors; ++v) sum[v] -= load_shorts(row + v * kShorts);
  }
  Shorts beyond{};
  for (std::size_t v = 0; v < kVectors; ++v) {
    store_shorts(fields + v * kShorts, sum[v]);
    beyond |= sum[v] ^ (sum[v] + sum[v]);  // whether the two highest bits differ
  }
  return beyond;
}

// Columns from `column` on, kVectors at a time, and what is left half as many at a time.
template <std::size_t kVectors>
QPSBGD_INLINE Shorts follow_columns(const NarrowTile& tile, const std::int16_t* twice,
                                    std::size_t column, const SignedFlips* flips) {
  Shorts beyond{};
  for (; column + kVectors * kShorts <= tile.columns; column += kVectors * kShorts) {
    for (std::size_t row = 0; row < tile.rows; ++row) {
      if (!has_any(flips[row])) continue;
      beyond |= follow_row<kVectors>(flips[row], twice + column, tile.ld,
                                     tile.fields + row * tile.ld + column);
    }
  }
  if constexpr (kVectors > 1) beyond |= follow_columns<kVectors / 2>(tile, twice, column, flips);
  return beyond;
}

// Returns whether all fields are small enough to go on.
QPSBGD_INLINE bool follow_rows(const NarrowTile& tile, std::size_t start,
                               const SignedFlips* flips) {
  const Shorts beyond = follow_columns<8>(tile, tile.twice + start * tile.ld, 0, flips);
  bool small = true;
  for (std::size_t i = 0; i < kShorts; ++i) small &= beyond[i] >= 0;
  return small;
}

// ---- the sweep ----------------------------------------------------------------------------------

// rules: one for every kLanes rows. active (rows): whether a row flipped anything; a group of rows
// none of which did in the sweep before is passed over.
template <class Flips, class Tile, class Rule>
std::size_t lanes_sweep(const Tile& tile, std::size_t start, const Rule* rules,
                        std::uint8_t* active) {
  constexpr std::uint8_t kVisit = 1, kFlipped = 2;
  LaneBlock block;
  Flips flips[kMaxTileRows];
  alignas(64) float fields[kMaxTileRows * kBlock];
  alignas(64) float changes[kLanes * kBlock];
  for (; start < tile.num_variables; start += kBlock) {
    const std::size_t left = tile.num_variables - start, count = left < kBlock ? left : kBlock;
    const float* coupling = tile.coupling + start / kBlock * tile.block_step;
    prepare_fields(tile, start, fields);
    bool any = false;
    for (std::size_t group = 0; group < tile.rows; group += kLanes) {
      const std::size_t rows = tile.rows - group < kLanes ? tile.rows - group : kLanes;
      std::uint8_t visited = 0;
      for (std::size_t row = group; row < group + rows; ++row) {
        clear(flips[row]);
        visited |= active[row];
      }
      if (!(visited & kVisit)) continue;
      load_group(tile, start, count, group, rows, fields, block);
      for (std::size_t i = 0; i < count; i += kLanes) {
        transpose(tile.spins + group * tile.spins_ld + start + i, tile.spins_ld,
                  block.spins + i * kLanes, kLanes);
      }
      if (!visit_lanes(coupling, tile.block_ld, start, count, rules[group / kLanes], block)) {
        continue;
      }
      any = true;
      for (std::size_t i = 0; i < count; i += kLanes) {
        transpose(block.changes + i * kLanes, kLanes, changes + i, kBlock);
      }
      for (std::size_t row = 0; row < rows; ++row) {
        float* spins = tile.spins + (group + row) * tile.spins_ld + start;
        const float* change = changes + row * kBlock;
        for (std::size_t i = 0; i < count; i += kLanes) {
          store_lanes(spins + i, load_lanes(spins + i) + load_lanes(change + i));
          add_flips(i, change, flips[group + row]);
        }
        if (has_any(flips[group + row])) active[group + row] |= kFlipped;
      }
    }
    if (any && !follow_rows(tile, start, flips)) return start + kBlock;
  }
  for (std::size_t row = 0; row < tile.rows; ++row) active[row] = (active[row] & kFlipped) != 0;
  return kSweepDone;
}

template <Acceptance kAcceptance, class Flips, class Tile>
std::size_t thermal_lanes(const Tile& tile, std::size_t start, float threshold,
                          const StreamKey* keys) {
  ThermalLanes<kAcceptance> rules[kMaxTileRows / kLanes];
  for (std::size_t group = 0; group < tile.rows; group += kLanes) {
    rules[group / kLanes] = {lane_keys(keys + group), threshold};
  }
  std::uint8_t active[kMaxTileRows];
  for (std::size_t row = 0; row < kMaxTileRows; ++row) active[row] = 1;
  return lanes_sweep<Flips>(tile, start, rules, active);
}

template <class Flips, class Tile>
std::size_t dense_anneal(const Tile& tile, std::size_t start, Acceptance acceptance,
                         float threshold, const StreamKey* keys) {
  return acceptance == Acceptance::kMetropolis
             ? thermal_lanes<Acceptance::kMetropolis, Flips>(tile, start, threshold, keys)
             : thermal_lanes<Acceptance::kGibbs, Flips>(tile, start, threshold, keys);
}

void quadratic_descent(const QuadraticTile& tile, std::uint8_t* active) {
  const DownhillLanes rules[kMaxTileRows / kLanes];
  lanes_sweep<BlockFlips>(tile, 0, rules, active);
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
