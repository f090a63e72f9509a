// Sweeps over dense problems in float64, for problems whose energy differences float32 would round
// away. Sixteen variables are tested at a time; every flip changes all fields of its row at once.
//
// The noise and its product with the threshold are float32, as in the other kernels: where fields
// are exact in float32, the flips are the same.
#pragma once

#include "float64_lanes.hpp"
#include "random.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// fields[0 .. ld) += change * couplings, change being +-1 or +-2.
QPSBGD_INLINE void add_row(const double* couplings, double change, std::size_t ld, double* fields) {
  const Doubles d = change - Doubles{};
  for (std::size_t i = 0; i < ld; i += kDoubles) {
    *reinterpret_cast<AlignedDoubles*>(fields + i) =
        add_exact_product(load_doubles(couplings + i), d, load_doubles(fields + i));
  }
}

QPSBGD_INLINE void flip_wide(const WideTile& tile, std::size_t row, std::size_t variable) {
  double& spin = tile.spins[row * tile.ld + variable];
  const double change = -2.0 * spin;
  spin = -spin;
  add_row(tile.couplings + variable * tile.ld, change, tile.ld, tile.fields + row * tile.ld);
}

// linear: (rows), each (num_variables).
void wide_fields(const WideTile& tile, const double* const* linear) {
  for (std::size_t row = 0; row < tile.rows; ++row) {
    double* fields = tile.fields + row * tile.ld;
    for (std::size_t i = 0; i < tile.num_variables; ++i) fields[i] = linear[row][i];
    for (std::size_t i = tile.num_variables; i < tile.ld; ++i) fields[i] = -__builtin_inf();
  }
  for (std::size_t k = 0; k < tile.num_variables; ++k) {
    for (std::size_t row = 0; row < tile.rows; ++row) {
      add_row(tile.couplings + k * tile.ld, tile.spins[row * tile.ld + k], tile.ld,
              tile.fields + row * tile.ld);
    }
  }
}

template <Acceptance kAcceptance>
void wide_sweep(const WideTile& tile, float threshold, const StreamKey* keys) {
  const Lanes scale = broadcast_lanes(threshold);
  const WideLanes reach = widen(broadcast_lanes(threshold * kExponentialMax));
  // Blocks outside, reads inside: the block's rows of couplings stay in the cache.
  for (std::size_t first = 0; first < tile.num_variables; first += kLanes) {
    for (std::size_t row = 0; row < tile.rows; ++row) {
      const std::size_t at = row * tile.ld + first;
      const auto spin_fields = [&] {
        return load_wide(tile.spins + at) * load_wide(tile.fields + at);
      };
      if (mask_nonnegative(spin_fields() + reach) == 0) continue;
      const WideLanes slack =
          widen(scale * noise_run<kAcceptance>(keys[row], static_cast<std::uint32_t>(first)));
      std::uint32_t mask = mask_nonnegative(spin_fields() + slack);
      while (mask != 0) {
        const unsigned lane = static_cast<unsigned>(__builtin_ctz(mask));
        flip_wide(tile, row, first + lane);
        // Only later lanes: an earlier one has had its turn in this sweep.
        mask = mask_nonnegative(spin_fields() + slack) & (0xfffffffeu << lane);
      }
    }
  }
}

void wide_anneal(const WideTile& tile, Acceptance acceptance, float threshold,
                 const StreamKey* keys) {
  if (acceptance == Acceptance::kMetropolis) {
    wide_sweep<Acceptance::kMetropolis>(tile, threshold, keys);
  } else {
    wide_sweep<Acceptance::kGibbs>(tile, threshold, keys);
  }
}

template <Acceptance kAcceptance>
void wide_random_sweep(const WideTile& tile, float threshold, const StreamKey* keys,
                       const StreamKey* order) {
  for (std::size_t row = 0; row < tile.rows; ++row) {
    const double* fields = tile.fields + row * tile.ld;
    const double* spins = tile.spins + row * tile.ld;
    for (std::size_t first = 0; first < tile.num_variables; first += kLanes) {
      std::uint32_t variables[kLanes];
      alignas(64) float slack[kLanes];
      random_variables(order[row], static_cast<std::uint32_t>(first), tile.num_variables,
                       variables);
      store_lanes(slack, broadcast_lanes(threshold) *
                             noise_run<kAcceptance>(keys[row], static_cast<std::uint32_t>(first)));
      for (std::size_t k = 0; k < kLanes && first + k < tile.num_variables; ++k) {
        const std::size_t i = variables[k];
        if (spins[i] * fields[i] + static_cast<double>(slack[k]) >= 0.0) flip_wide(tile, row, i);
      }
    }
  }
}

void wide_anneal_random(const WideTile& tile, Acceptance acceptance, float threshold,
                        const StreamKey* keys, const StreamKey* order) {
  if (acceptance == Acceptance::kMetropolis) {
    wide_random_sweep<Acceptance::kMetropolis>(tile, threshold, keys, order);
  } else {
    wide_random_sweep<Acceptance::kGibbs>(tile, threshold, keys, order);
  }
}

double wide_energy(const double* fields, const double* linear, const double* spins,
                   std::size_t count) {
  double sums[kLanes] = {};
  for (std::size_t i = 0; i < count; ++i) sums[i % kLanes] += spins[i] * (linear[i] + fields[i]);
  double total = 0.0;
  for (std::size_t k = 0; k < kLanes; ++k) total += sums[k];
  return 0.5 * total;
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
