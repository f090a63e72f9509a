// Sweeps over a sparse problem with small integer biases: multi-spin coding.
//
// A spin is one bit of a word of 32 reads, and a vector holds up to 16 such words. The sum
// s_i f_i of a variable is bit-sliced: its digits are planes of bits, which full adders compute
// anew from the neighbours' spins at every visit. All reads of a word draw from one stream: a flip
// of probability p is accepted if the read's bits of successive random words, as the digits of a
// binary number, are less than p. A read thus has random bits of its own. A visit ends when the
// digits have decided in every read, for 512 reads after some eleven words.
//
// Published: S. V. Isakov et al., "Optimised simulated annealing for Ising spin glasses", Comput.
// Phys. Commun. 192 (2015) 265.
// NOTES: there the replicas share random numbers; here they do not, so that they are independent.
#include <algorithm>
#include <bit>
#include <utility>

#include "kernels/simd/acceptance.hpp"
#include "kernels/sparse/bit_planes.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

constexpr std::size_t kGroup = 4;  // digits that are drawn together
constexpr std::size_t kLastGroup = kChanceBits / kGroup - 1;

// Bytes of the vectors that suit a tile of this many words.
constexpr std::size_t vector_bytes(std::size_t words) {
  return words * sizeof(std::uint32_t) < kVectorBytes ? words * sizeof(std::uint32_t)
                                                      : kVectorBytes;
}

template <std::size_t kTileWords, std::size_t kPlanes, Acceptance kAcceptance>
class BitSweep {
 public:
  QPSBGD_INLINE BitSweep(const BitTile& tile, const BitChances& chances, const StreamKey* keys,
                         const std::uint32_t* active)
      : tile_(tile), chances_(chances) {
    for (std::size_t w = 0; w < kTileWords; ++w) {
      words0_[w] = keys[w].word0;
      words1_[w] = keys[w].word1;
      active_[w] = active[w];
    }
    // Sums start from the digits of tile.starts.
    for (std::size_t start = 0; start <= kHalf; ++start) {
      for (std::size_t p = 0; p < kPlanes; ++p) {
        starts_[start][p] = start >> p & 1 ? ~std::uint32_t{0} : 0;
      }
    }
  }

  QPSBGD_INLINE void visit(std::size_t i) const {
    const std::uint32_t counter = mix(static_cast<std::uint32_t>(i));
    for (std::size_t word = 0; word < kTileWords; word += kWords) visit(i, word, counter);
  }

 private:
  static constexpr std::size_t kBytes = vector_bytes(kTileWords);
  static constexpr std::size_t kWords = kBytes / sizeof(std::uint32_t);
  using Bits = Plane<kBytes>;
  static constexpr std::size_t kHalf = std::size_t{1} << (kPlanes - 1);

  template <std::size_t kList>
  QPSBGD_INLINE void add_terms(std::size_t i, std::size_t word, Bits spins, Bits* sum) const {
    const std::uint32_t* edge = tile_.edges + tile_.offsets[i * tile_.num_lists + kList];
    const std::uint32_t* end = tile_.edges + tile_.offsets[i * tile_.num_lists + kList + 1];
    constexpr std::size_t kGroupLevels = std::countr_zero(bit_edge_group(kPlanes));
    constexpr std::size_t kLevels = std::min(kGroupLevels, kPlanes - kList);
    while (edge != end) {
      const Bits carry = add_up<kLevels, Bits>(sum + kList, [&] {
        return spins ^ load_plane<kBytes>(tile_.spins + word + std::size_t{*edge++} * kBitPosition);
      });
      add_bit<kList + kLevels, kPlanes>(sum, carry);
    }
  }

  QPSBGD_INLINE void visit(std::size_t i, std::size_t word, std::uint32_t counter) const {
    std::uint32_t* at = tile_.spins + 2 * i * kTileWords + word;
    const Bits spins = load_plane<kBytes>(at);
    Bits sum[kPlanes];
    const std::uint32_t* start = starts_[tile_.starts[i]];
    QPSBGD_UNROLL
    for (std::size_t p = 0; p < kPlanes; ++p) sum[p] = Bits{} + start[p];
    add_terms<0>(i, word, spins, sum);
    [&]<std::size_t... kLists>(std::index_sequence<kLists...>) {
      ((kLists + 1 < tile_.num_lists ? add_terms<kLists + 1>(i, word, spins, sum) : void()), ...);
    }(std::make_index_sequence<kPlanes - 1>());
    const std::uint32_t* digits = chances_.digits[tile_.is_odd[i]];
    const Bits next = spins ^ decide(digits, sum, word, counter);
    store_plane<kBytes>(at, next);
    store_plane<kBytes>(at + kTileWords, ~next);
  }

