// Bindings of the annealers with a transverse field: path integrals and rotors.
#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bindings/module.hpp"
#include "bindings/watch.hpp"
#include "core/paths/path_integral.hpp"
#include "core/paths/rotors.hpp"

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

std::vector<PathFields> make_steps(const Array<double>& problem_fields,
                                   const Array<double>& transverse_fields, double largest) {
  if (problem_fields.size() != transverse_fields.size()) {
    throw std::invalid_argument("there must be as many problem fields as transverse fields");
  }
  const auto num_steps = static_cast<std::size_t>(problem_fields.size());
  std::vector<PathFields> steps;
  steps.reserve(num_steps);
  for (std::size_t step = 0; step < num_steps; ++step) {
    const PathFields fields{problem_fields.data()[step], transverse_fields.data()[step]};
    if (!(fields.problem >= 0.0 && std::isfinite(fields.problem) && fields.transverse >= 0.0 &&
          fields.transverse <= largest)) {
      throw std::invalid_argument("a field of the schedule is out of range");
    }
    steps.push_back(fields);
  }
  return steps;
}

py::tuple anneal_path_reads(const Ising& problem, const States& initial_states,
                            const std::optional<Integers>& num_breaks,
                            const std::optional<Integers>& breaks,
                            const Array<double>& problem_fields,
                            const Array<double>& transverse_fields, std::size_t sweeps_per_step,
                            std::size_t chain_length, double chain_coupling, bool update_chains,
                            std::size_t sample_interval, bool return_breaks, std::uint64_t seed,
                            std::uint64_t first_read, int num_threads, double time_limit,
                            py::object watch) {
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
  FieldSchedule schedule{
      .steps = make_steps(problem_fields, transverse_fields, kLargestTransverseField),
      .sweeps_per_step = sweeps_per_step,
      .sample_interval = sample_interval,
      .seed = seed,
      .first_read = first_read};
  const PathChains chains{chain_length, chain_coupling, update_chains};
  const auto num_reads = static_cast<std::size_t>(initial_states.shape(0));
  States spins({num_reads, n});
  States samples({num_reads, schedule.num_samples(), n});
  Array<std::int64_t> sweeps(initial_states.shape(0));
  Integers last_num_breaks({return_breaks ? num_reads : 0, n});
  PathResults results{.spins = spins.mutable_data(),
                      .sweeps = sweeps.mutable_data(),
                      .samples = samples.mutable_data(),
                      .num_breaks = return_breaks ? last_num_breaks.mutable_data() : nullptr,
                      .breaks = {}};
  const PathView starts{initial_states.data(), num_breaks ? num_breaks->data() : nullptr,
                        breaks ? breaks->data() : nullptr};
  const double work = path_work(problem, num_reads, schedule);
  const auto ending = run_sampler(
      work, num_threads, {.seconds = time_limit, .watch = std::move(watch)},
      [&](const KernelTable& table, int threads, Stop& stop) {
        schedule.num_threads = threads;
        anneal_paths(table, problem, schedule, chains, num_reads, starts, results, stop);
      });
  std::size_t total = 0;
  for (const auto& places : results.breaks) total += places.size();
  Integers last_breaks(static_cast<py::ssize_t>(total));
  std::int32_t* out = last_breaks.mutable_data();
  for (const auto& places : results.breaks) out = std::copy(places.begin(), places.end(), out);
  return py::make_tuple(spins, sweeps, samples, last_num_breaks, last_breaks, ending.reason,
                        ending.exception);
}

using Angles = Array<std::uint8_t>;

