// Couplings as a caller holds them: a dense symmetric matrix, its factor, or lists of neighbours.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

namespace qpsbgd {

// One or several (n, n) matrices, one after the other, row-major, in float64 or float32. Not owned.
// A single matrix may have rows that are `ld` values apart, and a power of two as its factor.
class MatrixView {
 public:
  MatrixView(const double* values, std::size_t n) : doubles_(values), n_(n), ld_(n) {}
  MatrixView(const float* values, std::size_t n) : floats_(values), n_(n), ld_(n) {}
  MatrixView(const float* values, std::size_t n, std::size_t ld, double factor)
      : floats_(values), n_(n), ld_(ld), factor_(factor) {}

  std::size_t size() const { return n_; }
  std::size_t ld() const { return ld_; }
  double factor() const { return factor_; }
  const double* doubles() const { return doubles_; }  // null if these are floats
  const float* floats() const { return floats_; }     // null if these are doubles

  // Returns the same matrices times a power of two.
  MatrixView times(double factor) const {
    MatrixView view = *this;
    view.factor_ *= factor;
    return view;
  }
  // Returns matrix b.
  MatrixView operator[](std::size_t b) const {
    MatrixView view = *this;
    if (doubles_) view.doubles_ += b * n_ * ld_;
    if (floats_) view.floats_ += b * n_ * ld_;
    return view;
  }
  double operator()(std::size_t i, std::size_t j) const {
    const std::size_t at = i * ld_ + j;
    return factor_ * (doubles_ ? doubles_[at] : static_cast<double>(floats_[at]));
  }
  // Returns row i in float64: the caller's own, or a copy in `scratch` (n).
  const double* row(std::size_t i, double* scratch) const {
    const std::size_t at = i * ld_;
    if (doubles_ && factor_ == 1.0) return doubles_ + at;
    for (std::size_t j = 0; j < n_; ++j) {
      scratch[j] = factor_ * (doubles_ ? doubles_[at + j] : static_cast<double>(floats_[at + j]));
    }
    return scratch;
  }

 private:
  const double* doubles_ = nullptr;
  const float* floats_ = nullptr;
  std::size_t n_, ld_;
  double factor_ = 1.0;
};

// Couplings scale * A^T A without the diagonal. Not owned.
struct FactorView {
  const float* values;  // A (rank, n), row-major, finite
  std::size_t rank;
  double scale;
};

// Lists of neighbours, each coupling in both variables' lists. Not owned.
struct NeighbourLists {
  const std::size_t* offsets;  // (n + 1)
  const std::uint32_t* neighbours;
  const double* values;
};

using CouplingsView = std::variant<MatrixView, NeighbourLists, FactorView>;

// Calls visit(i, j, J_ij) once for every pair of the n variables, or of neighbours, in ascending
// order of i.
template <class Visit>
void for_each_coupling(const CouplingsView& couplings, std::size_t n, const Visit& visit) {
  if (const auto* lists = std::get_if<NeighbourLists>(&couplings)) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t e = lists->offsets[i]; e < lists->offsets[i + 1]; ++e) {
        if (lists->neighbours[e] > i) visit(i, lists->neighbours[e], lists->values[e]);
      }
    }
  } else if (const auto* matrix = std::get_if<MatrixView>(&couplings)) {
    std::vector<double> scratch(n);
    for (std::size_t i = 0; i < n; ++i) {
      const double* row = matrix->row(i, scratch.data());
      for (std::size_t j = i + 1; j < n; ++j) visit(i, j, row[j]);
    }
  } else {
    const auto& factor = std::get<FactorView>(couplings);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = i + 1; j < n; ++j) {
        double product = 0.0;
        for (std::size_t k = 0; k < factor.rank; ++k) {
          const float* row = factor.values + k * n;
          product += static_cast<double>(row[i]) * row[j];
        }
        visit(i, j, factor.scale * product);
      }
    }
  }
}

// Calls function(values) with the matrices' own type. The values are without the factor.
template <class Function>
auto with_type(const MatrixView& matrices, const Function& function) {
  return matrices.doubles() ? function(matrices.doubles()) : function(matrices.floats());
}

}  // namespace qpsbgd
