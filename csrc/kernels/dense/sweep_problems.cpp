// Sweeps over kLanes small dense problems, one in each lane, variables in order.
//
// Sixteen variables are visited while their fields are in registers, then the fields of the others
// follow. Every coupling is stored once, so that kLanes problems of 32 variables stay in a 48 KiB
// cache. The flips and roundings are those of sweep_variables.cpp.
#include "kernels/simd/acceptance.hpp"
#include "kernels/simd/transpose.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// The couplings of kLanes problems, interleaved by lanes. Variables form blocks of kLanes here. The
// couplings between the blocks I < J are a (kLanes, kLanes) matrix of lanes; those within a block
// are the pairs i < j. Blocks follow each other row by row.
class InterleavedCouplings {
 public:
  static constexpr std::size_t kPairs = kLanes * (kLanes - 1) / 2;

  QPSBGD_INLINE explicit InterleavedCouplings(const InterleavedTile& tile)
      : values_(tile.couplings), blocks_((tile.num_variables + kLanes - 1) / kLanes) {}
  static QPSBGD_INLINE std::size_t offset(std::size_t blocks, std::size_t I, std::size_t J) {
    const std::size_t before = I * kPairs + (I * blocks - I * (I + 1) / 2) * kLanes * kLanes;
    return (before + (J > I ? kPairs + (J - I - 1) * kLanes * kLanes : 0)) * kLanes;
  }
  // Position of the pair of two different variables of one block. Without recursion, so that it
  // folds to a constant in unrolled loops.
  static constexpr std::size_t pair(std::size_t i, std::size_t j) {
    const std::size_t low = i < j ? i : j, high = i < j ? j : i;
    return low * (2 * kLanes - 1 - low) / 2 + high - low - 1;
  }
  std::size_t blocks() const { return blocks_; }
  const float* block(std::size_t I, std::size_t J) const { return values_ + offset(blocks_, I, J); }

 private:
  const float* values_;
  std::size_t blocks_;
};

void pack(const float* matrices, std::size_t n, std::size_t ld, float* out) {
  using Couplings = InterleavedCouplings;
  const std::size_t blocks = (n + kLanes - 1) / kLanes;
  alignas(64) float zeros[kLanes * kLanes] = {};
  alignas(64) float row[kLanes * kLanes];
  for (std::size_t I = 0; I < blocks; ++I) {
    for (std::size_t J = I; J < blocks; ++J) {
      float* to = out + Couplings::offset(blocks, I, J);
      for (std::size_t i = 0; i < kLanes; ++i) {
        const bool is_variable = I * kLanes + i < n;
        const float* source = is_variable ? matrices + (I * kLanes + i) * ld + J * kLanes : zeros;
        const std::size_t stride = is_variable ? n * ld : kLanes;
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

// Adds couplings * changes of the chosen variables of block I to the fields of block K.
QPSBGD_INLINE void update_fields(const InterleavedCouplings& couplings, std::size_t I,
                                 std::size_t K, const float* changes, const std::uint8_t* chosen,
                                 std::size_t num_chosen, float* fields) {
  constexpr std::size_t kGroup = 8;  // fields in registers
  // The block holds the pair of variable a of the lower block and b of the higher at a * kLanes +
  // b.
  const float* block = I < K ? couplings.block(I, K) : couplings.block(K, I);
  const std::size_t chosen_step = I < K ? kLanes * kLanes : kLanes;
  const std::size_t field_step = I < K ? kLanes : kLanes * kLanes;
  for (std::size_t first = 0; first < kLanes; first += kGroup) {
    Lanes<float> sums[kGroup];
    for (std::size_t g = 0; g < kGroup; ++g) sums[g] = load_lanes(fields + (first + g) * kLanes);
    for (std::size_t k = 0; k < num_chosen; ++k) {
      const Lanes<float> change = load_lanes(changes + chosen[k] * kLanes);
      const float* row = block + chosen[k] * chosen_step + first * field_step;
      for (std::size_t g = 0; g < kGroup; ++g) {
        for (std::size_t q = 0; q < kParts<float>; ++q) {
          sums[g].part[q] = add_exact_product(load(row + g * field_step + q * kWidth<float>),
                                              change.part[q], sums[g].part[q]);
        }
      }
    }
    for (std::size_t g = 0; g < kGroup; ++g) store_lanes(fields + (first + g) * kLanes, sums[g]);
  }
}

void set_fields(const InterleavedTile& tile) {
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
        float* field = tile.fields + (I * kLanes + j) * kLanes;
        const float* coupling = pairs + InterleavedCouplings::pair(i, j) * kLanes;
        store_lanes(field,
                    load_lanes(field) + load_lanes(spins + i * kLanes) * load_lanes(coupling));
      }
    }
    for (std::size_t K = 0; K < couplings.blocks(); ++K) {
      if (K == I) continue;
      update_fields(couplings, I, K, spins, all, kLanes, tile.fields + K * kLanes * kLanes);
    }
  }
}

// Decides on the variables of a block in order and without branches, given a bound for each. Writes
// the changes, -2 s or 0, and the block's next fields. Returns the mask of the variables that any
// lane flips.
QPSBGD_INLINE std::uint32_t decide_flips(const float* pairs, const float* spins,
                                         const float* fields, const Lanes<float>* bounds,
                                         float* changes, float* next) {
  std::uint32_t flipped = 0;
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    const std::size_t part = q * kWidth<float>;
    Floats field[kLanes];
    for (std::size_t i = 0; i < kLanes; ++i) field[i] = load(fields + i * kLanes + part);
    QPSBGD_UNROLL
    for (std::size_t i = 0; i < kLanes; ++i) {
      const Floats spin = load(spins + i * kLanes + part);
      const Floats change =
          AtLeastBound::select_accepted(spin * field[i], bounds[i].part[q], -2.0f * spin);
      store(changes + i * kLanes + part, change);
      flipped |= std::uint32_t{mask_nonzero(change) != 0} << i;
      QPSBGD_UNROLL
      for (std::size_t j = 0; j < kLanes; ++j) {
        if (i == j) continue;
        const float* coupling = pairs + InterleavedCouplings::pair(i, j) * kLanes + part;
        field[j] = add_exact_product(load(coupling), change, field[j]);
      }
    }
    for (std::size_t i = 0; i < kLanes; ++i) store(next + i * kLanes + part, field[i]);
  }
  return flipped;
}

