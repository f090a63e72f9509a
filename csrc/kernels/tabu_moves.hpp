// Moves of a tabu search: the pass that brings the gains up to date after a flip finds the next
// flip too.
//
// Of every block of 128 variables only the lanes' maxima are kept; the variable itself is looked
// for when the largest is known, in one block.
#pragma once

#include "float64_lanes.hpp"
#include "lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

typedef std::int16_t Shorts __attribute__((vector_size(kWidth * 4), may_alias));
typedef std::int8_t Bytes __attribute__((vector_size(kWidth * 2), may_alias));

template <class Value>
struct TabuVector;

template <>
struct TabuVector<float> {
  using Type = AlignedVec;
  static constexpr float kLowest = -__builtin_inff();
  static QPSBGD_INLINE Type couplings(const float* p) { return load(p); }
  // Bit i: a[i] == b[i], no element of a being larger.
  static QPSBGD_INLINE std::uint32_t equal(Type a, Type b) { return mask_nonnegative(a - b); }
};

template <>
struct TabuVector<double> {
  using Type = AlignedDoubles;
  static constexpr double kLowest = -__builtin_inf();
  static QPSBGD_INLINE Type couplings(const double* p) { return load_doubles(p); }
  static QPSBGD_INLINE std::uint32_t equal(Type a, Type b) { return mask_nonnegative(a - b); }
};

