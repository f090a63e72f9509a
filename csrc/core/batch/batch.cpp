#include "core/batch/batch.hpp"

#include <algorithm>
#include <limits>
#include <memory>

#include "core/annealing/anneal.hpp"
#include "core/batch/problem_lanes.hpp"
#include "core/ising/local_minimum.hpp"
#include "core/ising/precision.hpp"
#include "core/search/descent.hpp"
#include "core/tabu/tabu.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

// Returns whether one scale for all problems causes no more rounding than a scale for each. Then
// both give the same bits, and the result does not depend on how a batch is split. coupling: the
// largest magnitude of a coupling.
bool one_scale(const KernelTable& kernels, double coupling, const BatchView& view) {
  constexpr double kMostRatio = 0x1p60;
  const std::size_t n = view.num_variables;
  double least = std::numeric_limits<double>::infinity(), most = 0.0;
  for (std::size_t b = 0; b < view.num_problems; ++b) {
    const double bias =
        std::max(coupling, kernels.reductions.of<double>().largest(view.linear + b * n, n));
    least = std::min(least, bias);
    most = std::max(most, bias);
  }
  return most <= kMostRatio * least;
}

// Returns all problems as one Ising that holds their couplings once; null where they do not share
// couplings, or one scale does not do for all.
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
                                ? kernels.reductions.of<double>().largest(matrix->doubles(), n * n)
                                : kernels.reductions.of<float>().largest(matrix->floats(), n * n);
    if (!one_scale(kernels, coupling, view)) return nullptr;
    return std::make_unique<Ising>(view.linear, *matrix, view.num_problems);
  }
  const auto& pattern = std::get<PatternView>(view.couplings);
  const double coupling =
      kernels.reductions.of<double>().largest(pattern.values, pattern.num_pairs);
  if (!one_scale(kernels, coupling, view)) return nullptr;
  return std::make_unique<Ising>(view.linear, n, pattern.interactions(0), Ising::Form::kSparse,
                                 view.num_problems);
}

// Returns whether reads are meant to be minima, and not samples of one temperature.
bool cools(const BatchOptions& options) {
  return !options.betas.empty() && options.betas.back() > options.betas.front();
}

AnnealOptions anneal_options(const BatchOptions& options, std::size_t problem, int num_threads) {
  AnnealOptions anneal;
  anneal.betas = options.betas;
  for (double& beta : anneal.betas) beta *= options.beta_factors[problem];
  anneal.acceptance = options.acceptance;
  anneal.keep_best = options.keep_best;
  anneal.descend_at_limit = cools(options);
  anneal.seed = options.seed;
  anneal.number = options.number + problem;
  anneal.num_threads = num_threads;
  return anneal;
}

// Brings the reads that a time limit kept from beginning to a local minimum. begun: (num_reads).
void descend_unbegun(const Ising& problem, std::size_t number, const std::vector<bool>& begun,
                     std::int8_t* states, Stop& stop) {
  if (stop.reason() != Stop::Reason::kTimeLimit) return;
  std::unique_ptr<LocalMinimum> minimum;
  for (std::size_t read = 0; read < begun.size(); ++read) {
    if (begun[read]) continue;
    if (!minimum) minimum = std::make_unique<LocalMinimum>(problem);
    if (!minimum->descend(number, states + read * problem.num_variables(), &stop)) return;
  }
}

template <class Count>
std::vector<bool> begun_reads(const Count* counts, std::size_t num_reads) {
  std::vector<bool> begun(num_reads);
  std::transform(counts, counts + num_reads, begun.begin(), [](Count made) { return made >= 0; });
  return begun;
}

// Anneals the reads of all problems together.
void anneal_shared(const KernelTable& kernels, const Ising& all, const BatchOptions& options,
                   std::int8_t* states, std::uint8_t* done, Stop& stop) {
  const std::size_t problems = all.num_problems(), reads = options.num_reads;
  std::vector<std::int64_t> sweeps(problems * reads);
  AnnealOptions anneal_shared = anneal_options(options, 0, options.num_threads);
  anneal_shared.precision =
      options.wide ? Precision::kFloat64 : narrow_precision(all, false, problems * reads);
  anneal(kernels, all, anneal_shared, problems * reads, states, sweeps.data(), stop);
  for (std::size_t b = 0; b < problems; ++b) {
    const std::vector<bool> begun = begun_reads(&sweeps[b * reads], reads);
    done[b] = std::find(begun.begin(), begun.end(), true) != begun.end();
    if (done[b] && anneal_shared.descend_at_limit) {
      descend_unbegun(all, b, begun, states + b * reads * all.num_variables(), stop);
    }
  }
}

