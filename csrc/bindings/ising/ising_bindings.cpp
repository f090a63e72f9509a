// Bindings of one Ising problem: its arrays, energies and precisions.
#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <vector>

#include "bindings/ising/ising_states.hpp"
#include "bindings/module.hpp"
#include "bindings/watch.hpp"
#include "core/annealing/anneal.hpp"
#include "core/ising/ising.hpp"
#include "core/ising/precision.hpp"
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
  run_or_throw(0.0, 1, [&](const KernelTable&, int, Stop& stop) {
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
  run_or_throw(0.0, 1, [&](const KernelTable&, int, Stop& stop) {
    problem = std::make_unique<Ising>(linear.data(), view, 1, &stop);
  });
  return problem;
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
    run_or_throw(0.0, 1, [&](const KernelTable&, int, Stop& stop) {
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

Array<double> energies(const Ising& problem, const States& states, int num_threads) {
  const std::size_t num_states = check_states(states, problem);
  Array<double> values(states.shape(0));
  double* out = values.mutable_data();
  run_or_throw(energies_work(problem, num_states), num_threads,
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
  run_or_throw(0.0, 1, [&](const KernelTable&, int, Stop&) {
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
  run_or_throw(
      0.0, 1, [&](const KernelTable&, int, Stop& stop) { needed = needs_float64(problem, &stop); });
  return needed;
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

void define_ising_enums(py::module_& m) {
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
  define_ising_enums(m);
  py::class_<Ising> ising(m, "Ising");
  ising
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
      .def("fits", &fits, "precision"_a, py::kw_only(), "random_order"_a)
      .def("best_precision", &best_anneal_precision, py::kw_only(), "random_order"_a, "num_reads"_a,
           "has_bits"_a)
      .def("needs_float64", &problem_needs_float64)
      .def("tabu_fits", &tabu_fits, "precision"_a)
      .def("best_tabu_precision", &best_tabu_precision);
  define_samplers(ising);
  py::class_<RandomSpins>(m, "RandomSpins")
      .def(py::init<std::uint32_t>(), "seed"_a)
      .def("draw", &RandomSpins::draw, "count"_a, "num_variables"_a);
  m.def("better_form", &Ising::better_form, "num_variables"_a, "num_interactions"_a);
  m.attr("max_exhaustive_variables") = kMaxExhaustiveVariables;
}

}  // namespace qpsbgd::bindings
