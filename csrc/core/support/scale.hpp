// Powers of two that bring numbers to about unit size. Scaling by them rounds nothing.
#pragma once

#include <algorithm>
#include <cmath>

namespace qpsbgd {

// Returns e such that 2^(e - 1) <= |x| < 2^e; 0 for x = 0.
inline int exponent_of(double x) {
  int exponent = 0;
  std::frexp(x, &exponent);
  return exponent;
}

// Returns the power of two, between 2^-limit and 2^limit, that brings `largest` into [1/2, 1); 1
// for 0.
inline double unit_scale(double largest, int limit) {
  return std::ldexp(1.0, std::clamp(-exponent_of(largest), -limit, limit));
}

}  // namespace qpsbgd
