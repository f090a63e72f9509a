// One Ising problem, E(s) = sum_i h_i s_i + sum_{i<j} J_ij s_i s_j with s in {-1, +1}^n, or several
// problems that share J.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <variant>
#include <vector>

#include "core/matrices/inputs.hpp"
#include "core/matrices/matrix.hpp"
#include "core/support/buffer.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// Kernels address kLanes fields of each variable with 32 bits.
inline constexpr std::size_t kMaxVariables = (std::size_t{1} << 28) - 1;

// The type of local fields. Integers count the problem's unit. Where a problem is exact in all
// types, they hold the same values and lead to the same decisions, except that kBits, bit-sliced
// integers, draws other random numbers.
enum class Precision { kFloat32, kInt16, kFloat64, kBits };

class Ising {
 public:
  static constexpr int kNoBit = 1 << 20;  // lowest_bit() where all biases are 0

  // Dense: J as a matrix; a flip takes O(n). Sparse: lists of neighbours; a flip takes O(degree).
  // Low rank: the factor of J; a flip and a field take O(rank) each.
  enum class Form { kDense, kSparse, kLowRank };

  // Interactions as a user lists them. The values of a pair that comes more than once are summed.
  struct Interactions {
    const std::uint32_t* rows;
    const std::uint32_t* columns;
    const double* values;
    std::size_t count;
  };

  // Returns the form that is likely to be faster.
  static Form better_form(std::size_t num_variables, std::size_t num_interactions);

  // Builds a dense or sparse problem. linear (num_problems, n) must outlive this object where there
  // are several problems. Throws std::invalid_argument for a variable out of range or coupled to
  // itself, or for biases whose sum is infinite, and Stopped where `stop` says to end.
  //
  // linear64(), reach(), aligned_fields(), fields64() and energies() refer to the selected problem,
  // which is the first one until select() is called.
  Ising(const double* linear, std::size_t num_variables, const Interactions& interactions,
        Form form, std::size_t num_problems = 1, Stop* stop = nullptr);
  // Builds a dense problem from a symmetric matrix with a zero diagonal, which must outlive it.
  // Throws Stopped where `stop` says to end.
  Ising(const double* linear, const MatrixView& couplings, std::size_t num_problems = 1,
        Stop* stop = nullptr);
  // Builds a problem of low rank, which only annealing takes. The factor's scale must be positive.
  // Throws std::invalid_argument for biases beyond kFactorRange. reach() and aligned_fields() leave
  // out the couplings.
  Ising(const KernelTable& kernels, const double* linear, std::size_t num_variables,
        const FactorView& factor, int num_threads, std::size_t num_problems = 1);
  // The largest ratio of a bias to scale * max|A|^2.
  static constexpr double kFactorRange = 1e20;

  Ising(Ising&&) = default;

  // Throws std::invalid_argument if the sum of all biases' magnitudes, with couplings counted
  // twice, is infinite. Energies could then be infinite too.
  static void check_total(double magnitudes);

  // Returns the scale for the largest field of a problem: the power of two that brings fields into
  // (-1, 1). float32 holds them down to 2^-126; smaller couplings do not matter.
  static double scale_for(double largest_field);

  // Selects a problem, whose own biases are linear (n). Problem numbers below then count from it,
  // and exactness and units are those of this problem alone.
  void select(std::size_t problem, const double* linear);

  Form form() const { return form_; }
  std::size_t num_variables() const { return linear_.size(); }
  std::size_t num_problems() const { return num_problems_; }

  // Returns the factor between the biases and the floats of sweeps, which keeps them from
  // overflowing. It is a power of two, except in a problem of low rank, where scaled J is A^T A for
  // A = inputs().
  double scale() const { return scale_; }
  // Returns whether no field, nor its sum with a bias, is rounded, as with small integers. Fields
  // then never drift, and energies are right to the last bit.
  bool exact(Precision precision = Precision::kFloat32) const {
    return significant_bits_ <= (precision == Precision::kFloat64 ? 52 : 23);
  }
  // Returns the number of bits between the largest field and the last bit of any bias.
  int significant_bits() const { return significant_bits_; }

  // Every scaled bias is a multiple of this power of two.
  double unit() const { return unit_; }
  // Largest magnitudes of a field and of a coupling, in units.
  double reach_in_units() const { return reach_in_units_; }
  double coupling_in_units() const { return largest_coupling_ / unit_; }

