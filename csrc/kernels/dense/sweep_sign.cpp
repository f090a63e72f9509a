// Sweeps of the sign objective, one neuron after the other, with kLanes variables in the lanes.
//
// A flip can change the sign of few samples, its critical ones: those whose margin is no larger
// than the step that it makes. With 512 inputs of +-1 these are at most 7 %. A block of 64
// variables finds the samples that are critical to any of its flips, and its proposals look at no
// others; after a flip they are found anew. With 128 samples and AVX-512 a proposal takes 6 cycles
// and a flip 100.
//
// Targets are integers. A gain therefore depends neither on the order of the samples nor on which
// of the samples that keep their sign are left out.
#include "kernels/arithmetic/panels.hpp"
#include "kernels/simd/acceptance.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// One neuron of a tile.
struct Neuron {
  const std::int32_t* targets;
  float* margins;
  float* spins;
};
QPSBGD_INLINE Neuron neuron_of(const SignTile& tile, std::size_t row) {
  return {tile.targets + row * tile.ld, tile.margins + row * tile.ld,
          tile.spins + row * tile.spins_ld};
}

// Returns sum + value where the margin is negative, modulo 2^32. Targets of a solver sum to at most
// 2^30, but no target may lead to undefined behaviour. The sign bit of a margin says whether it is
// negative: a margin is never -0, as it starts as a sum with eps >= 0, and then is a difference
// whose first term is not -0.
QPSBGD_INLINE Words add_where_negative(Floats margin, Words value, Words sum) {
#if defined(__AVX512F__)
  return (Words)_mm512_mask_add_epi32((__m512i)sum, _mm512_movepi32_mask((__m512i)margin),
                                      (__m512i)sum, (__m512i)value);
#else
  return sum + ((Words)((Ints)margin >> 31) & value);
#endif
}

// Finds the samples that are critical to a block and sets their bits in `critical`. If kFlip, first
// subtracts step * x from the margins. Returns whether the margin of any critical sample has the
// wrong sign, that is, whether a flip can gain anything.
template <bool kFlip>
QPSBGD_INLINE bool find_critical(const SignTile& tile, const Neuron& neuron, const float* reach,
                                 const float* x, float step) {
  const Floats minus_step = broadcast(-step);
  std::uint64_t word = 0;
  std::uint32_t gainful = 0;
  for (std::size_t i = 0; i < tile.ld; i += kLanes) {
    std::uint32_t near = 0, wrong = 0;
    for (std::size_t q = 0; q < kParts<float>; ++q) {
      const std::size_t at = i + q * kWidth<float>;
      Floats margin = load(neuron.margins + at);
      if constexpr (kFlip) {
        margin = add_exact_product(load(x + at), minus_step, margin);
        store(neuron.margins + at, margin);
      }
      const Floats size = (Floats)((Words)margin & 0x7fffffffu);
      near |= mask_at_least(load(reach + at), size) << (q * kWidth<float>);
      wrong |= mask_signs((Ints)margin ^ load(neuron.targets + at)) << (q * kWidth<float>);
    }
    gainful |= near & wrong;
    word |= std::uint64_t{near} << (i % 64);
    if (i % 64 == 64 - kLanes || i + kLanes == tile.ld) {
      tile.critical[i / 64] = word;
      word = 0;
    }
  }
  return gainful != 0;
}

