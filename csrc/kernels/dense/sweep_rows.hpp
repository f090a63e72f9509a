// Sweeps over problems that share one coupling matrix, with kLanes rows in the lanes.
//
// With rows in the lanes, no row waits for the outcome of another row's proposal. A block of 64
// variables is visited in this layout. The state of each row is then updated separately, because
// most variables of a block do not flip. The flips and roundings are those of sweep_variables.cpp.
#pragma once

#include "kernels/dense/block_flips.hpp"
#include "kernels/dense/flip_lists.hpp"
#include "kernels/simd/acceptance.hpp"
#include "kernels/simd/int16_lanes.hpp"
#include "kernels/simd/transpose.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// The largest number of rows that a sweep takes.
constexpr std::size_t kMaxRows = 2 * kLanes;

// A block of variables with rows in the lanes: (kBlock, kLanes).
struct LaneBlock {
  alignas(64) float fields[kBlock * kLanes];
  alignas(64) float spins[kBlock * kLanes];
  alignas(64) float changes[kBlock * kLanes];  // -2 s where a variable flipped, else 0
};

QPSBGD_INLINE bool apply_flips(const QuadraticTile<float>& tile, std::size_t start,
                               const BlockFlips<float>* flips) {
  return kFlipAppliers.real(tile, start, flips);
}
QPSBGD_INLINE bool apply_flips(const Int16Tile& tile, std::size_t start, const Int16Flips* flips) {
  return kFlipAppliers.int16(tile, start, flips);
}

// ---- visiting a block ---------------------------------------------------------------------------

// Brings the fields of the variables [first, last) up to date with the flips of the variables
// `chosen`.
void update_fields(const float* coupling, std::size_t ld, const std::uint8_t* chosen,
                   std::size_t num_chosen, std::size_t first, std::size_t last, LaneBlock& block) {
  constexpr std::size_t kGroup = 8;  // variables whose fields are in registers; divides kLanes
  for (; first < last; first += kGroup) {
    Lanes<float> sums[kGroup];
    for (std::size_t g = 0; g < kGroup; ++g) {
      sums[g] = load_lanes(block.fields + (first + g) * kLanes);
    }
    for (std::size_t k = 0; k < num_chosen; ++k) {
      const Lanes<float> change = load_lanes(block.changes + chosen[k] * kLanes);
      const float* row = coupling + chosen[k] * ld + first;
      for (std::size_t g = 0; g < kGroup; ++g) {
        for (std::size_t q = 0; q < kParts<float>; ++q) {
          sums[g].part[q] = add_exact_product(broadcast(row[g]), change.part[q], sums[g].part[q]);
        }
      }
    }
    for (std::size_t g = 0; g < kGroup; ++g) {
      store_lanes(block.fields + (first + g) * kLanes, sums[g]);
    }
  }
}

// Decides on the kLanes variables from `first` in order and without branches, given a bound for
// each. Writes the changes and returns the mask of the variables that any lane flips.
template <class Rule>
std::uint32_t decide_flips(const float* coupling, std::size_t ld, std::size_t first,
                           const Lanes<float>* bounds, LaneBlock& block) {
  std::uint32_t flipped = 0;
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    Floats fields[kLanes];
    for (std::size_t i = 0; i < kLanes; ++i) {
      fields[i] = load(block.fields + (first + i) * kLanes + q * kWidth<float>);
    }
    QPSBGD_UNROLL
    for (std::size_t i = 0; i < kLanes; ++i) {
      const std::size_t at = (first + i) * kLanes + q * kWidth<float>;
      const Floats spin = load(block.spins + at);
      const Floats change =
          Rule::select_accepted(spin * fields[i], bounds[i].part[q], -2.0f * spin);
      store(block.changes + at, change);
      flipped |= std::uint32_t{mask_nonzero(change) != 0} << i;
      QPSBGD_UNROLL
      for (std::size_t j = i + 1; j < kLanes; ++j) {
        fields[j] =
            add_exact_product(broadcast(coupling[(first + i) * ld + first + j]), change, fields[j]);
      }
    }
  }
  return flipped;
}

