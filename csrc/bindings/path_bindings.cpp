// Bindings of path-integral annealing.
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bindings/module.hpp"
#include "bindings/watch.hpp"
#include "core/paths/path_integral.hpp"

using namespace py::literals;

namespace qpsbgd::bindings {
namespace {

using Integers = Array<std::int32_t>;

// Checks the breaks at which reads start.
void check_breaks(const States& spins, const Integers& num_breaks, const Integers& breaks) {
  if (num_breaks.ndim() != 2 || num_breaks.shape(0) != spins.shape(0) ||
      num_breaks.shape(1) != spins.shape(1)) {
    throw std::invalid_argument("num_breaks must have the shape of the states");
  }
  std::int64_t total = 0;
  for (py::ssize_t k = 0; k < num_breaks.size(); ++k) {
    const std::int32_t number = num_breaks.data()[k];
    if (number < 0 || number > kNumSlices || number % 2 != 0) {
      throw std::invalid_argument("numbers of breaks must be even and in [0, 65536]");
    }
    total += number;
  }
  if (total != breaks.size()) {
    throw std::invalid_argument("there must be as many breaks as num_breaks says");
  }
  if (std::any_of(breaks.data(), breaks.data() + breaks.size(),
                  [](std::int32_t place) { return place < 0 || place >= kNumSlices; })) {
    throw std::invalid_argument("breaks must be in [0, 65536)");
  }
}

std::vector<PathFields> make_schedule(const std::vector<double>& problem_fields,
                                      const std::vector<double>& transverse_fields) {
  if (problem_fields.size() != transverse_fields.size()) {
    throw std::invalid_argument("there must be as many problem fields as transverse fields");
  }
  std::vector<PathFields> schedule;
  for (std::size_t step = 0; step < problem_fields.size(); ++step) {
    const PathFields fields{problem_fields[step], transverse_fields[step]};
    if (!(fields.problem >= 0.0 && std::isfinite(fields.problem) && fields.transverse >= 0.0 &&
          fields.transverse <= kLargestTransverseField)) {
      throw std::invalid_argument("a field of the schedule is out of range");
    }
    schedule.push_back(fields);
  }
  return schedule;
}

py::tuple anneal_reads(const Ising& problem, const States& initial_states,
                       const std::optional<Integers>& num_breaks,
                       const std::optional<Integers>& breaks,
                       const std::vector<double>& problem_fields,
                       const std::vector<double>& transverse_fields, std::size_t sweeps_per_step,
                       std::size_t chain_length, double chain_coupling, bool update_chains,
                       std::size_t sample_interval, bool return_breaks, std::uint64_t seed,
                       int num_threads, double time_limit, py::object watch) {
  const std::size_t n = problem.num_variables();
  if (initial_states.ndim() != 2 || static_cast<std::size_t>(initial_states.shape(1)) != n) {
    throw std::invalid_argument("states must have one column for each variable");
  }
  if (num_breaks.has_value() != breaks.has_value()) {
    throw std::invalid_argument("num_breaks and breaks go together");
  }
  if (num_breaks) check_breaks(initial_states, *num_breaks, *breaks);
  if (chain_length == 0 || n % chain_length != 0) {
    throw std::invalid_argument("the length of chains must divide the number of variables");
  }
  PathOptions options{.schedule = make_schedule(problem_fields, transverse_fields),
                      .sweeps_per_step = sweeps_per_step,
                      .chains = {chain_length, chain_coupling, update_chains},
                      .sample_interval = sample_interval,
                      .seed = seed};
  const auto num_reads = static_cast<std::size_t>(initial_states.shape(0));
  States spins({num_reads, n});
  States samples({num_reads, options.num_samples(), n});
  Array<std::int64_t> sweeps(initial_states.shape(0));
  Integers last_num_breaks({return_breaks ? num_reads : 0, n});
  PathResults results{.spins = spins.mutable_data(),
                      .sweeps = sweeps.mutable_data(),
                      .samples = samples.mutable_data(),
                      .num_breaks = return_breaks ? last_num_breaks.mutable_data() : nullptr,
                      .breaks = {}};
  const PathView starts{initial_states.data(), num_breaks ? num_breaks->data() : nullptr,
                        breaks ? breaks->data() : nullptr};
  const double work = path_work(problem, num_reads, options.schedule, sweeps_per_step);
  const auto ending =
      run_sampler(work, num_threads, {.seconds = time_limit, .watch = std::move(watch)},
                  [&](const KernelTable& table, int threads, Stop& stop) {
                    options.num_threads = threads;
                    anneal_paths(table, problem, options, num_reads, starts, results, stop);
                  });
  std::size_t total = 0;
  for (const auto& places : results.breaks) total += places.size();
  Integers last_breaks(static_cast<py::ssize_t>(total));
  std::int32_t* out = last_breaks.mutable_data();
  for (const auto& places : results.breaks) out = std::copy(places.begin(), places.end(), out);
  return py::make_tuple(spins, sweeps, samples, last_num_breaks, last_breaks, ending.reason,
                        ending.exception);
}

}  // namespace

void define_paths(py::module_& m) {
  m.def("anneal_paths", &anneal_reads, "problem"_a, "initial_states"_a.noconvert(),
        "num_breaks"_a.noconvert(), "breaks"_a.noconvert(), py::kw_only(), "problem_fields"_a,
        "transverse_fields"_a, "sweeps_per_step"_a, "chain_length"_a, "chain_coupling"_a,
        "update_chains"_a, "sample_interval"_a, "return_breaks"_a, "seed"_a, "num_threads"_a,
        "time_limit"_a, "watch"_a);
  m.attr("num_slices") = kNumSlices;
  m.attr("largest_transverse_field") = kLargestTransverseField;
}

}  // namespace qpsbgd::bindings
