// The extension module qpsbgd._core: registrations only. Arguments are checked in Python
// (python/qpsbgd/projection.py); what is checked here again is what memory safety needs.
#include <pybind11/native_enum.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "bindings/watch.hpp"
#include "core/projection/projection.hpp"
#include "core/projection/sign_qubo.hpp"
#include "core/samplers/anneal.hpp"
#include "core/samplers/descent.hpp"
#include "core/samplers/exhaustive.hpp"
#include "core/samplers/ising.hpp"
#include "core/samplers/precision.hpp"
#include "core/samplers/tabu.hpp"
#include "core/support/dispatch.hpp"
#include "core/support/parallel.hpp"
#include "core/support/stop.hpp"
#include "core/support/streams.hpp"
#include "core/support/work.hpp"

using namespace py::literals;

namespace {

using qpsbgd::bindings::Array;
using qpsbgd::bindings::kInfinity;
using qpsbgd::bindings::PythonWatch;

qpsbgd::SampleView view_of(const Array<float>& inputs, const Array<float>& targets) {
  if (inputs.ndim() != 2 || targets.ndim() != 2 || inputs.shape(0) != targets.shape(0) ||
      inputs.size() == 0 || targets.size() == 0) {
    throw std::invalid_argument("inputs (N, n) and targets (N, m) do not fit");
  }
  return {.inputs = inputs.data(),
          .targets = targets.data(),
          .num_samples = static_cast<std::size_t>(inputs.shape(0)),
          .num_inputs = static_cast<std::size_t>(inputs.shape(1)),
          .num_neurons = static_cast<std::size_t>(targets.shape(1))};
}

void check_binary(const Array<std::int8_t>& states, const qpsbgd::SampleView& view) {
  if (states.ndim() != 2 || static_cast<std::size_t>(states.shape(0)) != view.num_neurons ||
      static_cast<std::size_t>(states.shape(1)) != view.num_inputs) {
    throw std::invalid_argument("states (m, n) do not fit inputs (N, n) and targets (N, m)");
  }
}

qpsbgd::ProjectionOptions options_of(qpsbgd::Objective objective, double scale,
                                     qpsbgd::AlphaRule alpha_rule, double target_eps,
                                     std::size_t num_sweeps, std::vector<double> betas,
                                     std::size_t num_reads, qpsbgd::InitialState initial,
                                     std::uint64_t seed) {
  if (!betas.empty() && betas.size() != num_sweeps) {
    throw std::invalid_argument("betas needs one value a sweep");
  }
  if (num_reads > std::numeric_limits<std::int32_t>::max()) {
    throw std::invalid_argument("num_reads must be less than 2^31");
  }
  qpsbgd::ProjectionOptions options;
  options.objective = objective;
  options.scale = scale;
  options.alpha_rule = alpha_rule;
  options.target_eps = target_eps;
  options.annealing = {.num_sweeps = num_sweeps, .betas = std::move(betas), .seed = seed};
  options.num_reads = num_reads;
  options.initial = initial;
  return options;
}

// Calls work(stop) without the GIL; an exception of a signal's handler, such as KeyboardInterrupt,
// ends it.
template <class Work>
void uninterrupted(const Work& work) {
  PythonWatch watch;
  {
    const py::gil_scoped_release release;
    work(watch.stop());
  }
  watch.rethrow();
}

// Calls solve(out, stop) without the GIL; it fills out (m, n).
template <class Solve>
Array<std::int8_t> solved(std::size_t m, std::size_t n, const Solve& solve) {
  Array<std::int8_t> binary({m, n});
  std::int8_t* out = binary.mutable_data();
  uninterrupted([&](qpsbgd::Stop& stop) { solve(out, stop); });
  return binary;
}

Array<std::int8_t> project(const Array<float>& inputs, const Array<float>& targets,
                           qpsbgd::Objective objective, double scale, qpsbgd::AlphaRule alpha_rule,
                           double target_eps, std::size_t num_sweeps, std::vector<double> betas,
                           std::size_t num_reads, qpsbgd::InitialState initial,
                           const std::optional<Array<std::int8_t>>& initial_states,
                           std::uint64_t seed, int num_threads) {
  const qpsbgd::SampleView view = view_of(inputs, targets);
  qpsbgd::ProjectionOptions options =
      options_of(objective, scale, alpha_rule, target_eps, num_sweeps, std::move(betas), num_reads,
                 initial, seed);
  if ((initial == qpsbgd::InitialState::kGiven) != initial_states.has_value()) {
    throw std::invalid_argument("initial_states goes with InitialState.given");
  }
  if (initial_states) check_binary(*initial_states, view);
  options.initial_states = initial_states ? initial_states->data() : nullptr;
  num_threads = qpsbgd::threads_for(qpsbgd::projection_work(view, options), num_threads);
  // Chosen before others may run: it reads the environment.
  const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
  return solved(view.num_neurons, view.num_inputs, [&](std::int8_t* out, qpsbgd::Stop& stop) {
    const qpsbgd::SampleLayer layer(view, kernels, num_threads, &stop);
    qpsbgd::project(layer, layer.norms(), options, out, stop);
  });
}

// Rows of a layer whose other rows are elsewhere, and the arrays that they are made of.
template <class CoreLayer, class View, class... Arrays>
class Share {
 public:
  Share(const View& view, int num_threads, const Arrays&... arrays) : arrays_(arrays...) {
    num_threads = qpsbgd::threads_for(qpsbgd::packing_work(view), num_threads);
    const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
    PythonWatch watch;
    {
      const py::gil_scoped_release release;
      layer_.emplace(view, kernels, num_threads, &watch.stop());
    }
    watch.rethrow();
  }