// Visits `count` variables of a block in kLanes rows. Returns whether anything flipped.
template <class Rule>
QPSBGD_INLINE bool visit_block(const float* coupling, std::size_t ld, std::size_t start,
                               std::size_t count, const Rule& rule, LaneBlock& block) {
  bool has_flips = false;
  for (std::size_t i = 0; i < kBlock; ++i) {
    store_lanes(block.changes + i * kLanes, broadcast_lanes(0.0f));
  }
  for (std::size_t first = 0; first < count; first += kLanes) {
    std::uint32_t flipped = settle_flips(
        rule, start + first,
        [&](std::size_t i) {
          const std::size_t at = (first + i) * kLanes;
          return load_lanes(block.spins + at) * load_lanes(block.fields + at);
        },
        [&](const Lanes<float>* bounds) {
          return decide_flips<Rule>(coupling, ld, first, bounds, block);
        });
    if (flipped == 0) continue;
    has_flips = true;
    std::uint8_t chosen[kLanes];
    std::size_t num_chosen = 0;
    for (; flipped != 0; flipped &= flipped - 1) {
      const auto i = static_cast<std::size_t>(__builtin_ctz(flipped));
      chosen[num_chosen++] = static_cast<std::uint8_t>(first + i);
    }
    update_fields(coupling, ld, chosen, num_chosen, first + kLanes, count, block);
  }
  return has_flips;
}

// ---- fields in float ----------------------------------------------------------------------------

QPSBGD_INLINE void prepare_block(const QuadraticTile<float>& tile, std::size_t start,
                                 float* fields) {
  // Fields that are the state itself need no copy.
  if (tile.packed_inputs != nullptr) compute_block_fields(tile, start, fields);
}

// Takes `rows` rows of the block's fields from row `group` on into the lanes. Lanes without a row
// never flip.
QPSBGD_INLINE void load_fields(const QuadraticTile<float>& tile, std::size_t start,
                               std::size_t count, std::size_t group, std::size_t rows,
                               const float* prepared, LaneBlock& block) {
  const bool is_prepared = tile.packed_inputs != nullptr;
  const std::size_t ld = is_prepared ? kBlock : tile.ld;
  const float* fields =
      is_prepared ? prepared + group * kBlock : tile.state + group * tile.ld + start;
  const Lanes<float> never = broadcast_lanes(-__builtin_inff());
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

// Adds the flips of the kLanes variables from `first` of a row, given its changes.
QPSBGD_INLINE void add_flips(std::size_t first, const float* changes, BlockFlips<float>& flips) {
  const std::uint32_t begin = flips.count;
  const Lanes<float> change = load_lanes(changes + first);
  const std::uint32_t mask = mask_nonzero(change);
  flips.count = begin + list_bits(first, mask, flips.variable + begin);
#if defined(QPSBGD_AVX512)
  _mm512_storeu_ps(flips.change + begin,
                   _mm512_maskz_compress_ps(static_cast<__mmask16>(mask), (__m512)change.part[0]));
#elif defined(__AVX512VL__)
  _mm256_storeu_ps(flips.change + begin,
                   _mm256_maskz_compress_ps(static_cast<__mmask8>(mask), (__m256)change.part[0]));
#else
  for (std::uint32_t k = begin; k < flips.count; ++k) {
    flips.change[k] = changes[flips.variable[k]];
  }
#endif
}

// ---- fields in int16 ----------------------------------------------------------------------------

QPSBGD_INLINE void prepare_block(const Int16Tile&, std::size_t, float*) {}

QPSBGD_INLINE void load_fields(const Int16Tile& tile, std::size_t start, std::size_t count,
                               std::size_t group, std::size_t rows, const float*,
                               LaneBlock& block) {
  const std::int16_t* fields = tile.fields + group * tile.ld + start;
  const Lanes<float> never = broadcast_lanes(-__builtin_inff());
  alignas(64) float padded[kLanes * kLanes];
  for (std::size_t row = rows; row < kLanes; ++row) store_lanes(padded + row * kLanes, never);
  for (std::size_t i = 0; i < count; i += kLanes) {
    for (std::size_t row = 0; row < rows; ++row) {
      store_lanes(padded + row * kLanes, tile.unit * load_as_floats(fields + row * tile.ld + i));
    }
    transpose(padded, kLanes, block.fields + i * kLanes, kLanes);
  }
  for (std::size_t i = count; i % kLanes != 0; ++i) store_lanes(block.fields + i * kLanes, never);
}

QPSBGD_INLINE void add_flips(std::size_t first, const float* changes, Int16Flips& flips) {
  const Lanes<float> change = load_lanes(changes + first), zero = broadcast_lanes(0.0f);
  flips.num_up += list_bits(first, mask_above(change, zero), flips.up + flips.num_up);
  flips.num_down += list_bits(first, mask_above(zero, change), flips.down + flips.num_down);
}

// ---- the sweep ----------------------------------------------------------------------------------

// Sweeps from variable `start` on. There is a rule for every kLanes rows. `active` (rows) says
// which rows to visit, and afterwards which flipped anything; rows are visited by groups of kLanes.
template <class Flips, class Tile, class Rule>
std::size_t sweep(const Tile& tile, std::size_t start, const Rule* rules, std::uint8_t* active) {
  constexpr std::uint8_t kVisit = 1, kFlipped = 2;
  LaneBlock block;
  Flips flips[kMaxRows];
  alignas(64) float fields[kMaxRows * kBlock];
  alignas(64) float changes[kLanes * kBlock];
  for (; start < tile.num_variables; start += kBlock) {
    const std::size_t left = tile.num_variables - start, count = left < kBlock ? left : kBlock;
    const float* coupling = tile.coupling + start / kBlock * tile.block_step;
    prepare_block(tile, start, fields);
    bool has_flips = false;
    for (std::size_t group = 0; group < tile.rows; group += kLanes) {
      const std::size_t rows = tile.rows - group < kLanes ? tile.rows - group : kLanes;
      bool is_visited = false;
      for (std::size_t row = group; row < group + rows; ++row) {
        flips[row].clear();
        is_visited |= (active[row] & kVisit) != 0;
      }
      if (!is_visited) continue;
      load_fields(tile, start, count, group, rows, fields, block);
      for (std::size_t i = 0; i < count; i += kLanes) {
        transpose(tile.spins + group * tile.spins_ld + start + i, tile.spins_ld,
                  block.spins + i * kLanes, kLanes);
      }
      if (!visit_block(coupling, tile.block_ld, start, count, rules[group / kLanes], block)) {
        continue;
      }
      has_flips = true;
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
        if (flips[group + row].has_any()) active[group + row] |= kFlipped;
      }
    }
    if (has_flips && !apply_flips(tile, start, flips)) return start + kBlock;
  }
  for (std::size_t row = 0; row < tile.rows; ++row) active[row] = (active[row] & kFlipped) != 0;
  return kSweepDone;
}

