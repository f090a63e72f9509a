// Bindings of the projection of a layer's gradient.
#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "bindings/module.hpp"
#include "bindings/sample_view.hpp"
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

ProjectionOptions make_options(Objective objective, double scale, AlphaRule alpha_rule,
                               double target_eps, std::size_t num_sweeps, std::vector<double> betas,
                               std::size_t num_reads, InitialState initial, std::uint64_t seed) {
  if (!betas.empty() && betas.size() != num_sweeps) {
    throw std::invalid_argument("betas must be empty or have one value for each sweep");
  }
  if (num_reads > std::numeric_limits<std::int32_t>::max()) {
    throw std::invalid_argument("num_reads must be less than 2^31");
  }
  ProjectionOptions options;
  options.objective = objective;
  options.scale = scale;
  options.alpha_rule = alpha_rule;
  options.target_eps = target_eps;
  options.annealing = {.num_sweeps = num_sweeps, .betas = std::move(betas), .seed = seed};
  options.num_reads = num_reads;
  options.initial = initial;
  return options;
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
  run_uninterrupted(task.work(), num_threads,
                    [&](const KernelTable& table, int threads, Stop& stop) {
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
  run_uninterrupted(work, num_threads, [&](const KernelTable& table, int threads, Stop& stop) {
    parallel_for(
        tasks.size(), threads,
        [&](std::size_t place, int) {
          if (stop.poll()) return;
          const std::size_t task = order[place];
          // A loop inside a task that is not worth several threads costs more than it saves.
          const int own = threads_for(works[task], threads);
          tasks[task]->solve(table, own, stop, out[task]);
        },
        [&] { stop.poll(); });
  });
  return results;
}

// Some rows of a layer, with the arrays that they refer to. Other processes solve the other rows.
template <class CoreLayer, class View, class... Arrays>
class LayerRows {
 public:
  LayerRows(const View& view, int num_threads, const Arrays&... arrays) : arrays_(arrays...) {
    run_uninterrupted(packing_work(view), num_threads,
                      [&](const KernelTable& table, int threads, Stop& stop) {
                        layer_.emplace(view, table, threads, &stop);
                      });
  }

  // Returns target2, margin2 and product of each row (m, 3).
  Array<double> norms() const {
    Array<double> out({layer_->num_neurons(), std::size_t{3}});
    double* next = out.mutable_data();
    for (const RowNorms& row : layer_->norms()) {
      *next++ = row.target2;
      *next++ = row.margin2;
      *next++ = row.product;
    }
    return out;
  }

  States project_rows(const Array<double>& norms, Objective objective, double scale,
                      AlphaRule alpha_rule, double target_eps, std::size_t num_sweeps,
                      std::vector<double> betas, std::size_t num_reads, InitialState initial,
                      std::uint64_t seed) const {
    if (initial == InitialState::kGiven) {
      throw std::invalid_argument("some rows of a layer take no initial states");
    }
    if (!std::is_same_v<CoreLayer, SampleLayer> && objective == Objective::kSign) {
      throw std::invalid_argument("the sign objective needs samples, not their products");
    }
    if (norms.ndim() != 2 || norms.shape(1) != 3) {
      throw std::invalid_argument("norms must have shape (m, 3)");
    }
    std::vector<RowNorms> all_norms;
    for (py::ssize_t r = 0; r < norms.shape(0); ++r) {
      all_norms.push_back({norms.at(r, 0), norms.at(r, 1), norms.at(r, 2)});
    }
    const ProjectionOptions options =
        make_options(objective, scale, alpha_rule, target_eps, num_sweeps, std::move(betas),
                     num_reads, initial, seed);
    States binary({layer_->num_neurons(), layer_->num_inputs()});
    std::int8_t* out = binary.mutable_data();
    // The layer knows its kernels and threads.
    run_uninterrupted(0.0, 1, [&](const KernelTable&, int, Stop& stop) {
      project(*layer_, all_norms, options, out, stop);
    });
    return binary;
  }

 private:
  const std::tuple<Arrays...> arrays_;
  std::optional<CoreLayer> layer_;
};

using SampleRows = LayerRows<SampleLayer, SampleView, Array<float>, Array<float>>;
using GramRows =
    LayerRows<GramLayer, GramView, Array<double>, Array<double>, Array<double>, Array<double>>;

std::unique_ptr<SampleRows> make_sample_rows(const Array<float>& inputs,
                                             const Array<float>& targets, std::size_t first_row,
                                             int num_threads) {
  SampleView view = view_of(inputs, targets);
  view.first_row = first_row;
  return std::make_unique<SampleRows>(view, num_threads, inputs, targets);
}

std::unique_ptr<GramRows> make_gram_rows(const Array<double>& gram, const Array<double>& cross,
                                         const Array<double>& magnitudes,
                                         const Array<double>& squares, std::size_t num_samples,
                                         std::size_t first_row, int num_threads) {
  if (gram.ndim() != 2 || gram.shape(0) != gram.shape(1) || cross.ndim() != 2 ||
      cross.shape(1) != gram.shape(0) || magnitudes.size() != cross.shape(0) ||
      squares.size() != cross.shape(0) || cross.size() == 0 || num_samples == 0) {
    throw std::invalid_argument(
        "gram, cross, magnitudes and squares must have shapes (n, n), (m, n), (m,) and (m,), and "
        "no zero size");
  }
  const GramView view{.gram = gram.data(),
                      .cross = cross.data(),
                      .magnitudes = magnitudes.data(),
                      .squares = squares.data(),
                      .num_samples = num_samples,
                      .num_inputs = static_cast<std::size_t>(gram.shape(0)),
                      .num_neurons = static_cast<std::size_t>(cross.shape(0)),
                      .first_row = first_row};
  return std::make_unique<GramRows>(view, num_threads, gram, cross, magnitudes, squares);
}

// Solves several layers given as products, which have one shape and options that differ in the
// seed. One call for all of them matters where they are tiny, as in a depthwise convolution.
States project_products(const Array<double>& grams, const Array<double>& crosses,
                        const Array<double>& magnitudes, const Array<double>& squares,
                        std::size_t num_samples, const std::vector<std::uint64_t>& seeds,
                        double scale, AlphaRule alpha_rule, std::size_t num_sweeps,
                        std::vector<double> betas, std::size_t num_reads, InitialState initial,
                        int num_threads) {
  const bool has_dimensions = grams.ndim() == 3 && crosses.ndim() == 3;
  if (!has_dimensions || grams.shape(1) != grams.shape(2) || grams.shape(0) != crosses.shape(0) ||
      grams.shape(1) != crosses.shape(2) ||
      static_cast<py::ssize_t>(seeds.size()) != crosses.shape(0) ||
      magnitudes.size() != crosses.shape(0) * crosses.shape(1) ||
      squares.size() != magnitudes.size() || crosses.size() == 0 || num_samples == 0) {
    throw std::invalid_argument(
        "grams, crosses, magnitudes, squares and seeds must have shapes (G, n, n), (G, m, n), "
        "(G, m), (G, m) and (G,), and no zero size");
  }
  if (initial == InitialState::kGiven) {
    throw std::invalid_argument("layers given as products take no initial states");
  }
  const std::size_t groups = seeds.size();
  const auto m = static_cast<std::size_t>(crosses.shape(1));
  const auto n = static_cast<std::size_t>(crosses.shape(2));
  const auto view_of_group = [&](std::size_t group) {
    return GramView{.gram = grams.data() + group * n * n,
                    .cross = crosses.data() + group * m * n,
                    .magnitudes = magnitudes.data() + group * m,
                    .squares = squares.data() + group * m,
                    .num_samples = num_samples,
                    .num_inputs = n,
                    .num_neurons = m};
  };
  const ProjectionOptions options =
      make_options(Objective::kQuadratic, scale, alpha_rule, 0.0, num_sweeps, std::move(betas),
                   num_reads, initial, 0);
  States binary({groups, m, n});
  std::int8_t* out = binary.mutable_data();
  const double work = static_cast<double>(groups) * projection_work(view_of_group(0), options);
  run_uninterrupted(work, num_threads, [&](const KernelTable& table, int threads, Stop& stop) {
    parallel_for(
        groups, threads,
        [&](std::size_t group, int) {
          const GramLayer layer(view_of_group(group), table, threads, &stop);
          ProjectionOptions own = options;
          own.annealing.seed = seeds[group];
          // Without curvature the linear term decides. It is not 0 if X^T X is that of some
          // samples.
          if (unit_alpha(layer.norms(), alpha_rule) == 0.0) own.initial = InitialState::kLinear;
          project(layer, layer.norms(), own, out + group * m * n, stop);
        },
        [&] { stop.poll(); });
  });
  return binary;
}

template <class Rows>
void define_rows(py::class_<Rows>& rows) {
  rows.def("norms", &Rows::norms)
      .def("project", &Rows::project_rows, "norms"_a.noconvert(), py::kw_only(), "objective"_a,
           "scale"_a, "alpha"_a, "target_eps"_a, "num_sweeps"_a, "betas"_a, "num_reads"_a,
           "initial"_a, "seed"_a);
}

Array<double> row_energies(const Array<float>& inputs, const Array<float>& targets,
                           const States& binary, Objective objective, double scale,
                           AlphaRule alpha_rule, double target_eps, int num_threads,
                           const Steps& steps) {
  const SampleView view = view_of(inputs, targets, steps);
  check_binary(binary, view);
  Array<double> energies(targets.shape(1));
  double* out = energies.mutable_data();
  run_uninterrupted(energy_work(view), num_threads,
                    [&](const KernelTable& table, int threads, Stop& stop) {
                      projection_energy(table, view, objective, scale, alpha_rule, target_eps,
                                        binary.data(), threads, out, &stop);
                    });
  return energies;
}

void define_enums(py::module_& m) {
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
  define_enums(m);
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
  py::class_<SampleRows> sample_layer(m, "SampleLayer");
  sample_layer.def(py::init(&make_sample_rows), "inputs"_a.noconvert(), "targets"_a.noconvert(),
                   py::kw_only(), "first_row"_a, "num_threads"_a);
  define_rows(sample_layer);
  py::class_<GramRows> gram_layer(m, "GramLayer");
  gram_layer.def(py::init(&make_gram_rows), "gram"_a.noconvert(), "cross"_a.noconvert(),
                 "magnitudes"_a.noconvert(), "squares"_a.noconvert(), py::kw_only(),
                 "num_samples"_a, "first_row"_a, "num_threads"_a);
  define_rows(gram_layer);
  m.def("project_products", &project_products, "grams"_a.noconvert(), "crosses"_a.noconvert(),
        "magnitudes"_a.noconvert(), "squares"_a.noconvert(), py::kw_only(), "num_samples"_a,
        "seeds"_a, "scale"_a, "alpha"_a, "num_sweeps"_a, "betas"_a, "num_reads"_a, "initial"_a,
        "num_threads"_a);
  m.def("projection_energy", &row_energies, "inputs"_a.noconvert(), "targets"_a.noconvert(),
        "binary"_a.noconvert(), py::kw_only(), "objective"_a, "scale"_a, "alpha"_a, "target_eps"_a,
        "num_threads"_a, "steps"_a.noconvert() = py::none());
}

}  // namespace qpsbgd::bindings
