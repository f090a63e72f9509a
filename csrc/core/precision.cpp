#include "core/precision.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/local_minimum.hpp"
#include "core/random.hpp"

namespace qpsbgd {
namespace {

constexpr std::size_t kFewVariables = 64, kStartsOfFew = 8, kStarts = 4;
constexpr double kFloat32Rounding = 0x1p-24;
// Energies of minima must differ by so many times the rounding. With independent normal biases the
// two nearest of four minima do so in 99 problems of 100, whatever their size.
constexpr double kMargin = 0x1p12;
// Where all descents end alike, so many times the rounding must still be less than any bias.
constexpr double kBiasMargin = 0x1p6;
// Energies in float64 that differ by less, relative to the fields, are the same.
constexpr double kSame = 0x1p-44;

}  // namespace

bool needs_float64(const Ising& problem) {
  const std::size_t n = problem.num_variables();
  if (n == 0 || problem.exact()) return false;
  if (problem.exact(Precision::kFloat64) && problem.has_common_unit()) return true;
  LocalMinimum minimum(problem);
  std::vector<std::int8_t> state(n);
  std::vector<double> energies(n <= kFewVariables ? kStartsOfFew : kStarts);
  double norm = 0.0;
  for (std::size_t start = 0; start < energies.size(); ++start) {
    for (std::size_t i = 0; i < n; ++i) {
      state[i] = splitmix64(start * 0x9e3779b97f4a7c15u + i) & 1 ? 1 : -1;
    }
    minimum.descend(0, state.data(), nullptr);
    energies[start] = minimum.energy();
    norm = std::max(norm, minimum.field_norm());
  }
  std::sort(energies.begin(), energies.end());
  double difference = std::numeric_limits<double>::infinity();
  for (std::size_t k = 1; k < energies.size(); ++k) {
    const double next = energies[k] - energies[k - 1];
    if (next > kSame * norm) difference = std::min(difference, next);
  }
  if (difference < std::numeric_limits<double>::infinity()) {
    return !(difference > kMargin * kFloat32Rounding * norm);
  }
  return !(problem.smallest_bias() > kBiasMargin * kFloat32Rounding * norm);
}

}  // namespace qpsbgd
