// Products of packed signs with a vector, for inference with one bit per weight.
#include <bit>
#include <cstring>

#include "kernels/simd/lanes.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Rows that are multiplied together, because each is a chain of dependent additions.
constexpr std::size_t kRowGroup = 4;

// Changes the sign of the lanes whose bit of the mask is set.
QPSBGD_INLINE Lanes<float> flip_signs(std::uint32_t mask, const Lanes<float>& v) {
#if defined(__AVX512F__)
  const auto bits = (__m512i)v.part[0];
  const __m512i sign = _mm512_set1_epi32(static_cast<int>(kSignBit<float>));
  return {{(Floats)_mm512_mask_xor_epi32(bits, static_cast<__mmask16>(mask), bits, sign)}};
#elif defined(__AVX2__)
  Lanes<float> result;
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    Words shift;  // that moves a lane's bit to the place of its sign
    for (std::size_t i = 0; i < kWidth<float>; ++i) {
      shift[i] = static_cast<std::uint32_t>(31 - q * kWidth<float> - i);
    }
    const Words moved = broadcast<std::uint32_t>(mask) << shift;
    result.part[q] = (Floats)((Words)v.part[q] ^ (moved & kSignBit<float>));
  }
  return result;
#else
  return negate_unless(~mask, v);
#endif
}

// Adds halves to each other, so that the order does not depend on the instruction set.
QPSBGD_INLINE float sum_lanes(const Lanes<float>& v) {
  alignas(64) float sums[kLanes];
  store_lanes(sums, v);
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t k = 0; k < half; ++k) sums[k] += sums[k + half];
  }
  return sums[0];
}

static_assert(std::endian::native == std::endian::little, "the lowest byte must come first");
QPSBGD_INLINE std::uint32_t load_pair(const std::uint8_t* bytes) {
  std::uint16_t pair;
  std::memcpy(&pair, bytes, sizeof(pair));
  return pair;
}

template <std::size_t kRows>
QPSBGD_INLINE void multiply_rows(const std::uint8_t* bits, std::size_t row_bytes,
                                 const float* negated_inputs, float* out) {
  Lanes<float> sums[kRows] = {};
  std::size_t byte = 0;
  for (; byte + 2 <= row_bytes; byte += 2) {
    const Lanes<float> values = load_lanes(negated_inputs + 8 * byte);
    for (std::size_t r = 0; r < kRows; ++r) {
      sums[r] = sums[r] + flip_signs(load_pair(bits + r * row_bytes + byte), values);
    }
  }
  if (byte < row_bytes) {
    const Lanes<float> values = load_lanes(negated_inputs + 8 * byte);
    for (std::size_t r = 0; r < kRows; ++r) {
      sums[r] = sums[r] + flip_signs(bits[r * row_bytes + byte], values);
    }
  }
  for (std::size_t r = 0; r < kRows; ++r) out[r] = sum_lanes(sums[r]);
}

void multiply(const std::uint8_t* bits, std::size_t row_bytes, std::size_t num_rows,
              const float* negated_inputs, float* out) {
  std::size_t row = 0;
  for (; row + kRowGroup <= num_rows; row += kRowGroup) {
    multiply_rows<kRowGroup>(bits + row * row_bytes, row_bytes, negated_inputs, out + row);
  }
  for (; row < num_rows; ++row) {
    multiply_rows<1>(bits + row * row_bytes, row_bytes, negated_inputs, out + row);
  }
}

QPSBGD_INLINE std::uint64_t load_word(const std::uint8_t* bytes, std::size_t count) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, count);
  return word;
}

void multiply_signs(const std::uint8_t* bits, std::size_t row_bytes, std::size_t num_rows,
                    const std::uint8_t* input_bits, std::size_t num_columns, float* out) {
  constexpr std::size_t kWordBytes = sizeof(std::uint64_t);
  const std::size_t rest = row_bytes % kWordBytes;
  const std::size_t whole = row_bytes - rest;
  for (std::size_t row = 0; row < num_rows; ++row, bits += row_bytes) {
    std::int64_t differences = 0;
    for (std::size_t byte = 0; byte < whole; byte += kWordBytes) {
      differences += __builtin_popcountll(load_word(bits + byte, kWordBytes) ^
                                          load_word(input_bits + byte, kWordBytes));
    }
    if (rest > 0) {
      differences +=
          __builtin_popcountll(load_word(bits + whole, rest) ^ load_word(input_bits + whole, rest));
    }
    out[row] = static_cast<float>(static_cast<std::int64_t>(num_columns) - 2 * differences);
  }
}

bool pack_signs(const float* inputs, std::size_t count, std::uint8_t* bits) {
  std::uint32_t others = 0;
  for (std::size_t first = 0; first < count; first += kLanes) {
    const std::size_t lanes = count - first < kLanes ? count - first : kLanes;
    const std::uint32_t valid = (std::uint32_t{1} << lanes) - 1;
    const Lanes<float> values = load_lanes(inputs + first);
    // A square is exactly 1 only for -1 and +1.
    others |= mask_nonzero(values * values + broadcast_lanes(-1.0f)) & valid;
    const std::uint32_t mask = mask_at_least(values, broadcast_lanes(0.0f)) & valid;
    bits[first / 8] = static_cast<std::uint8_t>(mask);
    bits[first / 8 + 1] = static_cast<std::uint8_t>(mask >> 8);
  }
  return others == 0;
}

}  // namespace

constinit const PackedKernels kPacked = {
    .multiply = multiply,
    .multiply_signs = multiply_signs,
    .pack_signs = pack_signs,
};

}  // namespace qpsbgd::QPSBGD_ISA
