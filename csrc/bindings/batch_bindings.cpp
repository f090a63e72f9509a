// Bindings of batches: many Ising problems of one size in one call.
#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "bindings/module.hpp"
#include "bindings/watch.hpp"
#include "core/batch/batch.hpp"
#include "core/ising/precision.hpp"

using namespace py::literals;

namespace qpsbgd::bindings {
namespace {

using Indices = Array<std::uint32_t>;
using Matrices = std::variant<Array<double>, Array<float>>;   // (n, n) or (num_problems, n, n)
using Factor = std::tuple<Array<float>, double>;              // A (rank, n) and its scale
using Pattern = std::tuple<Indices, Indices, Array<double>>;  // values: (num_problems, num_pairs)
using Couplings = std::variant<Array<double>, Array<float>, Factor, Pattern>;

template <class Value>
MatrixView view_of(const Array<Value>& matrices) {
  const auto ndim = matrices.ndim();
  if ((ndim != 2 && ndim != 3) || matrices.shape(ndim - 1) != matrices.shape(ndim - 2)) {
    throw std::invalid_argument("couplings must have shape (n, n) or (num_problems, n, n)");
  }
  return {matrices.data(), static_cast<std::size_t>(matrices.shape(ndim - 1))};
}
MatrixView view_of(const Matrices& matrices) {
  return std::visit([](const auto& array) { return view_of(array); }, matrices);
}

bool is_shared(const Matrices& matrices) {
  return std::visit([](const auto& array) { return array.ndim() == 2; }, matrices);
}
std::size_t count_of(const Matrices& matrices) {
  return is_shared(matrices)
             ? 1
             : std::visit(
                   [](const auto& array) { return static_cast<std::size_t>(array.shape(0)); },
                   matrices);
}

void check(bool fits, const char* rule) {
  if (!fits) throw std::invalid_argument(rule);
}

// Sets the couplings of a view, whose sizes the caller has set.
struct SetCouplings {
  BatchView& view;

