#include "core/ising/precision.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <variant>
#include <vector>

#include "core/ising/local_minimum.hpp"
#include "core/matrices/matrix.hpp"
#include "core/state/spin_rows.hpp"
#include "core/support/bits.hpp"
#include "core/support/streams.hpp"

namespace qpsbgd {
namespace {

constexpr std::size_t kFewVariables = 64, kStartsOfFew = 8, kStarts = 6;
constexpr double kFloat32Rounding = 0x1p-24;
// Energies of minima must differ by this many times the rounding. One pair of neighbours may differ
// by less: with real biases of one scale two minima are nearly alike by chance.
constexpr double kMargin = 0x1p9;
// Integers of more bits than this, such as products of float32 numbers, count as real numbers.
constexpr int kIntegerBits = 40;
// The largest field of every variable must be at least this many times the rounding.
constexpr double kReachMargin = 4.0;
// If all descents end at one energy, every bias must be larger than this many times the rounding.
constexpr double kBiasMargin = 0x1p6;
// A factor of at most this rank may have nearly degenerate minima, as in number partitioning.
constexpr std::size_t kFewFactors = 4;
// Energies that differ by less than this, relative to the fields, count as equal.
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
// than float64 holds: A looks like integers times a unit, as has_common_unit() tests biases.
bool is_product_of_integers(const FactorView& factor, std::size_t num_variables) {
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
  const auto last = first + std::min<std::ptrdiff_t>(kNearLowestBit, num_ending.end() - first);
  const std::size_t near = std::accumulate(first, last, std::size_t{0});
  const std::size_t nonzero = std::accumulate(first, num_ending.end(), std::size_t{0});
  const int lowest = static_cast<int>(first - num_ending.begin()) + kLowestBit;
  const double units = std::ldexp(largest_reach(factor, num_variables) / factor.scale, -2 * lowest);
  return looks_like_integers(near, nonzero) && units > 0x1p23 && units <= 0x1p40;
}

// Calls visit(bias) for every linear bias and coupling that is not 0.
template <class Visit>
void for_each_bias(const Ising& problem, const Visit& visit) {
  for (const double bias : problem.linear64()) {
    if (bias != 0.0) visit(bias);
  }
  for_each_coupling(problem.couplings_view(), problem.num_variables(),
                    [&](std::size_t, std::size_t, double value) {
                      if (value != 0.0) visit(value);
                    });
}

// Returns whether the biases look like integers times a unit.
bool has_common_unit(const Ising& problem) {
  std::size_t near = 0, count = 0;
  for_each_bias(problem, [&](double bias) {
    ++count;
    near += lowest_bit_of(bias) < problem.lowest_bit() + kNearLowestBit;
  });
  return looks_like_integers(near, count);
}

// Returns the smallest magnitude of a bias that is not 0.
double smallest_bias(const Ising& problem) {
  double smallest = std::numeric_limits<double>::infinity();
  for_each_bias(problem, [&](double bias) { smallest = std::min(smallest, std::fabs(bias)); });
  return smallest;
}

}  // namespace

bool needs_float64(const Ising& problem, Stop* stop) {
  const std::size_t n = problem.num_variables();
  if (n == 0 || problem.exact()) return false;
  if (problem.significant_bits() <= kIntegerBits && has_common_unit(problem)) return true;
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
  return !(smallest_bias(problem) > kBiasMargin * rounding);
}

bool needs_float64(const KernelTable& kernels, const double* linear, std::size_t num_variables,
                   const FactorView& factor, int num_threads, Stop* stop) {
  if (num_variables == 0) return false;
  // Building the problem takes as long as some sweeps, and most factors do not need it.
  if (factor.rank > kFewFactors) return is_product_of_integers(factor, num_variables);
  return needs_float64(Ising(kernels, linear, num_variables, factor, num_threads), stop);
}

bool fits(const Ising& problem, Precision precision, bool random_order) {
  if (precision == Precision::kFloat32) return true;
  if (precision == Precision::kFloat64) return problem.form() != Ising::Form::kLowRank;
  if (random_order || !problem.exact()) return false;
  if (precision == Precision::kBits) {
    return problem.form() == Ising::Form::kSparse && problem.num_problems() == 1 &&
           problem.reach_in_units() < std::ldexp(1.0, kMaxPlanes);
  }
  if (problem.form() == Ising::Form::kDense) {
    return problem.coupling_in_units() <= kMostNarrowCoupling;
  }
  constexpr double kLargest = std::numeric_limits<std::int16_t>::max();
  return problem.reach_in_units() <= kLargest && 2.0 * problem.coupling_in_units() <= kLargest;
}

Precision narrow_precision(const Ising& problem, bool random_order, std::size_t num_reads) {
  // Fewer reads of a dense problem are swept one by one, which only float32 does.
  const bool has_lanes = problem.form() == Ising::Form::kSparse || num_reads >= kMinLaneRows;
  return has_lanes && fits(problem, Precision::kInt16, random_order) ? Precision::kInt16
                                                                     : Precision::kFloat32;
}

Precision best_precision(const Ising& problem, bool random_order, std::size_t num_reads) {
  if (problem.form() != Ising::Form::kLowRank && needs_float64(problem)) {
    return Precision::kFloat64;
  }
  if (fits(problem, Precision::kBits, random_order)) return Precision::kBits;
  return narrow_precision(problem, random_order, num_reads);
}

bool tabu_fits(const Ising& problem, Precision precision) {
  if (precision == Precision::kBits) return false;
  if (precision != Precision::kInt16) return true;
  return problem.form() == Ising::Form::kDense && problem.exact() &&
         problem.coupling_in_units() <= kMostNarrowCoupling;
}

Precision narrow_tabu_precision(const Ising& problem) {
  return tabu_fits(problem, Precision::kInt16) ? Precision::kInt16 : Precision::kFloat32;
}

}  // namespace qpsbgd
