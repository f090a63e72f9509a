// Energies and fields of given states.
#include <algorithm>
#include <variant>
#include <vector>

#include "core/ising/ising.hpp"
#include "core/matrices/product.hpp"
#include "core/state/state_lanes.hpp"
#include "core/support/buffer.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

// Returns the energy of one state (n).
double energy_of(const CouplingsView& couplings, const std::vector<double>& linear,
                 const std::int8_t* state) {
  const std::size_t n = linear.size();
  double energy = 0.0;
  for (std::size_t i = 0; i < n; ++i) energy += state[i] * linear[i];
  for_each_coupling(couplings, n, [&](std::size_t i, std::size_t j, double value) {
    energy += state[i] * state[j] * value;
  });
  return energy;
}

// Writes the energies of `count` states (count, n), at most kLanes, summed in the same order as by
// energy_of().
void energies_of(const CouplingsView& couplings, const std::vector<double>& linear,
                 const std::int8_t* states, std::size_t count, double* energies) {
  const std::size_t n = linear.size();
  Buffer<float> lanes(n * kLanes);
  std::fill_n(lanes.data(), lanes.size(), 0.0f);
  for (std::size_t row = 0; row < count; ++row) {
    for (std::size_t i = 0; i < n; ++i) lanes[i * kLanes + row] = states[row * n + i];
  }
  double sums[kLanes] = {};
  for (std::size_t i = 0; i < n; ++i) {
    const float* state = &lanes[i * kLanes];
    for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += state[lane] * linear[i];
  }
  for_each_coupling(couplings, n, [&](std::size_t i, std::size_t j, double value) {
    const float *a = &lanes[i * kLanes], *b = &lanes[j * kLanes];
    for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += a[lane] * b[lane] * value;
  });
  std::copy_n(sums, count, energies);
}

}  // namespace

void Ising::energies(const KernelTable& kernels, const std::int8_t* states, std::size_t rows,
                     int num_threads, double* out, Stop* stop) const {
  const std::size_t n = num_variables();
  const auto* matrix = std::get_if<MatrixView>(&source_);
  const double factor = matrix != nullptr ? matrix->factor() : 1.0;
  std::vector<double> linear(linear_);  // in units of the factor, a power of two
  for (double& bias : linear) bias /= factor;
  parallel_for(
      divide_up(rows, kLanes), num_threads,
      [&](std::size_t tile, int) {
        if (is_stopped(stop)) return;
        const std::size_t first = tile * kLanes, count = std::min(kLanes, rows - first);
        if (matrix != nullptr) {
          const BatchStates batch{.linear = linear.data(),
                                  .states = states + first * n,
                                  .num_problems = 1,
                                  .num_reads = count,
                                  .num_variables = n};
          matrix_energies(kernels, *matrix, batch, 1, out + first);
          for (std::size_t row = first; row < first + count; ++row) out[row] *= factor;
          return;
        }
        if (count >= kMinLaneStates) {
          return energies_of(source_, linear, states + first * n, count, out + first);
        }
        for (std::size_t row = first; row < first + count; ++row) {
          out[row] = energy_of(source_, linear, states + row * n);
        }
      },
      [&] { is_stopped(stop); });
}

void Ising::dense_fields(const float* spins, float* fields) const {
  const std::size_t n = num_variables();
  std::copy_n(linear(), n, fields);
  for (std::size_t k = 0; k < n; ++k) {
    const float spin = spins[k];
    const float* row = couplings() + k * ld();
    for (std::size_t i = 0; i < n; ++i) fields[i] += spin * row[i];
  }
}

void Ising::fields64(const std::int8_t* spins, double* fields) const {
  std::copy(linear_.begin(), linear_.end(), fields);
  // Couplings come row by row. Summing a row in a register takes a third of the time.
  std::size_t row = 0;
  double sum = 0.0;
  for_each_coupling(source_, num_variables(), [&](std::size_t i, std::size_t j, double value) {
    if (i != row) {
      fields[row] += sum;
      row = i;
      sum = 0.0;
    }
    sum += value * spins[j];
    fields[j] += value * spins[i];
  });
  if (num_variables() > 0) fields[row] += sum;
}

}  // namespace qpsbgd
