// The sign objective ||sign(X b + eps) - t||^2 as binary quadratic problems with penalties, over
// spins. This form exists where the non-zero inputs of each sample have one magnitude.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/layers/sample_layer.hpp"
#include "core/support/buffer.hpp"

namespace qpsbgd {

// Returns the position of the first entry of X (num_samples, num_inputs) that is not 0 and differs
// in magnitude from its sample's first non-zero entry, or the number of entries. If `stop` ends the
// call, the result is incomplete; `stop` may be null.
std::size_t first_other_magnitude(const float* inputs, std::size_t num_samples,
                                  std::size_t num_inputs, Stop* stop = nullptr);

// Let c s_k be the n' non-zero inputs of a sample, and p the number of them that agree with b, so
// that s_k b_k = +1. The margin is c (2 p - n'), and the output is +1 where p >= tau for some tau.
// A *count* expresses this with an indicator z = [q >= M], where q inputs agree with a *pattern*.
// The pattern is s and M = tau. If that M would be smaller than n' + 1 - M, the pattern is -s, M =
// n' + 1 - tau, and z is the opposite of the output. Then
//
//   (q - M z - sum_j w_j a_j)^2    with binary z, a_j and weights w_j whose sums are 0 .. M - 1
//
// vanishes for one z and some a, and is at least 1 for the other z: z = 0 covers q = 0 .. M - 1,
// and z = 1 covers q = M .. n' <= 2M - 1. A row's problem is the sum of its counts' squares times a
// factor, plus the loss, which is linear in z. All rows share the couplings up to the factor.
//
// NOTES: the paper's code has one more variable for each weight and sample; known inputs need none.
class SignQubo {
 public:
  SignQubo(const SampleView& view, const KernelTable& kernels, double target_eps, int num_threads,
           Stop* stop = nullptr);

  // Spins: the n weights, then each count's indicator and its ceil(log2 M) slack bits.
  std::size_t num_variables() const { return num_variables_; }
  // Number of pairs whose coupling is not 0.
  std::size_t num_couplings() const { return num_couplings_; }
  std::size_t num_counts() const { return counts_.size(); }

  void patterns(std::int8_t* out) const;     // (num_counts, n) of -1, 0 and +1
  void thresholds(std::int32_t* out) const;  // M (num_counts)

  // Writes the couplings of a row with factor 1: rows < columns, in lexicographic order.
  void couplings(std::int32_t* rows, std::int32_t* columns, double* values,
                 Stop* stop = nullptr) const;

  // Writes the factors (m), and fields (m, num_variables) and offsets (m), which include them. A
  // row's factor is penalty_factor times the largest change of its loss by one indicator; 1 where
  // no indicator changes it.
  void rows(double penalty_factor, double* factors, double* fields, double* offsets,
            Stop* stop = nullptr) const;

 private:
  struct Count {
    std::int32_t size;       // n'
    std::int32_t threshold;  // M
    std::size_t indicator;   // its variable; the slack bits follow

    std::size_t num_slack_bits() const;
    double weight(std::size_t bit) const;  // w_j
  };
  struct Sample {
    std::size_t count;
    double sign;  // the output is sign * (2 z - 1); 0: the output is +1 for every b
  };

  const std::int8_t* pattern(std::size_t count) const {
    return &patterns_[count * view_.num_inputs];
  }
  void find_counts(float scale, double eps, Stop* stop);
  void multiply_patterns(Stop* stop);
  void add_penalties(Stop* stop);

  SampleView view_;
  int num_threads_;
  std::size_t num_variables_ = 0, num_couplings_ = 0;
  std::vector<Count> counts_;
  std::vector<Sample> samples_;
  std::vector<std::int8_t> patterns_;   // (num_counts, n)
  Buffer<std::int32_t> products_;       // P^T P (n, n) of the patterns P, above the diagonal
  std::vector<std::size_t> first_;      // first coupling of each weight, and of the auxiliaries
  std::vector<double> penalty_fields_;  // (num_variables), for factor 1
  double penalty_offset_ = 0.0;
};

}  // namespace qpsbgd