template <class Flips, class Tile>
std::size_t anneal(const Tile& tile, std::size_t start, Acceptance acceptance, float threshold,
                   const StreamKey* keys) {
  return with_acceptance(acceptance, [&]<Acceptance kAcceptance>() {
    using Rule = LaneRule<kAcceptance>;
    const Rule rules[kMaxRows / kLanes] = {
        Rule(keys, threshold), Rule(tile.rows > kLanes ? keys + kLanes : keys, threshold)};
    std::uint8_t active[kMaxRows];
    for (std::size_t row = 0; row < kMaxRows; ++row) active[row] = 1;
    return sweep<Flips>(tile, start, rules, active);
  });
}

template <class Flips, class Tile>
std::size_t anneal_each(const Tile& tile, std::size_t start, Acceptance acceptance,
                        const float* thresholds, const StreamKey* keys) {
  const std::size_t second = tile.rows > kLanes ? kLanes : 0;
  std::uint8_t active[kMaxRows];
  for (std::size_t row = 0; row < kMaxRows; ++row) active[row] = 1;
  return with_acceptance(acceptance, [&]<Acceptance kAcceptance>() {
    using Rule = LaneRule<kAcceptance, Lanes<float>>;
    const Rule rules[kMaxRows / kLanes] = {Rule(keys, load_lanes(thresholds)),
                                           Rule(keys + second, load_lanes(thresholds + second))};
    return sweep<Flips>(tile, start, rules, active);
  });
}

void descend(const QuadraticTile<float>& tile, std::uint8_t* active) {
  const DescentRule rules[kMaxRows / kLanes];
  sweep<BlockFlips<float>>(tile, 0, rules, active);
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
