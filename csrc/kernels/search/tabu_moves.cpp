// Moves of a tabu search: one pass updates the gains after a flip and finds the next flip.
//
// For every block of 128 variables the pass stores only the maximum of each lane. Once the largest
// gain is known, its variable is found in a single block.
#include <limits>

#include "kernels/simd/lanes.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

template <class Value>
constexpr Value kLowest = static_cast<Value>(-__builtin_inf());
template <>
constexpr std::int16_t kLowest<std::int16_t> = std::numeric_limits<std::int16_t>::min();
template <>
constexpr std::int32_t kLowest<std::int32_t> = std::numeric_limits<std::int32_t>::min();

// Signed couplings s_i J_ik as integers of the gains' type.
template <class Value>
QPSBGD_INLINE Vector<Value> load_terms(const std::int8_t* couplings, const std::int8_t* spins);
#if defined(__AVX512BW__)  // GCC 12 turns the general conversion into five instructions
template <>
QPSBGD_INLINE Shorts load_terms<std::int16_t>(const std::int8_t* couplings,
                                              const std::int8_t* spins) {
  return (Shorts)_mm512_cvtepi8_epi16(
      _mm256_sign_epi8(_mm256_load_si256(reinterpret_cast<const __m256i*>(couplings)),
                       _mm256_load_si256(reinterpret_cast<const __m256i*>(spins))));
}
template <>
QPSBGD_INLINE Ints load_terms<std::int32_t>(const std::int8_t* couplings,
                                            const std::int8_t* spins) {
  return (Ints)_mm512_maskz_cvtepi8_epi32(
      0xffff,  // GCC 12 warns of the unmasked form
      _mm_sign_epi8(_mm_load_si128(reinterpret_cast<const __m128i*>(couplings)),
                    _mm_load_si128(reinterpret_cast<const __m128i*>(spins))));
}
#elif defined(__AVX2__)
template <>
QPSBGD_INLINE Shorts load_terms<std::int16_t>(const std::int8_t* couplings,
                                              const std::int8_t* spins) {
  return (Shorts)_mm256_cvtepi8_epi16(
      _mm_sign_epi8(_mm_load_si128(reinterpret_cast<const __m128i*>(couplings)),
                    _mm_load_si128(reinterpret_cast<const __m128i*>(spins))));
}
template <>
QPSBGD_INLINE Ints load_terms<std::int32_t>(const std::int8_t* couplings,
                                            const std::int8_t* spins) {
  return (Ints)_mm256_cvtepi8_epi32(
      _mm_sign_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(couplings)),
                    _mm_loadl_epi64(reinterpret_cast<const __m128i*>(spins))));
}
#elif defined(__SSE2__)
QPSBGD_INLINE __m128i signed_bytes(__m128i couplings, __m128i spins) {
  const __m128i minus = _mm_cmplt_epi8(spins, _mm_setzero_si128());
  return _mm_sub_epi8(_mm_xor_si128(couplings, minus), minus);
}
template <>
QPSBGD_INLINE Shorts load_terms<std::int16_t>(const std::int8_t* couplings,
                                              const std::int8_t* spins) {
  const __m128i terms = signed_bytes(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(couplings)),
                                     _mm_loadl_epi64(reinterpret_cast<const __m128i*>(spins)));
  return (Shorts)_mm_srai_epi16(_mm_unpacklo_epi8(terms, terms), 8);
}
template <>
QPSBGD_INLINE Ints load_terms<std::int32_t>(const std::int8_t* couplings,
                                            const std::int8_t* spins) {
  const __m128i terms = signed_bytes(_mm_loadu_si32(couplings), _mm_loadu_si32(spins));
  const __m128i pairs = _mm_unpacklo_epi8(terms, terms);
  return (Ints)_mm_srai_epi32(_mm_unpacklo_epi16(pairs, pairs), 24);
}
#else
template <class Value>
QPSBGD_INLINE Vector<Value> load_terms(const std::int8_t* couplings, const std::int8_t* spins) {
  Vector<Value> terms;
  for (std::size_t i = 0; i < kWidth<Value>; ++i) {
    terms[i] = static_cast<Value>(couplings[i] * spins[i]);
  }
  return terms;
}
#endif

