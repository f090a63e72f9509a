// Sums whose order is the same on every instruction set: kLanes partial sums, then their sum.
#pragma once

#include "kernels/simd/lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Returns the sum of term(i) for i in [0, count).
template <class Term>
QPSBGD_INLINE double sum_terms(std::size_t count, const Term& term) {
  double sums[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t k = 0; k < kLanes; ++k) sums[k] += term(i + k);
  }
  for (std::size_t k = 0; i < count; ++i, ++k) sums[k] += term(i);
  double total = 0.0;
  for (std::size_t k = 0; k < kLanes; ++k) total += sums[k];
  return total;
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
