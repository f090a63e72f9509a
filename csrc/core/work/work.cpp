#include "core/work/work.hpp"

#include <algorithm>
#include <cstdlib>
#include <variant>

namespace qpsbgd {
namespace {

double product(std::size_t a, std::size_t b, std::size_t c = 1) {
  return static_cast<double>(a) * static_cast<double>(b) * static_cast<double>(c);
}

double nanoseconds_per_thread() {
  const char* text = std::getenv("QPSBGD_NS_PER_THREAD");
  if (text == nullptr) return kNanosecondsPerThread;
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  return end != text && *end == '\0' && value >= 0.0 ? value : kNanosecondsPerThread;
}

// Returns the nanoseconds of one move of a tabu search.
double move_work(std::size_t n, bool is_sparse) {
  const auto size = static_cast<double>(n);
  return is_sparse ? 100.0 + 0.1 * size : 30.0 + 0.4 * size;
}

// Returns the nanoseconds of one proposal of an annealer. A flip takes O(n) in a dense problem.
double proposal_work(std::size_t n, bool is_sparse) {
  return is_sparse ? 2.0 : 2.5 + 0.0025 * static_cast<double>(n);
}

// Returns the nanoseconds of the reads of a projection for each element of a layer's inputs and
// each neuron: a sample, or a row of the couplings.
double reads_work(const ProjectionOptions& options) {
  const auto sweeps = static_cast<double>(options.annealing.num_sweeps);
  const bool descent = options.annealing.is_descent();
  const double solving = descent ? 0.03 * std::min(sweeps, 5.0) : 0.05 * sweeps;
  // Random states take more sweeps, and reads are compared in float64.
  const double comparing = options.num_reads > 1 ? 0.3 : 0.0;
  return static_cast<double>(options.num_reads) * (solving + comparing);
}

bool is_sparse(const Ising& problem) { return problem.form() == Ising::Form::kSparse; }

}  // namespace

int threads_for(double nanoseconds, int num_threads) {
  const double least = nanoseconds_per_thread();
  if (!(nanoseconds < least * num_threads)) return num_threads;
  return std::max(1, static_cast<int>(nanoseconds / least));
}

double packing_work(const SampleView& view) {
  return 0.06 * product(view.num_samples, view.num_inputs, view.num_neurons);
}

double packing_work(const GramView& view) {
  return 0.03 * product(view.num_inputs, view.num_inputs, view.num_neurons);
}

double projection_work(const SampleView& view, const ProjectionOptions& options) {
  return packing_work(view) +
         reads_work(options) * product(view.num_samples, view.num_inputs, view.num_neurons);
}

double projection_work(const GramView& view, const ProjectionOptions& options) {
  return packing_work(view) +
         reads_work(options) * product(view.num_inputs, view.num_inputs, view.num_neurons);
}

double energy_work(const SampleView& view) {
  return 0.3 * product(view.num_samples, view.num_inputs, view.num_neurons);
}

double gradient_work(const SampleView& view) {
  return packing_work(view) + 0.03 * product(view.num_samples, view.num_inputs, view.num_inputs);
}

double anneal_work(const Ising& problem, std::size_t num_reads, std::size_t num_sweeps,
                   bool uses_bits) {
  const std::size_t n = problem.num_variables();
  if (uses_bits) {
    // A visit to all reads of a variable. Few reads are visited one by one.
    const double words = static_cast<double>(divide_up(num_reads, kWordReads));
    const double visit = std::min(8.0 * static_cast<double>(num_reads), 15.0 + 3.0 * words);
    return visit * product(n, num_sweeps);
  }
  return proposal_work(n, is_sparse(problem)) * product(num_reads, num_sweeps, n);
}

double path_work(const Ising& problem, std::size_t num_reads, const FieldSchedule& schedule) {
  double work = 0.0;  // of one update of a qubit at each step
  for (const PathFields& fields : schedule.steps) {
    const double breaks = 1.0 + 0.3 * fields.transverse;
    work += 10.0 * breaks + 0.4 * problem.degree() * breaks * breaks;
  }
  return work * product(num_reads, schedule.sweeps_per_step, problem.num_variables());
}

double rotor_work(const Ising& problem, std::size_t num_reads, const FieldSchedule& schedule) {
  return (10.0 + 0.1 * problem.degree()) * static_cast<double>(schedule.steps.size()) *
         product(num_reads, schedule.sweeps_per_step, problem.num_variables());
}

double descent_work(const Ising& problem, std::size_t num_reads) {
  const std::size_t n = problem.num_variables();
  return product(num_reads, n) * (is_sparse(problem) ? 60.0 : 20.0 + 0.7 * static_cast<double>(n));
}

double tabu_work(const Ising& problem, std::size_t num_reads, std::size_t num_restarts,
                 std::optional<std::size_t> moves, double seconds_per_read, int num_threads) {
  constexpr std::size_t kSearchesAtOnce = 8;
  const std::size_t n = problem.num_variables();
  const double search =
      static_cast<double>(moves.value_or(4 * n + 100)) * move_work(n, is_sparse(problem));
  const double reads = static_cast<double>(num_reads);
  if (reads < std::min<double>(kSearchesAtOnce, num_threads)) {
    return search * static_cast<double>(std::min(kSearchesAtOnce, num_restarts + 1));
  }
  return reads *
         std::min(search * (static_cast<double>(num_restarts) + 1.0), 1e9 * seconds_per_read);
}

double enumeration_work(const Ising& problem) {
  const std::size_t n = std::min(problem.num_variables(), kMaxExhaustiveVariables);
  return 0.06 * static_cast<double>(std::uint64_t{1} << n);
}

double energies_work(const Ising& problem, std::size_t num_states) {
  const std::size_t n = problem.num_variables();
  return product(num_states, n) * (is_sparse(problem) ? 5.0 : 0.5 * static_cast<double>(n));
}

double matrices_work(std::size_t count, std::size_t n) { return 0.5 * product(count, n, n); }

double products_work(const BatchStates& batch, std::size_t rows) {
  return 0.2 * static_cast<double>(rows) *
         product(batch.num_problems, batch.num_reads, batch.num_variables);
}

double precision_work(const BatchView& view) {
  const auto n = static_cast<double>(view.num_variables);
  const auto* pattern = std::get_if<PatternView>(&view.couplings);
  const double entries = pattern != nullptr ? static_cast<double>(pattern->num_pairs) : n * n;
  // Some problems are built and searched by descents. The biases of all problems are inspected.
  constexpr double kScouts = 16.0, kScoutNanoseconds = 10.0, kLookNanoseconds = 0.2;
  const auto problems = static_cast<double>(view.num_problems);
  return entries * (kScoutNanoseconds * std::min(problems, kScouts) + kLookNanoseconds * problems);
}

double batch_work(const BatchView& view, const BatchOptions& options) {
  const std::size_t n = view.num_variables;
  const double size = static_cast<double>(n);
  const double reads = product(view.num_problems, options.num_reads);
  const bool is_pattern = std::holds_alternative<PatternView>(view.couplings);
  const double building = view.shared || is_pattern ? 20.0 * product(view.num_problems, n)
                                                    : 0.5 * product(view.num_problems, n, n);
  if (options.method == BatchMethod::kAnneal) {
    const double proposal = proposal_work(n, is_pattern);
    return building + proposal * reads * size * static_cast<double>(options.betas.size());
  }
  if (options.method == BatchMethod::kTabu) {
    return building + reads * static_cast<double>(options.moves) * move_work(n, is_pattern);
  }
  return building + reads * size * (is_pattern ? 60.0 : 20.0 + 0.7 * size);
}

}  // namespace qpsbgd
