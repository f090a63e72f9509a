// Sweeps over a sparse Ising problem: sixteen reads at a time, one a lane, variables in order.
//
// With few neighbours a proposal's own cost prevails; lanes that are reads share the neighbour list
// and test sixteen proposals at once.
#pragma once

#include "exponential.hpp"
#include "lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

template <Acceptance kAcceptance>
void sparse_sweep(const SparseTile& tile, std::size_t first, std::size_t last, float threshold,
                  const StreamKey* keys) {
  Words word0[kParts], word1[kParts];
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    word0[lane / kWidth][lane % kWidth] = keys[lane].word0;
    word1[lane / kWidth][lane % kWidth] = keys[lane].word1;
  }
  const Lanes reach = broadcast_lanes(threshold * kExponentialMax);
  for (std::size_t i = first; i < last; ++i) {
    const Lanes spin = load_lanes(tile.spins + i * kLanes);
    const Lanes sf = spin * load_lanes(tile.fields + i * kLanes);
    if (mask_nonnegative(sf + reach) == 0) continue;  // no lane could pass
    Lanes slack;
    const Words counter = Words{} + static_cast<std::uint32_t>(i);
    for (std::size_t q = 0; q < kParts; ++q) {
      slack.part[q] = threshold * noise<kAcceptance>(counter, word0[q], word1[q]);
    }
    const std::uint32_t mask = mask_nonnegative(sf + slack);
    if (mask == 0) continue;
    Lanes change;  // -2 s in the lanes that flip, else 0
    for (std::size_t q = 0; q < kParts; ++q) {
      const Words chosen = select_words(mask, q);
      change.part[q] = (Vec)((Words)(-2.0f * spin.part[q]) & chosen);
      store(tile.spins + i * kLanes + q * kWidth,
            (Vec)((Words)spin.part[q] ^ (chosen & 0x80000000u)));
    }
    for (std::size_t k = tile.offsets[i]; k < tile.offsets[i + 1]; ++k) {
      float* fields = tile.fields + std::size_t{tile.neighbours[k]} * kLanes;
      const Vec coupling = broadcast(tile.couplings[k]);
      for (std::size_t q = 0; q < kParts; ++q) {
        store(fields + q * kWidth,
              add_exact_product(coupling, change.part[q], load(fields + q * kWidth)));
      }
    }
  }
}

void sparse_anneal(const SparseTile& tile, std::size_t first, std::size_t last,
                   Acceptance acceptance, float threshold, const StreamKey* keys) {
  if (acceptance == Acceptance::kMetropolis) {
    sparse_sweep<Acceptance::kMetropolis>(tile, first, last, threshold, keys);
  } else {
    sparse_sweep<Acceptance::kGibbs>(tile, first, last, threshold, keys);
  }
}

// Every lane draws variables of its own, so each is a chain by itself.
template <Acceptance kAcceptance>
void sparse_random_sweep(const SparseTile& tile, std::size_t begin, std::size_t end,
                         float threshold, const StreamKey* keys, const StreamKey* order) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    for (std::size_t first = begin; first < end; first += kLanes) {
      std::uint32_t variables[kLanes];
      alignas(64) float slack[kLanes];
      random_variables(order[lane], static_cast<std::uint32_t>(first), tile.num_variables,
                       variables);
      store_lanes(slack, broadcast_lanes(threshold) *
                             noise_run<kAcceptance>(keys[lane], static_cast<std::uint32_t>(first)));
      for (std::size_t k = 0; k < kLanes && first + k < end; ++k) {
        const std::size_t i = variables[k];
        float& spin = tile.spins[i * kLanes + lane];
        if (!(spin * tile.fields[i * kLanes + lane] + slack[k] >= 0.0f)) continue;
        const float change = -2.0f * spin;
        spin = -spin;
        for (std::size_t e = tile.offsets[i]; e < tile.offsets[i + 1]; ++e) {
          tile.fields[std::size_t{tile.neighbours[e]} * kLanes + lane] +=
              change * tile.couplings[e];
        }
      }
    }
  }
}

void sparse_anneal_random(const SparseTile& tile, std::size_t first, std::size_t last,
                          Acceptance acceptance, float threshold, const StreamKey* keys,
                          const StreamKey* order) {
  if (acceptance == Acceptance::kMetropolis) {
    sparse_random_sweep<Acceptance::kMetropolis>(tile, first, last, threshold, keys, order);
  } else {
    sparse_random_sweep<Acceptance::kGibbs>(tile, first, last, threshold, keys, order);
  }
}

void sparse_energies(const SparseTile& tile, const float* linear, double* energies) {
  constexpr std::size_t kRun = 64;  // float sums, then double
  for (std::size_t lane = 0; lane < kLanes; ++lane) energies[lane] = 0.0;
  for (std::size_t start = 0; start < tile.num_variables; start += kRun) {
    const std::size_t left = tile.num_variables - start, count = left < kRun ? left : kRun;
    Lanes sum = broadcast_lanes(0.0f);
    for (std::size_t i = start; i < start + count; ++i) {
      sum = sum + load_lanes(tile.spins + i * kLanes) *
                      (broadcast_lanes(linear[i]) + load_lanes(tile.fields + i * kLanes));
    }
    alignas(64) float lanes[kLanes];
    store_lanes(lanes, sum);
    for (std::size_t lane = 0; lane < kLanes; ++lane) energies[lane] += 0.5 * lanes[lane];
  }
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
