// Registration functions of the extension module: one for each topic.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>

namespace py = pybind11;

namespace qpsbgd {
class Ising;
}

namespace qpsbgd::bindings {

// C-contiguous array. Parameters of this type are registered with noconvert(): pybind11 then
// accepts only arrays of exactly this dtype and layout, and copies nothing.
template <class T>
using Array = py::array_t<T, py::array::c_style>;

using States = Array<std::int8_t>;  // spins -1 and +1

void define_projection(py::module_& m);
void define_layers(py::module_& m);  // after define_projection
void define_qubos(py::module_& m);
void define_ising(py::module_& m);
void define_samplers(py::class_<Ising>& ising);  // called by define_ising
void define_excitations(py::module_& m);
void define_paths(py::module_& m);
void define_batch(py::module_& m);
void define_inference(py::module_& m);
void define_runtime(py::module_& m);
void define_tempering(py::module_& m);

}  // namespace qpsbgd::bindings
