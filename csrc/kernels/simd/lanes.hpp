// kLanes values as one, made of as many vectors as the instruction set needs for them.
#pragma once

#include "kernels/simd/vectors.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

template <class Value>
struct Lanes {
  Vector<Value> part[kParts<Value>];
};

template <class Value>
QPSBGD_INLINE Lanes<Value> load_lanes(const Value* p) {
  Lanes<Value> v;
  for (std::size_t q = 0; q < kParts<Value>; ++q) v.part[q] = load(p + q * kWidth<Value>);
  return v;
}
template <class Value>
QPSBGD_INLINE void store_lanes(Value* p, const Lanes<Value>& v) {
  for (std::size_t q = 0; q < kParts<Value>; ++q) store(p + q * kWidth<Value>, v.part[q]);
}
template <class Value>
QPSBGD_INLINE Lanes<Value> broadcast_lanes(Value x) {
  Lanes<Value> v;
  for (std::size_t q = 0; q < kParts<Value>; ++q) v.part[q] = broadcast(x);
  return v;
}
template <class Value>
QPSBGD_INLINE Lanes<Value> operator+(const Lanes<Value>& a, const Lanes<Value>& b) {
  Lanes<Value> v;
  for (std::size_t q = 0; q < kParts<Value>; ++q) v.part[q] = a.part[q] + b.part[q];
  return v;
}
template <class Value>
QPSBGD_INLINE Lanes<Value> operator-(const Lanes<Value>& a, const Lanes<Value>& b) {
  Lanes<Value> v;
  for (std::size_t q = 0; q < kParts<Value>; ++q) v.part[q] = a.part[q] - b.part[q];
  return v;
}
template <class Value>
QPSBGD_INLINE Lanes<Value> operator*(const Lanes<Value>& a, const Lanes<Value>& b) {
  Lanes<Value> v;
  for (std::size_t q = 0; q < kParts<Value>; ++q) v.part[q] = a.part[q] * b.part[q];
  return v;
}
template <class Value>
QPSBGD_INLINE Lanes<Value> operator*(Value a, const Lanes<Value>& b) {
  Lanes<Value> v;
  for (std::size_t q = 0; q < kParts<Value>; ++q) v.part[q] = a * b.part[q];
  return v;
}

template <class Value>
QPSBGD_INLINE std::uint32_t mask_at_least(const Lanes<Value>& a, const Lanes<Value>& b) {
  std::uint32_t mask = 0;
  for (std::size_t q = 0; q < kParts<Value>; ++q) {
    mask |= mask_at_least(a.part[q], b.part[q]) << (q * kWidth<Value>);
  }
  return mask;
}
QPSBGD_INLINE std::uint32_t mask_above(const Lanes<float>& a, const Lanes<float>& b) {
  std::uint32_t mask = 0;
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    mask |= mask_above(a.part[q], b.part[q]) << (q * kWidth<float>);
  }
  return mask;
}
QPSBGD_INLINE std::uint32_t mask_nonzero(const Lanes<float>& v) {
  std::uint32_t mask = 0;
  for (std::size_t q = 0; q < kParts<float>; ++q) {
    mask |= mask_nonzero(v.part[q]) << (q * kWidth<float>);
  }
  return mask;
}

// Sets all bits of lane i if bit i of the mask is set, else none; for one part of the lanes.
template <class Value>
QPSBGD_INLINE WordsOf<Value> select_lanes(std::uint32_t mask, std::size_t part) {
  WordsOf<Value> bit;
  for (std::size_t i = 0; i < kWidth<Value>; ++i) {
    bit[i] = Word<Value>{1} << (part * kWidth<Value> + i);
  }
  return (WordsOf<Value>)((bit & Word<Value>{mask}) != 0);
}
// Changes the sign of the lanes whose bit of the mask is not set.
template <class Value>
QPSBGD_INLINE Lanes<Value> negate_unless(std::uint32_t mask, const Lanes<Value>& v) {
  Lanes<Value> result;
  for (std::size_t q = 0; q < kParts<Value>; ++q) {
    result.part[q] = (Vector<Value>)((WordsOf<Value>)v.part[q] ^
                                     (select_lanes<Value>(~mask, q) & kSignBit<Value>));
  }
  return result;
}
template <class Value>
QPSBGD_INLINE void negate_lane(Lanes<Value>& v, unsigned lane) {
  for (std::size_t q = 0; q < kParts<Value>; ++q) {
    WordsOf<Value> index;
    for (std::size_t i = 0; i < kWidth<Value>; ++i) {
      index[i] = static_cast<Word<Value>>(q * kWidth<Value> + i);
    }
    v.part[q] = (Vector<Value>)((WordsOf<Value>)v.part[q] ^
                                ((WordsOf<Value>)(index == Word<Value>{lane}) & kSignBit<Value>));
  }
}

template <class Value>
QPSBGD_INLINE Lanes<Value> convert_lanes(const Lanes<float>& v) {
  if constexpr (std::is_same_v<Value, float>) {
    return v;
  } else {
    typedef float HalfVector __attribute__((vector_size(kVectorBytes / 2), may_alias));
    alignas(64) float values[kLanes];
    store_lanes(values, v);
    Lanes<Value> result;
    for (std::size_t q = 0; q < kParts<Value>; ++q) {
      result.part[q] = __builtin_convertvector(
          *reinterpret_cast<const HalfVector*>(values + q * kWidth<Value>), Vector<Value>);
    }
    return result;
  }
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
