// Sweeps over sixteen small dense Ising problems at a time, one a lane, variables in order.
//
// Sixteen variables are visited while their fields are in registers, then the fields of the others
// follow. Every coupling is there once, so that problems of 32 variables stay in a 48 KiB cache.
// The same flips, and roundings, as the quadratic kernels'.
#pragma once

#include "energies.hpp"
#include "lanes.hpp"
#include "random.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Sixteen lanes of every coupling between the variables i and j of blocks I and J, sixteen each: of
// I = J the pairs i < j, else, I < J, all. Block by block, row by row.
class InterleavedCouplings {
 public:
  static constexpr std::size_t kPairs = kLanes * (kLanes - 1) / 2;

  QPSBGD_INLINE explicit InterleavedCouplings(const InterleavedTile& tile)
      : values_(tile.couplings), blocks_((tile.num_variables + kLanes - 1) / kLanes) {}
  static QPSBGD_INLINE std::size_t offset(std::size_t blocks, std::size_t I, std::size_t J) {
    const std::size_t before = I * kPairs + (I * blocks - I * (I + 1) / 2) * kLanes * kLanes;
    return (before + (J > I ? kPairs + (J - I - 1) * kLanes * kLanes : 0)) * kLanes;
  }
  // Position of (i, j), i < j, in a block of pairs.
  static constexpr std::size_t pair(std::size_t i, std::size_t j) {
    return i * (2 * kLanes - 1 - i) / 2 + j - i - 1;
  }
  std::size_t blocks() const { return blocks_; }
  const float* block(std::size_t I, std::size_t J) const { return values_ + offset(blocks_, I, J); }

 private:
  const float* values_;
  std::size_t blocks_;
};

// from (kLanes, n, ld): sixteen matrices, padding 0.
void interleave(const float* from, std::size_t n, std::size_t ld, float* out) {
  using Couplings = InterleavedCouplings;
  const std::size_t blocks = (n + kLanes - 1) / kLanes;
  alignas(64) float zeros[kLanes * kLanes] = {};
  alignas(64) float row[kLanes * kLanes];
  for (std::size_t I = 0; I < blocks; ++I) {
    for (std::size_t J = I; J < blocks; ++J) {
      float* to = out + Couplings::offset(blocks, I, J);
      for (std::size_t i = 0; i < kLanes; ++i) {
        const bool there = I * kLanes + i < n;
        const float* source = there ? from + (I * kLanes + i) * ld + J * kLanes : zeros;
        const std::size_t stride = there ? n * ld : kLanes;
        if (I != J) {
          transpose(source, stride, to + i * kLanes * kLanes, kLanes);
          continue;
        }
        transpose(source, stride, row, kLanes);
        for (std::size_t j = i + 1; j < kLanes; ++j) {
          store_lanes(to + Couplings::pair(i, j) * kLanes, load_lanes(row + j * kLanes));
        }
      }
    }
  }
}

// fields of block K += couplings * changes of the chosen variables of block I.
QPSBGD_INLINE void follow_block(const InterleavedCouplings& couplings, std::size_t I, std::size_t K,
                                const float* changes, const std::uint8_t* chosen,
                                std::size_t num_chosen, float* fields) {
  constexpr std::size_t kGroup = 8;  // fields in registers
  // One of them holds the pair (i, j) at (i * kLanes + j), the other at (j * kLanes + i).
  const float* block = I < K ? couplings.block(I, K) : couplings.block(K, I);
  const std::size_t chosen_step = I < K ? kLanes * kLanes : kLanes;
  const std::size_t field_step = I < K ? kLanes : kLanes * kLanes;
  for (std::size_t first = 0; first < kLanes; first += kGroup) {
    Lanes sums[kGroup];
    for (std::size_t g = 0; g < kGroup; ++g) sums[g] = load_lanes(fields + (first + g) * kLanes);
    for (std::size_t k = 0; k < num_chosen; ++k) {
      const Lanes change = load_lanes(changes + chosen[k] * kLanes);
      const float* row = block + chosen[k] * chosen_step + first * field_step;
      for (std::size_t g = 0; g < kGroup; ++g) {
        for (std::size_t q = 0; q < kParts; ++q) {
          sums[g].part[q] = add_exact_product(load(row + g * field_step + q * kWidth),
                                              change.part[q], sums[g].part[q]);
        }
      }
    }
    for (std::size_t g = 0; g < kGroup; ++g) store_lanes(fields + (first + g) * kLanes, sums[g]);
  }
}

void interleaved_fields(const InterleavedTile& tile) {
  const InterleavedCouplings couplings(tile);
  std::uint8_t all[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) all[i] = static_cast<std::uint8_t>(i);
  for (std::size_t i = 0; i < couplings.blocks() * kLanes; ++i) {
    store_lanes(tile.fields + i * kLanes, load_lanes(tile.linear + i * kLanes));
  }
  for (std::size_t I = 0; I < couplings.blocks(); ++I) {
    const float* spins = tile.spins + I * kLanes * kLanes;
    const float* pairs = couplings.block(I, I);
    for (std::size_t i = 0; i < kLanes; ++i) {
      for (std::size_t j = 0; j < kLanes; ++j) {
        if (i == j) continue;
        const std::size_t pair =
            i < j ? InterleavedCouplings::pair(i, j) : InterleavedCouplings::pair(j, i);
        float* field = tile.fields + (I * kLanes + j) * kLanes;
        store_lanes(field, load_lanes(field) +
                               load_lanes(spins + i * kLanes) * load_lanes(pairs + pair * kLanes));
      }
    }
    for (std::size_t K = 0; K < couplings.blocks(); ++K) {
      if (K == I) continue;
      follow_block(couplings, I, K, spins, all, kLanes, tile.fields + K * kLanes * kLanes);
    }
  }
}