template <>
struct TabuVector<std::int16_t> {
  using Type = Shorts;
  static constexpr std::int16_t kLowest = -32768;
  static QPSBGD_INLINE Type couplings(const std::int8_t* p) {
#if defined(__AVX512BW__)  // GCC 12 makes five instructions of the conversion
    return (Shorts)_mm512_cvtepi8_epi16(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
#endif
    return __builtin_convertvector(*reinterpret_cast<const Bytes*>(p), Shorts);
  }
  static QPSBGD_INLINE std::uint32_t equal(Type a, Type b) {
#if defined(__AVX512BW__)
    return _mm512_cmpeq_epi16_mask((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    const __m256i same = _mm256_cmpeq_epi16((__m256i)a, (__m256i)b);
    return _mm_movemask_epi8(
        _mm_packs_epi16(_mm256_castsi256_si128(same), _mm256_extracti128_si256(same, 1)));
#elif defined(__SSE2__)
    return _mm_movemask_epi8(
        _mm_packs_epi16(_mm_cmpeq_epi16((__m128i)a, (__m128i)b), _mm_setzero_si128()));
#else
    std::uint32_t mask = 0;
    for (std::size_t i = 0; i < kWidth * 2; ++i) mask |= std::uint32_t{a[i] == b[i]} << i;
    return mask;
#endif
  }
};

template <class Value>
using TabuType = typename TabuVector<Value>::Type;
template <class Value>
constexpr std::size_t kTabuWidth = sizeof(TabuType<Value>) / sizeof(Value);

template <class Value>
QPSBGD_INLINE TabuType<Value> tabu_load(const Value* p) {
  return *reinterpret_cast<const TabuType<Value>*>(p);
}
template <class Value>
QPSBGD_INLINE void tabu_store(Value* p, TabuType<Value> v) {
  *reinterpret_cast<TabuType<Value>*>(p) = v;
}
template <class Type>
QPSBGD_INLINE Type maximum(Type a, Type b) {
  return a > b ? a : b;
}
template <class Type>
QPSBGD_INLINE Type minimum(Type a, Type b) {
  return a < b ? a : b;
}

// Largest element of a vector: of halves again and again.
template <class Value>
QPSBGD_INLINE Value largest_of(TabuType<Value> v) {
  typedef Value Quarter __attribute__((vector_size(16), may_alias));
  alignas(64) Value values[kTabuWidth<Value>];
  tabu_store(values, v);
  Quarter q = *reinterpret_cast<const Quarter*>(values);
  for (std::size_t i = 16 / sizeof(Value); i < kTabuWidth<Value>; i += 16 / sizeof(Value)) {
    q = maximum(q, *reinterpret_cast<const Quarter*>(values + i));
  }
  if constexpr (sizeof(Value) == 2) {
    q = maximum(q, (Quarter)__builtin_shufflevector(q, q, 4, 5, 6, 7, 0, 1, 2, 3));
    q = maximum(q, (Quarter)__builtin_shufflevector(q, q, 2, 3, 0, 1, 6, 7, 4, 5));
    q = maximum(q, (Quarter)__builtin_shufflevector(q, q, 1, 0, 3, 2, 5, 4, 7, 6));
  } else if constexpr (sizeof(Value) == 8) {
    q = maximum(q, (Quarter)__builtin_shufflevector(q, q, 1, 0));
  } else {
    q = maximum(q, (Quarter)__builtin_shufflevector(q, q, 2, 3, 0, 1));
    q = maximum(q, (Quarter)__builtin_shufflevector(q, q, 1, 0, 3, 2));
  }
  return q[0];
}

// A variable of the block whose allowed gain is the largest one: the first from a random place on.
template <class Value>
QPSBGD_INLINE std::size_t tabu_variable(const Value* gains, const Value* caps, std::size_t block,
                                        Value gain, std::uint32_t random) {
  const TabuType<Value> wanted = TabuType<Value>{} + gain;
  std::uint64_t found[2] = {0, 0};
  for (std::size_t i = 0; i < kTabuBlock; i += kTabuWidth<Value>) {
    const std::size_t k = block * kTabuBlock + i;
    const TabuType<Value> allowed =
        minimum<TabuType<Value>>(tabu_load(gains + k), tabu_load(caps + k));
    found[i / 64] |= std::uint64_t{TabuVector<Value>::equal(allowed, wanted)} << i % 64;
  }
  const std::size_t start = random % kTabuBlock, half = start / 64;
  const std::uint64_t later = found[half] & (~std::uint64_t{0} << start % 64);
  // The rest of this half, the other one, and this one from its beginning.
  const std::size_t at = later != 0 || found[1 - half] == 0 ? half : 1 - half;
  const std::uint64_t bits = at == half && later != 0 ? later : found[at];
  return block * kTabuBlock + at * 64 + static_cast<std::size_t>(__builtin_ctzll(bits));
}

QPSBGD_INLINE std::size_t random_block(std::uint32_t random, std::size_t num_blocks) {
  return (random >> 8) * std::uint64_t{num_blocks} >> 24;
}

enum class TabuPass { kPick, kMove, kFlip };

// One pass over all variables. Flipping s_k adds change * s_i J_ik to gain_i, change being the new
// s_k; spins hold 2 s_i.
template <class Value, TabuPass kPass>
QPSBGD_INLINE TabuPick tabu_pass(const TabuTile<Value>& tile, std::size_t variable,
                                 std::uint32_t random) {
  using Type = TabuType<Value>;
  constexpr std::size_t kStep = kTabuWidth<Value>;
  // Copies: a store to the gains might change the tile, as far as the compiler knows.
  const std::size_t ld = tile.ld;
  Value* const gains = tile.gains;
  Value* const spins = tile.spins;
  Value* const maxima = tile.maxima;
  const Value* const caps = tile.caps;
  const typename TabuTile<Value>::Coupling* row = nullptr;
  bool raised = false;
  if constexpr (kPass != TabuPass::kPick) {
    row = tile.couplings + variable * ld;
    // All of the row at once: which one it is was not known before.
    for (std::size_t i = 0; i < ld; i += 64 / sizeof(*row)) __builtin_prefetch(row + i);
    raised = spins[variable] < 0;
    spins[variable] = static_cast<Value>(-spins[variable]);
    gains[variable] = static_cast<Value>(-gains[variable]);  // the row's diagonal is 0
  }
  const Type lowest = Type{} + TabuVector<Value>::kLowest;
  Type largest = lowest, best = lowest;
  const auto pass = [&](auto sign) {
    for (std::size_t block = 0; block < ld; block += kTabuBlock) {
      Type allowed = lowest;
      for (std::size_t i = block; i < block + kTabuBlock; i += kStep) {
        Type gain = tabu_load(gains + i);
        if constexpr (kPass != TabuPass::kPick) {
          // Exact: spins are +-2.
          const Type term = TabuVector<Value>::couplings(row + i) * tabu_load(spins + i);
          gain = sign > 0 ? gain + term : gain - term;
          tabu_store(gains + i, gain);
        }
        if constexpr (kPass != TabuPass::kFlip) {
          largest = maximum(largest, gain);
          allowed = maximum(allowed, minimum<Type>(gain, tabu_load(caps + i)));
        }
      }
      if constexpr (kPass != TabuPass::kFlip) {
        tabu_store(maxima + block / kTabuBlock * kStep, allowed);
        best = maximum(best, allowed);
      }
    }
  };
  if (raised) {
    pass(std::integral_constant<int, 1>{});
  } else {
    pass(std::integral_constant<int, -1>{});
  }
  if constexpr (kPass == TabuPass::kFlip) return {};
  const std::size_t num_blocks = ld / kTabuBlock;
  const Value gain = largest_of<Value>(best);
  // The first block that has it, from a random one on. No branch depends on which it is.
  const std::size_t start = random_block(random, num_blocks);
  std::size_t block = num_blocks, later = num_blocks;
  for (std::size_t b = num_blocks; b-- > 0;) {
    const bool here = TabuVector<Value>::equal(tabu_load(maxima + b * kStep), Type{} + gain) != 0;
    block = here ? b : block;
    later = here && b >= start ? b : later;
  }
  block = later < num_blocks ? later : block;
  return {tabu_variable(gains, caps, block, gain, random), static_cast<double>(gain),
          static_cast<double>(largest_of<Value>(largest))};
}

template <class Value>
TabuPick tabu_pick(const TabuTile<Value>& tile, std::uint32_t random) {
  return tabu_pass<Value, TabuPass::kPick>(tile, 0, random);
}
template <class Value>
TabuPick tabu_move(const TabuTile<Value>& tile, std::size_t variable, std::uint32_t random) {
  return tabu_pass<Value, TabuPass::kMove>(tile, variable, random);
}
template <class Value>
void tabu_flip(const TabuTile<Value>& tile, std::size_t variable) {
  tabu_pass<Value, TabuPass::kFlip>(tile, variable, 0);
}

void narrow(const float* values, std::size_t count, float factor, std::int8_t* out) {
  typedef std::int8_t Quarter __attribute__((vector_size(kWidth), may_alias));
  for (std::size_t i = 0; i < count; i += kWidth) {
    const Ints integers = __builtin_convertvector(load(values + i) * factor, Ints);
    *reinterpret_cast<Quarter*>(out + i) = __builtin_convertvector(integers, Quarter);
  }
}

int tabu_largest(const std::int16_t* gains, std::size_t count) {
  int largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const int magnitude = gains[i] < 0 ? -gains[i] : gains[i];
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

template <class Value>
constexpr KernelTable::Tabu<Value> kTabu = {
    .pick = tabu_pick<Value>,
    .move = tabu_move<Value>,
    .flip = tabu_flip<Value>,
};

template <class Value>
void sparse_tabu_flip(SparseTabuTile<Value>& tile, std::size_t variable) {
  const auto mark = [&tile](std::size_t i) {
    const std::size_t block = i / kTabuBlock;
    tile.blocks[tile.num_stale] = static_cast<std::uint32_t>(block);
    tile.num_stale += tile.stale[block] == 0;
    tile.stale[block] = 1;
  };
  const Value change = Value{-0.5} * tile.spins[variable];
  tile.spins[variable] = -tile.spins[variable];
  tile.gains[variable] = -tile.gains[variable];
  mark(variable);
  for (std::size_t e = tile.offsets[variable]; e < tile.offsets[variable + 1]; ++e) {
    const std::size_t i = tile.neighbours[e];
    tile.gains[i] += change * tile.spins[i] * tile.couplings[e];
    mark(i);
  }
}

// The first element that equals the largest of all, from `start` on and then from the beginning.
template <class Value>
QPSBGD_INLINE std::size_t first_equal(const Value* values, std::size_t count, Value largest,
                                      std::size_t start) {
  constexpr std::size_t kStep = kTabuWidth<Value>;
  const TabuType<Value> wanted = TabuType<Value>{} + largest;
  std::size_t i = start / kStep * kStep;
  std::uint32_t found = TabuVector<Value>::equal(tabu_load(values + i), wanted);
  found &= ~std::uint32_t{0} << start % kStep;
  while (found == 0) {
    i = i + kStep < count ? i + kStep : 0;
    found = TabuVector<Value>::equal(tabu_load(values + i), wanted);
  }
  return i + static_cast<std::size_t>(__builtin_ctz(found));
}

template <class Value>
TabuPick sparse_tabu_pick(SparseTabuTile<Value>& tile, std::uint32_t random) {
  using Type = TabuType<Value>;
  constexpr std::size_t kStep = kTabuWidth<Value>;
  const Type lowest = Type{} + TabuVector<Value>::kLowest;
  for (std::size_t k = 0; k < tile.num_stale; ++k) {
    const std::size_t block = tile.blocks[k];
    Type allowed = lowest, largest = lowest;
    for (std::size_t i = block * kTabuBlock; i < (block + 1) * kTabuBlock; i += kStep) {
      const Type gain = tabu_load(tile.gains + i);
      largest = maximum(largest, gain);
      allowed = maximum(allowed, minimum<Type>(gain, tabu_load(tile.caps + i)));
    }
    tile.allowed[block] = largest_of<Value>(allowed);
    tile.largest[block] = largest_of<Value>(largest);
    tile.stale[block] = 0;
  }
  tile.num_stale = 0;
  const std::size_t num_blocks = tile.ld / kTabuBlock;
  Type allowed = lowest, largest = lowest;
  for (std::size_t block = 0; block < num_blocks; block += kStep) {
    allowed = maximum(allowed, tabu_load(tile.allowed + block));
    largest = maximum(largest, tabu_load(tile.largest + block));
  }
  const Value gain = largest_of<Value>(allowed);
  const std::size_t block =
      first_equal(tile.allowed, num_blocks, gain, random_block(random, num_blocks));
  return {tabu_variable(tile.gains, tile.caps, block, gain, random), gain,
          largest_of<Value>(largest)};
}

template <class Value>
constexpr KernelTable::SparseTabu<Value> kSparseTabu = {
    .pick = sparse_tabu_pick<Value>,
    .flip = sparse_tabu_flip<Value>,
};

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
