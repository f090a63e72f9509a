// The extension module qpsbgd._core. Python checks arguments and explains what is wrong with them;
// the bindings check again only what memory safety needs.
#include "bindings/module.hpp"

// The module does not need the GIL: the core's only mutable globals are the thread pool, two atomic
// counters, the number of the last process that was found to be not forked, and memory that each
// thread keeps for itself.
PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  qpsbgd::bindings::define_projection(m);
  qpsbgd::bindings::define_layers(m);
  qpsbgd::bindings::define_qubos(m);
  qpsbgd::bindings::define_ising(m);
  qpsbgd::bindings::define_excitations(m);
  qpsbgd::bindings::define_paths(m);
  qpsbgd::bindings::define_batch(m);
  qpsbgd::bindings::define_inference(m);
  qpsbgd::bindings::define_runtime(m);
  qpsbgd::bindings::define_tempering(m);
  m.attr("compiler") = QPSBGD_COMPILER;
  m.attr("__version__") = QPSBGD_VERSION;
}