// Decides on the variables of a block one after the other, without a branch: where -2 s is their
// change, those with s f >= least flip. Returns the mask of variables that any lane flips; `next`
// gets the block's fields after that.
QPSBGD_INLINE std::uint32_t decide_block(const float* pairs, const float* spins,
                                         const float* fields, const Lanes* least, float* changes,
                                         float* next) {
  std::uint32_t flipped = 0;
  for (std::size_t q = 0; q < kParts; ++q) {
    Vec field[kLanes];
    for (std::size_t i = 0; i < kLanes; ++i) field[i] = load(fields + i * kLanes + q * kWidth);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kLanes; ++i) {
      const std::size_t at = i * kLanes + q * kWidth;
      const Vec spin = load(spins + at);
      const Vec change = spin * field[i] >= least[i].part[q] ? -2.0f * spin : Vec{};
      store(changes + at, change);
      flipped |= std::uint32_t{mask_nonzero(change) != 0} << i;
#pragma GCC unroll 16
      for (std::size_t j = 0; j < kLanes; ++j) {
        if (i == j) continue;
        const std::size_t pair =
            i < j ? InterleavedCouplings::pair(i, j) : InterleavedCouplings::pair(j, i);
        field[j] = add_exact_product(load(pairs + pair * kLanes + q * kWidth), change, field[j]);
      }
    }
    for (std::size_t i = 0; i < kLanes; ++i) store(next + i * kLanes + q * kWidth, field[i]);
  }
  return flipped;
}

void interleaved_anneal(const InterleavedTile& tile, const float* thresholds,
                        const StreamKey* keys) {
  constexpr std::size_t kDrawn = 8 / kParts;  // variables that are drawn together
  constexpr std::uint32_t kAll = (1u << kDrawn) - 1;
  const InterleavedCouplings couplings(tile);
  const LaneKeys words = lane_keys(keys);
  const Lanes threshold = load_lanes(thresholds);
  const Lanes beyond = -kExponentialMax * threshold;
  alignas(64) float changes[kLanes * kLanes], next[kLanes * kLanes];
  for (std::size_t I = 0; I < couplings.blocks(); ++I) {
    float* spins = tile.spins + I * kLanes * kLanes;
    float* fields = tile.fields + I * kLanes * kLanes;
    Lanes least[kLanes];
    std::uint32_t drawn = 0;
    const auto draw = [&](std::size_t i) {
      Lanes noise[kDrawn];
      lane_noise<Acceptance::kMetropolis, kDrawn>(words, static_cast<std::uint32_t>(I * kLanes + i),
                                                  noise);
      for (std::size_t k = 0; k < kDrawn; ++k) least[i + k] = -1.0f * (threshold * noise[k]);
      drawn |= kAll << i;
    };
    for (std::size_t i = 0; i < kLanes; i += kDrawn) {
      std::uint32_t near = 0;
      for (std::size_t k = i; k < i + kDrawn; ++k) {
        least[k] = beyond;
        near |= mask_nonnegative(load_lanes(spins + k * kLanes) * load_lanes(fields + k * kLanes) -
                                 beyond);
      }
      if (near != 0) draw(i);
    }
    if (drawn == 0) continue;  // nothing flips, so nothing comes within reach
    std::uint32_t flipped;
    for (;;) {
      flipped = decide_block(couplings.block(I, I), spins, fields, least, changes, next);
      // Flips may bring others within reach that were not drawn.
      if ((flipped & ~drawn) == 0) break;
      for (std::size_t i = 0; i < kLanes; i += kDrawn) {
        if ((flipped & ~drawn) >> i & kAll) draw(i);
      }
    }
    if (flipped == 0) continue;
    for (std::size_t i = 0; i < kLanes; ++i) {
      const std::size_t at = i * kLanes;
      store_lanes(fields + at, load_lanes(next + at));
      store_lanes(spins + at, load_lanes(spins + at) + load_lanes(changes + at));
    }
    std::uint8_t chosen[kLanes];
    std::size_t num_chosen = 0;
    for (; flipped != 0; flipped &= flipped - 1) {
      chosen[num_chosen++] = static_cast<std::uint8_t>(__builtin_ctz(flipped));
    }
    for (std::size_t K = 0; K < couplings.blocks(); ++K) {
      if (K == I) continue;
      follow_block(couplings, I, K, changes, chosen, num_chosen, tile.fields + K * kLanes * kLanes);
    }
  }
}

// As `energy` does it, whose order of summation this is.
void interleaved_energies(const InterleavedTile& tile, double* energies) {
  WideLanes total = broadcast_wide(0.0);
  for (std::size_t k = 0; k < kLanes; ++k) {
    WideLanes sum = broadcast_wide(0.0);
    for (std::size_t i = k; i < tile.num_variables; i += kLanes) {
      const std::size_t at = i * kLanes;
      sum = sum + widen(load_lanes(tile.spins + at) *
                        (load_lanes(tile.linear + at) + load_lanes(tile.fields + at)));
    }
    total = total + sum;
  }
  for (std::size_t q = 0; q < kDoubleParts; ++q) {
    store_doubles(energies + q * kDoubles, 0.5 * total.part[q]);
  }
}

void interleaved_keep(const InterleavedTile& tile, std::uint32_t lanes) {
  for (std::size_t i = 0; i < tile.num_variables; ++i) {
    for (std::size_t q = 0; q < kParts; ++q) {
      const Words chosen = select_words(lanes, q);
      const std::size_t at = i * kLanes + q * kWidth;
      store(tile.kept + at, (Vec)(((Words)load(tile.spins + at) & chosen) |
                                  ((Words)load(tile.kept + at) & ~chosen)));
    }
  }
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
