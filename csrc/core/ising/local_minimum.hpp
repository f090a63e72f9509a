// Sequential descent in float64 for couplings of any form: the slow and exact counterpart of the
// descents in kernels. It finishes reads that a time limit ended, and finds the local minima from
// which the precision of a search is chosen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/ising/ising.hpp"
#include "core/support/buffer.hpp"
#include "core/threads/stop.hpp"

namespace qpsbgd {

// A gain below this share of a variable's largest field counts as rounding of float64.
inline constexpr double kRounding64 = 1e-14;

class LocalMinimum {
 public:
  // The problem must outlive this. One thread uses an object at a time.
  explicit LocalMinimum(const Ising& problem);

  // Visits variables in order and flips those whose flip lowers the energy, until none does.
  // `problem` counts from the selected one. Returns false where an interrupt ended it early; a time
  // limit does not end it.
  bool descend(std::size_t problem, std::int8_t* state, Stop* stop);

  // Sums of |J_ij| over j (n); for a factor, upper bounds of them.
  const std::vector<double>& coupling_reach() const { return coupling_reach_; }

  // The energy of the state where the last descent ended, and its sqrt(sum_i (|h_i| + |f_i|)^2).
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
