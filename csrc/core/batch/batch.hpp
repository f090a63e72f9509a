// Many Ising problems of one size in one call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "core/samplers/ising.hpp"
#include "core/state/state_lanes.hpp"
#include "core/support/matrix.hpp"
#include "core/support/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

enum class BatchMethod { kAnneal, kDescent, kTabu };

// How couplings are kept: as matrices of local fields' changes; sixteen problems' interleaved, for
// annealing problems that each have their own; by their factor, for annealing.
enum class BatchForm { kDense, kInterleaved, kLowRank };

// Couplings of pairs of variables, the same pairs in all problems.
struct PatternView {
  const std::uint32_t* rows;  // (num_pairs)
  const std::uint32_t* columns;
  const double* values;  // (num_pairs) if they are shared, or (num_problems, num_pairs)
  std::size_t num_pairs;

  Ising::Interactions interactions(std::size_t problem) const {
    return {rows, columns, values + problem * num_pairs, num_pairs};
  }
};

// E(s) = h.s + (1/2) s^T J s. J symmetric with a zero diagonal.
struct BatchView {
  std::variant<MatrixView, FactorView, PatternView> couplings;
  bool shared;           // one J for all, else num_problems of them
  const double* linear;  // (num_problems, n)
  std::size_t num_problems;
  std::size_t num_variables;
};

struct BatchOptions {
  BatchMethod method = BatchMethod::kAnneal;
  BatchForm form = BatchForm::kDense;  // of matrices and factors
  std::size_t num_reads = 1;           // of each problem
  // Annealing: one a sweep, times the problem's own factor; shared J: one factor for all.
  std::vector<double> betas;
  std::vector<double> beta_factors;  // (num_problems)
  bool wide = false;                 // float64 where the form has it: dense matrices and patterns
  bool keep_best = true;             // what an anneal returns: see AnnealOptions
  std::size_t moves = 0;             // tabu search: of a read's one search
  std::size_t tenure = 0;
  std::uint64_t seed = 0;
  std::uint64_t number = 0;  // of the first problem: its streams are those of a batch's problem
  int num_threads = 1;
};

// Returns problem b of a batch. Not for factors.
Ising make_problem(const BatchView& view, std::size_t b);

// Returns whether any problem needs float64. Asks needs_float64() about the problems whose biases
// look unlike real numbers of one scale, and about a few others. Not for factors.
bool batch_needs_float64(const KernelTable& kernels, const BatchView& view, int num_threads,
                         Stop& stop);

// states (num_problems * num_reads, n): in, where each read starts; out, what it found: the best or
// last state of an anneal, the best of a tabu search, the end of a descent. done (num_problems):
// whether a problem was begun before `stop` said to end: all its reads are then at a local minimum
// at least, if no interrupt ended the call. A problem's reads depend on its number in
// the batch, not on the others; dense and interleaved forms give the same, that of low rank rounds
// differently. energies (num_problems * num_reads): what problem_energies gives, from the
// interleaved form alone, which has the couplings in cache.
void solve_batch(const KernelTable& kernels, const BatchView& view, const BatchOptions& options,
                 std::int8_t* states, std::uint8_t* done, double* energies, Stop& stop);

// An entry of num_matrices matrices that is not what it must be: finite, 0 on the diagonal, equal
// to the one across it; the first of the first bad matrix, in this order. largest (num_matrices):
// each one's largest magnitude.
struct BadEntry {
  std::size_t matrix, row, column;
};
std::optional<BadEntry> find_bad_entry(const KernelTable& kernels, const MatrixView& matrices,
                                       std::size_t num_matrices, int num_threads, double* largest);

// What a problem's fields are like: `largest` (num_problems), the largest bias; `typical`, the mean
// over its variables of sqrt(h_i^2 + sum_j J_ij^2). coupling: the matrices' largest magnitudes.
void batch_magnitudes(const KernelTable& kernels, const MatrixView& matrices, bool shared,
                      const double* coupling, const double* linear, std::size_t num_problems,
                      int num_threads, double* largest, double* typical);

// Energies in float64 of one problem's states, in their place among the batch's (num_problems,
// num_reads).
void problem_energies(const KernelTable& kernels, const MatrixView& matrix,
                      const BatchStates& batch, std::size_t problem, double* energies);

// In float64: energies (num_problems, num_reads), and fields h + J x (num_problems, num_reads, n).
// Of a factor A (rank, n) the couplings are shared.
void batch_energies(const KernelTable& kernels, const MatrixView& matrices, bool shared,
                    const BatchStates& batch, int num_threads, double* energies);
void batch_fields(const KernelTable& kernels, const MatrixView& matrices, bool shared,
                  const BatchStates& batch, int num_threads, double* fields);
void factor_energies(const KernelTable& kernels, const double* values, std::size_t rank,
                     double scale, const BatchStates& batch, int num_threads, double* energies);
void factor_fields(const KernelTable& kernels, const double* values, std::size_t rank, double scale,
                   const BatchStates& batch, int num_threads, double* fields);

}  // namespace qpsbgd
