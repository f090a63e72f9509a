// One Ising problem, E(s) = sum_i h_i s_i + sum_{i<j} J_ij s_i s_j over s in {-1, +1}^n, or several
// that share J.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <variant>
#include <vector>

#include "core/support/buffer.hpp"
#include "core/support/inputs.hpp"
#include "core/support/matrix.hpp"
#include "core/support/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// Sixteen fields of each are addressed with 32 bits.
inline constexpr std::size_t kMaxVariables = (std::size_t{1} << 28) - 1;

// What fields are kept as. Integers count the problem's unit; where they fit, all four hold the
// same values and lead to the same decisions.
enum class Precision { kFloat32, kInt16, kFloat64 };

// Exponent of the lowest bit that is set in x; x finite and not 0.
int lowest_bit_of(double x);

class Ising {
 public:
  static constexpr int kNoBit = 1 << 20;  // lowest_bit() of no bias at all

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

  // linear (num_problems, n), which must outlive this where there are several problems. Linear64,
  // reach, aligned_fields, fields64 and energies below are those of the first problem. Throws
  // std::invalid_argument for a variable out of range, or coupled to itself, or biases whose sum is
  // infinite, and Stopped where `stop` says to end.
  Ising(const double* linear, std::size_t num_variables, const Interactions& interactions,
        Form form, std::size_t num_problems = 1, Stop* stop = nullptr);
  // Dense, from a symmetric matrix with a zero diagonal that outlives this.
  Ising(const double* linear, const MatrixView& couplings, std::size_t num_problems = 1);
  // Of low rank; annealing alone takes these. scale > 0. Throws std::invalid_argument for biases
  // beyond kFactorRange. reach and aligned_fields are not known.
  Ising(const KernelTable& kernels, const double* linear, std::size_t num_variables,
        const FactorView& factor, int num_threads, std::size_t num_problems = 1);
  // Of the largest bias to scale * max|A|^2.
  static constexpr double kFactorRange = 1e20;

  Ising(Ising&&) = default;

  // Throws std::invalid_argument if the magnitudes of all biases, couplings twice, have an infinite
  // sum: energies might have too.
  static void check_total(double magnitudes);

  // From now on problem `problem` is the first, with these fields (n), which are its own. What is
  // said of exactness and units is then said of this problem alone.
  void select(std::size_t problem, const double* linear);

  Form form() const { return form_; }
  std::size_t num_variables() const { return linear_.size(); }
  std::size_t num_problems() const { return num_problems_; }

  // The floats of sweeps are the biases times this, so that none of them overflows: a power of two,
  // but for low rank, where J becomes the product of inputs().
  double scale() const { return scale_; }
  // Whether no field, nor its sum with a bias, is rounded, as with small integers: fields then
  // never drift, and energies are right to the last bit.
  bool exact(Precision precision = Precision::kFloat32) const {
    return significant_bits_ <= (precision == Precision::kFloat64 ? 52 : 23);
  }
  // Bits between the largest field and the last bit of any bias.
  int significant_bits() const { return significant_bits_; }

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
  const double* sparse_couplings64() const { return couplings64_.data(); }  // as given; sparse
  const std::size_t* offsets() const { return offsets_.data(); }            // (n + 1); sparse
  const std::uint32_t* neighbours() const { return neighbours_.data(); }    // sparse
  const Inputs& inputs() const { return *inputs_; }                         // low rank: A
  const float* diagonal() const { return diagonal_.data(); }                // low rank: of A^T A

  // The biases as they were given. J: (n, n), symmetric, zero diagonal.
  const std::vector<double>& linear64() const { return linear_; }
  // Those of a problem from the selected one on.
  const double* linear64(std::size_t problem) const {
    return problem == 0 ? linear_.data() : all_linear_ + (selected_ + problem) * num_variables();
  }
  std::vector<double> couplings64() const;
  CouplingsView couplings_view() const;
  // Sums of |J_ij| over j; not of low rank.
  const std::vector<double>& coupling_reach() const { return coupling_reach_; }
  // Row i of J in float64, scaled, filled up with zeros to ld values; dense.
  void scaled_row(std::size_t i, std::size_t ld, double* out) const;
  // Largest magnitude of each variable's field, |h_i| + sum_j |J_ij|.
  const std::vector<double>& reach() const { return reach_; }
  // Fields of the state of all +1, h_i + sum_j J_ij.
  const std::vector<double>& aligned_fields() const { return aligned_fields_; }
  // The largest b such that all biases are multiples of 2^b; huge if all are 0, and only low enough
  // where they span more than 60 bits.
  int lowest_bit() const { return lowest_bit_; }
  // Whether the biases look like integers times lowest_bit(): many end within a few bits of it.
  bool has_common_unit() const;
  // The smallest magnitude of a bias that is not 0.
  double smallest_bias() const;
  // Sum of the magnitudes of all biases.
  double total_magnitude() const;

  // Energy of states (rows, n) in float64 from the biases as they were given; not all of them if
  // `stop` says to end.
  void energies(const KernelTable& kernels, const std::int8_t* states, std::size_t rows,
                int num_threads, double* out, Stop* stop = nullptr) const;

  // fields_i = h_i + sum_j J_ij s_j of one state (n), scaled; dense.
  void dense_fields(const float* spins, float* fields) const;
  // The same in float64, not scaled.
  void fields64(const std::int8_t* spins, double* fields) const;

 private:
  Ising(Form form, const double* linear, std::size_t num_variables, std::size_t num_problems);
  // Calls visit(i, j, J_ij) for every pair once, i in order.
  template <class Visit>
  void for_each_interaction(const Visit& visit) const;
  void note(double bias);
  // Units and exactness of a problem with this largest field and this lowest bit.
  void set_unit(double largest, int lowest_bit);
  void set_scale(const double* linear);
  void scale_linear(const double* linear);
  void fill_dense(const MatrixView& matrix, Stop* stop);
  void fill_sparse(const Interactions& interactions, Stop* stop);

  Form form_;
  std::size_t num_problems_, selected_ = 0;
  std::vector<double> linear_;
  const double* all_linear_ = nullptr;  // (num_problems, n), the caller's, where there are several
  std::variant<MatrixView, NeighbourLists, FactorView> source_;
  Buffer<double> matrix_;         // (n, n): J that was given as interactions; dense
  Buffer<double> couplings64_;    // sparse
  std::vector<double> farthest_;  // (n): the largest |h_i| of all problems
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
