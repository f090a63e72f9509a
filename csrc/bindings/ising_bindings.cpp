// Bindings of the samplers of one Ising problem.
#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bindings/module.hpp"
#include "bindings/watch.hpp"
#include "core/annealing/anneal.hpp"
#include "core/annealing/excitations.hpp"
#include "core/ising/ising.hpp"
#include "core/ising/precision.hpp"
#include "core/search/descent.hpp"
#include "core/search/exhaustive.hpp"
#include "core/tabu/tabu.hpp"

using namespace py::literals;

namespace qpsbgd::bindings {
namespace {

// Draws between two polls of Stop: some milliseconds.
constexpr std::size_t kDrawRun = std::size_t{1} << 20;

std::unique_ptr<Ising> make_ising(const Array<double>& linear, const Array<std::uint32_t>& rows,
                                  const Array<std::uint32_t>& columns, const Array<double>& values,
                                  std::optional<Ising::Form> form) {
  if (rows.size() != columns.size() || rows.size() != values.size()) {
    throw std::invalid_argument("rows, columns and values must have the same size");
  }
  const auto count = static_cast<std::size_t>(values.size());
  const auto n = static_cast<std::size_t>(linear.size());
  if (n > kMaxVariables) {
    throw std::invalid_argument("the number of variables must be less than 2^28");
  }
  const Ising::Interactions interactions{rows.data(), columns.data(), values.data(), count};
  const auto chosen = form.value_or(Ising::better_form(n, count));
  std::unique_ptr<Ising> problem;
  run_uninterrupted(0.0, 1, [&](const KernelTable&, int, Stop& stop) {
    problem = std::make_unique<Ising>(linear.data(), n, interactions, chosen, 1, &stop);
  });
  return problem;
}

// Returns a dense problem that refers to the caller's matrix, times a power of two.
template <class Value>
std::unique_ptr<Ising> make_dense_ising(const Array<double>& linear, const Array<Value>& matrix,
                                        double factor) {
  const auto n = static_cast<std::size_t>(linear.size());
  if (matrix.ndim() != 2 || static_cast<std::size_t>(matrix.shape(0)) != n ||
      matrix.shape(0) != matrix.shape(1)) {
    throw std::invalid_argument("matrix must have shape (n, n)");
  }
  if (n > kMaxVariables) {
    throw std::invalid_argument("the number of variables must be less than 2^28");
  }
  const MatrixView view = MatrixView(matrix.data(), n).times(factor);
  std::unique_ptr<Ising> problem;
  run_uninterrupted(0.0, 1, [&](const KernelTable&, int, Stop& stop) {
    problem = std::make_unique<Ising>(linear.data(), view, 1, &stop);
  });
  return problem;
}

std::size_t check_states(const States& states, const Ising& problem) {
  if (states.ndim() != 2 || static_cast<std::size_t>(states.shape(1)) != problem.num_variables()) {
    throw std::invalid_argument("states must have shape (num_reads, " +
                                std::to_string(problem.num_variables()) + ")");
  }
  return static_cast<std::size_t>(states.shape(0));
}

// Spins that NumPy's RandomState(seed).choice([-1, 1]) draws, which is how dimod makes the initial
// states of reads. Both use the generator of the standard library.
class RandomSpins {
 public:
  explicit RandomSpins(std::uint32_t seed) : generator_(seed) {}

  // Returns the next spins (count, n).
  States draw(py::ssize_t count, py::ssize_t num_variables) {
    States states({count, num_variables});
    std::int8_t* out = states.mutable_data();
    const auto size = static_cast<std::size_t>(states.size());
    run_uninterrupted(0.0, 1, [&](const KernelTable&, int, Stop& stop) {
      for (std::size_t k = 0; k < size; ++k) {
        if (k % kDrawRun == 0 && stop.poll()) return;
        out[k] = generator_() & 1 ? 1 : -1;
      }
    });
    return states;
  }

