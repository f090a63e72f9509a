// One Ising problem, E(s) = sum_i h_i s_i + sum_{i<j} J_ij s_i s_j over s in {-1, +1}^n, or several
// that share J.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/buffer.hpp"
#include "kernels/table.hpp"

namespace qpsbgd {

// Sixteen fields of each are addressed with 32 bits.
inline constexpr std::size_t kMaxVariables = (std::size_t{1} << 28) - 1;

// What fields are kept as. Integers count the problem's unit; the same decisions as with floats,
// which hold the same values.
enum class Precision { kFloat32, kInt16, kInt8 };

class Ising {
 public:
  // Dense: J as a matrix, O(n) a flip. Sparse: lists of neighbours, O(degree) a flip.
  enum class Form { kDense, kSparse };

  // Interactions as a user lists them; a pair may come more than once and is summed.
  struct Interactions {
    const std::uint32_t* rows;
    const std::uint32_t* columns;
    const double* values;
    std::size_t count;
  };

  // The form that is expected to be faster.
  static Form better_form(std::size_t num_variables, std::size_t num_interactions);

  // linear (num_problems, n). What is told below of linear64, reach, aligned_fields and fields64 is
  // of the first problem. Throws std::invalid_argument for a variable out of range, or coupled to
  // itself.
  Ising(const double* linear, std::size_t num_variables, const Interactions& interactions,
        Form form, std::size_t num_problems = 1);

  Form form() const { return form_; }
  std::size_t num_variables() const { return linear_.size(); }
  std::size_t num_problems() const { return num_problems_; }

  // The floats of sweeps are the biases times this power of two, so that none of them overflows.
  double scale() const { return scale_; }
  // Whether sums of these floats are exact, as with small integers: fields then never drift.
  bool exact() const { return exact_; }

  // Every scaled bias is a multiple of this power of two.
  double unit() const { return unit_; }
  // Largest magnitudes of a field and of a coupling, in units.
  double reach_in_units() const { return reach_in_units_; }
  double coupling_in_units() const { return largest_coupling_ / unit_; }

  // (ld), padding 0
  const float* linear(std::size_t problem = 0) const { return &scaled_linear_[problem * ld()]; }
  std::size_t ld() const { return round_up(num_variables(), kLanes); }

  // Dense: (ld, ld), symmetric, zero diagonal and padding. Sparse: values of neighbours().
  const float* couplings() const { return couplings_.data(); }
  const std::size_t* offsets() const { return offsets_.data(); }          // (n + 1); sparse
  const std::uint32_t* neighbours() const { return neighbours_.data(); }  // sparse

  // The biases as they were given. J: (n, n), symmetric, zero diagonal.
  const std::vector<double>& linear64() const { return linear_; }
  std::vector<double> couplings64() const;
  // Largest magnitude of each variable's field, |h_i| + sum_j |J_ij|.
  const std::vector<double>& reach() const { return reach_; }
  // Fields of the state of all +1, h_i + sum_j J_ij.
  const std::vector<double>& aligned_fields() const { return aligned_fields_; }
  // The largest b such that all biases are multiples of 2^b; huge if all are 0.
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
  void fill_dense();
  void fill_sparse();

  Form form_;
  std::size_t num_problems_;
  std::vector<double> linear_;
  std::vector<Interaction> interactions_;
  std::vector<double> reach_;
  std::vector<double> aligned_fields_;
  int lowest_bit_ = 1 << 20;
  double scale_ = 1.0;
  bool exact_ = false;
  double unit_ = 1.0, reach_in_units_ = 0.0;
  float largest_coupling_ = 0.0f;
  Buffer<float> scaled_linear_;
  Buffer<float> couplings_;
  std::vector<std::size_t> offsets_;
  std::vector<std::uint32_t> neighbours_;
};

}  // namespace qpsbgd
