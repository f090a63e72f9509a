// Passes over a batch's couplings as the caller holds them.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "core/batch.hpp"
#include "core/buffer.hpp"
#include "core/parallel.hpp"

namespace qpsbgd {
namespace {

// Calls function(values, kernels) with the matrices' own type.
template <class Function>
auto with_type(const KernelTable& kernels, const MatrixView& matrices, const Function& function) {
  return matrices.doubles() ? function(matrices.doubles(), kernels.matrix_double)
                            : function(matrices.floats(), kernels.matrix_float);
}

template <class Value>
bool is_sound(const Value* matrix, std::size_t n, const KernelTable::Matrix<Value>& kernels) {
  constexpr std::size_t kSide = 32;  // of a square of entries that stays in the first cache
  if (std::isinf(kernels.largest(matrix, n * n))) return false;
  bool sound = true;
  for (std::size_t i = 0; i < n; ++i) sound &= matrix[i * (n + 1)] == 0;
  for (std::size_t row = 0; row < n && sound; row += kSide) {
    for (std::size_t column = 0; column <= row; column += kSide) {
      for (std::size_t i = row; i < std::min(row + kSide, n); ++i) {
        for (std::size_t j = column; j < std::min(column + kSide, i); ++j) {
          sound &= matrix[i * n + j] == matrix[j * n + i];
        }
      }
    }
  }
  return sound;
}

BadEntry bad_entry_of(const MatrixView& matrix, std::size_t number) {
  const std::size_t n = matrix.size();
  const auto find = [&](const auto& is_bad) -> std::optional<BadEntry> {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        if (is_bad(i, j)) return BadEntry{number, i, j};
      }
    }
    return std::nullopt;
  };
  if (const auto bad = find([&](auto i, auto j) { return !std::isfinite(matrix(i, j)); })) {
    return *bad;
  }
  if (const auto bad = find([&](auto i, auto j) { return i == j && matrix(i, j) != 0.0; })) {
    return *bad;
  }
  return *find([&](auto i, auto j) { return matrix(i, j) != matrix(j, i); });
}

// Energies of states, whose problems share their couplings, sixteen at a time: function(fields,
// states, energies) gets them as (n, kLanes).
template <class Function>
void in_lanes(const double* linear, const std::int8_t* states, std::size_t num_problems,
              std::size_t num_reads, std::size_t n, int num_threads, double* energies,
              const Function& function) {
  const std::size_t rows = num_problems * num_reads;
  parallel_for(divide_up(rows, kLanes), num_threads, [&](std::size_t tile, int) {
    const std::size_t first = tile * kLanes, count = std::min(kLanes, rows - first);
    Buffer<double> lanes(n * kLanes), fields(n * kLanes);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      // Lanes beyond the last repeat it.
      const std::size_t row = first + std::min(lane, count - 1);
      const double* h = linear + row / num_reads * n;
      for (std::size_t i = 0; i < n; ++i) {
        lanes[i * kLanes + lane] = states[row * n + i];
        fields[i * kLanes + lane] = h[i];
      }
    }
    double tile_energies[kLanes];
    function(fields.data(), lanes.data(), tile_energies);
    std::copy_n(tile_energies, count, energies + first);
  });
}

}  // namespace

std::optional<BadEntry> find_bad_entry(const KernelTable& kernels, const MatrixView& matrices,
                                       std::size_t num_matrices, int num_threads) {
  std::atomic<std::size_t> first = num_matrices;
  const std::size_t n = matrices.size();
  with_type(kernels, matrices, [&](const auto* values, const auto& matrix_kernels) {
    parallel_for(num_matrices, num_threads, [&](std::size_t b, int) {
      if (b > first || is_sound(values + b * n * n, n, matrix_kernels)) return;
      for (std::size_t old = first; b < old && !first.compare_exchange_weak(old, b);) {
      }
    });
  });
  if (first == num_matrices) return std::nullopt;
  return bad_entry_of(matrices[first], first);
}

void batch_magnitudes(const KernelTable& kernels, const MatrixView& matrices, bool shared,
                      const double* linear, std::size_t num_problems, int num_threads,
                      double* largest, double* typical) {
  const std::size_t n = matrices.size();
  with_type(kernels, matrices, [&](const auto* values, const auto& matrix_kernels) {
    const double shared_largest = shared ? matrix_kernels.largest(values, n * n) : 0.0;
    std::vector<double> shared_squares(shared ? n : 0);  // of couplings in units of the largest
    if (shared_largest > 0.0) {
      for (std::size_t i = 0; i < shared_squares.size(); ++i) {
        shared_squares[i] = matrix_kernels.sum_squares(values + i * n, n, 1.0 / shared_largest);
      }
    }
    parallel_for(num_problems, num_threads, [&](std::size_t b, int) {
      const double* h = linear + b * n;
      const auto* matrix = values + (shared ? 0 : b * n * n);
      const double coupling = shared ? shared_largest : matrix_kernels.largest(matrix, n * n);
      const double unit = std::max(coupling, kernels.matrix_double.largest(h, n));
      largest[b] = unit;
      typical[b] = 0.0;
      if (unit == 0.0) return;
      const double ratio = shared_largest / unit;
      double sum = 0.0;
      for (std::size_t i = 0; i < n; ++i) {
        const double squares = shared ? ratio * ratio * shared_squares[i]
                                      : matrix_kernels.sum_squares(matrix + i * n, n, 1.0 / unit);
        sum += std::sqrt(h[i] / unit * (h[i] / unit) + squares);
      }
      typical[b] = 2.0 * unit * (sum / static_cast<double>(n));
    });
  });
}

void batch_energies(const KernelTable& kernels, const MatrixView& matrices, bool shared,
                    const double* linear, const std::int8_t* states, std::size_t num_problems,
                    std::size_t num_reads, int num_threads, double* energies) {
  const std::size_t n = matrices.size();
  with_type(kernels, matrices, [&](const auto* values, const auto& matrix_kernels) {
    if (!shared) {
      parallel_for(num_problems, num_threads, [&](std::size_t b, int) {
        Buffer<double> state(n);
        for (std::size_t row = b * num_reads; row < (b + 1) * num_reads; ++row) {
          std::copy_n(states + row * n, n, state.data());
          energies[row] =
              matrix_kernels.energy(values + b * n * n, linear + b * n, state.data(), n);
        }
      });
      return;
    }
    in_lanes(linear, states, num_problems, num_reads, n, num_threads, energies,
             [&](const double* fields, const double* lanes, double* out) {
               matrix_kernels.energies(values, fields, lanes, n, out);
             });
  });
}

void factor_energies(const KernelTable& kernels, const double* factor, std::size_t rank,
                     double scale, const double* linear, const std::int8_t* states,
                     std::size_t num_problems, std::size_t num_reads, std::size_t n,
                     int num_threads, double* energies) {
  std::vector<double> squares(n);
  for (std::size_t row = 0; row < rank; ++row) {
    for (std::size_t i = 0; i < n; ++i) squares[i] += factor[row * n + i] * factor[row * n + i];
  }
  in_lanes(linear, states, num_problems, num_reads, n, num_threads, energies,
           [&](const double* fields, const double* lanes, double* out) {
             kernels.factor_energies(factor, rank, squares.data(), scale, fields, lanes, n, out);
           });
}

}  // namespace qpsbgd