 private:
  std::mt19937 generator_;
};

States copy_states(const States& states) {
  States copy({states.shape(0), states.shape(1)});
  std::copy_n(states.data(), states.size(), copy.mutable_data());
  return copy;
}

Array<double> energies(const Ising& problem, const States& states, int num_threads) {
  const std::size_t num_states = check_states(states, problem);
  Array<double> values(states.shape(0));
  double* out = values.mutable_data();
  run_uninterrupted(energies_work(problem, num_states), num_threads,
                    [&](const KernelTable& table, int threads, Stop& stop) {
                      problem.energies(table, states.data(), num_states, threads, out, &stop);
                    });
  return values;
}

// Returns the local fields h_i + sum_j J_ij s_j (num_states, n) in float64.
Array<double> fields(const Ising& problem, const States& states) {
  const std::size_t num_states = check_states(states, problem), n = problem.num_variables();
  Array<double> values({states.shape(0), states.shape(1)});
  double* out = values.mutable_data();
  run_uninterrupted(0.0, 1, [&](const KernelTable&, int, Stop&) {
    for (std::size_t k = 0; k < num_states; ++k) {
      problem.fields64(states.data() + k * n, out + k * n);
    }
  });
  return values;
}

// Returns the largest magnitude that each variable's field can have, |h_i| + sum_j |J_ij| (n).
Array<double> reach(const Ising& problem) {
  const std::vector<double>& values = problem.reach();
  return Array<double>(static_cast<py::ssize_t>(values.size()), values.data());
}

bool problem_needs_float64(const Ising& problem) {
  bool needed = false;
  run_uninterrupted(
      0.0, 1, [&](const KernelTable&, int, Stop& stop) { needed = needs_float64(problem, &stop); });
  return needed;
}

py::tuple anneal_reads(const Ising& problem, const States& initial_states,
                       const Array<double>& betas, Acceptance acceptance, bool random_order,
                       bool keep_best, std::uint64_t seed, int num_threads, double time_limit,
                       double energy_threshold, py::object watch,
                       std::optional<Precision> precision, bool descend_at_limit,
                       bool descend_always, std::size_t first_read) {
  const std::size_t num_reads = check_states(initial_states, problem);
  if (precision && !fits(problem, *precision, random_order)) {
    throw std::invalid_argument("the problem's fields do not fit the precision");
  }
  States states = copy_states(initial_states);
  Array<std::int64_t> sweeps(initial_states.shape(0));
  std::int8_t* states_out = states.mutable_data();
  std::int64_t* sweeps_out = sweeps.mutable_data();
  const Limits limits{time_limit, energy_threshold, std::move(watch)};
  AnnealOptions options{.betas = {betas.data(), betas.data() + betas.size()},
                        .acceptance = acceptance,
                        .random_order = random_order,
                        .precision = precision,
                        .keep_best = keep_best,
                        .descend_at_limit = descend_at_limit,
                        .descend_always = descend_always,
                        .watch = limits.needs_energies(),
                        .seed = seed,
                        .first_read = first_read};
  const bool uses_bits =
      precision ? *precision == Precision::kBits : fits(problem, Precision::kBits, random_order);
  const auto ending =
      run_sampler(anneal_work(problem, num_reads, options.betas.size(), uses_bits), num_threads,
                  limits, [&](const KernelTable& table, int threads, Stop& stop) {
                    options.num_threads = threads;
                    anneal(table, problem, options, num_reads, states_out, sweeps_out, stop);
                  });
  return py::make_tuple(states, sweeps, ending.reason, ending.exception);
}

py::tuple descend_reads(const Ising& problem, const States& initial_states, Precision precision,
                        int num_threads, double time_limit, py::object watch) {
  const std::size_t num_reads = check_states(initial_states, problem);
  States states = copy_states(initial_states);
  Array<std::int64_t> steps(initial_states.shape(0));
  std::int8_t* states_out = states.mutable_data();
  std::int64_t* steps_out = steps.mutable_data();
  const Limits limits{.seconds = time_limit, .watch = std::move(watch)};
  const auto ending = run_sampler(descent_work(problem, num_reads), num_threads, limits,
                                  [&](const KernelTable& table, int threads, Stop& stop) {
                                    descend(table, problem, precision, threads, num_reads,
                                            states_out, steps_out, stop);
                                  });
  return py::make_tuple(states, steps, ending.reason, ending.exception);
}

py::tuple tabu_reads(const Ising& problem, const States& initial_states,
                     std::size_t shortest_tenure, std::size_t longest_tenure,
                     std::size_t num_restarts, std::optional<std::size_t> first_moves,
                     std::optional<std::size_t> restart_moves, std::size_t num_elites,
                     std::size_t barren_generations, double seconds_per_read, Precision precision,
                     std::uint64_t seed, int num_threads, double time_limit,
                     double energy_threshold, py::object watch, std::size_t first_read) {
  const std::size_t num_reads = check_states(initial_states, problem);
  if (shortest_tenure > longest_tenure ||
      (problem.num_variables() > 0 && longest_tenure >= problem.num_variables())) {
    throw std::invalid_argument("tenures must be ascending and less than the number of variables");
  }
  if (num_elites < 2) throw std::invalid_argument("there must be at least two elites");
  States states = copy_states(initial_states);
  std::int8_t* states_out = states.mutable_data();
  std::vector<TabuRead> reads(num_reads);
  TabuOptions options{.shortest_tenure = shortest_tenure,
                      .longest_tenure = longest_tenure,
                      .num_restarts = num_restarts,
                      .first_moves = first_moves,
                      .restart_moves = restart_moves,
                      .num_elites = num_elites,
                      .barren_generations = barren_generations,
                      .seconds_per_read = seconds_per_read,
                      .precision = precision,
                      .seed = seed,
                      .first_read = first_read};
  const double work =
      tabu_work(problem, num_reads, num_restarts, restart_moves, seconds_per_read, num_threads);
  const auto ending =
      run_sampler(work, num_threads, {time_limit, energy_threshold, std::move(watch)},
                  [&](const KernelTable& table, int threads, Stop& stop) {
                    options.num_threads = threads;
                    tabu(table, problem, options, num_reads, states_out, reads.data(), stop);
                  });
  Array<std::int64_t> restarts(initial_states.shape(0)), moves(initial_states.shape(0));
  bool timed_out = false, all_int16 = num_reads > 0;
  for (std::size_t read = 0; read < num_reads; ++read) {
    restarts.mutable_data()[read] = reads[read].restarts;
    moves.mutable_data()[read] = static_cast<std::int64_t>(reads[read].moves);
    timed_out |= reads[read].timed_out;
    all_int16 &= reads[read].int16 || reads[read].restarts < 0;
  }
  return py::make_tuple(states, restarts, moves, all_int16, timed_out, ending.reason,
                        ending.exception);
}

py::tuple enumerate_states(const Ising& problem, std::size_t num_states, int num_threads,
                           double time_limit, double energy_threshold, py::object watch) {
  LowestStates lowest;
  const auto ending = run_sampler(enumeration_work(problem), num_threads,
                                  {time_limit, energy_threshold, std::move(watch)},
                                  [&](const KernelTable& table, int threads, Stop& stop) {
                                    lowest = enumerate(table, problem, num_states, threads, stop);
                                  });
  States states({lowest.count, problem.num_variables()});
  std::copy(lowest.states.begin(), lowest.states.end(), states.mutable_data());
  return py::make_tuple(states, lowest.num_visited, ending.reason, ending.exception);
}

// Returns the solution of a rule's equation; see excitations.hpp.
double excitations_beta(const Array<double>& barriers, double number, double least) {
  const auto count = static_cast<std::size_t>(barriers.size());
  double beta = least;
  run_uninterrupted(0.0, 1, [&](const KernelTable&, int, Stop& stop) {
    beta = beta_of_excitations({barriers.data(), count}, {}, number, least, &stop);
  });
  return beta;
}

py::tuple barriers_hot_and_knee(const Array<double>& barriers, const Array<double>& highest,
                                double hot, double hot_quantile, double large_per_median,
                                double knee_excited, double knee_lowest) {
  if (barriers.size() == 0 || barriers.size() != highest.size()) {
    throw std::invalid_argument("barriers and highest must have the same size, which is not 0");
  }
  const BarrierRule rule{.hot = hot,
                         .hot_quantile = hot_quantile,
                         .large_per_median = large_per_median,
                         .knee_excited = knee_excited,
                         .knee_lowest = knee_lowest};
  const auto count = static_cast<std::size_t>(barriers.size());
  HotAndKnee ends{};
  run_uninterrupted(0.0, 1, [&](const KernelTable&, int, Stop& stop) {
    ends = hot_and_knee({barriers.data(), count}, {highest.data(), count}, rule, &stop);
  });
  return py::make_tuple(ends.hot, ends.knee);
}

// has_bits: whether the sampler can use bits.
Precision best_anneal_precision(const Ising& problem, bool random_order, std::size_t num_reads,
                                bool has_bits) {
  if (problem_needs_float64(problem)) return Precision::kFloat64;
  return has_bits && fits(problem, Precision::kBits, random_order)
             ? Precision::kBits
             : narrow_precision(problem, random_order, num_reads);
}

Precision best_tabu_precision(const Ising& problem) {
  return problem_needs_float64(problem) ? Precision::kFloat64 : narrow_tabu_precision(problem);
}

void define_enums(py::module_& m) {
  py::native_enum<Acceptance>(m, "Acceptance", "enum.Enum")
      .value("Metropolis", Acceptance::kMetropolis)
      .value("Gibbs", Acceptance::kGibbs)
      .finalize();
  py::native_enum<Ising::Form>(m, "Form", "enum.Enum")
      .value("dense", Ising::Form::kDense)
      .value("sparse", Ising::Form::kSparse)
      .finalize();
  py::native_enum<Precision>(m, "Precision", "enum.Enum")
      .value("float32", Precision::kFloat32)
      .value("int16", Precision::kInt16)
      .value("float64", Precision::kFloat64)
      .value("bits", Precision::kBits)
      .finalize();
  py::native_enum<Stop::Reason>(m, "StopReason", "enum.Enum")
      .value("finished", Stop::Reason::kNone)
      .value("time_limit", Stop::Reason::kTimeLimit)
      .value("interrupt", Stop::Reason::kInterrupt)
      .value("energy_threshold", Stop::Reason::kEnergyThreshold)
      .finalize();
}

}  // namespace

void define_ising(py::module_& m) {
  define_enums(m);
  py::class_<Ising>(m, "Ising")
      .def(py::init(&make_ising), "linear"_a.noconvert(), "rows"_a.noconvert(),
           "columns"_a.noconvert(), "values"_a.noconvert(), "form"_a = py::none())
      .def(py::init(&make_dense_ising<double>), py::keep_alive<1, 3>(), "linear"_a.noconvert(),
           "matrix"_a.noconvert(), "factor"_a = 1.0)
      .def(py::init(&make_dense_ising<float>), py::keep_alive<1, 3>(), "linear"_a.noconvert(),
           "matrix"_a.noconvert(), "factor"_a = 1.0)
      .def_property_readonly("form", &Ising::form)
      .def_property_readonly("exact", [](const Ising& problem) { return problem.exact(); })
      .def_property_readonly("num_variables", &Ising::num_variables)
      .def_property_readonly("reach", &reach)
      .def("energies", &energies, "states"_a.noconvert(), py::kw_only(), "num_threads"_a)
      .def("fields", &fields, "states"_a.noconvert())
      .def("anneal", &anneal_reads, "initial_states"_a.noconvert(), py::kw_only(), "betas"_a,
           "acceptance"_a, "random_order"_a, "keep_best"_a, "seed"_a, "num_threads"_a,
           "time_limit"_a, "energy_threshold"_a, "watch"_a, "precision"_a = py::none(),
           "descend_at_limit"_a = false, "descend_always"_a = false, "first_read"_a = 0)
      .def("fits", &fits, "precision"_a, py::kw_only(), "random_order"_a)
      .def("best_precision", &best_anneal_precision, py::kw_only(), "random_order"_a, "num_reads"_a,
           "has_bits"_a)
      .def("needs_float64", &problem_needs_float64)
      .def("descend", &descend_reads, "initial_states"_a.noconvert(), py::kw_only(), "precision"_a,
           "num_threads"_a, "time_limit"_a, "watch"_a)
      .def("tabu_fits", &tabu_fits, "precision"_a)
      .def("best_tabu_precision", &best_tabu_precision)
      .def("tabu", &tabu_reads, "initial_states"_a.noconvert(), py::kw_only(), "shortest_tenure"_a,
           "longest_tenure"_a, "num_restarts"_a, "first_moves"_a, "restart_moves"_a, "num_elites"_a,
           "barren_generations"_a, "seconds_per_read"_a, "precision"_a, "seed"_a, "num_threads"_a,
           "time_limit"_a, "energy_threshold"_a, "watch"_a, "first_read"_a = 0)
      .def("enumerate", &enumerate_states, py::kw_only(), "num_states"_a, "num_threads"_a,
           "time_limit"_a, "energy_threshold"_a, "watch"_a);
  py::class_<RandomSpins>(m, "RandomSpins")
      .def(py::init<std::uint32_t>(), "seed"_a)
      .def("draw", &RandomSpins::draw, "count"_a, "num_variables"_a);
  m.def("beta_of_excitations", &excitations_beta, "barriers"_a.noconvert(), py::kw_only(),
        "number"_a, "least"_a);
  m.def("hot_and_knee", &barriers_hot_and_knee, "barriers"_a.noconvert(), "highest"_a.noconvert(),
        py::kw_only(), "hot"_a, "hot_quantile"_a, "large_per_median"_a, "knee_excited"_a,
        "knee_lowest"_a);
  m.def("better_form", &Ising::better_form, "num_variables"_a, "num_interactions"_a);
  m.attr("max_exhaustive_variables") = kMaxExhaustiveVariables;
}

}  // namespace qpsbgd::bindings