py::tuple anneal_rotor_reads(const Ising& problem, const Angles& initial_angles,
                             const Array<double>& problem_fields,
                             const Array<double>& transverse_fields, const Array<float>& transverse,
                             RotorProposal proposal, Acceptance acceptance, bool draw_order,
                             std::size_t sweeps_per_step, std::size_t sample_interval,
                             std::uint64_t seed, std::uint64_t first_read, int num_threads,
                             double time_limit, py::object watch) {
  const std::size_t n = problem.num_variables();
  if (initial_angles.ndim() != 2 || static_cast<std::size_t>(initial_angles.shape(1)) != n ||
      static_cast<std::size_t>(transverse.size()) != n) {
    throw std::invalid_argument("angles and transverse must have one column for each variable");
  }
  FieldSchedule schedule{
      .steps = make_steps(problem_fields, transverse_fields, std::numeric_limits<float>::max()),
      .sweeps_per_step = sweeps_per_step,
      .sample_interval = sample_interval,
      .order = draw_order ? VisitOrder::kDrawn : VisitOrder::kInOrder,
      .seed = seed,
      .first_read = first_read};
  const RotorDynamics dynamics{proposal, acceptance};
  const auto num_reads = static_cast<std::size_t>(initial_angles.shape(0));
  Angles angles({num_reads, n}), samples({num_reads, schedule.num_samples(), n});
  States spins({num_reads, n});
  Array<std::int64_t> sweeps(initial_angles.shape(0));
  const RotorResults results{.angles = angles.mutable_data(),
                             .spins = spins.mutable_data(),
                             .sweeps = sweeps.mutable_data(),
                             .samples = samples.mutable_data()};
  const auto ending =
      run_sampler(rotor_work(problem, num_reads, schedule), num_threads,
                  {.seconds = time_limit, .watch = std::move(watch)},
                  [&](const KernelTable& table, int threads, Stop& stop) {
                    schedule.num_threads = threads;
                    anneal_rotors(table, problem, schedule, dynamics, transverse.data(), num_reads,
                                  initial_angles.data(), results, stop);
                  });
  return py::make_tuple(angles, spins, sweeps, samples, ending.reason, ending.exception);
}

States project_rotors(const Angles& angles, std::uint64_t seed) {
  if (angles.ndim() != 2) throw std::invalid_argument("angles must have two dimensions");
  const auto num_reads = static_cast<std::size_t>(angles.shape(0));
  const auto n = static_cast<std::size_t>(angles.shape(1));
  States spins({num_reads, n});
  std::int8_t* out = spins.mutable_data();
  run_or_throw(0.0, 1, [&](const KernelTable& table, int, Stop&) {
    project_angles(table, seed, num_reads, n, angles.data(), out);
  });
  return spins;
}

}  // namespace

void define_paths(py::module_& m) {
  m.def("anneal_paths", &anneal_path_reads, "problem"_a, "initial_states"_a.noconvert(),
        "num_breaks"_a.noconvert(), "breaks"_a.noconvert(), py::kw_only(), "problem_fields"_a,
        "transverse_fields"_a, "sweeps_per_step"_a, "chain_length"_a, "chain_coupling"_a,
        "update_chains"_a, "sample_interval"_a, "return_breaks"_a, "seed"_a, "first_read"_a = 0,
        "num_threads"_a, "time_limit"_a, "watch"_a);
  py::native_enum<RotorProposal>(m, "RotorProposal", "enum.Enum")
      .value("reflect", RotorProposal::kReflect)
      .value("uniform", RotorProposal::kUniform)
      .value("near", RotorProposal::kNear)
      .finalize();
  m.def("anneal_rotors", &anneal_rotor_reads, "problem"_a, "initial_angles"_a.noconvert(),
        py::kw_only(), "problem_fields"_a, "transverse_fields"_a, "transverse"_a.noconvert(),
        "proposal"_a, "acceptance"_a, "draw_order"_a, "sweeps_per_step"_a, "sample_interval"_a,
        "seed"_a, "first_read"_a = 0, "num_threads"_a, "time_limit"_a, "watch"_a);
  m.def("project_rotors", &project_rotors, "angles"_a.noconvert(), "seed"_a);
  m.attr("num_slices") = kNumSlices;
  m.attr("largest_transverse_field") = kLargestTransverseField;
}

}  // namespace qpsbgd::bindings
