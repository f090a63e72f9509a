// Sweeps over problems that share one coupling matrix: exact sequential updates, sixteen proposals
// tested at a time.
//
// Variables are taken in blocks of 64. First every row of the tile visits the block: of sixteen
// variables all are tested at once, the first that passes is flipped, the block's own fields are
// updated, and the lanes after it are tested again; the same flips as visiting them one by one.
// Then the state follows, for all rows: a chunk of the block's 64 update rows stays in L1 while the
// rows of the tile pass over it, each with its part of the state in registers.
#pragma once

#include "float64_lanes.hpp"
#include "gemm.hpp"
#include "lanes.hpp"
#include "random.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Vectors of the state that a row holds in registers; kBlock x kChunk floats are 32 KiB at most.
constexpr std::size_t kChunkVectors = 8;
constexpr std::size_t kChunk = kChunkVectors * kWidth;

// A row's flips in one block, in the order they were made: at most one a variable.
struct BlockFlips {
  std::uint32_t count;
  // Room for `list_bits` to write beyond the last.
  std::uint32_t variable[kBlock + kLanes];  // within the block
  float change[kBlock + kLanes];            // new spin - old spin, +-2
};

// Fields of the block from `start` for every row: (rows, kBlock), padding -inf.
QPSBGD_INLINE void block_fields(const QuadraticTile& tile, std::size_t start, float* fields) {
  const std::size_t left = tile.num_variables - start;
  const std::size_t count = left < kBlock ? left : kBlock;
  const std::size_t size = (count + kLanes - 1) / kLanes * kLanes;
  if (tile.packed_inputs != nullptr) {
    gemm(tile.state, tile.ld, tile.packed_inputs + start * tile.num_samples, tile.num_samples,
         tile.rows, count, fields, kBlock);
  }
  for (std::size_t row = 0; row < tile.rows; ++row) {
    float* row_fields = fields + row * kBlock;
    if (tile.packed_inputs == nullptr) {
      const float* state = tile.state + row * tile.ld + start;
      for (std::size_t i = 0; i < size; i += kLanes) {
        store_lanes(row_fields + i, load_lanes(state + i));
      }
    } else {
      const float* spins = tile.spins + row * tile.spins_ld + start;
      for (std::size_t i = 0; i < count; ++i) row_fields[i] -= tile.diagonal[start + i] * spins[i];
      if (tile.linear != nullptr) {
        for (std::size_t i = 0; i < count; ++i) row_fields[i] += tile.linear[row][start + i];
      }
      for (std::size_t i = count; i < size; ++i) {
        row_fields[i] = -__builtin_inff();
      }
    }
  }
}

// Visits the variables [start, start + kBlock) of one row, whose fields of this block are given and
// changed. `passing(first, x)` tells whether any of the sixteen variables from `first` may pass, x
// being their spin times field; `passing.acceptance(first)(x)` gives the mask of those that do.
template <class Passing>
QPSBGD_INLINE void visit_block(const QuadraticTile& tile, std::size_t row, std::size_t start,
                               const Passing& passing, float* fields, BlockFlips& flips) {
  const std::size_t left = tile.spins_ld - start;
  const std::size_t size = left < kBlock ? left : kBlock;
  float* spins = tile.spins + row * tile.spins_ld + start;
  const float* block = tile.coupling + start / kBlock * tile.block_step;
  flips.count = 0;
  for (std::size_t first = 0; first < size; first += kLanes) {
    Lanes f = load_lanes(fields + first);
    // Kept in registers: a vector load behind a scalar store of one lane would wait for it.
    Lanes s = load_lanes(spins + first);
    std::uint32_t mask = passing(start + first, s * f);
    if (mask == 0) continue;
    const auto decide = passing.acceptance(start + first);
    mask = decide(s * f);
    while (mask != 0) {
      const unsigned lane = static_cast<unsigned>(__builtin_ctz(mask));
      const std::size_t variable = first + lane;
      // In memory is the spin from before the visit, which flips a variable at most once.
      const float change = -2.0f * spins[variable];
      negate_lane(s, lane);
      flips.variable[flips.count] = static_cast<std::uint32_t>(variable);
      flips.change[flips.count++] = change;
      const float* coupling = block + variable * tile.block_ld;
      const Vec d = broadcast(change);
      for (std::size_t q = 0; q < kParts; ++q) {
        f.part[q] = add_exact_product(load(coupling + first + q * kWidth), d, f.part[q]);
      }
      for (std::size_t i = first + kLanes; i < size; i += kWidth) {
        store(fields + i, add_exact_product(load(coupling + i), d, load(fields + i)));
      }
      // Only later lanes: an earlier one has had its turn in this sweep.
      mask = decide(s * f) & (0xfffffffeu << lane);
    }
    store_lanes(spins + first, s);
  }
}

