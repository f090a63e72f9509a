// Bindings of the choices at run time (instruction set and threads), and of kernels that Python
// calls directly.
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "bindings/module.hpp"
#include "bindings/watch.hpp"
#include "core/annealing/chances.hpp"
#include "core/support/buffer.hpp"
#include "core/support/dispatch.hpp"
#include "core/support/streams.hpp"
#include "core/threads/parallel.hpp"

using namespace py::literals;

namespace qpsbgd::bindings {
namespace {

// Subtracts lr * binary from the weights and clips them to [-clip, clip], in place.
void step_along(Array<float>& weights, const States& binary, float lr, float clip,
                int num_threads) {
  if (weights.size() != binary.size()) {
    throw std::invalid_argument("weights and binary must have the same size");
  }
  constexpr std::size_t kRun = std::size_t{1} << 16;  // weights that a thread takes at once
  constexpr double kNanosecondsPerWeight = 0.5;
  float* out = weights.mutable_data();
  const std::int8_t* steps = binary.data();
  const auto count = static_cast<std::size_t>(weights.size());
  const auto work = [&](const KernelTable& table, int threads, Stop&) {
    parallel_for(divide_up(count, kRun), threads, [&](std::size_t run, int) {
      const std::size_t first = run * kRun;
      table.elementwise.step_along(out + first, steps + first, std::min(kRun, count - first), lr,
                                   clip);
    });
  };
  run_or_throw(kNanosecondsPerWeight * static_cast<double>(count), num_threads, work);
}

// Returns the exponential variates first, first + 1, ... of a random stream, for tests of it.
Array<float> exponential(std::uint64_t seed, std::uint64_t problem, std::uint64_t read,
                         std::uint64_t sweep, std::uint32_t first, std::size_t count) {
  Array<float> values(static_cast<py::ssize_t>(count));
  kernels().elementwise.exponential(stream_key(seed, problem, read, sweep), first, count,
                                    values.mutable_data());
  return values;
}

// Returns a * b + c, rounded once, for tests of the matrix product's arithmetic.
Array<float> multiply_adds(const Array<float>& a, const Array<float>& b, const Array<float>& c) {
  if (a.size() != b.size() || a.size() != c.size()) {
    throw std::invalid_argument("a, b and c must have the same size");
  }
  Array<float> out(a.size());
  kernels().gemm.multiply_adds(a.data(), b.data(), c.data(), static_cast<std::size_t>(a.size()),
                               out.mutable_data());
  return out;
}

}  // namespace

void define_runtime(py::module_& m) {
  m.def("isa", [] { return std::string(kernels().isa); });
  m.def("available_isas", &available_isas);
  m.def("threads_backend", [] { return std::string(threads_backend()); });
  m.def("default_num_threads", &default_num_threads);
  m.def("num_parallel_loops", &num_parallel_loops);
  m.def("step_along", &step_along, "weights"_a.noconvert(), "binary"_a.noconvert(), py::kw_only(),
        "lr"_a, "clip"_a, "num_threads"_a);
  m.def("exponential", &exponential, py::kw_only(), "seed"_a, "problem"_a, "read"_a, "sweep"_a,
        "first"_a, "count"_a);
  m.def("acceptance_chance", &acceptance_chance, "acceptance"_a, "step"_a, "gain"_a);
  m.def("multiply_adds", &multiply_adds, "a"_a.noconvert(), "b"_a.noconvert(), "c"_a.noconvert());
}

}  // namespace qpsbgd::bindings
