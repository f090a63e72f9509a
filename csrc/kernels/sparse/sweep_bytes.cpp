// Sweeps over one read of a sparse problem with small integer biases, whose fields are bytes.
//
// For one read it is faster to store the fields, and to change those of the neighbours at a flip,
// than to compute them at every visit as sweep_bits.cpp does. The random bits are those of
// sweep_bits.cpp, with the words of successive rounds in the lanes of a vector.
#include "kernels/simd/random.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Vectors, and rounds, that are drawn at once: at least eight digits, which rarely leave a tie.
constexpr std::size_t kVectors = kWidth<float> < 8 ? 8 / kWidth<float> : 1;
constexpr std::size_t kRounds = kVectors * kWidth<float>;

// Returns the random digits of the rounds from `round` on, the first in the lowest bit.
QPSBGD_INLINE std::uint32_t draw_digits(std::uint32_t start, std::size_t round, unsigned bit) {
  Words words[kVectors];
  for (std::size_t v = 0; v < kVectors; ++v) {
    words[v] = start ^ load_unaligned(kRoundWords.of + round + v * kWidth<float>);
  }
  finish_rounds<kVectors>(words);
  std::uint32_t digits = 0;
  for (std::size_t v = 0; v < kVectors; ++v) {
    digits |= mask_signs((Ints)(words[v] << (31 - bit))) << (v * kWidth<float>);
  }
  return digits;
}

// Returns whether the random number is less than the chance. Both have their highest binary digit
// in the lowest bit, so the lowest bit in which they differ decides.
QPSBGD_INLINE bool is_accepted(std::size_t i, std::uint32_t chance, StreamKey key, unsigned bit) {
  const std::uint32_t start =
      begin_rounds(mix(static_cast<std::uint32_t>(i)), key.word0, key.word1);
  constexpr std::uint32_t kMask = kRounds < 32 ? (std::uint32_t{1} << kRounds) - 1 : ~0u;
  for (std::size_t round = 0;; round += kRounds) {
    const std::uint32_t digits = chance >> round & kMask;
    const std::uint32_t different = draw_digits(start, round, bit) ^ digits;
    if (__builtin_expect(different != 0, 1)) return (different & -different & digits) != 0;
    if (round + kRounds == kChanceBits) return false;
  }
}

std::int64_t anneal(const ByteTile& tile, std::size_t first, std::size_t last,
                    const std::uint32_t* chances, int always, StreamKey key, unsigned bit) {
  const ByteTile copy = tile;
  chances += std::size_t{1} << kMaxPlanes;
  std::int64_t sum = 0;
  for (std::size_t i = first; i < last; ++i) {
    const int spin = copy.spins[i], gain = spin * copy.fields[i];
    const std::uint32_t chance = chances[gain];
    if (chance == 0) continue;
    if (gain < always && !is_accepted(i, chance, key, bit)) continue;
    sum += gain;
    copy.spins[i] = static_cast<std::int8_t>(-spin);
    const int sign = spin < 0 ? 0 : -1;
    const ByteEdge* end = copy.edges + copy.offsets[i + 1];
    for (const ByteEdge* edge = copy.edges + copy.offsets[i]; edge != end; ++edge) {
      std::int8_t& field = copy.fields[edge->neighbour];
      field = static_cast<std::int8_t>(field + (edge->twice ^ sign) - sign);
    }
  }
  return sum;
}

}  // namespace

constinit const ByteKernels kBytes = {.anneal = anneal};

}  // namespace qpsbgd::QPSBGD_ISA
