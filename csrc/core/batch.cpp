#include "core/batch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "core/anneal.hpp"
#include "core/descent.hpp"
#include "core/parallel.hpp"
#include "core/tabu.hpp"

namespace qpsbgd {
namespace {

// The upper triangle of a matrix, as a list.
struct Couplings {
  std::vector<std::uint32_t> rows, columns;
  std::vector<double> values;

  Couplings(const double* matrix, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = i + 1; j < n; ++j) {
        const double value = matrix[i * n + j];
        if (value == 0.0) continue;
        rows.push_back(static_cast<std::uint32_t>(i));
        columns.push_back(static_cast<std::uint32_t>(j));
        values.push_back(value);
      }
    }
  }
  Ising problem(const double* linear, std::size_t n, std::size_t num_problems = 1) const {
    return {linear,
            n,
            {rows.data(), columns.data(), values.data(), values.size()},
            Ising::Form::kDense,
            num_problems};
  }
};

// Whether floats of one scale hold the fields and couplings of all problems as well as floats of
// each one's own: then both ways give the same bits, and it does not matter how a batch is split.
bool one_scale(const BatchView& view) {
  constexpr double kMostRatio = 0x1p60;
  const std::size_t n = view.num_variables;
  const auto largest = [](const double* values, std::size_t count) {
    double most = 0.0;
    for (std::size_t k = 0; k < count; ++k) most = std::max(most, std::fabs(values[k]));
    return most;
  };
  const double coupling = largest(view.couplings, n * n);
  double least = std::numeric_limits<double>::infinity(), most = 0.0;
  for (std::size_t b = 0; b < view.num_problems; ++b) {
    const double bias = std::max(coupling, largest(view.linear + b * n, n));
    least = std::min(least, bias);
    most = std::max(most, bias);
  }
  return most <= kMostRatio * least;
}

AnnealOptions anneal_options(const BatchOptions& options, std::size_t problem, int num_threads) {
  AnnealOptions anneal;
  anneal.betas = options.betas;
  for (double& beta : anneal.betas) beta *= options.beta_factors[problem];
  anneal.keep_best = options.keep_best;
  anneal.seed = options.seed;
  anneal.number = options.number + problem;
  anneal.num_threads = num_threads;
  return anneal;
}

void solve_one(const KernelTable& kernels, const Ising& problem, const BatchOptions& options,
               std::size_t number, std::int8_t* states, Stop& stop) {
  const std::size_t reads = options.num_reads;
  if (options.method == BatchMethod::kAnneal) {
    std::vector<std::uint64_t> sweeps(reads);
    anneal(kernels, problem, anneal_options(options, number, 1), reads, states, sweeps.data(),
           stop);
    return;
  }
  if (options.method == BatchMethod::kDescent) {
    std::vector<std::int64_t> steps(reads);
    descend(kernels, problem, 1, reads, states, steps.data(), stop);
    return;
  }
  TabuOptions tabu_options;
  tabu_options.shortest_tenure = tabu_options.longest_tenure = options.tenure;
  tabu_options.first_moves = options.moves;
  if (tabu_fits(problem, Precision::kInt16)) tabu_options.precision = Precision::kInt16;
  tabu_options.seed = options.seed;
  tabu_options.number = options.number + number;
  std::vector<TabuRead> read_reports(reads);
  tabu(kernels, problem, tabu_options, reads, states, read_reports.data(), stop);
}

}  // namespace

void solve_batch(const KernelTable& kernels, const BatchView& view, const BatchOptions& options,
                 std::int8_t* states, std::uint8_t* done, Stop& stop) {
  const std::size_t n = view.num_variables, problems = view.num_problems;
  std::fill_n(done, problems, std::uint8_t{0});
  if (n == 0 || problems == 0 || options.num_reads == 0) return;
  std::optional<Couplings> shared;
  if (view.shared) shared.emplace(view.couplings, n);
  if (shared && options.method == BatchMethod::kAnneal && one_scale(view)) {
    const Ising all = shared->problem(view.linear, n, problems);
    std::vector<std::uint64_t> sweeps(problems * options.num_reads);
    anneal(kernels, all, anneal_options(options, 0, options.num_threads),
           problems * options.num_reads, states, sweeps.data(), stop);
    for (std::size_t b = 0; b < problems; ++b) {
      const auto begin = sweeps.begin() + static_cast<std::ptrdiff_t>(b * options.num_reads);
      done[b] = options.betas.empty() ||
                std::any_of(begin, begin + static_cast<std::ptrdiff_t>(options.num_reads),
                            [](std::uint64_t made) { return made > 0; });
    }
    return;
  }
  parallel_for(
      problems, options.num_threads,
      [&](std::size_t b, int) {
        if (stop.poll()) return;
        const double* linear = view.linear + b * n;
        const Ising problem = shared ? shared->problem(linear, n)
                                     : Couplings(view.couplings + b * n * n, n).problem(linear, n);
        done[b] = 1;
        solve_one(kernels, problem, options, b, states + b * options.num_reads * n, stop);
      },
      [&stop] { stop.poll(); });
}

}  // namespace qpsbgd
