// States of many reads in lanes, for passes over couplings that all lanes share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/matrices/matrix.hpp"
#include "core/support/buffer.hpp"
#include "core/threads/parallel.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// States of a batch's problems, of -1 and +1, or 0 and 1.
struct BatchStates {
  const double* linear;       // (num_problems, n)
  const std::int8_t* states;  // (num_problems, num_reads, n)
  std::size_t num_problems;
  std::size_t num_reads;
  std::size_t num_variables;
};

// States [begin, end) of a batch, at most kLanes, and the linear biases of their problems, with one
// state in each lane. Lanes beyond the last repeat it.
struct StateLanes {
  StateLanes(const BatchStates& batch, std::size_t begin, std::size_t end)
      : states(batch.num_variables * kLanes), linear(batch.num_variables * kLanes) {
    const std::size_t n = batch.num_variables;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const std::size_t row = std::min(begin + lane, end - 1);
      const double* h = batch.linear + row / batch.num_reads * n;
      for (std::size_t i = 0; i < n; ++i) {
        states[i * kLanes + lane] = batch.states[row * n + i];
        linear[i * kLanes + lane] = h[i];
      }
    }
  }
  Buffer<double> states, linear;  // (n, kLanes)
};

// Calls function(lanes, results) for the states [begin, end), kLanes at a time. Copies the results
// (width, kLanes) to out (number of all states, width).
template <class Function>
void in_lanes(const BatchStates& batch, std::size_t begin, std::size_t end, std::size_t width,
              double* out, const Function& function) {
  Buffer<double> results(width * kLanes);
  for (; begin < end; begin += kLanes) {
    const std::size_t count = std::min(kLanes, end - begin);
    function(StateLanes(batch, begin, begin + count), results.data());
    for (std::size_t lane = 0; lane < count; ++lane) {
      for (std::size_t i = 0; i < width; ++i) {
        out[(begin + lane) * width + i] = results[i * kLanes + lane];
      }
    }
  }
}

// Calls function(lanes, results) for all states of a batch, kLanes at a time, on several threads.
template <class Function>
void all_in_lanes(const BatchStates& batch, std::size_t width, int num_threads, double* out,
                  const Function& function) {
  const std::size_t rows = batch.num_problems * batch.num_reads;
  parallel_for(divide_up(rows, kLanes), num_threads, [&](std::size_t tile, int) {
    in_lanes(batch, tile * kLanes, std::min(rows, (tile + 1) * kLanes), width, out, function);
  });
}

// From this number of states on, a pass over the couplings serves kLanes states. A pass for one
// state takes a third of its time.
inline constexpr std::size_t kMinLaneStates = 4;

// Writes the energies of all states of a batch whose problems share a matrix of couplings. An
// energy does not depend on the number of states. The factor of the matrix is left out.
inline void matrix_energies(const KernelTable& kernels, const MatrixView& matrix,
                            const BatchStates& batch, int num_threads, double* energies) {
  const std::size_t n = batch.num_variables, rows = batch.num_problems * batch.num_reads;
  with_type(matrix, [&]<class Value>(const Value* values) {
    const EnergyKernels<Value>& matrix_kernels = kernels.energies.of<Value>();
    if (rows >= kMinLaneStates) {
      all_in_lanes(batch, 1, num_threads, energies, [&](const StateLanes& lanes, double* out) {
        matrix_kernels.energies(values, matrix.ld(), lanes.linear.data(), lanes.states.data(), n,
                                out);
      });
      return;
    }
    parallel_for(rows, num_threads, [&](std::size_t row, int) {
      Buffer<double> state(n);
      std::copy_n(batch.states + row * n, n, state.data());
      const double* linear = batch.linear + row / batch.num_reads * n;
      energies[row] = matrix_kernels.energy(values, matrix.ld(), linear, state.data(), n);
    });
  });
}

}  // namespace qpsbgd