  Array<double> norms() const {
    Array<double> out({layer_->num_neurons(), std::size_t{3}});
    double* next = out.mutable_data();
    for (const qpsbgd::RowNorms& row : layer_->norms()) {
      *next++ = row.target2;
      *next++ = row.margin2;
      *next++ = row.product;
    }
    return out;
  }

  Array<std::int8_t> project(const Array<double>& norms, qpsbgd::Objective objective, double scale,
                             qpsbgd::AlphaRule alpha_rule, double target_eps,
                             std::size_t num_sweeps, std::vector<double> betas,
                             std::size_t num_reads, qpsbgd::InitialState initial,
                             std::uint64_t seed) const {
    constexpr bool kSamples = std::is_same_v<CoreLayer, qpsbgd::SampleLayer>;
    if (initial == qpsbgd::InitialState::kGiven) {
      throw std::invalid_argument("rows of a layer take no initial states");
    }
    if (!kSamples && objective == qpsbgd::Objective::kSign) {
      throw std::invalid_argument("the sign objective needs samples");
    }
    if (norms.ndim() != 2 || norms.shape(1) != 3) {
      throw std::invalid_argument("norms needs shape (m, 3)");
    }
    std::vector<qpsbgd::RowNorms> rows;
    for (py::ssize_t r = 0; r < norms.shape(0); ++r) {
      rows.push_back({norms.at(r, 0), norms.at(r, 1), norms.at(r, 2)});
    }
    const qpsbgd::ProjectionOptions options =
        options_of(objective, scale, alpha_rule, target_eps, num_sweeps, std::move(betas),
                   num_reads, initial, seed);
    return solved(layer_->num_neurons(), layer_->num_inputs(),
                  [&](std::int8_t* out, qpsbgd::Stop& stop) {
                    qpsbgd::project(*layer_, rows, options, out, stop);
                  });
  }

