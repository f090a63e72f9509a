// Bindings of the projection of a layer's gradient.
#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bindings/module.hpp"
#include "bindings/projection/projection_options.hpp"
#include "bindings/projection/sample_view.hpp"
#include "bindings/watch.hpp"
#include "core/projection/projection.hpp"
#include "core/threads/parallel.hpp"

using namespace py::literals;

namespace qpsbgd::bindings {
namespace {

void check_binary(const States& states, const SampleView& view) {
  if (states.ndim() != 2 || static_cast<std::size_t>(states.shape(0)) != view.num_neurons ||
      static_cast<std::size_t>(states.shape(1)) != view.num_inputs) {
    throw std::invalid_argument(
        "states must have shape (m, n) for inputs (N, n) and targets (N, m)");
  }
}

// One projection, with the arrays that it refers to.
class ProjectionTask {
 public:
  ProjectionTask(Array<float> inputs, Array<float> targets, Objective objective, double scale,
                 AlphaRule alpha_rule, double target_eps, std::size_t num_sweeps,
                 std::vector<double> betas, std::size_t num_reads, InitialState initial,
                 std::optional<States> initial_states, std::uint64_t seed, Steps steps)
      : inputs_(std::move(inputs)),
        targets_(std::move(targets)),
        initial_states_(std::move(initial_states)),
        steps_(std::move(steps)),
        view_(view_of(inputs_, targets_, steps_)),
        options_(make_options(objective, scale, alpha_rule, target_eps, num_sweeps,
                              std::move(betas), num_reads, initial, seed)) {
    if ((initial == InitialState::kGiven) != initial_states_.has_value()) {
      throw std::invalid_argument(
          "initial_states must be given with InitialState.given, and only then");
    }
    if (initial_states_) check_binary(*initial_states_, view_);
    options_.initial_states = initial_states_ ? initial_states_->data() : nullptr;
  }
  ProjectionTask(const ProjectionTask&) = delete;
  ProjectionTask& operator=(const ProjectionTask&) = delete;

  double work() const { return projection_work(view_, options_); }
  States make_states() const { return States({view_.num_neurons, view_.num_inputs}); }
  // Writes the states (m, n).
  void solve(const KernelTable& kernels, int num_threads, Stop& stop, std::int8_t* out) const {
    const SampleLayer layer(view_, kernels, num_threads, &stop);
    project(layer, layer.norms(), options_, out, stop);
  }

 private:
  const Array<float> inputs_, targets_;
  const std::optional<States> initial_states_;
  const Steps steps_;
  const SampleView view_;
  ProjectionOptions options_;
};

States project_layer(const Array<float>& inputs, const Array<float>& targets, Objective objective,
                     double scale, AlphaRule alpha_rule, double target_eps, std::size_t num_sweeps,
                     std::vector<double> betas, std::size_t num_reads, InitialState initial,
                     const std::optional<States>& initial_states, std::uint64_t seed,
                     int num_threads, const Steps& steps) {
  const ProjectionTask task(inputs, targets, objective, scale, alpha_rule, target_eps, num_sweeps,
                            std::move(betas), num_reads, initial, initial_states, seed, steps);
  States binary = task.make_states();
  std::int8_t* out = binary.mutable_data();
  run_or_throw(task.work(), num_threads, [&](const KernelTable& table, int threads, Stop& stop) {
    task.solve(table, threads, stop, out);
  });
  return binary;
}

// Solves several projections, of any shapes, on the threads of one call. Each layer is prepared and
// solved by a task of its own, whose loops other threads join. The layers with most work begin
// first, so that threads end together.
std::vector<States> project_layers(const std::vector<const ProjectionTask*>& tasks,
                                   int num_threads) {
  std::vector<States> results;
  std::vector<std::int8_t*> out;
  std::vector<std::size_t> order(tasks.size());
  std::vector<double> works;
  for (const ProjectionTask* task : tasks) {
    results.push_back(task->make_states());
    out.push_back(results.back().mutable_data());
    works.push_back(task->work());
  }
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return works[a] > works[b]; });
  const double work = std::accumulate(works.begin(), works.end(), 0.0);
  run_or_throw(work, num_threads, [&](const KernelTable& table, int threads, Stop& stop) {
    parallel_for(
        tasks.size(), threads,
        [&](std::size_t place, int) {
          if (stop.poll()) return;
          const std::size_t task = order[place];
          // An inner loop uses several threads only if its task has enough work.
          const int own = threads_for(works[task], threads);
          tasks[task]->solve(table, own, stop, out[task]);
        },
        [&] { stop.poll(); });
  });
  return results;
}

Array<double> row_energies(const Array<float>& inputs, const Array<float>& targets,
                           const States& binary, Objective objective, double scale,
                           AlphaRule alpha_rule, double target_eps, int num_threads,
                           const Steps& steps) {
  const SampleView view = view_of(inputs, targets, steps);
  check_binary(binary, view);
  Array<double> energies(targets.shape(1));
  double* out = energies.mutable_data();
  run_or_throw(energy_work(view), num_threads,
               [&](const KernelTable& table, int threads, Stop& stop) {
                 projection_energy(table, view, objective, scale, alpha_rule, target_eps,
                                   binary.data(), threads, out, &stop);
               });
  return energies;
}

void define_projection_enums(py::module_& m) {
  py::native_enum<Objective>(m, "Objective", "enum.Enum")
      .value("quadratic", Objective::kQuadratic)
      .value("sign", Objective::kSign)
      .finalize();
  py::native_enum<AlphaRule>(m, "AlphaRule", "enum.Enum")
      .value("norm", AlphaRule::kNorm)
      .value("fit", AlphaRule::kFit)
      .finalize();
  py::native_enum<InitialState>(m, "InitialState", "enum.Enum")
      .value("linear", InitialState::kLinear)
      .value("random", InitialState::kRandom)
      .value("given", InitialState::kGiven)
      .finalize();
}

}  // namespace

void define_projection(py::module_& m) {
  define_projection_enums(m);
  m.def("project", &project_layer, "inputs"_a.noconvert(), "targets"_a.noconvert(), py::kw_only(),
        "objective"_a, "scale"_a, "alpha"_a, "target_eps"_a, "num_sweeps"_a, "betas"_a,
        "num_reads"_a, "initial"_a, "initial_states"_a.noconvert(), "seed"_a, "num_threads"_a,
        "steps"_a.noconvert() = py::none());
  py::class_<ProjectionTask>(m, "ProjectionTask")
      .def(py::init<Array<float>, Array<float>, Objective, double, AlphaRule, double, std::size_t,
                    std::vector<double>, std::size_t, InitialState, std::optional<States>,
                    std::uint64_t, Steps>(),
           "inputs"_a.noconvert(), "targets"_a.noconvert(), py::kw_only(), "objective"_a, "scale"_a,
           "alpha"_a, "target_eps"_a, "num_sweeps"_a, "betas"_a, "num_reads"_a, "initial"_a,
           "initial_states"_a.noconvert(), "seed"_a, "steps"_a.noconvert() = py::none());
  m.def("project_layers", &project_layers, "tasks"_a, py::kw_only(), "num_threads"_a);
  m.def("projection_energy", &row_energies, "inputs"_a.noconvert(), "targets"_a.noconvert(),
        "binary"_a.noconvert(), py::kw_only(), "objective"_a, "scale"_a, "alpha"_a, "target_eps"_a,
        "num_threads"_a, "steps"_a.noconvert() = py::none());
}

}  // namespace qpsbgd::bindings
