// One Ising problem, E(s) = sum_i h_i s_i + sum_{i<j} J_ij s_i s_j over s in {-1, +1}^n, or several
// that share J.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <variant>
#include <vector>

#include "core/buffer.hpp"
#include "core/inputs.hpp"
#include "core/matrix.hpp"
#include "kernels/table.hpp"

namespace qpsbgd {

// Sixteen fields of each are addressed with 32 bits.
inline constexpr std::size_t kMaxVariables = (std::size_t{1} << 28) - 1;

// What fields are kept as. Integers count the problem's unit; the same decisions as with floats,
// which hold the same values.
enum class Precision { kFloat32, kInt16, kInt8 };

class Ising {
 public:
  // Dense: J as a matrix, O(n) a flip. Sparse: lists of neighbours, O(degree) a flip. Low rank: J
  // by its factor, O(rank) a flip and a field.
  enum class Form { kDense, kSparse, kLowRank };

  // Interactions as a user lists them; a pair may come more than once and is summed.
  struct Interactions {
    const std::uint32_t* rows;
    const std::uint32_t* columns;
    const double* values;
    std::size_t count;
  };

  // The form that is expected to be faster.
  static Form better_form(std::size_t num_variables, std::size_t num_interactions);

  // linear (num_problems, n). What is told below of linear64, reach, aligned_fields, fields64 and
  // energies is of the first problem. Throws std::invalid_argument for a variable out of range, or
  // coupled to itself, or biases whose sum is infinite.
  Ising(const double* linear, std::size_t num_variables, const Interactions& interactions,
        Form form, std::size_t num_problems = 1);
  // Dense, from a symmetric matrix with a zero diagonal that outlives this.
  Ising(const double* linear, const MatrixView& couplings, std::size_t num_problems = 1);
  // Of low rank; annealing alone takes these. scale > 0. Throws std::invalid_argument for biases
  // beyond kFactorRange. reach and aligned_fields are not known.
  Ising(const KernelTable& kernels, const double* linear, std::size_t num_variables,
        const FactorView& factor, int num_threads, std::size_t num_problems = 1);
  // Of the largest bias to scale * max|A|^2.
  static constexpr double kFactorRange = 1e20;

  // Throws std::invalid_argument if the magnitudes of all biases, couplings twice, have an infinite
  // sum: energies might have too.
  static void check_total(double magnitudes);

  // From now on problem `problem` is the first, with these fields (n), which are its own.
  void select(std::size_t problem, const double* linear);

  Form form() const { return form_; }
  std::size_t num_variables() const { return linear_.size(); }
  std::size_t num_problems() const { return num_problems_; }

  // The floats of sweeps are the biases times this, so that none of them overflows: a power of two,
  // but for low rank, where J becomes the product of inputs().
  double scale() const { return scale_; }
  // Whether sums of these floats are exact, as with small integers: fields then never drift.
  bool exact() const { return exact_; }

  // Every scaled bias is a multiple of this power of two.
  double unit() const { return unit_; }
  // Largest magnitudes of a field and of a coupling, in units.
  double reach_in_units() const { return reach_in_units_; }
  double coupling_in_units() const { return largest_coupling_ / unit_; }

  // (ld), padding 0; of a problem from the selected one on.
  const float* linear(std::size_t problem = 0) const {
    return &scaled_linear_[(selected_ + problem) * ld()];
  }
  std::size_t ld() const { return round_up(num_variables(), kLanes); }

  // Dense: (ld, ld), symmetric, zero diagonal and padding. Sparse: values of neighbours(). Low
  // rank: blocks of kBlock on the diagonal.
  const float* couplings() const { return couplings_.data(); }
  const std::size_t* offsets() const { return offsets_.data(); }          // (n + 1); sparse
  const std::uint32_t* neighbours() const { return neighbours_.data(); }  // sparse
  const Inputs& inputs() const { return *inputs_; }                       // low rank: A
  const float* diagonal() const { return diagonal_.data(); }              // low rank: of A^T A

  // The biases as they were given. J: (n, n), symmetric, zero diagonal.
  const std::vector<double>& linear64() const { return linear_; }
  std::vector<double> couplings64() const;
  // Largest magnitude of each variable's field, |h_i| + sum_j |J_ij|.
  const std::vector<double>& reach() const { return reach_; }
  // Fields of the state of all +1, h_i + sum_j J_ij.
  const std::vector<double>& aligned_fields() const { return aligned_fields_; }
  // The largest b such that all biases are multiples of 2^b; huge if all are 0, and only low enough
  // where they span more than 60 bits.
  int lowest_bit() const { return lowest_bit_; }

  // Energy of states (rows, n) in float64 from the biases as they were given.
  void energies(const std::int8_t* states, std::size_t rows, int num_threads, double* out) const;

  // fields_i = h_i + sum_j J_ij s_j of one state (n), scaled; dense.
  void dense_fields(const float* spins, float* fields) const;
  // The same in float64, not scaled.
  void fields64(const std::int8_t* spins, double* fields) const;

 private:
  struct Interaction {
    std::uint32_t row, column;
    double value;
  };
  Ising(Form form, const double* linear, std::size_t num_variables, std::size_t num_problems);
  // Calls visit(i, j, J_ij) for every coupling, row by row where they are known so.
  template <class Visit>
  void for_each_interaction(const Visit& visit) const;
  void note(double bias);
  void set_scale(const double* linear);
  void scale_linear(const double* linear);
  void fill_dense(const MatrixView& matrix);
  void fill_dense(const std::vector<Interaction>& interactions);
  void fill_sparse(const std::vector<Interaction>& interactions);

  Form form_;
  std::size_t num_problems_, selected_ = 0;
  std::vector<double> linear_;
  std::variant<std::vector<Interaction>, MatrixView, FactorView> source_;
  std::vector<double> farthest_;                        // (n): the largest |h_i| of all problems
  std::vector<double> coupling_reach_, coupling_sums_;  // (n): of |J_ij| and J_ij over j
  std::vector<double> reach_;
  std::vector<double> aligned_fields_;
  int lowest_bit_ = 1 << 20;
  double least_bias_ = std::numeric_limits<double>::infinity();  // 2^lowest_bit_
  double largest_bias_ = 0.0;
  double scale_ = 1.0;
  bool exact_ = false;
  double unit_ = 1.0, reach_in_units_ = 0.0;
  float largest_coupling_ = 0.0f;
  Buffer<float> scaled_linear_;
  Buffer<float> couplings_;
  std::vector<std::size_t> offsets_;
  std::vector<std::uint32_t> neighbours_;
  std::optional<Inputs> inputs_;
  Buffer<float> diagonal_;
};

}  // namespace qpsbgd