// Draws are calls: with both rules in one file GCC copies them into the sweeps in a way that takes
// a tenth longer.
template <Acceptance kAcceptance>
struct ProblemRule : LaneRule<kAcceptance, Lanes<float>> {
  using LaneRule<kAcceptance, Lanes<float>>::LaneRule;

  template <std::size_t kCount>
  [[gnu::noinline]] void draw_bounds(std::size_t first, Lanes<float>* bounds) const {
    LaneRule<kAcceptance, Lanes<float>>::template draw_bounds<kCount>(first, bounds);
  }
};

template <Acceptance kAcceptance>
void anneal_with(const InterleavedTile& tile, const float* thresholds, const StreamKey* keys) {
  const InterleavedCouplings couplings(tile);
  const ProblemRule<kAcceptance> rule(keys, load_lanes(thresholds));
  alignas(64) float changes[kLanes * kLanes], next[kLanes * kLanes];
  for (std::size_t I = 0; I < couplings.blocks(); ++I) {
    float* spins = tile.spins + I * kLanes * kLanes;
    float* fields = tile.fields + I * kLanes * kLanes;
    std::uint32_t flipped = settle_flips(
        rule, I * kLanes,
        [&](std::size_t i) {
          return load_lanes(spins + i * kLanes) * load_lanes(fields + i * kLanes);
        },
        [&](const Lanes<float>* bounds) {
          // Without this barrier GCC copies all couplings to the stack before the first decision.
          asm volatile("" ::: "memory");
          return decide_flips(couplings.block(I, I), spins, fields, bounds, changes, next);
        });
    if (flipped == 0) continue;
    for (std::size_t at = 0; at < kLanes * kLanes; at += kLanes) {
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
      update_fields(couplings, I, K, changes, chosen, num_chosen,
                    tile.fields + K * kLanes * kLanes);
    }
  }
}

void anneal(const InterleavedTile& tile, Acceptance acceptance, const float* thresholds,
            const StreamKey* keys) {
  with_acceptance(acceptance, [&]<Acceptance kAcceptance>() {
    anneal_with<kAcceptance>(tile, thresholds, keys);
  });
}

// Sums in the order of EnergyKernels::energy_of_fields.
void energies(const InterleavedTile& tile, double* out) {
  Lanes<double> total{};
  for (std::size_t k = 0; k < kLanes; ++k) {
    Lanes<double> sum{};
    for (std::size_t i = k; i < tile.num_variables; i += kLanes) {
      const std::size_t at = i * kLanes;
      sum = sum +
            convert_lanes<double>(load_lanes(tile.spins + at) *
                                  (load_lanes(tile.linear + at) + load_lanes(tile.fields + at)));
    }
    total = total + sum;
  }
  for (std::size_t q = 0; q < kParts<double>; ++q) {
    store_unaligned(out + q * kWidth<double>, 0.5 * total.part[q]);
  }
}

void keep(const InterleavedTile& tile, std::uint32_t lanes) {
  for (std::size_t i = 0; i < tile.num_variables; ++i) {
    for (std::size_t q = 0; q < kParts<float>; ++q) {
      const Words chosen = select_lanes<float>(lanes, q);
      const std::size_t at = i * kLanes + q * kWidth<float>;
      store(tile.kept + at, (Floats)(((Words)load(tile.spins + at) & chosen) |
                                     ((Words)load(tile.kept + at) & ~chosen)));
    }
  }
}

}  // namespace

constinit const InterleavedKernels kInterleaved = {
    .pack = pack,
    .set_fields = set_fields,
    .anneal = anneal,
    .energies = energies,
    .keep = keep,
};

}  // namespace qpsbgd::QPSBGD_ISA