// Computes the gains of kLanes variables. inputs: for each part, x of its variables and sample 0.
QPSBGD_INLINE Lanes<float> compute_gains(const SignTile& tile, const Neuron& neuron,
                                         const float* const* inputs, const Lanes<float>& spins) {
  const Lanes<float> minus_steps = -2.0f * spins;
  // Sums of the targets whose margins are negative, before a flip and after it.
  std::uint32_t before = 0;
  Words after[kParts<float>] = {};
  for (std::size_t w = 0; w * 64 < tile.ld; ++w) {
    for (std::uint64_t word = tile.critical[w]; word != 0; word &= word - 1) {
      const std::size_t i = w * 64 + static_cast<std::size_t>(__builtin_ctzll(word));
      const float margin = neuron.margins[i];
      const auto target = static_cast<std::uint32_t>(neuron.targets[i]);
      before += target & static_cast<std::uint32_t>(__builtin_bit_cast(std::int32_t, margin) >> 31);
      for (std::size_t q = 0; q < kParts<float>; ++q) {
        const Floats flipped = add_exact_product(load(inputs[q] + i * kPanelColumns),
                                                 minus_steps.part[q], broadcast(margin));
        after[q] = add_where_negative(flipped, Words{} + target, after[q]);
      }
    }
  }
  Lanes<float> gains;
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    gains.part[q] = __builtin_convertvector((Ints)(before - after[q]), Floats);
  }
  return gains;
}

// Visits the variables [start, start + kBlock) of one neuron. Returns whether it flipped anything.
template <class Rule>
QPSBGD_INLINE bool visit_block(const SignTile& tile, const Neuron& neuron, std::size_t start,
                               const Rule& rule) {
  const std::size_t left = tile.num_variables - start;
  const std::size_t end = start + (left < kBlock ? left : kBlock);
  const float* reach = tile.reach + start / kBlock * tile.ld;
  bool is_gainful = find_critical<false>(tile, neuron, reach, nullptr, 0.0f);
  bool has_flips = false;
  // A descent has nothing to do where no flip can gain anything.
  for (std::size_t first = start; first < end && (Rule::kDraws || is_gainful); first += kLanes) {
    const float* inputs[kParts<float>];
    for (std::size_t q = 0; q < kParts<float>; ++q) {
      // Lanes beyond the last variable read the last panel.
      const std::size_t column = first + q * kWidth<float>, last = column < end ? column : end - 1;
      inputs[q] = tile.packed_inputs + last / kPanelColumns * kPanelColumns * tile.num_samples +
                  column % kPanelColumns;
    }
    // Spins stay in registers: a vector load after a scalar store of one of its lanes would have to
    // wait for the store.
    Lanes<float> spins = load_lanes(neuron.spins + first);
    const std::uint32_t used = end - first < kLanes ? (1u << (end - first)) - 1 : 0xffffu;
    const auto gains = [&] { return compute_gains(tile, neuron, inputs, spins); };
    const auto flip = [&](unsigned lane) {
      const std::size_t variable = first + lane;
      // The spin in memory is still the old one, as a visit flips a variable at most once.
      is_gainful = find_critical<true>(tile, neuron, reach, tile.inputs_t + variable * tile.ld,
                                       2.0f * neuron.spins[variable]);
      negate_lane(spins, lane);
    };
    if (accept_flips<float>(rule, first, used, gains, flip) != 0) {
      store_lanes(neuron.spins + first, spins);
      has_flips = true;
    }
  }
  return has_flips;
}

void descend(const SignTile& tile, std::uint8_t* active) {
  constexpr std::uint8_t kVisit = 1, kFlipped = 2;
  for (std::size_t start = 0; start < tile.num_variables; start += kBlock) {
    for (std::size_t row = 0; row < tile.rows; ++row) {
      if (!(active[row] & kVisit)) continue;
      if (visit_block(tile, neuron_of(tile, row), start, DescentRule{})) active[row] |= kFlipped;
    }
  }
  for (std::size_t row = 0; row < tile.rows; ++row) active[row] = (active[row] & kFlipped) != 0;
}

void anneal(const SignTile& tile, float threshold, const StreamKey* keys) {
  for (std::size_t start = 0; start < tile.num_variables; start += kBlock) {
    for (std::size_t row = 0; row < tile.rows; ++row) {
      visit_block(tile, neuron_of(tile, row), start,
                  ReadRule<Acceptance::kMetropolis>(keys[row], threshold));
    }
  }
}

}  // namespace

constinit const SignKernels kSign = {.descend = descend, .anneal = anneal};

}  // namespace qpsbgd::QPSBGD_ISA