// Adds 2 s_i J_ik to gains for kSign > 0, and subtracts it for kSign < 0. The products are exact:
// spins of floats are +-2.
template <class Value, int kSign>
QPSBGD_INLINE Vector<Value> add_terms(Vector<Value> gains,
                                      const typename TabuTile<Value>::Coupling* couplings,
                                      const typename TabuTile<Value>::Spin* spins) {
  if constexpr (std::is_floating_point_v<Value>) {
    const Vector<Value> terms = load(couplings) * load(spins);
    return kSign > 0 ? gains + terms : gains - terms;
  } else {
    const Vector<Value> terms = load_terms<Value>(couplings, spins);
    return kSign > 0 ? gains + terms + terms : gains - terms - terms;
  }
}

// Bit i: a[i] == b[i], given that no element of a is larger than that of b.
QPSBGD_INLINE std::uint32_t mask_equal(Floats a, Floats b) { return mask_at_least(a, b); }
QPSBGD_INLINE std::uint32_t mask_equal(Doubles a, Doubles b) { return mask_at_least(a, b); }
QPSBGD_INLINE std::uint32_t mask_equal(Ints a, Ints b) { return mask_signs((Ints)(a == b)); }
QPSBGD_INLINE std::uint32_t mask_equal(Shorts a, Shorts b) {
#if defined(__AVX512BW__)
  return _mm512_cmpeq_epi16_mask((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  const __m256i same = _mm256_cmpeq_epi16((__m256i)a, (__m256i)b);
  return static_cast<std::uint32_t>(_mm_movemask_epi8(
      _mm_packs_epi16(_mm256_castsi256_si128(same), _mm256_extracti128_si256(same, 1))));
#elif defined(__SSE2__)
  return static_cast<std::uint32_t>(_mm_movemask_epi8(
      _mm_packs_epi16(_mm_cmpeq_epi16((__m128i)a, (__m128i)b), _mm_setzero_si128())));
#else
  std::uint32_t mask = 0;
  for (std::size_t i = 0; i < kWidth<std::int16_t>; ++i) mask |= std::uint32_t{a[i] == b[i]} << i;
  return mask;
#endif
}

template <class Type>
QPSBGD_INLINE Type maximum(Type a, Type b) {
  return a > b ? a : b;
}
template <class Type>
QPSBGD_INLINE Type minimum(Type a, Type b) {
  return a < b ? a : b;
}

// Returns the largest element: halves the vector again and again.
template <class Value>
QPSBGD_INLINE Value find_largest(Vector<Value> v) {
  typedef Value Quarter __attribute__((vector_size(16), may_alias));
  alignas(64) Value values[kWidth<Value>];
  store(values, v);
  Quarter q = *reinterpret_cast<const Quarter*>(values);
  for (std::size_t i = 16 / sizeof(Value); i < kWidth<Value>; i += 16 / sizeof(Value)) {
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

// Returns a variable of the block whose allowed gain is `gain`, the first from a random place on.
template <class Value>
QPSBGD_INLINE std::size_t find_variable(const Value* gains, const Value* caps, std::size_t block,
                                        Value gain, std::uint32_t random) {
  const Vector<Value> wanted = Vector<Value>{} + gain;
  std::uint64_t matches[2] = {0, 0};
  for (std::size_t i = 0; i < kTabuBlock; i += kWidth<Value>) {
    const std::size_t k = block * kTabuBlock + i;
    const Vector<Value> allowed = minimum<Vector<Value>>(load(gains + k), load(caps + k));
    matches[i / 64] |= std::uint64_t{mask_equal(allowed, wanted)} << i % 64;
  }
  const std::size_t start = random % kTabuBlock, half = start / 64;
  const std::uint64_t later = matches[half] & (~std::uint64_t{0} << start % 64);
  // Searches the rest of this half, then the other half, then this one from its beginning.
  const std::size_t at = later != 0 || matches[1 - half] == 0 ? half : 1 - half;
  const std::uint64_t bits = at == half && later != 0 ? later : matches[at];
  return block * kTabuBlock + at * 64 + static_cast<std::size_t>(__builtin_ctzll(bits));
}

// Returns a random block, from other bits than find_variable uses.
QPSBGD_INLINE std::size_t choose_block(std::uint32_t random, std::size_t num_blocks) {
  return (random >> 8) * std::uint64_t{num_blocks} >> 24;
}

enum class Pass { kPick, kMove, kFlip };

// One pass over all variables. Flipping s_k adds 2 s_k s_i J_ik to gain_i, where s_k is the new
// spin.
template <class Value, Pass kPass>
QPSBGD_INLINE TabuPick make_pass(const TabuTile<Value>& tile, std::size_t variable,
                                 std::uint32_t random) {
  using Type = Vector<Value>;
  constexpr std::size_t kStep = kWidth<Value>;
  // Copies, as the compiler assumes that a store to the gains may change the tile.
  const std::size_t ld = tile.ld;
  Value* const gains = tile.gains;
  typename TabuTile<Value>::Spin* const spins = tile.spins;
  Value* const maxima = tile.maxima;
  const Value* const caps = tile.caps;
  const typename TabuTile<Value>::Coupling* row = nullptr;
  bool is_raised = false;
  if constexpr (kPass != Pass::kPick) {
    row = tile.couplings + variable * ld;
    // Prefetches the whole row: nothing told the processor earlier which row it would be.
    for (std::size_t i = 0; i < ld; i += 64 / sizeof(*row)) __builtin_prefetch(row + i);
    is_raised = spins[variable] < 0;
    spins[variable] = static_cast<typename TabuTile<Value>::Spin>(-spins[variable]);
    gains[variable] = static_cast<Value>(-gains[variable]);  // the pass leaves it alone: J_kk = 0
  }
  const Type lowest = Type{} + kLowest<Value>;
  Type largest = lowest, best = lowest;
  const auto pass = [&](auto sign) {
    for (std::size_t block = 0; block < ld; block += kTabuBlock) {
      Type allowed = lowest;
      for (std::size_t i = block; i < block + kTabuBlock; i += kStep) {
        Type gain = load(gains + i);
        if constexpr (kPass != Pass::kPick) {
          gain = add_terms<Value, sign()>(gain, row + i, spins + i);
          store(gains + i, gain);
        }
        if constexpr (kPass != Pass::kFlip) {
          largest = maximum(largest, gain);
          allowed = maximum(allowed, minimum<Type>(gain, load(caps + i)));
        }
      }
      if constexpr (kPass != Pass::kFlip) {
        store(maxima + block / kTabuBlock * kStep, allowed);
        best = maximum(best, allowed);
      }
    }
  };
  if (is_raised) {
    pass(std::integral_constant<int, 1>{});
  } else {
    pass(std::integral_constant<int, -1>{});
  }
  if constexpr (kPass == Pass::kFlip) return {};
  const std::size_t num_blocks = ld / kTabuBlock;
  const Value gain = find_largest<Value>(best);
  // Finds the first block with that gain, counted from a random block, without a branch that
  // depends on the data.
  const std::size_t start = choose_block(random, num_blocks);
  std::size_t block = num_blocks, later = num_blocks;
  for (std::size_t b = num_blocks; b-- > 0;) {
    const bool here = mask_equal(load(maxima + b * kStep), Type{} + gain) != 0;
    block = here ? b : block;
    later = here && b >= start ? b : later;
  }
  block = later < num_blocks ? later : block;
  return {find_variable(gains, caps, block, gain, random), static_cast<double>(gain),
          static_cast<double>(find_largest<Value>(largest))};
}

template <class Value>
TabuPick pick(const TabuTile<Value>& tile, std::uint32_t random) {
  return make_pass<Value, Pass::kPick>(tile, 0, random);
}
template <class Value>
TabuPick move(const TabuTile<Value>& tile, std::size_t variable, std::uint32_t random) {
  return make_pass<Value, Pass::kMove>(tile, variable, random);
}
template <class Value>
void flip(const TabuTile<Value>& tile, std::size_t variable) {
  make_pass<Value, Pass::kFlip>(tile, variable, 0);
}

template <class Value>
constexpr TabuKernels<Value> kDenseMoves = {
    .pick = pick<Value>,
    .move = move<Value>,
    .flip = flip<Value>,
};

template <class Value>
void flip_sparse(SparseTabuTile<Value>& tile, std::size_t variable) {
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

// Returns the first element that equals the largest of all, from `start` on and then from the
// beginning.
template <class Value>
QPSBGD_INLINE std::size_t find_equal(const Value* values, std::size_t count, Value largest,
                                     std::size_t start) {
  constexpr std::size_t kStep = kWidth<Value>;
  const Vector<Value> wanted = Vector<Value>{} + largest;
  std::size_t i = start / kStep * kStep;
  std::uint32_t mask = mask_equal(load(values + i), wanted);
  mask &= ~std::uint32_t{0} << start % kStep;
  while (mask == 0) {
    i = i + kStep < count ? i + kStep : 0;
    mask = mask_equal(load(values + i), wanted);
  }
  return i + static_cast<std::size_t>(__builtin_ctz(mask));
}

template <class Value>
TabuPick pick_sparse(SparseTabuTile<Value>& tile, std::uint32_t random) {
  using Type = Vector<Value>;
  constexpr std::size_t kStep = kWidth<Value>;
  const Type lowest = Type{} + kLowest<Value>;
  for (std::size_t k = 0; k < tile.num_stale; ++k) {
    const std::size_t block = tile.blocks[k];
    Type allowed = lowest, largest = lowest;
    for (std::size_t i = block * kTabuBlock; i < (block + 1) * kTabuBlock; i += kStep) {
      const Type gain = load(tile.gains + i);
      largest = maximum(largest, gain);
      allowed = maximum(allowed, minimum<Type>(gain, load(tile.caps + i)));
    }
    tile.allowed[block] = find_largest<Value>(allowed);
    tile.largest[block] = find_largest<Value>(largest);
    tile.stale[block] = 0;
  }
  tile.num_stale = 0;
  const std::size_t num_blocks = tile.ld / kTabuBlock;
  Type allowed = lowest, largest = lowest;
  for (std::size_t block = 0; block < num_blocks; block += kStep) {
    allowed = maximum(allowed, load(tile.allowed + block));
    largest = maximum(largest, load(tile.largest + block));
  }
  const Value gain = find_largest<Value>(allowed);
  const std::size_t block =
      find_equal(tile.allowed, num_blocks, gain, choose_block(random, num_blocks));
  return {find_variable(tile.gains, tile.caps, block, gain, random), gain,
          find_largest<Value>(largest)};
}

template <class Value>
constexpr SparseTabuKernels<Value> kSparseMoves = {
    .pick = pick_sparse<Value>,
    .flip = flip_sparse<Value>,
};

}  // namespace

constinit const AllTabuKernels kTabu = {
    .dense = {kDenseMoves<std::int16_t>, kDenseMoves<std::int32_t>, kDenseMoves<float>,
              kDenseMoves<double>},
    .sparse = {kSparseMoves<float>, kSparseMoves<double>},
};

}  // namespace qpsbgd::QPSBGD_ISA
