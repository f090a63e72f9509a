// Inverse temperatures from barriers: the energies that flips cost at local minima. The rule is
// Python's (qpsbgd/samplers/temperature_rules.py), which passes its constants. A schedule cools
// slowly from its hot end to the knee, and fast from there on.
#pragma once

#include <cstddef>
#include <span>

#include "core/threads/stop.hpp"

namespace qpsbgd {

// Solves sum_i w_i exp(-beta * barrier_i) = number for beta >= least. Without weights all w_i are
// 1. Returns `least` if the sum is smaller than `number` there. The logarithm of the sum is convex
// and falls with beta, so Newton's method approaches the solution from below. Throws Stopped where
// `stop` says to end.
double beta_of_excitations(std::span<const double> barriers, std::span<const double> weights,
                           double number, double least, Stop* stop = nullptr);

// Constants of the rule. `hot` and `large_per_median` give the hot end, the others the knee.
struct BarrierRule {
  double hot;
  double hot_quantile;
  double large_per_median;
  double knee_excited;
  double knee_lowest;
};

struct HotAndKnee {
  double hot, knee;
};

// Returns the hot end and the knee of barriers > 0, at least one, and the highest barriers of their
// variables. Throws Stopped where `stop` says to end.
HotAndKnee hot_and_knee(std::span<const double> barriers, std::span<const double> highest,
                        const BarrierRule& rule, Stop* stop = nullptr);

}  // namespace qpsbgd
