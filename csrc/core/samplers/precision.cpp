#include "core/samplers/precision.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <variant>
#include <vector>

#include "core/samplers/local_minimum.hpp"
#include "core/support/streams.hpp"

namespace qpsbgd {
namespace {

constexpr std::size_t kFewVariables = 64, kStartsOfFew = 8, kStarts = 6;
constexpr double kFloat32Rounding = 0x1p-24;
// Energies of minima must differ by so many times the rounding, all neighbours but one pair: with
// real biases of one scale it happens by chance that two minima are nearly alike.
constexpr double kMargin = 0x1p9;
// Integers of more bits than this are as good as real numbers, such as products of float32 numbers.
constexpr int kIntegerBits = 40;
// The largest field of a variable is at least so many times the rounding.
constexpr double kReachMargin = 4.0;
// Where all descents end alike, so many times the rounding must still be less than any bias.
constexpr double kBiasMargin = 0x1p6;
// Up to this rank a factor's minima may be nearly degenerate, as in number partitioning.
constexpr std::size_t kFewFactors = 4;
// Energies in float64 that differ by less, relative to the fields, are the same.
constexpr double kSame = 0x1p-44;

// Returns an upper bound of sum_j |J_ij| over all variables i.
double largest_reach(const FactorView& factor, std::size_t num_variables) {
  std::vector<double> reach(num_variables);
  for (std::size_t k = 0; k < factor.rank; ++k) {
    const float* row = factor.values + k * num_variables;
    double sum = 0.0;
    for (std::size_t i = 0; i < num_variables; ++i) sum += std::fabs(row[i]);
    for (std::size_t i = 0; i < num_variables; ++i) {
      reach[i] += std::fabs(factor.scale * row[i]) * sum;
    }
  }
  return *std::max_element(reach.begin(), reach.end());
}

// Returns whether couplings scale * A^T A are integers of more bits than float32 holds and fewer
// than float64 holds: A looks like integers times a unit, as Ising::has_common_unit() tests biases.
bool is_product_of_integers(const FactorView& factor, std::size_t num_variables) {
  constexpr int kNear = 2;
  constexpr std::size_t kShare = 8;
  const std::size_t count = factor.rank * num_variables;
  // num_ending[b] counts the entries whose last place is 2^(b + kLowestBit).
  constexpr int kLowestBit = -149, kNumBits = 300;
  std::array<std::size_t, kNumBits> num_ending{};
  for (std::size_t k = 0; k < count; ++k) {
    const float value = factor.values[k];
    if (value != 0.0f) ++num_ending[static_cast<std::size_t>(lowest_bit_of(value) - kLowestBit)];
  }
  const auto first =
      std::find_if(num_ending.begin(), num_ending.end(), [](auto c) { return c > 0; });
  if (first == num_ending.end()) return false;
  const auto last = first + std::min<std::ptrdiff_t>(kNear, num_ending.end() - first);
  const std::size_t near = std::accumulate(first, last, std::size_t{0});
  const std::size_t nonzero = std::accumulate(first, num_ending.end(), std::size_t{0});
  const int lowest = static_cast<int>(first - num_ending.begin()) + kLowestBit;
  const double units = std::ldexp(largest_reach(factor, num_variables) / factor.scale, -2 * lowest);
  return kShare * near >= nonzero && units > 0x1p23 && units <= 0x1p40;
}

}  // namespace

bool needs_float64(const Ising& problem, Stop* stop) {
  const std::size_t n = problem.num_variables();
  if (n == 0 || problem.exact()) return false;
  if (problem.significant_bits() <= kIntegerBits && problem.has_common_unit()) return true;
  LocalMinimum minimum(problem);
  const CouplingsView couplings = problem.couplings_view();
  const auto* factor = std::get_if<FactorView>(&couplings);
  if (factor != nullptr) {
    if (is_product_of_integers(*factor, n)) return true;
    // Sums of more products of real numbers are real numbers of one scale.
    if (factor->rank > kFewFactors) return false;
  }
  std::vector<std::int8_t> state(n);
  std::vector<double> energies(n <= kFewVariables ? kStartsOfFew : kStarts);
  double norm = 0.0;
  for (std::size_t start = 0; start < energies.size(); ++start) {
    for (std::size_t i = 0; i < n; ++i) {
      state[i] = splitmix64(start * 0x9e3779b97f4a7c15u + i) & 1 ? 1 : -1;
    }
    if (!minimum.descend(0, state.data(), stop)) return false;
    energies[start] = minimum.energy();
    norm = std::max(norm, minimum.field_norm());
  }
  const double rounding = kFloat32Rounding * norm;
  if (problem.form() != Ising::Form::kLowRank) {
    for (const double reach : problem.reach()) {
      if (reach > 0.0 && reach < kReachMargin * rounding) return true;
    }
  }
  std::sort(energies.begin(), energies.end());
  std::vector<double> differences;
  for (std::size_t k = 1; k < energies.size(); ++k) {
    const double next = energies[k] - energies[k - 1];
    if (next > kSame * norm) differences.push_back(next);
  }
  std::sort(differences.begin(), differences.end());
  if (!differences.empty()) {
    return !(differences[differences.size() > 1 ? 1 : 0] > kMargin * rounding);
  }
  return !(problem.smallest_bias() > kBiasMargin * rounding);
}

bool needs_float64(const KernelTable& kernels, const double* linear, std::size_t num_variables,
                   const FactorView& factor, int num_threads, Stop* stop) {
  if (num_variables == 0) return false;
  // Building the problem takes as long as some sweeps: most factors need no look at local minima.
  if (factor.rank > kFewFactors) return is_product_of_integers(factor, num_variables);
  return needs_float64(Ising(kernels, linear, num_variables, factor, num_threads), stop);
}

}  // namespace qpsbgd
