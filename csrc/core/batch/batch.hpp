// Solution of many Ising problems of one size in one call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "core/ising/ising.hpp"
#include "core/matrices/matrix.hpp"
#include "core/state/state_lanes.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

enum class BatchMethod { kAnneal, kDescent, kTabu };

// Layout of the couplings. Dense: a matrix, or lists of neighbours for pairs. Interleaved: the
// matrices of sixteen problems, for annealing problems that do not share couplings. Low rank: a
// factor, for annealing.
enum class BatchForm { kDense, kInterleaved, kLowRank };

// Couplings of pairs of variables. All problems have the same pairs.
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
  // Annealing: one inverse temperature for each sweep, multiplied by the problem's factor. If J is
  // shared, all factors are equal.
  std::vector<double> betas;
  std::vector<double> beta_factors;  // (num_problems)
  Acceptance acceptance = Acceptance::kMetropolis;
  bool wide = false;      // float64; dense form only
  bool keep_best = true;  // return the lowest state of a read, not the last
  std::size_t moves = 0;  // tabu search: moves of a read
  std::size_t tenure = 0;
  std::uint64_t seed = 0;
  std::uint64_t number = 0;  // number of the first problem, which names its random streams
  int num_threads = 1;
};

// Returns problem b of a batch. Not for factors.
Ising make_problem(const BatchView& view, std::size_t b);

// Returns whether any problem needs float64. It calls needs_float64() for each problem whose biases
// do not look like real numbers of one scale, and for a few others. Not for factors.
bool batch_needs_float64(const KernelTable& kernels, const BatchView& view, int num_threads,
                         Stop& stop);

// Solves a batch. states (num_problems * num_reads, n): in, where each read starts; out, the best
// or last state of an annealing, the best of a tabu search, or the end of a descent. done
// (num_problems): whether a problem began before `stop` ended the call; all its reads are then at
// least at a local minimum, unless an interrupt ended the call. energies (num_problems *
// num_reads): the result of problem_energies(), from the interleaved form only, which has the
// couplings in cache.
//
// A problem's reads depend on its number in the batch, not on the other problems. Dense and
// interleaved forms give the same reads; the low-rank form rounds differently.
void solve_batch(const KernelTable& kernels, const BatchView& view, const BatchOptions& options,
                 std::int8_t* states, std::uint8_t* done, double* energies, Stop& stop);

// An unsound entry of a matrix: not finite, not 0 on the diagonal, or not symmetric.
struct BadEntry {
  std::size_t matrix, row, column;
};
// Returns an unsound entry of the first unsound matrix: its first entry that is not finite, else
// not 0 on the diagonal, else not symmetric. Writes largest (num_matrices), each matrix's largest
// magnitude.
std::optional<BadEntry> find_bad_entry(const KernelTable& kernels, const MatrixView& matrices,
                                       std::size_t num_matrices, int num_threads, double* largest);

// Writes the scales of each problem's fields. largest (num_problems): the largest bias. typical:
// the mean over the variables of sqrt(h_i^2 + sum_j J_ij^2). coupling: the matrices' largest
// magnitudes.
void batch_magnitudes(const KernelTable& kernels, const MatrixView& matrices, bool shared,
                      const double* coupling, const double* linear, std::size_t num_problems,
                      int num_threads, double* largest, double* typical);

// Writes the float64 energies of one problem's states to their place in energies (num_problems,
// num_reads).
void problem_energies(const KernelTable& kernels, const MatrixView& matrix,
                      const BatchStates& batch, std::size_t problem, double* energies);

// The functions below write energies (num_problems, num_reads) or fields h + J x (num_problems,
// num_reads, n) in float64. The couplings of a factor (rank, n) are shared.
void batch_energies(const KernelTable& kernels, const MatrixView& matrices, bool shared,
                    const BatchStates& batch, int num_threads, double* energies);
void batch_fields(const KernelTable& kernels, const MatrixView& matrices, bool shared,
                  const BatchStates& batch, int num_threads, double* fields);
void factor_energies(const KernelTable& kernels, const double* values, std::size_t rank,
                     double scale, const BatchStates& batch, int num_threads, double* energies);
void factor_fields(const KernelTable& kernels, const double* values, std::size_t rank, double scale,
                   const BatchStates& batch, int num_threads, double* fields);

}  // namespace qpsbgd
