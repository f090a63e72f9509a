// Names of random streams. The numbers themselves are made in kernels/simd/random.hpp.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.hpp"

namespace qpsbgd {

// SplitMix64's output function (Steele, Lea, Flood 2014): a bijection of 64-bit words.
constexpr std::uint64_t splitmix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// The streams of one read of one problem, one for each sweep.
class ReadStreams {
 public:
  constexpr ReadStreams() = default;
  constexpr ReadStreams(std::uint64_t seed, std::uint64_t problem, std::uint64_t read)
      : key_(splitmix64(splitmix64(splitmix64(seed) ^ problem) ^ read)) {}
  constexpr StreamKey sweep(std::uint64_t sweep) const {
    const std::uint64_t key = splitmix64(key_ ^ sweep);
    return {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)};
  }

 private:
  std::uint64_t key_ = 0;
};

// Returns the key of a stream. It depends on these four numbers alone: not on threads or tiles, nor
// on the number of reads and problems.
constexpr StreamKey stream_key(std::uint64_t seed, std::uint64_t problem, std::uint64_t read,
                               std::uint64_t sweep) {
  return ReadStreams(seed, problem, read).sweep(sweep);
}

// Returns the key of the stream that draws the order of a sweep's variables, from the sweep's key.
constexpr StreamKey order_key(StreamKey key) {
  return {key.word0 ^ 0x9e3779b9u, key.word1 ^ 0x7f4a7c15u};
}

// Number of the stream that draws a read's random start. The sweeps of the read have the numbers 0,
// 1, ...
inline constexpr std::uint64_t kInitialState = ~std::uint64_t{0};

// Returns the word that a key is made of.
constexpr std::uint64_t word_of(StreamKey key) {
  return std::uint64_t{key.word1} << 32 | key.word0;
}

// Draws a state (n) of spins, uniformly distributed.
inline void draw_state(StreamKey key, std::size_t n, std::int8_t* state) {
  for (std::size_t i = 0; i < n; ++i) {
    state[i] = splitmix64(word_of(key) + i / 64) >> i % 64 & 1 ? 1 : -1;
  }
}

}  // namespace qpsbgd
