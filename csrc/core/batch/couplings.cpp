// Passes over the couplings of a batch.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "core/batch/batch.hpp"
#include "core/state/state_lanes.hpp"
#include "core/support/buffer.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

template <class Value>
bool is_sound(const Value* matrix, std::size_t n, double largest) {
  constexpr std::size_t kSide = 32;  // of a square of entries that stays in the first cache
  if (std::isinf(largest)) return false;
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

// Returns the diagonal of A^T A for a factor A (rank, n).
std::vector<double> squares_of(const double* factor, std::size_t rank, std::size_t n) {
  std::vector<double> squares(n);
  for (std::size_t at = 0; at < rank * n; ++at) squares[at % n] += factor[at] * factor[at];
  return squares;
}

}  // namespace

std::optional<BadEntry> find_bad_entry(const KernelTable& kernels, const MatrixView& matrices,
                                       std::size_t num_matrices, int num_threads, double* largest) {
  std::atomic<std::size_t> first = num_matrices;
  const std::size_t n = matrices.size();
  with_type(matrices, [&]<class Value>(const Value* values) {
    parallel_for(num_matrices, num_threads, [&](std::size_t b, int) {
      const auto* matrix = values + b * n * n;
      largest[b] = kernels.reductions.of<Value>().largest(matrix, n * n);
      if (is_sound(matrix, n, largest[b])) return;
      for (std::size_t old = first; b < old && !first.compare_exchange_weak(old, b);) {
      }
    });
  });
  if (first == num_matrices) return std::nullopt;
  return bad_entry_of(matrices[first], first);
}

void batch_magnitudes(const KernelTable& kernels, const MatrixView& matrices, bool shared,
                      const double* coupling, const double* linear, std::size_t num_problems,
                      int num_threads, double* largest, double* typical) {
  constexpr double kLeastUnit = std::numeric_limits<double>::min();  // its inverse is finite
  const std::size_t n = matrices.size();
  with_type(matrices, [&]<class Value>(const Value* values) {
    const double shared_unit = shared ? std::max(*coupling, kLeastUnit) : 0.0;
    std::vector<double> shared_squares(shared ? n : 0);  // of couplings in that unit
    for (std::size_t i = 0; i < shared_squares.size(); ++i) {
      shared_squares[i] =
          kernels.reductions.of<Value>().sum_squares(values + i * n, n, 1.0 / shared_unit);
    }
    parallel_for(num_problems, num_threads, [&](std::size_t b, int) {
      const double* h = linear + b * n;
      const double most = coupling[shared ? 0 : b];
      largest[b] = std::max(most, kernels.reductions.of<double>().largest(h, n));
      const double unit = std::max(largest[b], kLeastUnit), ratio = shared_unit / unit;
      double sum = 0.0;
      for (std::size_t i = 0; i < n; ++i) {
        const double squares = shared ? ratio * ratio * shared_squares[i]
                                      : kernels.reductions.of<Value>().sum_squares(
                                            values + (b * n + i) * n, n, 1.0 / unit);
        sum += std::sqrt(h[i] / unit * (h[i] / unit) + squares);
      }
      typical[b] = unit * (sum / static_cast<double>(n));
    });
  });
}

void problem_energies(const KernelTable& kernels, const MatrixView& matrix,
                      const BatchStates& batch, std::size_t problem, double* energies) {
  const std::size_t n = matrix.size(), begin = problem * batch.num_reads;
  const BatchStates states{.linear = batch.linear + problem * n,
                           .states = batch.states + begin * n,
                           .num_problems = 1,
                           .num_reads = batch.num_reads,
                           .num_variables = n};
  matrix_energies(kernels, matrix, states, 1, energies + begin);
}

void batch_energies(const KernelTable& kernels, const MatrixView& matrices, bool shared,
                    const BatchStates& batch, int num_threads, double* energies) {
  if (!shared) {
    parallel_for(batch.num_problems, num_threads, [&](std::size_t b, int) {
      problem_energies(kernels, matrices[b], batch, b, energies);
    });
    return;
  }
  const std::size_t n = matrices.size();
  with_type(matrices, [&]<class Value>(const Value* values) {
    all_in_lanes(batch, 1, num_threads, energies, [&](const StateLanes& lanes, double* out) {
      kernels.energies.of<Value>().energies(values, n, lanes.linear.data(), lanes.states.data(), n,
                                            out);
    });
  });
}

void batch_fields(const KernelTable& kernels, const MatrixView& matrices, bool shared,
                  const BatchStates& batch, int num_threads, double* fields) {
  const std::size_t n = matrices.size(), reads = batch.num_reads;
  with_type(matrices, [&]<class Value>(const Value* values) {
    const auto fields_of = [&, n](const auto* matrix) {
      return [&, n, matrix](const StateLanes& lanes, double* out) {
        kernels.energies.of<Value>().products(matrix, n, 1, n, n, lanes.states.data(), out);
        for (std::size_t at = 0; at < n * kLanes; ++at) out[at] += lanes.linear[at];
      };
    };
    if (shared) return all_in_lanes(batch, n, num_threads, fields, fields_of(values));
    parallel_for(batch.num_problems, num_threads, [&](std::size_t b, int) {
      in_lanes(batch, b * reads, (b + 1) * reads, n, fields, fields_of(values + b * n * n));
    });
  });
}

void factor_energies(const KernelTable& kernels, const double* values, std::size_t rank,
                     double scale, const BatchStates& batch, int num_threads, double* energies) {
  const std::size_t n = batch.num_variables;
  const std::vector<double> squares = squares_of(values, rank, n);
  all_in_lanes(batch, 1, num_threads, energies, [&](const StateLanes& lanes, double* out) {
    Buffer<double> products(rank * kLanes);  // A x
    kernels.energies.of<double>().products(values, n, 1, rank, n, lanes.states.data(),
                                           products.data());
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      double linear = 0.0, quadratic = 0.0;
      for (std::size_t k = 0; k < rank; ++k) {
        quadratic += products[k * kLanes + lane] * products[k * kLanes + lane];
      }
      for (std::size_t i = 0; i < n; ++i) {
        const double x = lanes.states[i * kLanes + lane];
        linear += x * lanes.linear[i * kLanes + lane];
        quadratic -= squares[i] * x * x;
      }
      out[lane] = linear + 0.5 * scale * quadratic;
    }
  });
}

void factor_fields(const KernelTable& kernels, const double* values, std::size_t rank, double scale,
                   const BatchStates& batch, int num_threads, double* fields) {
  const std::size_t n = batch.num_variables;
  const std::vector<double> squares = squares_of(values, rank, n);
  all_in_lanes(batch, n, num_threads, fields, [&](const StateLanes& lanes, double* out) {
    Buffer<double> products(rank * kLanes);  // A x
    kernels.energies.of<double>().products(values, n, 1, rank, n, lanes.states.data(),
                                           products.data());
    kernels.energies.of<double>().products(values, 1, n, n, rank, products.data(), out);  // A^T A x
    for (std::size_t at = 0; at < n * kLanes; ++at) {
      out[at] = lanes.linear[at] + scale * (out[at] - squares[at / kLanes] * lanes.states[at]);
    }
  });
}

}  // namespace qpsbgd