 private:
  const std::tuple<Arrays...> arrays_;
  std::optional<CoreLayer> layer_;
};

using SampleShare = Share<qpsbgd::SampleLayer, qpsbgd::SampleView, Array<float>, Array<float>>;
using GramShare = Share<qpsbgd::GramLayer, qpsbgd::GramView, Array<double>, Array<double>,
                        Array<double>, Array<double>>;

std::unique_ptr<SampleShare> make_sample_share(const Array<float>& inputs,
                                               const Array<float>& targets, std::size_t first_row,
                                               int num_threads) {
  qpsbgd::SampleView view = view_of(inputs, targets);
  view.first_row = first_row;
  return std::make_unique<SampleShare>(view, num_threads, inputs, targets);
}

std::unique_ptr<GramShare> make_gram_share(const Array<double>& gram, const Array<double>& cross,
                                           const Array<double>& magnitudes,
                                           const Array<double>& squares, std::size_t num_samples,
                                           std::size_t first_row, int num_threads) {
  if (gram.ndim() != 2 || gram.shape(0) != gram.shape(1) || cross.ndim() != 2 ||
      cross.shape(1) != gram.shape(0) || magnitudes.size() != cross.shape(0) ||
      squares.size() != cross.shape(0) || cross.size() == 0 || num_samples == 0) {
    throw std::invalid_argument(
        "gram (n, n), cross (m, n), magnitudes (m) and squares (m) do not fit");
  }
  const qpsbgd::GramView view{.gram = gram.data(),
                              .cross = cross.data(),
                              .magnitudes = magnitudes.data(),
                              .squares = squares.data(),
                              .num_samples = num_samples,
                              .num_inputs = static_cast<std::size_t>(gram.shape(0)),
                              .num_neurons = static_cast<std::size_t>(cross.shape(0)),
                              .first_row = first_row};
  return std::make_unique<GramShare>(view, num_threads, gram, cross, magnitudes, squares);
}

template <class Layer>
void define_project(py::class_<Layer>& layer) {
  layer.def("norms", &Layer::norms)
      .def("project", &Layer::project, "norms"_a.noconvert(), py::kw_only(), "objective"_a,
           "scale"_a, "alpha"_a, "target_eps"_a, "num_sweeps"_a, "betas"_a, "num_reads"_a,
           "initial"_a, "seed"_a);
}

Array<double> projection_energy(const Array<float>& inputs, const Array<float>& targets,
                                const Array<std::int8_t>& binary, qpsbgd::Objective objective,
                                double scale, qpsbgd::AlphaRule alpha_rule, double target_eps,
                                int num_threads) {
  const qpsbgd::SampleView view = view_of(inputs, targets);
  check_binary(binary, view);
  Array<double> energies(targets.shape(1));
  double* out = energies.mutable_data();
  num_threads = qpsbgd::threads_for(qpsbgd::energy_work(view), num_threads);
  // Chosen before others may run: it reads the environment.
  const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
  uninterrupted([&](qpsbgd::Stop& stop) {
    qpsbgd::projection_energy(kernels, view, objective, scale, alpha_rule, target_eps,
                              binary.data(), num_threads, out, &stop);
  });
  return energies;
}

py::tuple gradient_qubo(const Array<float>& inputs, const Array<float>& targets, double scale,
                        qpsbgd::AlphaRule alpha_rule, int num_threads) {
  const qpsbgd::SampleView view = view_of(inputs, targets);
  Array<float> coupling({inputs.shape(1), inputs.shape(1)});
  Array<float> fields({targets.shape(1), inputs.shape(1)});
  Array<double> offsets(targets.shape(1));
  float *j = coupling.mutable_data(), *h = fields.mutable_data();
  double* offset = offsets.mutable_data();
  const double work = qpsbgd::gradient_work(view);
  num_threads = qpsbgd::threads_for(work, num_threads);
  // Chosen before others may run: it reads the environment.
  const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
  uninterrupted([&](qpsbgd::Stop& stop) {
    qpsbgd::gradient_qubo(kernels, view, scale, alpha_rule, num_threads, j, h, offset, &stop);
  });
  return py::make_tuple(coupling, fields, offsets);
}

// Rows, columns and values (pairs), fields (m, n) and offsets (m).
py::tuple gradient_ising(const Array<float>& inputs, const Array<float>& targets, double scale,
                         qpsbgd::AlphaRule alpha_rule, int num_threads) {
  const qpsbgd::SampleView view = view_of(inputs, targets);
  const auto pairs = static_cast<py::ssize_t>(view.num_inputs * (view.num_inputs - 1) / 2);
  Array<std::int32_t> rows(pairs), columns(pairs);
  Array<double> values(pairs);
  Array<double> fields({view.num_neurons, view.num_inputs});
  Array<double> offsets(targets.shape(1));
  std::int32_t *row = rows.mutable_data(), *column = columns.mutable_data();
  double *j = values.mutable_data(), *h = fields.mutable_data(), *offset = offsets.mutable_data();
  const double work = 10.0 * qpsbgd::gradient_work(view);  // in float64
  num_threads = qpsbgd::threads_for(work, num_threads);
  // Chosen before others may run: it reads the environment.
  const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
  uninterrupted([&](qpsbgd::Stop& stop) {
    qpsbgd::gradient_ising(kernels, view, scale, alpha_rule, num_threads, row, column, j, h, offset,
                           &stop);
  });
  return py::make_tuple(rows, columns, values, fields, offsets);
}

// Patterns (counts, n), thresholds (counts), rows, columns, values (couplings), factors (m), fields
// (m, V) and offsets (m).
py::tuple sign_qubo(const Array<float>& inputs, const Array<float>& targets, double target_eps,
                    double penalty_factor, int num_threads) {
  const qpsbgd::SampleView view = view_of(inputs, targets);
  if (!(target_eps >= 0.0)) throw std::invalid_argument("target_eps must be at least 0");
  num_threads = qpsbgd::threads_for(10.0 * qpsbgd::gradient_work(view), num_threads);
  // Chosen before others may run: it reads the environment.
  const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
  PythonWatch watch;
  std::optional<qpsbgd::SignQubo> problem;
  {
    const py::gil_scoped_release release;
    problem.emplace(view, kernels, target_eps, num_threads, &watch.stop());
  }
  watch.rethrow();
  const auto couplings = static_cast<py::ssize_t>(problem->num_couplings());
  Array<std::int8_t> patterns({problem->num_counts(), view.num_inputs});
  Array<std::int32_t> thresholds(static_cast<py::ssize_t>(problem->num_counts()));
  Array<std::int32_t> rows(couplings), columns(couplings);
  Array<double> values(couplings), factors(targets.shape(1)), offsets(targets.shape(1));
  Array<double> fields({view.num_neurons, problem->num_variables()});
  std::int8_t* pattern = patterns.mutable_data();
  std::int32_t* threshold = thresholds.mutable_data();
  std::int32_t *row = rows.mutable_data(), *column = columns.mutable_data();
  double *value = values.mutable_data(), *factor = factors.mutable_data();
  double *field = fields.mutable_data(), *offset = offsets.mutable_data();
  {
    const py::gil_scoped_release release;
    problem->patterns(pattern);
    problem->thresholds(threshold);
    problem->couplings(row, column, value);
    problem->rows(penalty_factor, factor, field, offset);
    problem.reset();
  }
  watch.rethrow();
  return py::make_tuple(patterns, thresholds, rows, columns, values, factors, fields, offsets);
}

void step_along(Array<float>& weights, const Array<std::int8_t>& binary, float lr, float clip,
                int num_threads) {
  if (weights.size() != binary.size()) throw std::invalid_argument("weights and binary differ");
  float* out = weights.mutable_data();
  const std::int8_t* steps = binary.data();
  const auto count = static_cast<std::size_t>(weights.size());
  num_threads = qpsbgd::threads_for(0.5 * static_cast<double>(count), num_threads);
  const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
  const py::gil_scoped_release release;
  constexpr std::size_t kRun = std::size_t{1} << 16;
  qpsbgd::parallel_for(qpsbgd::divide_up(count, kRun), num_threads, [&](std::size_t run, int) {
    const std::size_t first = run * kRun;
    kernels.elementwise.step_along(out + first, steps + first, std::min(kRun, count - first), lr,
                                   clip);
  });
}

Array<float> exponential(std::uint64_t seed, std::uint64_t problem, std::uint64_t read,
                         std::uint64_t sweep, std::uint32_t first, std::size_t count) {
  Array<float> values(static_cast<py::ssize_t>(count));
  qpsbgd::kernels().elementwise.exponential(qpsbgd::stream_key(seed, problem, read, sweep), first,
                                            count, values.mutable_data());
  return values;
}

Array<float> multiply_adds(const Array<float>& a, const Array<float>& b, const Array<float>& c) {
  if (a.size() != b.size() || a.size() != c.size()) {
    throw std::invalid_argument("a, b and c need one length");
  }
  Array<float> out(a.size());
  qpsbgd::kernels().gemm.multiply_adds(a.data(), b.data(), c.data(),
                                       static_cast<std::size_t>(a.size()), out.mutable_data());
  return out;
}

using States = Array<std::int8_t>;

std::unique_ptr<qpsbgd::Ising> make_ising(const Array<double>& linear,
                                          const Array<std::uint32_t>& rows,
                                          const Array<std::uint32_t>& columns,
                                          const Array<double>& values,
                                          std::optional<qpsbgd::Ising::Form> form) {
  if (rows.size() != columns.size() || rows.size() != values.size()) {
    throw std::invalid_argument("rows, columns and values need one length");
  }
  const auto count = static_cast<std::size_t>(values.size());
  const auto n = static_cast<std::size_t>(linear.size());
  if (n > qpsbgd::kMaxVariables) {
    throw std::invalid_argument("the number of variables must be less than 2^28");
  }
  const qpsbgd::Ising::Interactions interactions{rows.data(), columns.data(), values.data(), count};
  const double* biases = linear.data();
  const auto chosen = form.value_or(qpsbgd::Ising::better_form(n, count));
  PythonWatch watch;
  std::unique_ptr<qpsbgd::Ising> problem;
  try {
    const py::gil_scoped_release release;
    problem = std::make_unique<qpsbgd::Ising>(biases, n, interactions, chosen, 1, &watch.stop());
  } catch (const qpsbgd::Stopped&) {
    watch.rethrow();
    throw;
  }
  return problem;
}

void check_states(const States& states, const qpsbgd::Ising& problem) {
  if (states.ndim() != 2 || static_cast<std::size_t>(states.shape(1)) != problem.num_variables()) {
    throw std::invalid_argument("states (reads, n) do not fit the problem");
  }
}

Array<double> ising_energies(const qpsbgd::Ising& problem, const States& states, int num_threads) {
  check_states(states, problem);
  Array<double> energies(states.shape(0));
  double* out = energies.mutable_data();
  PythonWatch watch;
  const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
  const auto rows = static_cast<std::size_t>(states.shape(0));
  num_threads = qpsbgd::threads_for(qpsbgd::energies_work(problem, rows), num_threads);
  {
    const py::gil_scoped_release release;
    problem.energies(kernels, states.data(), static_cast<std::size_t>(states.shape(0)), num_threads,
                     out, &watch.stop());
  }
  watch.rethrow();
  return energies;
}

// Local fields h_i + sum_j J_ij s_j in float64 from the biases as they were given, (reads, n).
Array<double> ising_fields(const qpsbgd::Ising& problem, const States& states) {
  check_states(states, problem);
  Array<double> fields({states.shape(0), states.shape(1)});
  double* out = fields.mutable_data();
  {
    const py::gil_scoped_release release;
    const std::size_t n = problem.num_variables();
    const auto rows = static_cast<std::size_t>(states.shape(0));
    for (std::size_t row = 0; row < rows; ++row) {
      problem.fields64(states.data() + row * n, out + row * n);
    }
  }
  return fields;
}

// Largest magnitude of each variable's field, |h_i| + sum_j |J_ij|, (n).
Array<double> ising_reach(const qpsbgd::Ising& problem) {
  const std::vector<double>& reach = problem.reach();
  return Array<double>(static_cast<py::ssize_t>(reach.size()), reach.data());
}

bool ising_needs_float64(const qpsbgd::Ising& problem) {
  PythonWatch watch;
  bool needed = false;
  {
    const py::gil_scoped_release release;
    needed = qpsbgd::needs_float64(problem, &watch.stop());
  }
  watch.rethrow();
  return needed;
}

py::tuple anneal(const qpsbgd::Ising& problem, const States& initial_states,
                 std::vector<double> betas, qpsbgd::Acceptance acceptance, bool random_order,
                 bool keep_best, std::uint64_t seed, int num_threads, double time_limit,
                 double energy_threshold, const py::object& watch_function,
                 std::optional<qpsbgd::Precision> precision, bool descend_at_limit,
                 bool descend_always) {
  check_states(initial_states, problem);
  if (precision && !qpsbgd::fits(problem, *precision, random_order)) {
    throw std::invalid_argument("the problem's fields do not fit the precision");
  }
  const auto num_reads = static_cast<std::size_t>(initial_states.shape(0));
  States states({initial_states.shape(0), initial_states.shape(1)});
  std::copy_n(initial_states.data(), initial_states.size(), states.mutable_data());
  Array<std::int64_t> sweeps(initial_states.shape(0));
  std::int8_t* states_out = states.mutable_data();
  std::int64_t* sweeps_out = sweeps.mutable_data();
  num_threads =
      qpsbgd::threads_for(qpsbgd::anneal_work(problem, num_reads, betas.size()), num_threads);
  const qpsbgd::AnnealOptions options{
      .betas = std::move(betas),
      .acceptance = acceptance,
      .random_order = random_order,
      .precision = precision,
      .keep_best = keep_best,
      .descend_at_limit = descend_at_limit,
      .descend_always = descend_always,
      .watch = !watch_function.is_none() || energy_threshold > -kInfinity,
      .seed = seed,
      .num_threads = num_threads};
  PythonWatch watch(time_limit, energy_threshold, watch_function);
  const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
  {
    const py::gil_scoped_release release;
    qpsbgd::anneal(kernels, problem, options, num_reads, states_out, sweeps_out, watch.stop());
  }
  return py::make_tuple(states, sweeps, watch.stop().reason(), watch.exception());
}

py::tuple descend(const qpsbgd::Ising& problem, const States& initial_states,
                  qpsbgd::Precision precision, int num_threads, double time_limit,
                  const py::object& watch_function) {
  check_states(initial_states, problem);
  const auto num_reads = static_cast<std::size_t>(initial_states.shape(0));
  States states({initial_states.shape(0), initial_states.shape(1)});
  std::copy_n(initial_states.data(), initial_states.size(), states.mutable_data());
  Array<std::int64_t> steps(initial_states.shape(0));
  std::int8_t* states_out = states.mutable_data();
  std::int64_t* steps_out = steps.mutable_data();
  num_threads = qpsbgd::threads_for(qpsbgd::descent_work(problem, num_reads), num_threads);
  PythonWatch watch(time_limit, -kInfinity, watch_function);
  const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
  {
    const py::gil_scoped_release release;
    qpsbgd::descend(kernels, problem, precision, num_threads, num_reads, states_out, steps_out,
                    watch.stop());
  }
  return py::make_tuple(states, steps, watch.stop().reason(), watch.exception());
}

py::tuple tabu(const qpsbgd::Ising& problem, const States& initial_states,
               std::size_t shortest_tenure, std::size_t longest_tenure, std::size_t num_restarts,
               std::optional<std::size_t> first_moves, std::optional<std::size_t> restart_moves,
               double seconds_per_read, qpsbgd::Precision precision, std::uint64_t seed,
               int num_threads, double time_limit, double energy_threshold,
               const py::object& watch_function) {
  check_states(initial_states, problem);
  if (shortest_tenure > longest_tenure ||
      (problem.num_variables() > 0 && longest_tenure >= problem.num_variables())) {
    throw std::invalid_argument("tenures must be less than the number of variables");
  }
  const auto num_reads = static_cast<std::size_t>(initial_states.shape(0));
  States states({initial_states.shape(0), initial_states.shape(1)});
  std::copy_n(initial_states.data(), initial_states.size(), states.mutable_data());
  std::int8_t* states_out = states.mutable_data();
  std::vector<qpsbgd::TabuRead> reads(num_reads);
  num_threads = qpsbgd::threads_for(qpsbgd::tabu_work(problem, num_reads, num_restarts,
                                                      restart_moves, seconds_per_read, num_threads),
                                    num_threads);
  const qpsbgd::TabuOptions options{.shortest_tenure = shortest_tenure,
                                    .longest_tenure = longest_tenure,
                                    .num_restarts = num_restarts,
                                    .first_moves = first_moves,
                                    .restart_moves = restart_moves,
                                    .seconds_per_read = seconds_per_read,
                                    .precision = precision,
                                    .seed = seed,
                                    .num_threads = num_threads};
  PythonWatch watch(time_limit, energy_threshold, watch_function);
  const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
  {
    const py::gil_scoped_release release;
    qpsbgd::tabu(kernels, problem, options, num_reads, states_out, reads.data(), watch.stop());
  }
  Array<std::int64_t> restarts(initial_states.shape(0)), moves(initial_states.shape(0));
  bool timed_out = false, all_int16 = num_reads > 0;
  for (std::size_t read = 0; read < num_reads; ++read) {
    restarts.mutable_data()[read] = reads[read].restarts;
    moves.mutable_data()[read] = static_cast<std::int64_t>(reads[read].moves);
    timed_out |= reads[read].timed_out;
    all_int16 &= reads[read].int16 || reads[read].restarts < 0;
  }
  return py::make_tuple(states, restarts, moves, all_int16, timed_out, watch.stop().reason(),
                        watch.exception());
}

py::tuple enumerate(const qpsbgd::Ising& problem, std::size_t num_states, int num_threads,
                    double time_limit, double energy_threshold, const py::object& watch_function) {
  num_threads = qpsbgd::threads_for(qpsbgd::enumeration_work(problem), num_threads);
  PythonWatch watch(time_limit, energy_threshold, watch_function);
  const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
  qpsbgd::LowestStates lowest;
  {
    const py::gil_scoped_release release;
    lowest = qpsbgd::enumerate(kernels, problem, num_states, num_threads, watch.stop());
  }
  States states({lowest.count, problem.num_variables()});
  std::copy(lowest.states.begin(), lowest.states.end(), states.mutable_data());
  return py::make_tuple(states, lowest.num_visited, watch.stop().reason(), watch.exception());
}

}  // namespace

