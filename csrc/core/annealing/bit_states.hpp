// States of reads as words of bits, and back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/sparse/sparse_tiles.hpp"

namespace qpsbgd {

// Reads `count` variables of at most kWordReads states (reads, ld), of -1 and +1, into words: bit r
// of words[i * stride] is set if variable i of read r is +1.
void pack_states(const std::int8_t* states, std::size_t ld, std::size_t reads, std::size_t count,
                 std::size_t stride, std::uint32_t* words);

// The inverse of pack_states().
void unpack_states(const std::uint32_t* words, std::size_t stride, std::size_t reads,
                   std::size_t count, std::size_t ld, std::int8_t* states);

}  // namespace qpsbgd
