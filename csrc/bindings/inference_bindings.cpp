// Bindings of inference with packed weights.
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <stdexcept>

#include "bindings/module.hpp"
#include "bindings/watch.hpp"
#include "core/inference/packed_product.hpp"

using namespace py::literals;

namespace qpsbgd::bindings {
namespace {

std::optional<Array<float>> multiply_packed(const Array<float>& inputs,
                                            const Array<std::uint8_t>& bits, std::size_t max_real,
                                            int num_threads) {
  if (inputs.ndim() != 2 || bits.ndim() != 2 || bits.shape(1) != (inputs.shape(1) + 7) / 8) {
    throw std::invalid_argument("bits must have one row per output and one bit per input");
  }
  const auto num_inputs = static_cast<std::size_t>(inputs.shape(0));
  const PackedMatrix matrix{bits.data(), static_cast<std::size_t>(bits.shape(0)),
                            static_cast<std::size_t>(inputs.shape(1))};
  Array<float> outputs({inputs.shape(0), bits.shape(0)});
  const float* values = inputs.data();
  float* out = outputs.mutable_data();
  bool has_result = false;
  const auto work = [&](const KernelTable& table, int threads, Stop&) {
    has_result = packed_product(table, matrix, values, num_inputs, max_real, out, threads);
  };
  run_or_throw(packed_product_work(matrix, 1), num_threads, work);
  if (!has_result) return std::nullopt;
  return outputs;
}

}  // namespace

void define_inference(py::module_& m) {
  m.def("multiply_packed", &multiply_packed, "inputs"_a.noconvert(), "bits"_a.noconvert(),
        py::kw_only(), "max_real"_a, "num_threads"_a);
}

}  // namespace qpsbgd::bindings