  template <class Value>
  void operator()(const Array<Value>& matrices) const {
    const MatrixView all = view_of(matrices);
    view.couplings = all;
    view.shared = matrices.ndim() == 2;
    check(all.size() == view.num_variables,
          "couplings and linear must have the same number of variables");
    check(view.shared || static_cast<std::size_t>(matrices.shape(0)) == view.num_problems,
          "couplings and linear must have the same number of problems");
  }
  void operator()(const Factor& factor) const {
    const auto& [values, scale] = factor;
    check(values.ndim() == 2 && static_cast<std::size_t>(values.shape(1)) == view.num_variables,
          "the factor must have shape (rank, n)");
    view.couplings = FactorView{values.data(), static_cast<std::size_t>(values.shape(0)), scale};
    view.shared = true;
  }
  void operator()(const Pattern& pattern) const {
    const auto& [rows, columns, values] = pattern;
    check(rows.size() == columns.size() && (values.ndim() == 1 || values.ndim() == 2) &&
              values.shape(values.ndim() - 1) == rows.size(),
          "rows, columns and values must have the same number of pairs");
    view.shared = values.ndim() == 1;
    check(view.shared || static_cast<std::size_t>(values.shape(0)) == view.num_problems,
          "values and linear must have the same number of problems");
    view.couplings = PatternView{rows.data(), columns.data(), values.data(),
                                 static_cast<std::size_t>(rows.size())};
  }
};

// Returns an array (num_problems, num_reads), or (num_problems, num_reads, n) for values of
// variables.
Array<double> results_for(const States& states, bool of_variables) {
  std::vector<py::ssize_t> shape(states.shape(), states.shape() + (of_variables ? 3 : 2));
  return Array<double>(shape);
}

BatchView view_of(const Couplings& couplings, const Array<double>& linear) {
  check(linear.ndim() == 2 && linear.shape(0) > 0, "linear must have shape (num_problems, n)");
  BatchView view{.couplings = FactorView{},
                 .shared = true,
                 .linear = linear.data(),
                 .num_problems = static_cast<std::size_t>(linear.shape(0)),
                 .num_variables = static_cast<std::size_t>(linear.shape(1))};
  check(view.num_variables <= kMaxVariables, "the number of variables must be less than 2^28");
  std::visit(SetCouplings{view}, couplings);
  return view;
}

// Returns whether any problem needs float64. With a factor the first problem decides for all.
bool problems_need_float64(const Couplings& couplings, const Array<double>& linear,
                           int num_threads) {
  const BatchView view = view_of(couplings, linear);
  bool needed = false;
  run_or_throw(precision_work(view), num_threads,
               [&](const KernelTable& table, int threads, Stop& stop) {
                 const auto* factor = std::get_if<FactorView>(&view.couplings);
                 needed = factor != nullptr ? needs_float64(table, view.linear, view.num_variables,
                                                            *factor, threads, &stop)
                                            : batch_needs_float64(table, view, threads, stop);
               });
  return needed;
}

py::tuple solve(const Couplings& couplings, const Array<double>& linear,
                const States& initial_states, BatchMethod method, BatchForm form, bool wide,
                std::vector<double> betas, std::vector<double> beta_factors, Acceptance acceptance,
                bool keep_best, std::size_t moves, std::size_t tenure, std::uint64_t seed,
                std::uint64_t number, int num_threads, double time_limit) {
  const BatchView view = view_of(couplings, linear);
  const auto problems = linear.shape(0), n = linear.shape(1);
  const bool factor = std::holds_alternative<FactorView>(view.couplings);
  const bool matrices = std::holds_alternative<MatrixView>(view.couplings);
  check(factor == (form == BatchForm::kLowRank),
        "a factor needs BatchForm.low_rank, and matrices and pairs another form");
  check(form != BatchForm::kInterleaved || (matrices && !view.shared),
        "BatchForm.interleaved needs a matrix of couplings for each problem");
  check(!wide || form == BatchForm::kDense, "float64 needs BatchForm.dense");
  check(method == BatchMethod::kAnneal || form == BatchForm::kDense,
        "descent and tabu search need BatchForm.dense");
  check(initial_states.ndim() == 3 && initial_states.shape(0) == problems &&
            initial_states.shape(2) == n,
        "initial_states must have shape (num_problems, num_reads, n)");
  check(beta_factors.size() == view.num_problems,
        "beta_factors must have one value for each problem");
  check(n == 0 || tenure < view.num_variables, "tenure must be less than the number of variables");
  States states({problems, initial_states.shape(1), n});
  std::copy_n(initial_states.data(), initial_states.size(), states.mutable_data());
  Array<std::uint8_t> done(problems);
  std::int8_t* states_out = states.mutable_data();
  std::uint8_t* done_out = done.mutable_data();
  std::optional<Array<double>> energies;  // of the interleaved form
  if (form == BatchForm::kInterleaved) energies.emplace(results_for(states, false));
  double* energies_out = energies ? energies->mutable_data() : nullptr;
  BatchOptions options{.method = method,
                       .form = form,
                       .num_reads = static_cast<std::size_t>(initial_states.shape(1)),
                       .betas = std::move(betas),
                       .beta_factors = std::move(beta_factors),
                       .acceptance = acceptance,
                       .wide = wide,
                       .keep_best = keep_best,
                       .moves = moves,
                       .tenure = tenure,
                       .seed = seed,
                       .number = number};
  const auto ending =
      run_sampler(batch_work(view, options), num_threads, {.seconds = time_limit},
                  [&](const KernelTable& table, int threads, Stop& stop) {
                    options.num_threads = threads;
                    solve_batch(table, view, options, states_out, done_out, energies_out, stop);
                  });
  return py::make_tuple(states, energies, done, ending.reason, ending.exception);
}

// Returns the first unsound entry, or None, and the largest magnitude of each matrix.
py::tuple check_matrices(const Matrices& matrices, int num_threads) {
  const MatrixView view = view_of(matrices);
  const std::size_t count = count_of(matrices);
  Array<double> largest(static_cast<py::ssize_t>(count));
  double* largest_out = largest.mutable_data();
  std::optional<BadEntry> bad;
  run_or_throw(matrices_work(count, view.size()), num_threads,
               [&](const KernelTable& table, int threads, Stop&) {
                 bad = find_bad_entry(table, view, count, threads, largest_out);
               });
  py::object entry = py::none();
  if (bad) entry = py::make_tuple(bad->matrix, bad->row, bad->column);
  return py::make_tuple(entry, largest);
}

void check_linear(const Array<double>& linear, const Matrices& matrices, const MatrixView& view) {
  check(linear.ndim() == 2 && static_cast<std::size_t>(linear.shape(1)) == view.size(),
        "linear must have shape (num_problems, n)");
  check(is_shared(matrices) || count_of(matrices) == static_cast<std::size_t>(linear.shape(0)),
        "couplings and linear must have the same number of problems");
}

py::tuple magnitudes(const Matrices& matrices, const Array<double>& coupling,
                     const Array<double>& linear, int num_threads) {
  const MatrixView view = view_of(matrices);
  check_linear(linear, matrices, view);
  check(static_cast<std::size_t>(coupling.size()) == count_of(matrices),
        "coupling must have one value for each matrix");
  const bool shared = is_shared(matrices);
  Array<double> largest(linear.shape(0)), typical(linear.shape(0));
  double *largest_out = largest.mutable_data(), *typical_out = typical.mutable_data();
  const auto problems = static_cast<std::size_t>(linear.shape(0));
  run_or_throw(matrices_work(count_of(matrices), view.size()), num_threads,
               [&](const KernelTable& table, int threads, Stop&) {
                 batch_magnitudes(table, view, shared, coupling.data(), linear.data(), problems,
                                  threads, largest_out, typical_out);
               });
  return py::make_tuple(largest, typical);
}

BatchStates batch_states_of(const Array<double>& linear, const States& states) {
  check(states.ndim() == 3 && linear.ndim() == 2 && states.shape(0) == linear.shape(0) &&
            states.shape(2) == linear.shape(1),
        "states must have shape (num_problems, num_reads, n)");
  return {.linear = linear.data(),
          .states = states.data(),
          .num_problems = static_cast<std::size_t>(states.shape(0)),
          .num_reads = static_cast<std::size_t>(states.shape(1)),
          .num_variables = static_cast<std::size_t>(states.shape(2))};
}

template <bool kFields>
Array<double> of_matrices(const Matrices& matrices, const Array<double>& linear,
                          const States& states, int num_threads) {
  const MatrixView view = view_of(matrices);
  check_linear(linear, matrices, view);
  const BatchStates batch = batch_states_of(linear, states);
  const bool shared = is_shared(matrices);
  Array<double> results = results_for(states, kFields);
  double* out = results.mutable_data();
  run_or_throw(products_work(batch, view.size()), num_threads,
               [&](const KernelTable& table, int threads, Stop&) {
                 (kFields ? batch_fields : batch_energies)(table, view, shared, batch, threads,
                                                           out);
               });
  return results;
}

template <bool kFields>
Array<double> of_factor(const Array<double>& factor, double scale, const Array<double>& linear,
                        const States& states, int num_threads) {
  const BatchStates batch = batch_states_of(linear, states);
  check(factor.ndim() == 2 && factor.shape(1) == linear.shape(1),
        "the factor must have shape (rank, n)");
  const auto rank = static_cast<std::size_t>(factor.shape(0));
  Array<double> results = results_for(states, kFields);
  double* out = results.mutable_data();
  run_or_throw(products_work(batch, rank), num_threads,
               [&](const KernelTable& table, int threads, Stop&) {
                 (kFields ? factor_fields : factor_energies)(table, factor.data(), rank, scale,
                                                             batch, threads, out);
               });
  return results;
}

}  // namespace

void define_batch(py::module_& m) {
  py::native_enum<BatchMethod>(m, "BatchMethod", "enum.Enum")
      .value("sa", BatchMethod::kAnneal)
      .value("descent", BatchMethod::kDescent)
      .value("tabu", BatchMethod::kTabu)
      .finalize();
  py::native_enum<BatchForm>(m, "BatchForm", "enum.Enum")
      .value("dense", BatchForm::kDense)
      .value("interleaved", BatchForm::kInterleaved)
      .value("low_rank", BatchForm::kLowRank)
      .finalize();
  m.def("batch_needs_float64", &problems_need_float64, "couplings"_a.noconvert(),
        "linear"_a.noconvert(), py::kw_only(), "num_threads"_a);
  m.def("solve_batch", &solve, "couplings"_a.noconvert(), "linear"_a.noconvert(),
        "initial_states"_a.noconvert(), py::kw_only(), "method"_a, "form"_a, "wide"_a, "betas"_a,
        "beta_factors"_a, "acceptance"_a, "keep_best"_a, "moves"_a, "tenure"_a, "seed"_a,
        "number"_a, "num_threads"_a, "time_limit"_a);
  m.def("check_matrices", &check_matrices, "matrices"_a.noconvert(), py::kw_only(),
        "num_threads"_a);
  m.def("batch_magnitudes", &magnitudes, "matrices"_a.noconvert(), "coupling"_a.noconvert(),
        "linear"_a.noconvert(), py::kw_only(), "num_threads"_a);
  m.def("batch_energies", &of_matrices<false>, "matrices"_a.noconvert(), "linear"_a.noconvert(),
        "states"_a.noconvert(), py::kw_only(), "num_threads"_a);
  m.def("batch_fields", &of_matrices<true>, "matrices"_a.noconvert(), "linear"_a.noconvert(),
        "states"_a.noconvert(), py::kw_only(), "num_threads"_a);
  m.def("factor_energies", &of_factor<false>, "factor"_a.noconvert(), "scale"_a,
        "linear"_a.noconvert(), "states"_a.noconvert(), py::kw_only(), "num_threads"_a);
  m.def("factor_fields", &of_factor<true>, "factor"_a.noconvert(), "scale"_a,
        "linear"_a.noconvert(), "states"_a.noconvert(), py::kw_only(), "num_threads"_a);
}

}  // namespace qpsbgd::bindings
