// Bindings of some rows of a layer, and of layers given as products of their samples.
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "bindings/module.hpp"
#include "bindings/projection/projection_options.hpp"
#include "bindings/projection/sample_view.hpp"
#include "bindings/watch.hpp"
#include "core/layers/gram_layer.hpp"
#include "core/layers/sample_layer.hpp"
#include "core/projection/projection.hpp"
#include "core/threads/parallel.hpp"

using namespace py::literals;

namespace qpsbgd::bindings {
namespace {

// Some rows of a layer, with the arrays that they refer to. Other processes solve the other rows.
template <class CoreLayer, class View, class... Arrays>
class LayerRows {
 public:
  LayerRows(const View& view, int num_threads, const Arrays&... arrays) : arrays_(arrays...) {
    run_or_throw(packing_work(view), num_threads,
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
    run_or_throw(0.0, 1, [&](const KernelTable&, int, Stop& stop) {
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
  run_or_throw(work, num_threads, [&](const KernelTable& table, int threads, Stop& stop) {
    parallel_for(
        groups, threads,
        [&](std::size_t group, int) {
          const GramLayer layer(view_of_group(group), table, threads, &stop);
          ProjectionOptions own = options;
          own.annealing.seed = seeds[group];
          // With alpha = 0 every state is equally good. The start from sign(X^T T) is still defined
          // where X^T X comes from a part of the samples that is all 0.
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

}  // namespace

void define_layers(py::module_& m) {
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
}

}  // namespace qpsbgd::bindings
