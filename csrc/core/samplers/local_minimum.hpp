// Sequential descent in float64, of problems whose couplings are kept in any way: the slow and
// exact counterpart of the descents in kernels. It ends reads that a time limit cut off, and looks
// at the local minima of a problem before a search chooses its precision.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/samplers/ising.hpp"
#include "core/support/buffer.hpp"
#include "core/support/stop.hpp"

namespace qpsbgd {

// A gain of less than this share of a variable's largest field is float64's rounding.
inline constexpr double kRounding64 = 1e-14;

class LocalMinimum {
 public:
  // The problem must outlive this. One thread uses an object at a time.
  explicit LocalMinimum(const Ising& problem);

  // Visits variables in order and flips those whose flip lowers the energy, until none does. Fields
  // are those of the problem from the selected one on. Returns whether it came to the end: an
  // interrupt ends it too, a time limit does not.
  bool descend(std::size_t problem, std::int8_t* state, Stop* stop);

  // Sums of |J_ij| over j (n); of a factor no less than these.
  const std::vector<double>& coupling_reach() const { return coupling_reach_; }

  // Of the state where the last descent ended: its energy, and sqrt(sum_i (|h_i| + |f_i|)^2).
  double energy() const { return energy_; }
  double field_norm() const { return field_norm_; }

 private:
  void set_fields(const double* linear, const std::int8_t* state);
  double field(std::size_t i, const std::int8_t* state) const;
  void flip(std::size_t i, std::int8_t* state);

  const Ising& problem_;
  const CouplingsView couplings_;
  std::vector<double> coupling_reach_;  // (n): of sum_j |J_ij|
  std::vector<double> fields_;          // (n), without h; of a factor (rank): A s
  std::vector<double> columns_;         // of a factor (n, rank): A transposed
  std::vector<double> scratch_;         // (n)
  const double* linear_ = nullptr;
  double energy_ = 0.0, field_norm_ = 0.0;
};

}  // namespace qpsbgd
