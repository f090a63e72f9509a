#include "core/batch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "core/anneal.hpp"
#include "core/descent.hpp"
#include "core/parallel.hpp"
#include "core/tabu.hpp"

namespace qpsbgd {
namespace {

// Whether floats of one scale hold the fields and couplings of all problems as well as floats of
// each one's own: then both ways give the same bits, and it does not matter how a batch is split.
// coupling: the largest magnitude of one.
bool one_scale(const KernelTable& kernels, double coupling, const BatchView& view) {
  constexpr double kMostRatio = 0x1p60;
  const std::size_t n = view.num_variables;
  double least = std::numeric_limits<double>::infinity(), most = 0.0;
  for (std::size_t b = 0; b < view.num_problems; ++b) {
    const double bias = std::max(coupling, kernels.matrix_double.largest(view.linear + b * n, n));
    least = std::min(least, bias);
    most = std::max(most, bias);
  }
  return most <= kMostRatio * least;
}

// All problems as one that shares their couplings; none where they do not, or floats of one scale
// do not hold them.
std::unique_ptr<Ising> all_problems(const KernelTable& kernels, const BatchView& view,
                                    int num_threads) {
  const std::size_t n = view.num_variables;
  if (const auto* factor = std::get_if<FactorView>(&view.couplings)) {
    return std::make_unique<Ising>(kernels, view.linear, n, *factor, num_threads,
                                   view.num_problems);
  }
  if (!view.shared) return nullptr;
  if (const auto* matrix = std::get_if<MatrixView>(&view.couplings)) {
    const double coupling = matrix->doubles()
                                ? kernels.matrix_double.largest(matrix->doubles(), n * n)
                                : kernels.matrix_float.largest(matrix->floats(), n * n);
    if (!one_scale(kernels, coupling, view)) return nullptr;
    return std::make_unique<Ising>(view.linear, *matrix, view.num_problems);
  }
  const auto& pattern = std::get<PatternView>(view.couplings);
  const double coupling = kernels.matrix_double.largest(pattern.values, pattern.num_pairs);
  if (!one_scale(kernels, coupling, view)) return nullptr;
  return std::make_unique<Ising>(view.linear, n, pattern.interactions(0), Ising::Form::kSparse,
                                 view.num_problems);
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

// All problems' reads together.
void anneal_shared(const KernelTable& kernels, const Ising& all, const BatchOptions& options,
                   std::int8_t* states, std::uint8_t* done, Stop& stop) {
  const std::size_t problems = all.num_problems(), reads = options.num_reads;
  std::vector<std::uint64_t> sweeps(problems * reads);
  anneal(kernels, all, anneal_options(options, 0, options.num_threads), problems * reads, states,
         sweeps.data(), stop);
  for (std::size_t b = 0; b < problems; ++b) {
    const auto begin = sweeps.begin() + static_cast<std::ptrdiff_t>(b * reads);
    done[b] =
        options.betas.empty() || std::any_of(begin, begin + static_cast<std::ptrdiff_t>(reads),
                                             [](std::uint64_t made) { return made > 0; });
  }
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

// Problem b by itself.
Ising make_problem(const BatchView& view, std::size_t b) {
  const double* linear = view.linear + b * view.num_variables;
  const std::size_t which = view.shared ? 0 : b;
  if (const auto* matrices = std::get_if<MatrixView>(&view.couplings)) {
    return {linear, (*matrices)[which]};
  }
  const auto& pattern = std::get<PatternView>(view.couplings);
  return {linear, view.num_variables, pattern.interactions(which), Ising::Form::kSparse};
}

}  // namespace

void solve_batch(const KernelTable& kernels, const BatchView& view, const BatchOptions& options,
                 std::int8_t* states, std::uint8_t* done, double* energies, Stop& stop) {
  const std::size_t n = view.num_variables, problems = view.num_problems;
  std::fill_n(done, problems, std::uint8_t{0});
  if (n == 0 || problems == 0 || options.num_reads == 0) {
    if (energies != nullptr) std::fill_n(energies, problems * options.num_reads, 0.0);
    return;
  }
  if (options.form == BatchForm::kInterleaved) {
    return anneal_interleaved(kernels, view, options, states, done, energies, stop);
  }
  const auto make_all = [&] { return all_problems(kernels, view, options.num_threads); };
  // Searches select one problem after the other: each thread has an Ising of its own.
  std::vector<std::unique_ptr<Ising>> all(1);
  if (view.shared) all[0] = make_all();
  if (all[0] && options.method == BatchMethod::kAnneal) {
    return anneal_shared(kernels, *all[0], options, states, done, stop);
  }
  const bool together = all[0] != nullptr;
  all.resize(num_workers(problems, options.num_threads));
  parallel_for(
      problems, options.num_threads,
      [&](std::size_t b, int worker) {
        if (stop.poll()) return;
        std::int8_t* problem_states = states + b * options.num_reads * n;
        if (!together) {
          const Ising problem = make_problem(view, b);
          done[b] = 1;
          return solve_one(kernels, problem, options, b, problem_states, stop);
        }
        if (!all[worker]) all[worker] = make_all();
        all[worker]->select(b, view.linear + b * n);
        done[b] = 1;
        solve_one(kernels, *all[worker], options, b, problem_states, stop);
      },
      [&stop] { stop.poll(); });
}

}  // namespace qpsbgd
