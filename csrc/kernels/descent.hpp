// Steepest descent on a dense Ising problem: a step's update of the fields finds the next step's
// variable in the same pass.
#pragma once

#include "lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// In every lane the largest spin times field so far, and where its sixteen begin.
struct SteepestLanes {
  Lanes gain = broadcast_lanes(0.0f);
  Words first[kParts] = {};

  QPSBGD_INLINE void see(std::size_t part, Vec x, std::size_t start) {
    const Words better = (Words)(x > gain.part[part]);
    const Words here = Words{} + static_cast<std::uint32_t>(start);
    gain.part[part] = (Vec)(((Words)x & better) | ((Words)gain.part[part] & ~better));
    first[part] = (here & better) | (first[part] & ~better);
  }

  // The first variable of the largest gain; false if no gain is positive.
  QPSBGD_INLINE bool variable(std::size_t& out) const {
    alignas(64) float gains[kLanes];
    store_lanes(gains, gain);
    float largest = 0.0f;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const std::size_t here = first[lane / kWidth][lane % kWidth] + lane;
      if (gains[lane] > largest || (gains[lane] == largest && largest > 0.0f && here < out)) {
        largest = gains[lane];
        out = here;
      }
    }
    return largest > 0.0f;
  }
};

std::size_t steepest_descent(const float* couplings, std::size_t ld, float* fields, float* spins,
                             std::size_t max_steps) {
  SteepestLanes steepest;
  for (std::size_t i = 0; i < ld; i += kLanes) {
    for (std::size_t q = 0; q < kParts; ++q) {
      const std::size_t k = i + q * kWidth;
      steepest.see(q, load(spins + k) * load(fields + k), i);
    }
  }
  std::size_t steps = 0, variable = 0;
  for (; steps < max_steps && steepest.variable(variable); ++steps) {
    const Vec change = broadcast(-2.0f * spins[variable]);
    const float* row = couplings + variable * ld;
    spins[variable] = -spins[variable];
    steepest = {};
    for (std::size_t i = 0; i < ld; i += kLanes) {
      for (std::size_t q = 0; q < kParts; ++q) {
        const std::size_t k = i + q * kWidth;
        const Vec field = add_exact_product(load(row + k), change, load(fields + k));
        store(fields + k, field);
        steepest.see(q, load(spins + k) * field, i);
      }
    }
  }
  return steps;
}

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
