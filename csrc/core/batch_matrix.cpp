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

// States (num_problems, num_reads, n) and the fields of their problems, sixteen at a time as (n,
// kLanes), of one problem if they do not share their couplings: function(problem, fields, states,
// results), results (width, kLanes) going to out (num_problems, num_reads, width).
template <class Function>
void in_lanes(const BatchStates& batch, bool shared, std::size_t width, int num_threads,
              double* out, const Function& function) {
  const std::size_t n = batch.num_variables;
  const std::size_t together = shared ? batch.num_problems * batch.num_reads : batch.num_reads;
  const std::size_t tiles = divide_up(together, kLanes);
  parallel_for((shared ? 1 : batch.num_problems) * tiles, num_threads, [&](std::size_t task, int) {
    const std::size_t begin = task / tiles * together + task % tiles * kLanes;
    const std::size_t count = std::min(kLanes, (task / tiles + 1) * together - begin);
    Buffer<double> lanes(n * kLanes), fields(n * kLanes), results(width * kLanes);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      // Lanes beyond the last repeat it.
      const std::size_t row = begin + std::min(lane, count - 1);
      const double* h = batch.linear + row / batch.num_reads * n;
      for (std::size_t i = 0; i < n; ++i) {
        lanes[i * kLanes + lane] = batch.states[row * n + i];
        fields[i * kLanes + lane] = h[i];
      }
    }
    function(shared ? 0 : task / tiles, fields.data(), lanes.data(), results.data());
    for (std::size_t lane = 0; lane < count; ++lane) {
      for (std::size_t i = 0; i < width; ++i) {
        out[(begin + lane) * width + i] = results[i * kLanes + lane];
      }
    }
  });
}

// What the kernels take for a factor (rank, n).
struct Factor {
  Factor(const double* values, std::size_t rank, double scale, std::size_t n)
      : squares(n),
        tile{.factor = values,
             .squares = squares.data(),
             .margins = nullptr,
             .scale = scale,
             .rank = rank,
             .num_variables = n} {
    for (std::size_t at = 0; at < rank * n; ++at) squares[at % n] += values[at] * values[at];
  }
  std::vector<double> squares;
  FactorTile tile;
};

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
                    const BatchStates& batch, int num_threads, double* energies) {
  const std::size_t n = matrices.size(), reads = batch.num_reads;
  with_type(kernels, matrices, [&](const auto* values, const auto& matrix_kernels) {
    // By the reads of a problem alone, as the two round differently.
    if (shared || reads >= kLanes) {
      in_lanes(batch, shared, 1, num_threads, energies,
               [&](std::size_t b, const double* fields, const double* states, double* out) {
                 matrix_kernels.energies(values + b * n * n, fields, states, n, out);
               });
      return;
    }
    parallel_for(batch.num_problems, num_threads, [&](std::size_t b, int) {
      Buffer<double> state(n);
      for (std::size_t row = b * reads; row < (b + 1) * reads; ++row) {
        std::copy_n(batch.states + row * n, n, state.data());
        energies[row] =
            matrix_kernels.energy(values + b * n * n, batch.linear + b * n, state.data(), n);
      }
    });
  });
}

void batch_fields(const KernelTable& kernels, const MatrixView& matrices, bool shared,
                  const BatchStates& batch, int num_threads, double* fields) {
  const std::size_t n = matrices.size();
  with_type(kernels, matrices, [&](const auto* values, const auto& matrix_kernels) {
    in_lanes(batch, shared, n, num_threads, fields,
             [&](std::size_t b, const double* linear, const double* states, double* out) {
               matrix_kernels.fields(values + b * n * n, linear, states, n, out);
             });
  });
}

void factor_energies(const KernelTable& kernels, const double* values, std::size_t rank,
                     double scale, const BatchStates& batch, int num_threads, double* energies) {
  const Factor factor(values, rank, scale, batch.num_variables);
  in_lanes(batch, true, 1, num_threads, energies,
           [&](std::size_t, const double* linear, const double* states, double* out) {
             kernels.factor_energies(factor.tile, linear, states, out);
           });
}

void factor_fields(const KernelTable& kernels, const double* values, std::size_t rank, double scale,
                   const BatchStates& batch, int num_threads, double* fields) {
  const Factor factor(values, rank, scale, batch.num_variables);
  in_lanes(batch, true, batch.num_variables, num_threads, fields,
           [&](std::size_t, const double* linear, const double* states, double* out) {
             Buffer<double> margins(rank * kLanes);
             FactorTile tile = factor.tile;
             tile.margins = margins.data();
             kernels.factor_fields(tile, linear, states, out);
           });
}

}  // namespace qpsbgd
