// What the bindings' files share: arrays without conversion, and Ctrl-C.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <limits>
#include <utility>

#include "core/support/stop.hpp"

namespace py = pybind11;

namespace qpsbgd::bindings {

template <class T>
using Array = py::array_t<T, py::array::c_style>;  // with noconvert(): exact dtype, contiguous

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Asks Python whether to stop: a signal that is waiting, such as Ctrl-C's, or a function that gets
// the lowest energy so far. An exception stops the call too, and is kept for the caller.
class PythonWatch {
 public:
  explicit PythonWatch(double time_limit = kInfinity, double energy_threshold = -kInfinity,
                       py::object function = py::none())
      : function_(std::move(function)),
        stop_(time_limit, [this] { return ask(); }, energy_threshold) {}

  Stop& stop() { return stop_; }
  const py::object& exception() const { return exception_; }
  void rethrow() const {
    if (exception_.is_none()) return;
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception_.ptr())), exception_.ptr());
    throw py::error_already_set();
  }

 private:
  bool ask() {
    const py::gil_scoped_acquire acquire;
    try {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (function_.is_none()) return false;
      const int truth = PyObject_IsTrue(function_(stop_.best_energy()).ptr());
      if (truth < 0) throw py::error_already_set();
      return truth == 1;
    } catch (const py::error_already_set& error) {
      exception_ = error.value();
      return true;
    }
  }

  py::object function_;
  py::object exception_ = py::none();
  Stop stop_;
};

// What module.cpp does not define itself.
void define_batch(py::module_& m);

}  // namespace qpsbgd::bindings
