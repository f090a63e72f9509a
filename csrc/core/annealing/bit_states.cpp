#include "core/annealing/bit_states.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace qpsbgd {
namespace {

static_assert(std::endian::native == std::endian::little);
static_assert(kWordReads == 32);

constexpr std::uint64_t kEveryByte = 0x0101010101010101u;

// Transposes 32 words of 32 bits: swaps the quarters of ever smaller squares.
void transpose(std::uint32_t* words) {
  std::uint32_t mask = 0x0000ffff;
  for (std::size_t size = 16; size > 0; size /= 2, mask ^= mask << size) {
    for (std::size_t k = 0; k < kWordReads; k += 2 * size) {
      for (std::size_t i = k; i < k + size; ++i) {
        const std::uint32_t swapped = ((words[i] >> size) ^ words[i + size]) & mask;
        words[i] ^= swapped << size;
        words[i + size] ^= swapped;
      }
    }
  }
}

// Returns bit k for byte k, set if the byte is not negative.
std::uint32_t bits_of(const std::int8_t* bytes) {
  std::uint64_t eight;
  std::memcpy(&eight, bytes, sizeof eight);
  return static_cast<std::uint32_t>((~eight >> 7 & kEveryByte) * 0x0102040810204080u >> 56);
}

// Writes +1 to byte k if bit k of the eight bits is set, else -1.
void write_bytes(std::uint32_t bits, std::int8_t* bytes) {
  const std::uint64_t chosen = bits * kEveryByte & 0x8040201008040201u;
  const std::uint64_t ones = (chosen + 0x7f * kEveryByte) >> 7 & kEveryByte;
  const std::uint64_t eight = ~std::uint64_t{0} ^ ones * 0xfe;
  std::memcpy(bytes, &eight, sizeof eight);
}

}  // namespace

void pack_states(const std::int8_t* states, std::size_t ld, std::size_t reads, std::size_t count,
                 std::size_t stride, std::uint32_t* words) {
  for (std::size_t first = 0; first < count; first += kWordReads) {
    const std::size_t part = std::min(kWordReads, count - first);
    std::uint32_t square[kWordReads] = {};
    for (std::size_t r = 0; r < reads; ++r) {
      std::int8_t bytes[kWordReads] = {};
      std::memcpy(bytes, states + r * ld + first, part);
      for (std::size_t k = 0; k < kWordReads; k += 8) square[r] |= bits_of(bytes + k) << k;
    }
    transpose(square);
    for (std::size_t i = 0; i < part; ++i) words[(first + i) * stride] = square[i];
  }
}

void unpack_states(const std::uint32_t* words, std::size_t stride, std::size_t reads,
                   std::size_t count, std::size_t ld, std::int8_t* states) {
  for (std::size_t first = 0; first < count; first += kWordReads) {
    const std::size_t part = std::min(kWordReads, count - first);
    std::uint32_t square[kWordReads] = {};
    for (std::size_t i = 0; i < part; ++i) square[i] = words[(first + i) * stride];
    transpose(square);
    for (std::size_t r = 0; r < reads; ++r) {
      std::int8_t bytes[kWordReads];
      for (std::size_t k = 0; k < kWordReads; k += 8) write_bytes(square[r] >> k & 0xff, bytes + k);
      std::memcpy(states + r * ld + first, bytes, part);
    }
  }
}

}  // namespace qpsbgd