// state[0 .. kVectors) += change * update row, flip by flip.
template <std::size_t kVectors>
QPSBGD_INLINE void apply_chunk(const BlockFlips& flips, const float* updates, std::size_t ld,
                               float* state) {
  Vec sum[kVectors];
  for (std::size_t v = 0; v < kVectors; ++v) sum[v] = load(state + v * kWidth);
  for (std::size_t k = 0; k < flips.count; ++k) {
    const float* row = updates + flips.variable[k] * ld;
    const Vec d = broadcast(flips.change[k]);
    for (std::size_t v = 0; v < kVectors; ++v) {
      sum[v] = add_exact_product(load(row + v * kWidth), d, sum[v]);
    }
  }
  for (std::size_t v = 0; v < kVectors; ++v) store(state + v * kWidth, sum[v]);
}

template <std::size_t kVectors>
void apply_column(const QuadraticTile& tile, const float* updates, float* state,
                  const BlockFlips* flips) {
  for (std::size_t row = 0; row < tile.rows; ++row) {
    if (flips[row].count == 0) continue;
    apply_chunk<kVectors>(flips[row], updates, tile.ld, state + row * tile.ld);
  }
}

// The rest of the columns, fewer than kChunkVectors vectors, in one pass.
template <std::size_t kVectors>
void apply_rest(const QuadraticTile& tile, std::size_t vectors, const float* updates, float* state,
                const BlockFlips* flips) {
  if (vectors == kVectors) {
    apply_column<kVectors>(tile, updates, state, flips);
  } else if constexpr (kVectors > 1) {
    apply_rest<kVectors - 1>(tile, vectors, updates, state, flips);
  }
}

// Brings the state of all rows up to date with their flips in the block from `start`.
QPSBGD_INLINE void apply_flips(const QuadraticTile& tile, std::size_t start,
                               const BlockFlips* flips) {
  const float* updates = tile.updates + start * tile.ld;
  std::size_t column = 0;
  for (; column + kChunk <= tile.ld; column += kChunk) {
    apply_column<kChunkVectors>(tile, updates + column, tile.state + column, flips);
  }
  apply_rest<kChunkVectors - 1>(tile, (tile.ld - column) / kWidth, updates + column,
                                tile.state + column, flips);
}