// The GIL is not needed: the core's only mutable globals are the pool of threads, a counter and
// memory that each thread keeps for itself.
PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  py::native_enum<qpsbgd::Objective>(m, "Objective", "enum.Enum")
      .value("quadratic", qpsbgd::Objective::kQuadratic)
      .value("sign", qpsbgd::Objective::kSign)
      .finalize();
  py::native_enum<qpsbgd::AlphaRule>(m, "AlphaRule", "enum.Enum")
      .value("norm", qpsbgd::AlphaRule::kNorm)
      .value("fit", qpsbgd::AlphaRule::kFit)
      .finalize();
  py::native_enum<qpsbgd::InitialState>(m, "InitialState", "enum.Enum")
      .value("linear", qpsbgd::InitialState::kLinear)
      .value("random", qpsbgd::InitialState::kRandom)
      .value("given", qpsbgd::InitialState::kGiven)
      .finalize();

  m.def("project", &project, "inputs"_a.noconvert(), "targets"_a.noconvert(), py::kw_only(),
        "objective"_a, "scale"_a, "alpha"_a, "target_eps"_a, "num_sweeps"_a, "betas"_a,
        "num_reads"_a, "initial"_a, "initial_states"_a.noconvert(), "seed"_a, "num_threads"_a);
  py::class_<SampleShare> sample_layer(m, "SampleLayer");
  sample_layer.def(py::init(&make_sample_share), "inputs"_a.noconvert(), "targets"_a.noconvert(),
                   py::kw_only(), "first_row"_a, "num_threads"_a);
  define_project(sample_layer);
  py::class_<GramShare> gram_layer(m, "GramLayer");
  gram_layer.def(py::init(&make_gram_share), "gram"_a.noconvert(), "cross"_a.noconvert(),
                 "magnitudes"_a.noconvert(), "squares"_a.noconvert(), py::kw_only(),
                 "num_samples"_a, "first_row"_a, "num_threads"_a);
  define_project(gram_layer);
  m.def("step_along", &step_along, "weights"_a.noconvert(), "binary"_a.noconvert(), py::kw_only(),
        "lr"_a, "clip"_a, "num_threads"_a);
  m.def("projection_energy", &projection_energy, "inputs"_a.noconvert(), "targets"_a.noconvert(),
        "binary"_a.noconvert(), py::kw_only(), "objective"_a, "scale"_a, "alpha"_a, "target_eps"_a,
        "num_threads"_a);
  m.def("gradient_qubo", &gradient_qubo, "inputs"_a.noconvert(), "targets"_a.noconvert(),
        py::kw_only(), "scale"_a, "alpha"_a, "num_threads"_a);
  m.def("gradient_ising", &gradient_ising, "inputs"_a.noconvert(), "targets"_a.noconvert(),
        py::kw_only(), "scale"_a, "alpha"_a, "num_threads"_a);
  m.def("sign_qubo", &sign_qubo, "inputs"_a.noconvert(), "targets"_a.noconvert(), py::kw_only(),
        "target_eps"_a, "penalty_factor"_a, "num_threads"_a);
  m.def(
      "first_other_magnitude",
      [](const Array<float>& inputs) {
        if (inputs.ndim() != 2) throw std::invalid_argument("inputs needs shape (N, n)");
        std::size_t position = 0;
        uninterrupted([&](qpsbgd::Stop& stop) {
          position = qpsbgd::first_other_magnitude(
              inputs.data(), static_cast<std::size_t>(inputs.shape(0)),
              static_cast<std::size_t>(inputs.shape(1)), &stop);
        });
        return position;
      },
      "inputs"_a.noconvert());
  m.def(
      "first_nonfinite",
      [](const Array<float>& values) {
        const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
        const auto count = static_cast<std::size_t>(values.size());
        std::size_t position = 0;
        uninterrupted([&](qpsbgd::Stop& stop) {
          position = qpsbgd::first_nonfinite(kernels, values.data(), count, &stop);
        });
        return position;
      },
      "values"_a.noconvert());
  py::native_enum<qpsbgd::Acceptance>(m, "Acceptance", "enum.Enum")
      .value("Metropolis", qpsbgd::Acceptance::kMetropolis)
      .value("Gibbs", qpsbgd::Acceptance::kGibbs)
      .finalize();
  py::native_enum<qpsbgd::Ising::Form>(m, "Form", "enum.Enum")
      .value("dense", qpsbgd::Ising::Form::kDense)
      .value("sparse", qpsbgd::Ising::Form::kSparse)
      .finalize();
  py::native_enum<qpsbgd::Precision>(m, "Precision", "enum.Enum")
      .value("float32", qpsbgd::Precision::kFloat32)
      .value("int16", qpsbgd::Precision::kInt16)
      .value("float64", qpsbgd::Precision::kFloat64)
      .finalize();
  py::native_enum<qpsbgd::Stop::Reason>(m, "StopReason", "enum.Enum")
      .value("finished", qpsbgd::Stop::Reason::kNone)
      .value("time_limit", qpsbgd::Stop::Reason::kTimeLimit)
      .value("interrupt", qpsbgd::Stop::Reason::kInterrupt)
      .value("energy_threshold", qpsbgd::Stop::Reason::kEnergyThreshold)
      .finalize();
  py::class_<qpsbgd::Ising>(m, "Ising")
      .def(py::init(&make_ising), "linear"_a.noconvert(), "rows"_a.noconvert(),
           "columns"_a.noconvert(), "values"_a.noconvert(), "form"_a = py::none())
      .def_property_readonly("form", &qpsbgd::Ising::form)
      .def_property_readonly("exact", [](const qpsbgd::Ising& problem) { return problem.exact(); })
      .def_property_readonly("num_variables", &qpsbgd::Ising::num_variables)
      .def_property_readonly("reach", &ising_reach)
      .def("energies", &ising_energies, "states"_a.noconvert(), py::kw_only(), "num_threads"_a)
      .def("fields", &ising_fields, "states"_a.noconvert())
      .def("anneal", &anneal, "initial_states"_a.noconvert(), py::kw_only(), "betas"_a,
           "acceptance"_a, "random_order"_a, "keep_best"_a, "seed"_a, "num_threads"_a,
           "time_limit"_a, "energy_threshold"_a, "watch"_a, "precision"_a = py::none(),
           "descend_at_limit"_a = false, "descend_always"_a = false)
      .def("fits", &qpsbgd::fits, "precision"_a, py::kw_only(), "random_order"_a)
      .def(
          "best_precision",
          [](const qpsbgd::Ising& problem, bool random_order, std::size_t num_reads) {
            return ising_needs_float64(problem)
                       ? qpsbgd::Precision::kFloat64
                       : qpsbgd::narrow_precision(problem, random_order, num_reads);
          },
          py::kw_only(), "random_order"_a, "num_reads"_a)
      .def("needs_float64", &ising_needs_float64)
      .def("descend", &descend, "initial_states"_a.noconvert(), py::kw_only(), "precision"_a,
           "num_threads"_a, "time_limit"_a, "watch"_a)
      .def("tabu_fits", &qpsbgd::tabu_fits, "precision"_a)
      .def("best_tabu_precision",
           [](const qpsbgd::Ising& problem) {
             return ising_needs_float64(problem) ? qpsbgd::Precision::kFloat64
                                                 : qpsbgd::narrow_tabu_precision(problem);
           })
      .def("tabu", &tabu, "initial_states"_a.noconvert(), py::kw_only(), "shortest_tenure"_a,
           "longest_tenure"_a, "num_restarts"_a, "first_moves"_a, "restart_moves"_a,
           "seconds_per_read"_a, "precision"_a, "seed"_a, "num_threads"_a, "time_limit"_a,
           "energy_threshold"_a, "watch"_a)
      .def("enumerate", &enumerate, py::kw_only(), "num_states"_a, "num_threads"_a, "time_limit"_a,
           "energy_threshold"_a, "watch"_a);
  m.def("better_form", &qpsbgd::Ising::better_form, "num_variables"_a, "num_interactions"_a);
  qpsbgd::bindings::define_batch(m);
  m.attr("max_exhaustive_variables") = qpsbgd::kMaxExhaustiveVariables;
  m.def("multiply_adds", &multiply_adds, "a"_a.noconvert(), "b"_a.noconvert(), "c"_a.noconvert());
  m.def("exponential", &exponential, py::kw_only(), "seed"_a, "problem"_a, "read"_a, "sweep"_a,
        "first"_a, "count"_a);

  m.def("isa", [] { return std::string(qpsbgd::kernels().isa); });
  m.def("available_isas", &qpsbgd::available_isas);
  m.def("threads_backend", [] { return std::string(qpsbgd::threads_backend()); });
  m.def("default_num_threads", &qpsbgd::default_num_threads);
  m.def("num_parallel_loops", &qpsbgd::num_parallel_loops);
  m.attr("compiler") = QPSBGD_COMPILER;
  m.attr("__version__") = QPSBGD_VERSION;
}
