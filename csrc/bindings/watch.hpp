// Calls into the core: without the GIL, on as many threads as the work is worth, and interruptible.
#pragma once

#include <pybind11/pybind11.h>

#include <limits>
#include <utility>

#include "bindings/module.hpp"
#include "core/support/dispatch.hpp"
#include "core/threads/openmp.hpp"
#include "core/threads/stop.hpp"
#include "core/work/work.hpp"

namespace qpsbgd::bindings {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Limits at which a sampler ends.
struct Limits {
  double seconds = kInfinity;
  double energy_threshold = -kInfinity;
  py::object watch = py::none();  // called with the lowest energy so far; a true result ends

  bool needs_energies() const { return !watch.is_none() || energy_threshold > -kInfinity; }
};

// Connection of a Stop to Python: asks for pending signals, such as that of Ctrl-C, and calls the
// caller's watch function. An exception of either ends the call; the object holds it for the
// caller.
class PythonWatch {
 public:
  explicit PythonWatch(const Limits& limits)
      : function_(limits.watch),
        stop_(limits.seconds, [this] { return should_stop(); }, limits.energy_threshold) {}

  Stop& stop() { return stop_; }
  const py::object& exception() const { return exception_; }

 private:
  bool should_stop() {
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

inline void rethrow(const py::object& exception) {
  if (exception.is_none()) return;
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.ptr())), exception.ptr());
  throw py::error_already_set();
}

// How a sampler ended. `exception` is None or what a signal handler or the watch function raised.
struct Ending {
  Stop::Reason reason;
  py::object exception;
};

// Calls work(kernels, num_threads, stop) without the GIL. `nanoseconds` is the time that the work
// takes one thread; num_threads is lowered to the number that this time justifies. An exception of
// Python is returned, so that the caller can still return the states found so far.
template <class Work>
Ending run_sampler(double nanoseconds, int num_threads, const Limits& limits, const Work& work) {
  // These two read environment variables, which no other Python thread may change meanwhile.
  num_threads = threads_for(nanoseconds, num_threads);
  const KernelTable& table = kernels();
  PythonWatch watch(limits);
  try {
    const py::gil_scoped_release release;
    if (num_threads > 1) rest_openmp_threads();
    work(table, num_threads, watch.stop());
  } catch (const Stopped&) {
    rethrow(watch.exception());
    throw;
  }
  return {watch.stop().reason(), watch.exception()};
}

// Calls work(kernels, num_threads, stop) like run_sampler, which Ctrl-C may interrupt, too. Throws
// the exception of Python, such as KeyboardInterrupt, instead of returning a partial result.
template <class Work>
void run_or_throw(double nanoseconds, int num_threads, const Work& work) {
  rethrow(run_sampler(nanoseconds, num_threads, Limits{}, work).exception);
}

}  // namespace qpsbgd::bindings