void solve_one(const KernelTable& kernels, const Ising& problem, const BatchOptions& options,
               std::size_t number, std::int8_t* states, Stop& stop) {
  const std::size_t reads = options.num_reads;
  if (options.method == BatchMethod::kAnneal) {
    std::vector<std::int64_t> sweeps(reads);
    AnnealOptions one = anneal_options(options, number, 1);
    one.precision = options.wide ? Precision::kFloat64 : narrow_precision(problem, false, reads);
    anneal(kernels, problem, one, reads, states, sweeps.data(), stop);
    if (one.descend_at_limit) {
      descend_unbegun(problem, 0, begun_reads(sweeps.data(), reads), states, stop);
    }
    return;
  }
  if (options.method == BatchMethod::kDescent) {
    std::vector<std::int64_t> steps(reads);
    descend(kernels, problem, options.wide ? Precision::kFloat64 : Precision::kFloat32, 1, reads,
            states, steps.data(), stop);
    descend_unbegun(problem, 0, begun_reads(steps.data(), reads), states, stop);
    return;
  }
  TabuOptions tabu_options;
  tabu_options.shortest_tenure = tabu_options.longest_tenure = options.tenure;
  tabu_options.first_moves = options.moves;
  tabu_options.precision = options.wide ? Precision::kFloat64 : narrow_tabu_precision(problem);
  tabu_options.seed = options.seed;
  tabu_options.number = options.number + number;
  std::vector<TabuRead> read_reports(reads);
  tabu(kernels, problem, tabu_options, reads, states, read_reports.data(), stop);
  std::vector<bool> begun(reads);
  std::transform(read_reports.begin(), read_reports.end(), begun.begin(),
                 [](const TabuRead& read) { return read.restarts >= 0; });
  descend_unbegun(problem, 0, begun, states, stop);
}

// Brings all reads of the problems that were begun to local minima, and their energies up to date.
void descend_begun(const KernelTable& kernels, const BatchView& view, const BatchOptions& options,
                   const std::uint8_t* done, std::int8_t* states, double* energies, Stop& stop) {
  const BatchStates batch{.linear = view.linear,
                          .states = states,
                          .num_problems = view.num_problems,
                          .num_reads = options.num_reads,
                          .num_variables = view.num_variables};
  const std::vector<bool> none(options.num_reads);
  parallel_for(
      view.num_problems, options.num_threads,
      [&](std::size_t b, int) {
        if (!done[b]) return;
        descend_unbegun(make_problem(view, b), 0, none,
                        states + b * options.num_reads * view.num_variables, stop);
        problem_energies(kernels, std::get<MatrixView>(view.couplings)[b], batch, b, energies);
      },
      [&stop] { stop.poll_interrupt(); });
}

}  // namespace

Ising make_problem(const BatchView& view, std::size_t b) {
  const double* linear = view.linear + b * view.num_variables;
  const std::size_t which = view.shared ? 0 : b;
  if (const auto* matrices = std::get_if<MatrixView>(&view.couplings)) {
    return {linear, (*matrices)[which]};
  }
  const auto& pattern = std::get<PatternView>(view.couplings);
  return {linear, view.num_variables, pattern.interactions(which), Ising::Form::kSparse};
}

void solve_batch(const KernelTable& kernels, const BatchView& view, const BatchOptions& options,
                 std::int8_t* states, std::uint8_t* done, double* energies, Stop& stop) {
  const std::size_t n = view.num_variables, problems = view.num_problems;
  std::fill_n(done, problems, std::uint8_t{0});
  if (n == 0 || problems == 0 || options.num_reads == 0) {
    if (energies != nullptr) std::fill_n(energies, problems * options.num_reads, 0.0);
    return;
  }
  if (options.form == BatchForm::kInterleaved) {
    anneal_interleaved(kernels, view, options, states, done, energies, stop);
    if (cools(options) && stop.reason() == Stop::Reason::kTimeLimit) {
      descend_begun(kernels, view, options, done, states, energies, stop);
    }
    return;
  }
  const auto make_all = [&] { return all_problems(kernels, view, options.num_threads); };
  // Searches select one problem after the other, so each thread has its own Ising.
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
