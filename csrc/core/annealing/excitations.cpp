#include "core/annealing/excitations.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace qpsbgd {
namespace {

// The solution is exact enough if the sum exceeds the number by less than this factor.
constexpr double kTolerance = 1.001;
// Terms that are smaller than this, relative to the mean term of the solution, do not count.
constexpr double kNegligible = 1e-9;

}  // namespace

double beta_of_excitations(std::span<const double> barriers, std::span<const double> weights,
                           double number, double least, Stop* stop) {
  double beta = least;
  const bool is_weighted = !weights.empty();
  std::vector<double> excited(barriers.size());
  std::vector<double> kept_barriers, kept_weights;  // once some terms do not count
  for (;;) {
    if (stop != nullptr && stop->poll()) throw Stopped();
    const std::size_t count = barriers.size();
    double total = 0.0, slope = 0.0, smallest = HUGE_VAL;
    for (std::size_t i = 0; i < count; ++i) {
      excited[i] = std::exp(-beta * barriers[i]) * (is_weighted ? weights[i] : 1.0);
      total += excited[i];
      slope += excited[i] * barriers[i];
      smallest = std::min(smallest, excited[i]);
    }
    if (total < kTolerance * number) return beta;
    beta += std::log(total / number) * total / slope;
    const double counted = kNegligible * number / static_cast<double>(count);
    if (smallest > counted) continue;
    const auto kept = static_cast<std::size_t>(
        std::count_if(excited.begin(), excited.begin() + static_cast<std::ptrdiff_t>(count),
                      [counted](double term) { return term > counted; }));
    if (kept_barriers.empty()) {
      kept_barriers.resize(kept);
      kept_weights.resize(is_weighted ? kept : 0);
    }
    std::size_t next = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (!(excited[i] > counted)) continue;
      kept_barriers[next] = barriers[i];
      if (is_weighted) kept_weights[next] = weights[i];
      ++next;
    }
    barriers = {kept_barriers.data(), kept};
    if (is_weighted) weights = {kept_weights.data(), kept};
  }
}

HotAndKnee hot_and_knee(std::span<const double> barriers, std::span<const double> highest,
                        const BarrierRule& rule, Stop* stop) {
  if (stop != nullptr && stop->poll()) throw Stopped();
  const std::size_t count = barriers.size();
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return barriers[a] < barriers[b] || (barriers[a] == barriers[b] && a < b);
  });
  std::vector<double> sorted(count), disputed(count), weights(count);
  for (std::size_t i = 0; i < count; ++i) sorted[i] = barriers[order[i]];
  const std::size_t middle = count / 2;
  const double median =
      count % 2 != 0 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2.0;
  double sum = 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    const double unsatisfied = std::max(highest[order[i]] - sorted[i], 0.0);
    sum += std::min(sorted[i], unsatisfied + median);
    disputed[i] = sum;
  }
  const auto reached = std::lower_bound(disputed.begin(), disputed.end(), rule.hot_quantile * sum);
  const double large = sorted[static_cast<std::size_t>(reached - disputed.begin())];
  const double hot = rule.hot / std::max(large, rule.large_per_median * median);
  for (std::size_t i = 0; i < count;) {  // equal barriers have one weight
    std::size_t end = i;
    while (end < count && sorted[end] == sorted[i]) ++end;
    const double fraction = static_cast<double>(end) / static_cast<double>(count);
    const double root = std::min(1.0, fraction / rule.knee_lowest);
    for (; i < end; ++i) weights[i] = root * root;
  }
  const double number = rule.knee_excited * static_cast<double>(count);
  const double knee = beta_of_excitations(std::move(sorted), std::move(weights), number, hot, stop);
  return {hot, knee};
}

}  // namespace qpsbgd