  // Returns the reads that flip, given the digits of the sum.
  QPSBGD_INLINE Bits decide(const std::uint32_t* digits, const Bits* sum, std::size_t word,
                            std::uint32_t counter) const {
    const Bits active = load_plane<kBytes>(active_ + word);
    if constexpr (kAcceptance == Acceptance::kMetropolis) {
      const Bits accepted = sum[kPlanes - 1];
      return accepted | decide_low<2>(digits, sum, word, counter, active & ~accepted);
    } else {
      return draw<kPlanes>(digits, sum, word, counter, active, 0);
    }
  }
  // For Metropolis's rule and gains below 0. Sums near kHalf have equal high digits.
  template <std::size_t kDigits>
  QPSBGD_INLINE Bits decide_low(const std::uint32_t* digits, const Bits* sum, std::size_t word,
                                std::uint32_t counter, Bits rest) const {
    constexpr std::size_t kCodes = std::size_t{1} << kDigits;
    if constexpr (kDigits < kPlanes - 1) {
      if (chances_.lowest[kLastGroup] + kCodes < kHalf) {
        return decide_low<kDigits + 1>(digits, sum, word, counter, rest);
      }
      QPSBGD_UNROLL
      for (std::size_t p = kDigits; p + 1 < kPlanes; ++p) rest &= sum[p];
    }
    return draw<kDigits>(digits, sum, word, counter, rest, kHalf - kCodes);
  }

  // Draws for the reads in `rest`, whose sums are `first` plus the lowest kDigits digits. Returns
  // those that flip. Steps through whole groups of sums, as often at every visit.
  template <std::size_t kDigits>
  QPSBGD_INLINE Bits draw(const std::uint32_t* digits, const Bits* sum, std::size_t word,
                          std::uint32_t counter, Bits rest, std::size_t first) const {
    // The reads whose sum is first + 4 v + k are high[v] & low[k].
    constexpr std::size_t kHighs = std::size_t{1} << (kDigits - 2);
    const Bits low[kGroup] = {~(sum[1] | sum[0]), ~sum[1] & sum[0], sum[1] & ~sum[0],
                              sum[1] & sum[0]};
    Bits high[kHighs];
    high[0] = rest;
    QPSBGD_UNROLL
    for (std::size_t p = 0; p + 2 < kDigits; ++p) {
      const Bits digit = sum[kDigits - 1 - p];
      QPSBGD_UNROLL
      for (std::size_t k = 0; k < std::size_t{1} << p; ++k) {
        const std::size_t v = (std::size_t{1} << p) - 1 - k;  // the last first: it is in place
        high[2 * v + 1] = high[v] & digit;
        high[2 * v] = high[v] & ~digit;
      }
    }
    Bits undecided = rest;
    if constexpr (kDigits == 2) {  // when it is cold, there is often nothing to draw for
      for (std::size_t v = first; v < chances_.lowest[kLastGroup]; ++v) {
        undecided &= ~low[v - first];
      }
    }
    Bits accepted{};
    if (is_zero(undecided)) return accepted;
    const Bits start = begin_rounds(counter, load_plane<kBytes>(words0_ + word),
                                    load_plane<kBytes>(words1_ + word));
    digits += first * kGroup;
    for (std::size_t group = 0; group <= kLastGroup; ++group) {
      Bits random[kGroup], chance[kGroup] = {};
      draw_rounds<kGroup>(start, group * kGroup, random);
      for (std::size_t v = (chances_.lowest[group] - first) / kGroup; v < kHighs; ++v) {
        const std::uint32_t* digit = digits + v * kGroup * kGroup;
        QPSBGD_UNROLL
        for (std::size_t code = 0; code < kGroup; ++code) {
          const Bits reads = high[v] & low[code];
          QPSBGD_UNROLL
          for (std::size_t k = 0; k < kGroup; ++k) {
            chance[k] = or_and<Bits>(chance[k], reads, Bits{} + digit[code * kGroup + k]);
          }
        }
      }
      Bits less{}, equal = undecided;
      QPSBGD_UNROLL
      for (std::size_t k = 0; k < kGroup; ++k) {
        const std::size_t digit = kGroup - 1 - k;
        less = is_less(random[digit], chance[digit], less);
        equal = and_equal(equal, random[digit], chance[digit]);
      }
      accepted |= undecided & less;
      undecided = equal;
      if (is_zero(undecided)) break;
      digits += kGroup * (std::size_t{1} << kMaxPlanes);
    }
    return accepted;
  }

  const BitTile tile_;
  const BitChances chances_;
  std::uint32_t starts_[kHalf + 1][kPlanes];
  alignas(64) std::uint32_t words0_[kTileWords], words1_[kTileWords], active_[kTileWords];
};

