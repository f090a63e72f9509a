#include "core/batch/batch.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>

#include "core/samplers/anneal.hpp"
#include "core/samplers/descent.hpp"
#include "core/samplers/local_minimum.hpp"
#include "core/samplers/precision.hpp"
#include "core/samplers/tabu.hpp"
#include "core/support/parallel.hpp"
#include "core/support/streams.hpp"

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
    const double bias =
        std::max(coupling, kernels.reductions.of<double>().largest(view.linear + b * n, n));
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

// Whether reads are to be minima, and not samples of one temperature.
bool cools(const BatchOptions& options) {
  return !options.betas.empty() && options.betas.back() > options.betas.front();
}

AnnealOptions anneal_options(const BatchOptions& options, std::size_t problem, int num_threads) {
  AnnealOptions anneal;
  anneal.betas = options.betas;
  for (double& beta : anneal.betas) beta *= options.beta_factors[problem];
  anneal.keep_best = options.keep_best;
  anneal.descend_at_limit = cools(options);
  anneal.seed = options.seed;
  anneal.number = options.number + problem;
  anneal.num_threads = num_threads;
  return anneal;
}

// Brings reads that a time limit kept from beginning to a local minimum; begun (num_reads).
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

// All problems' reads together.
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

// Whether a problem's biases look unlike real numbers of one scale: then it is worth more than this
// glance whether float32 is enough. values: some couplings of it; degree: of its variables; linear
// (n).
template <class Value>
bool is_suspect(const KernelTable& table, const ReductionKernels<Value>& kernels,
                const Value* values, std::size_t count, double degree, const double* linear,
                std::size_t n) {
  const double largest = kernels.largest(values, count);
  const double smallest = kernels.smallest(values, count);
  const double largest_linear = table.reductions.of<double>().largest(linear, n);
  const double reach = std::max(largest * degree, largest_linear);
  // Of normal variates the smallest is rarely that small, and they are not nearly all alike.
  const auto is_wide = [](double low, double high, std::size_t size) {
    return low < 0x1p-16 * high / static_cast<double>(size);
  };
  const bool are_alike = smallest < largest && largest < 2.0 * smallest;
  if (are_alike || is_wide(smallest, largest, count) ||
      is_wide(table.reductions.of<double>().smallest(linear, n), largest_linear, n) ||
      (largest_linear > 0.0 && largest_linear < 0x1p-20 * reach)) {
    return true;
  }
  // Integers of more bits than float32 has, by some of these.
  constexpr std::size_t kLooks = 16;
  int lowest = Ising::kNoBit;
  for (std::size_t k = 0; k < std::min(count, kLooks); ++k) {
    const auto value = static_cast<double>(values[k]);
    if (value != 0.0) lowest = std::min(lowest, lowest_bit_of(value));
  }
  const double units = std::ldexp(reach, -std::min(lowest, 1000));
  return lowest != Ising::kNoBit && units > 0x1p22 && units < 0x1p44;
}

// Of matrices one row is looked at: to read all of them takes as long as some sweeps.
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
  if (view.shared) {
    // To make a problem of a large J takes as long as a batch: only where there is a suspicion.
    std::unique_ptr<Ising> problem;
    for (std::size_t b = 0; b < problems && !stop.poll_interrupt(); ++b) {
      if (!is_suspect(kernels, view, b)) continue;
      if (!problem) problem = std::make_unique<Ising>(make_problem(view, b));
      problem->select(b, view.linear + b * view.num_variables);
      if (needs_float64(*problem, &stop)) return true;
    }
    return false;
  }
  constexpr std::size_t kScouts = 16, kProblemsPerScout = 64;
  const std::size_t step = std::max(kProblemsPerScout, divide_up(problems, kScouts));
  std::atomic<bool> needed{false};
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