void quadratic_fields(const QuadraticTile& tile, const float* const* linear) {
  for (std::size_t row = 0; row < tile.rows; ++row) {
    float* state = tile.state + row * tile.ld;
    if (tile.packed_inputs != nullptr) {
      for (std::size_t i = 0; i < tile.ld; ++i) state[i] = 0.0f;
      continue;
    }
    for (std::size_t i = 0; i < tile.num_variables; ++i) state[i] = linear[row][i];
    for (std::size_t i = tile.num_variables; i < tile.ld; ++i) state[i] = -__builtin_inff();
  }
  BlockFlips flips[kMaxTileRows];
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

// At a temperature: a flip of variable i is accepted where s f + threshold * e_i >= 0.
template <Acceptance kAcceptance>
struct Thermal {
  StreamKey key;
  Lanes threshold;
  Lanes reach;  // threshold times the largest variate

  // Whether any lane could pass: if not, the draw is left out. It is addressed, not consumed.
  QPSBGD_INLINE std::uint32_t operator()(std::size_t, const Lanes& sf) const {
    return mask_nonnegative(sf + reach);
  }
  QPSBGD_INLINE auto acceptance(std::size_t first) const {
    const Lanes slack = threshold * noise_run<kAcceptance>(key, static_cast<std::uint32_t>(first));
    return [slack](const Lanes& sf) { return mask_nonnegative(sf + slack); };
  }
};

template <Acceptance kAcceptance>
void quadratic_sweep(const QuadraticTile& tile, float threshold, const StreamKey* keys) {
  alignas(64) float fields[kMaxTileRows * kBlock];
  BlockFlips flips[kMaxTileRows];
  const Lanes scale = broadcast_lanes(threshold);
  const Lanes reach = broadcast_lanes(threshold * kExponentialMax);
  for (std::size_t start = 0; start < tile.num_variables; start += kBlock) {
    block_fields(tile, start, fields);
    for (std::size_t row = 0; row < tile.rows; ++row) {
      visit_block(tile, row, start, Thermal<kAcceptance>{keys[row], scale, reach},
                  fields + row * kBlock, flips[row]);
    }
    apply_flips(tile, start, flips);
  }
}

void quadratic_anneal(const QuadraticTile& tile, Acceptance acceptance, float threshold,
                      const StreamKey* keys) {
  if (acceptance == Acceptance::kMetropolis) {
    quadratic_sweep<Acceptance::kMetropolis>(tile, threshold, keys);
  } else {
    quadratic_sweep<Acceptance::kGibbs>(tile, threshold, keys);
  }
}

template <Acceptance kAcceptance>
void random_order_sweep(const QuadraticTile& tile, float threshold, const StreamKey* keys,
                        const StreamKey* order) {
  for (std::size_t row = 0; row < tile.rows; ++row) {
    float* fields = tile.state + row * tile.ld;
    float* spins = tile.spins + row * tile.spins_ld;
    for (std::size_t first = 0; first < tile.num_variables; first += kLanes) {
      std::uint32_t variables[kLanes];
      alignas(64) float slack[kLanes];
      random_variables(order[row], static_cast<std::uint32_t>(first), tile.num_variables,
                       variables);
      store_lanes(slack, broadcast_lanes(threshold) *
                             noise_run<kAcceptance>(keys[row], static_cast<std::uint32_t>(first)));
      for (std::size_t k = 0; k < kLanes && first + k < tile.num_variables; ++k) {
        const std::size_t i = variables[k];
        if (!(spins[i] * fields[i] + slack[k] >= 0.0f)) continue;
        const Vec change = broadcast(-2.0f * spins[i]);
        spins[i] = -spins[i];
        const float* updates = tile.updates + i * tile.ld;
        for (std::size_t j = 0; j < tile.ld; j += kWidth) {
          store(fields + j, add_exact_product(load(updates + j), change, load(fields + j)));
        }
      }
    }
  }
}

void quadratic_anneal_random(const QuadraticTile& tile, Acceptance acceptance, float threshold,
                             const StreamKey* keys, const StreamKey* order) {
  if (acceptance == Acceptance::kMetropolis) {
    random_order_sweep<Acceptance::kMetropolis>(tile, threshold, keys, order);
  } else {
    random_order_sweep<Acceptance::kGibbs>(tile, threshold, keys, order);
  }
}

// Sixteen sums in float64, then their sum: the same order everywhere. Floats would round sums of
// integers that fields hold exactly.
double energy(const float* fields, const float* linear, const float* spins, std::size_t count) {
  WideLanes sum = broadcast_wide(0.0);
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    sum = sum + widen(load_lanes(spins + i) * (load_lanes(linear + i) + load_lanes(fields + i)));
  }
  alignas(64) double lanes[kLanes];
  store_wide(lanes, sum);
  for (; i < count; ++i) lanes[i % kLanes] += spins[i] * (linear[i] + fields[i]);
  double total = 0.0;
  for (std::size_t k = 0; k < kLanes; ++k) total += lanes[k];
  return 0.5 * total;
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