template <std::size_t kTileWords, std::size_t kPlanes>
void sweep(const BitTile& tile, std::size_t first, std::size_t last, Acceptance acceptance,
           const BitChances& chances, const StreamKey* keys, const std::uint32_t* active) {
  with_acceptance(acceptance, [&]<Acceptance kAcceptance>() {
    const BitSweep<kTileWords, kPlanes, kAcceptance> sweep(tile, chances, keys, active);
    for (std::size_t i = first; i < last; ++i) sweep.visit(i);
  });
}

// ---- energies -----------------------------------------------------------------------------------

constexpr std::size_t kCountDigits = 12;

template <std::size_t kTileWords>
void count_terms(const BitTile& tile, std::size_t first, std::size_t last, std::uint32_t* counts) {
  constexpr std::size_t kBytes = vector_bytes(kTileWords), kWords = kBytes / sizeof(std::uint32_t);
  using Bits = Plane<kBytes>;
  constexpr std::size_t kLevels = 4;
  static_assert(kBitPairGroup == std::size_t{1} << kLevels);
  constexpr std::size_t kMost = ((std::size_t{1} << kCountDigits) - 1) & ~(kBitPairGroup - 1);
  for (std::size_t word = 0; word < kTileWords; word += kWords) {
    const std::uint32_t* spins = tile.spins + word;
    for (std::size_t begin = first; begin < last; begin += kMost) {
      const BitPair* pair = tile.pairs + begin;
      const BitPair* end = tile.pairs + (last - begin < kMost ? last : begin + kMost);
      Bits sum[kCountDigits] = {};
      while (pair != end) {
        const Bits carry = add_up<kLevels, Bits>(sum, [&] {
          const Bits a = load_plane<kBytes>(spins + std::size_t{pair->first} * kBitPosition);
          const Bits b = load_plane<kBytes>(spins + std::size_t{pair->second} * kBitPosition);
          ++pair;
          return a ^ b;
        });
        add_bit<kLevels, kCountDigits>(sum, carry);
      }
      for (std::size_t bit = 0; bit < kWordReads; ++bit) {
        std::uint32_t* at = counts + bit * kTileWords + word;
        Bits count = load_plane<kBytes>(at);
        for (std::size_t p = 0; p < kCountDigits; ++p) {
          count += (sum[p] >> static_cast<std::uint32_t>(bit) & 1) << static_cast<std::uint32_t>(p);
        }
        store_plane<kBytes>(at, count);
      }
    }
  }
}

// ---- the table ----------------------------------------------------------------------------------

// Calls body<kTileWords>() with the number of the tile's words as a constant.
template <class Body>
QPSBGD_INLINE void with_words(const BitTile& tile, const Body& body) {
  switch (tile.words) {
    case 4:
      return body.template operator()<4>();
    case 8:
      return body.template operator()<8>();
    default:
      return body.template operator()<16>();
  }
}

void sweep_all(const BitTile& tile, std::size_t first, std::size_t last, Acceptance acceptance,
               const BitChances& chances, const StreamKey* keys, const std::uint32_t* active) {
  with_words(tile, [&]<std::size_t kTileWords>() {
    const auto run = [&]<std::size_t kPlanes>() {
      sweep<kTileWords, kPlanes>(tile, first, last, acceptance, chances, keys, active);
    };
    static_assert(kMaxPlanes == 6);
    switch (tile.num_planes) {
      case 3:
        return run.template operator()<3>();
      case 4:
        return run.template operator()<4>();
      case 5:
        return run.template operator()<5>();
      default:
        return run.template operator()<6>();
    }
  });
}

void count_all(const BitTile& tile, std::size_t first, std::size_t last, std::uint32_t* counts) {
  with_words(tile,
             [&]<std::size_t kTileWords>() { count_terms<kTileWords>(tile, first, last, counts); });
}

void keep(const BitTile& tile, const std::uint32_t* chosen, std::uint32_t* kept) {
  with_words(tile, [&]<std::size_t kTileWords>() {
    constexpr std::size_t kBytes = vector_bytes(kTileWords);
    for (std::size_t word = 0; word < kTileWords; word += kBytes / sizeof(std::uint32_t)) {
      const Plane<kBytes> mask = load_plane<kBytes>(chosen + word);
      if (is_zero(mask)) continue;
      for (std::size_t i = word; i < tile.num_variables * kTileWords; i += kTileWords) {
        const Plane<kBytes> spins = load_plane<kBytes>(tile.spins + 2 * (i - word) + word);
        store_plane<kBytes>(kept + i, choose(mask, spins, load_plane<kBytes>(kept + i)));
      }
    }
  });
}

}  // namespace

constinit const BitKernels kBits = {.anneal = sweep_all, .count_terms = count_all, .keep = keep};

}  // namespace qpsbgd::QPSBGD_ISA
