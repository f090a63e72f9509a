// Bindings of the rules that choose temperatures by the barriers of excitations.
#include <cstdint>
#include <stdexcept>

#include "bindings/module.hpp"
#include "bindings/watch.hpp"
#include "core/annealing/excitations.hpp"

using namespace py::literals;

namespace qpsbgd::bindings {
namespace {

// Returns the inverse temperature at which the expected number of excitations is `number`.
double excitations_beta(const Array<double>& barriers, double number, double least) {
  const auto count = static_cast<std::size_t>(barriers.size());
  double beta = least;
  run_or_throw(0.0, 1, [&](const KernelTable&, int, Stop& stop) {
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
  run_or_throw(0.0, 1, [&](const KernelTable&, int, Stop& stop) {
    ends = hot_and_knee({barriers.data(), count}, {highest.data(), count}, rule, &stop);
  });
  return py::make_tuple(ends.hot, ends.knee);
}

}  // namespace

void define_excitations(py::module_& m) {
  m.def("beta_of_excitations", &excitations_beta, "barriers"_a.noconvert(), py::kw_only(),
        "number"_a, "least"_a);
  m.def("hot_and_knee", &barriers_hot_and_knee, "barriers"_a.noconvert(), "highest"_a.noconvert(),
        py::kw_only(), "hot"_a, "hot_quantile"_a, "large_per_median"_a, "knee_excited"_a,
        "knee_lowest"_a);
}

}  // namespace qpsbgd::bindings
