// Bindings of the samplers of one Ising problem.
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bindings/ising/ising_states.hpp"
#include "bindings/module.hpp"
#include "bindings/watch.hpp"
#include "core/annealing/anneal.hpp"
#include "core/ising/ising.hpp"
#include "core/ising/precision.hpp"
#include "core/search/descent.hpp"
#include "core/search/exhaustive.hpp"
#include "core/tabu/tabu.hpp"

using namespace py::literals;

namespace qpsbgd::bindings {
namespace {

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

}  // namespace

void define_samplers(py::class_<Ising>& ising) {
  ising
      .def("anneal", &anneal_reads, "initial_states"_a.noconvert(), py::kw_only(), "betas"_a,
           "acceptance"_a, "random_order"_a, "keep_best"_a, "seed"_a, "num_threads"_a,
           "time_limit"_a, "energy_threshold"_a, "watch"_a, "precision"_a = py::none(),
           "descend_at_limit"_a = false, "descend_always"_a = false, "first_read"_a = 0)
      .def("descend", &descend_reads, "initial_states"_a.noconvert(), py::kw_only(), "precision"_a,
           "num_threads"_a, "time_limit"_a, "watch"_a)
      .def("tabu", &tabu_reads, "initial_states"_a.noconvert(), py::kw_only(), "shortest_tenure"_a,
           "longest_tenure"_a, "num_restarts"_a, "first_moves"_a, "restart_moves"_a, "num_elites"_a,
           "barren_generations"_a, "seconds_per_read"_a, "precision"_a, "seed"_a, "num_threads"_a,
           "time_limit"_a, "energy_threshold"_a, "watch"_a, "first_read"_a = 0)
      .def("enumerate", &enumerate_states, py::kw_only(), "num_states"_a, "num_threads"_a,
           "time_limit"_a, "energy_threshold"_a, "watch"_a);
}

}  // namespace qpsbgd::bindings