  // Scaled linear biases (ld), padding 0, of a problem counted from the selected one.
  const float* linear(std::size_t problem = 0) const {
    return &scaled_linear_[(selected_ + problem) * ld()];
  }
  // Mean number of neighbours that a visit to a variable reads.
  double degree() const {
    const auto n = static_cast<double>(num_variables());
    return form_ == Form::kSparse ? static_cast<double>(neighbours_.size()) / n : n;
  }
  std::size_t ld() const { return round_up(num_variables(), kLanes); }

  // Dense: (ld, ld), symmetric, zero diagonal and padding. Sparse: values of neighbours(). Low
  // rank: blocks of kBlock on the diagonal.
  const float* couplings() const { return couplings_.data(); }
  const double* sparse_couplings64() const { return couplings64_.data(); }  // not scaled; sparse
  const std::size_t* offsets() const { return offsets_.data(); }            // (n + 1); sparse
  const std::uint32_t* neighbours() const { return neighbours_.data(); }    // sparse
  const Inputs& inputs() const { return *inputs_; }                         // low rank: A
  const float* diagonal() const { return diagonal_.data(); }                // low rank: of A^T A

  // The biases as the caller gave them. J: (n, n), symmetric, zero diagonal.
  const std::vector<double>& linear64() const { return linear_; }
  // Linear biases of a problem counted from the selected one.
  const double* linear64(std::size_t problem) const {
    return problem == 0 ? linear_.data() : all_linear_ + (selected_ + problem) * num_variables();
  }
  std::vector<double> couplings64() const;
  CouplingsView couplings_view() const;
  // Sums of |J_ij| over j; not of low rank.
  const std::vector<double>& coupling_reach() const { return coupling_reach_; }
  // Writes row i of J in float64, scaled, followed by zeros up to ld values; dense.
  void scaled_row(std::size_t i, std::size_t ld, double* out) const;
  // Largest magnitude that each variable's field can have, |h_i| + sum_j |J_ij|.
  const std::vector<double>& reach() const { return reach_; }
  // Fields of the state of all +1, h_i + sum_j J_ij.
  const std::vector<double>& aligned_fields() const { return aligned_fields_; }
  // The largest b for which all biases are multiples of 2^b; kNoBit if all are 0. Where biases span
  // more than 60 bits, it may be too high.
  int lowest_bit() const { return lowest_bit_; }
  // Sum of the magnitudes of all biases.
  double total_magnitude() const;

  // Writes the energies (rows) of states (rows, n) in float64, from the biases as the caller gave
  // them. If `stop` ends the call, the result is incomplete; `stop` may be null.
  void energies(const KernelTable& kernels, const std::int8_t* states, std::size_t rows,
                int num_threads, double* out, Stop* stop = nullptr) const;

  // Writes the scaled fields h_i + sum_j J_ij s_j of one state (n); dense.
  void dense_fields(const float* spins, float* fields) const;
  // Writes the fields of one state (n) in float64, not scaled.
  void fields64(const std::int8_t* spins, double* fields) const;

 private:
  Ising(Form form, const double* linear, std::size_t num_variables, std::size_t num_problems);
  void add_to_bits(double bias);
  // Sets units and exactness of a problem with this largest field and this lowest bit.
  void set_unit(double largest, int lowest_bit);
  void set_scale(const double* linear);
  void scale_linear(const double* linear);
  void fill_dense(const MatrixView& matrix, Stop* stop);
  // Stores couplings of a dense problem in float32 alone. Returns false if that would round one, or
  // if a pair comes twice.
  bool fill_exact(const Interactions& interactions, Stop* stop);
  void fill_sparse(const Interactions& interactions, Stop* stop);

  Form form_;
  std::size_t num_problems_, selected_ = 0;
  std::vector<double> linear_;
  const double* all_linear_ = nullptr;  // (num_problems, n), the caller's, where there are several
  CouplingsView source_;
  // (n, n): J from interactions; of a dense problem whose couplings float32 does not hold
  Buffer<double> matrix_;
  Buffer<double> couplings64_;    // sparse
  std::vector<double> farthest_;  // (n): largest |h_i|, until the scale is set
  std::vector<double> coupling_reach_, coupling_sums_;  // (n): of |J_ij| and J_ij over j
  std::vector<double> reach_;
  std::vector<double> aligned_fields_;
  int lowest_bit_ = kNoBit, coupling_bit_ = kNoBit;               // of all biases, of couplings
  double lowest_unit_ = std::numeric_limits<double>::infinity();  // 2^lowest_bit_
  double largest_bias_ = 0.0;
  double scale_ = 1.0;
  int significant_bits_ = 0;
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
