// Bindings of the Ising problems that a layer's gradient poses to other solvers.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
#include <stdexcept>

#include "bindings/module.hpp"
#include "bindings/projection/sample_view.hpp"
#include "bindings/watch.hpp"
#include "core/encoding/gradient_problems.hpp"
#include "core/encoding/sign_qubo.hpp"
#include "core/matrices/inputs.hpp"

using namespace py::literals;

namespace qpsbgd::bindings {
namespace {

// Returns fields h (m, n), couplings J (n, n) and offsets (m).
py::tuple ising_of_gradient(const Array<float>& inputs, const Array<float>& targets, double scale,
                            AlphaRule alpha_rule, int num_threads) {
  const SampleView view = view_of(inputs, targets);
  Array<float> coupling({inputs.shape(1), inputs.shape(1)});
  Array<float> fields({targets.shape(1), inputs.shape(1)});
  Array<double> offsets(targets.shape(1));
  float *j = coupling.mutable_data(), *h = fields.mutable_data();
  double* offset = offsets.mutable_data();
  run_or_throw(gradient_work(view), num_threads,
               [&](const KernelTable& table, int threads, Stop& stop) {
                 gradient_ising(table, view, scale, alpha_rule, threads, j, h, offset, &stop);
               });
  return py::make_tuple(fields, coupling, offsets);
}

// Sums in float64 take about this many times as long as in float32.
constexpr double kFloat64Slowdown = 10.0;

// Returns rows, columns and values of the n (n - 1) / 2 couplings, fields (m, n) and offsets (m).
py::tuple pairs_of_gradient(const Array<float>& inputs, const Array<float>& targets, double scale,
                            AlphaRule alpha_rule, int num_threads) {
  const SampleView view = view_of(inputs, targets);
  const auto pairs = static_cast<py::ssize_t>(view.num_inputs * (view.num_inputs - 1) / 2);
  Array<std::int32_t> rows(pairs), columns(pairs);
  Array<double> values(pairs);
  Array<double> fields({view.num_neurons, view.num_inputs});
  Array<double> offsets(targets.shape(1));
  std::int32_t *row = rows.mutable_data(), *column = columns.mutable_data();
  double *j = values.mutable_data(), *h = fields.mutable_data(), *offset = offsets.mutable_data();
  run_or_throw(kFloat64Slowdown * gradient_work(view), num_threads,
               [&](const KernelTable& table, int threads, Stop& stop) {
                 gradient_ising_pairs(table, view, scale, alpha_rule, threads, row, column, j, h,
                                      offset, &stop);
               });
  return py::make_tuple(rows, columns, values, fields, offsets);
}

// Returns patterns (counts, n), thresholds (counts), rows, columns and values of the couplings,
// factors (m), fields (m, num_variables) and offsets (m).
py::tuple qubo_of_signs(const Array<float>& inputs, const Array<float>& targets, double target_eps,
                        double penalty_factor, int num_threads) {
  const SampleView view = view_of(inputs, targets);
  if (!(target_eps >= 0.0)) throw std::invalid_argument("target_eps must be at least 0");
  const double work = kFloat64Slowdown * gradient_work(view);
  std::optional<SignQubo> problem;
  run_or_throw(work, num_threads, [&](const KernelTable& table, int threads, Stop& stop) {
    problem.emplace(view, table, target_eps, threads, &stop);
  });
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
  run_or_throw(work, num_threads, [&](const KernelTable&, int, Stop& stop) {
    problem->patterns(pattern);
    problem->thresholds(threshold);
    problem->couplings(row, column, value, &stop);
    problem->rows(penalty_factor, factor, field, offset, &stop);
    problem.reset();  // may take long
  });
  return py::make_tuple(patterns, thresholds, rows, columns, values, factors, fields, offsets);
}

// Returns the position of the first entry that SignQubo does not take, or the size of inputs.
std::size_t find_other_magnitude(const Array<float>& inputs) {
  if (inputs.ndim() != 2) throw std::invalid_argument("inputs must have shape (N, n)");
  std::size_t position = 0;
  run_or_throw(0.0, 1, [&](const KernelTable&, int, Stop& stop) {
    position = first_other_magnitude(inputs.data(), static_cast<std::size_t>(inputs.shape(0)),
                                     static_cast<std::size_t>(inputs.shape(1)), &stop);
  });
  return position;
}

// Returns the position of the first NaN or infinity, or the size of values.
std::size_t find_nonfinite(const Array<float>& values) {
  std::size_t position = 0;
  run_or_throw(0.0, 1, [&](const KernelTable& table, int, Stop& stop) {
    position =
        first_nonfinite(table, values.data(), static_cast<std::size_t>(values.size()), &stop);
  });
  return position;
}

}  // namespace

void define_qubos(py::module_& m) {
  m.def("gradient_ising", &ising_of_gradient, "inputs"_a.noconvert(), "targets"_a.noconvert(),
        py::kw_only(), "scale"_a, "alpha"_a, "num_threads"_a);
  m.def("gradient_ising_pairs", &pairs_of_gradient, "inputs"_a.noconvert(), "targets"_a.noconvert(),
        py::kw_only(), "scale"_a, "alpha"_a, "num_threads"_a);
  m.def("sign_qubo", &qubo_of_signs, "inputs"_a.noconvert(), "targets"_a.noconvert(), py::kw_only(),
        "target_eps"_a, "penalty_factor"_a, "num_threads"_a);
  m.def("first_other_magnitude", &find_other_magnitude, "inputs"_a.noconvert());
  m.def("first_nonfinite", &find_nonfinite, "values"_a.noconvert());
}

}  // namespace qpsbgd::bindings
