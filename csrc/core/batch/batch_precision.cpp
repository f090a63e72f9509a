// Test of whether a batch needs float64.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <variant>
#include <vector>

#include "core/batch/batch.hpp"
#include "core/ising/precision.hpp"
#include "core/support/bits.hpp"
#include "core/support/streams.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

// Returns whether a problem's biases look unlike real numbers of one scale. Only such a problem is
// worth the long test of needs_float64(). values: some of its couplings; degree: the mean degree of
// its variables; linear: (n).
template <class Value>
bool is_suspect(const KernelTable& table, const ReductionKernels<Value>& kernels,
                const Value* values, std::size_t count, double degree, const double* linear,
                std::size_t n) {
  const double largest = kernels.largest(values, count);
  const double smallest = kernels.smallest(values, count);
  const double largest_linear = table.reductions.of<double>().largest(linear, n);
  const double reach = std::max(largest * degree, largest_linear);
  // The smallest of normal variates is rarely that small, and they are not nearly all alike.
  const auto is_wide = [](double low, double high, std::size_t size) {
    return low < 0x1p-16 * high / static_cast<double>(size);
  };
  const bool are_alike = smallest < largest && largest < 2.0 * smallest;
  if (are_alike || is_wide(smallest, largest, count) ||
      is_wide(table.reductions.of<double>().smallest(linear, n), largest_linear, n) ||
      (largest_linear > 0.0 && largest_linear < 0x1p-20 * reach)) {
    return true;
  }
  // Integers of more bits than float32 has. Most real numbers end far above the lowest bit of all.
  int lowest = Ising::kNoBit;
  for (std::size_t k = 0; k < count; ++k) {
    const auto value = static_cast<double>(values[k]);
    if (value != 0.0) lowest = std::min(lowest, lowest_bit_of(value));
  }
  if (lowest == Ising::kNoBit) return false;
  const double units = std::ldexp(reach, -std::min(lowest, 1000));
  if (!(units > 0x1p22 && units < 0x1p44)) return false;
  std::size_t near = 0, nonzero = 0;
  for (std::size_t k = 0; k < count; ++k) {
    const auto value = static_cast<double>(values[k]);
    if (value == 0.0) continue;
    ++nonzero;
    near += lowest_bit_of(value) < lowest + kNearLowestBit;
  }
  return looks_like_integers(near, nonzero);
}

// Tests one row of a matrix only: to read all rows of all problems takes as long as some sweeps.
bool is_suspect(const KernelTable& kernels, const BatchView& view, std::size_t b) {
  constexpr std::size_t kMostPairs = 256;
  const std::size_t n = view.num_variables;
  const double* linear = view.linear + b * n;
  if (const auto* pattern = std::get_if<PatternView>(&view.couplings)) {
    const std::size_t count = pattern->num_pairs;
    if (count == 0) return false;
    const double degree = 2.0 * static_cast<double>(count) / static_cast<double>(n);
    return is_suspect(kernels, kernels.reductions.of<double>(),
                      pattern->values + (view.shared ? 0 : b * count), std::min(count, kMostPairs),
                      degree, linear, n);
  }
  const auto& all = std::get<MatrixView>(view.couplings);
  const MatrixView matrix = view.shared ? all : all[b];
  const std::size_t first = view.shared ? 0 : splitmix64(b) % n * n;
  const auto degree = static_cast<double>(n);
  return matrix.doubles() ? is_suspect(kernels, kernels.reductions.of<double>(),
                                       matrix.doubles() + first, n, degree, linear, n)
                          : is_suspect(kernels, kernels.reductions.of<float>(),
                                       matrix.floats() + first, n, degree, linear, n);
}

}  // namespace

bool batch_needs_float64(const KernelTable& kernels, const BatchView& view, int num_threads,
                         Stop& stop) {
  const std::size_t problems = view.num_problems;
  if (problems == 0 || view.num_variables == 0) return false;
  std::atomic<bool> needed{false};
  if (view.shared) {
    // Building a problem with a large J takes as long as solving a batch, so each thread builds it
    // only on suspicion.
    std::vector<std::unique_ptr<Ising>> built(num_workers(problems, num_threads));
    parallel_for(
        problems, num_threads,
        [&](std::size_t b, int worker) {
          if (needed || stop.poll_interrupt() || !is_suspect(kernels, view, b)) return;
          std::unique_ptr<Ising>& problem = built[static_cast<std::size_t>(worker)];
          if (!problem) problem = std::make_unique<Ising>(make_problem(view, b));
          problem->select(b, view.linear + b * view.num_variables);
          if (needs_float64(*problem, &stop)) needed = true;
        },
        [&stop] { stop.poll_interrupt(); });
    return needed;
  }
  constexpr std::size_t kScouts = 16, kProblemsPerScout = 64;
  const std::size_t step = std::max(kProblemsPerScout, divide_up(problems, kScouts));
  parallel_for(
      problems, num_threads,
      [&](std::size_t b, int) {
        if (needed || stop.poll_interrupt()) return;
        const bool is_scout = b % step == 0;
        if (!is_scout && !is_suspect(kernels, view, b)) return;
        if (needs_float64(make_problem(view, b), &stop)) needed = true;
      },
      [&stop] { stop.poll_interrupt(); });
  return needed;
}

}  // namespace qpsbgd
