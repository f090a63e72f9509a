// Couplings as a caller holds them: a dense symmetric matrix, or the factor of one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <variant>

namespace qpsbgd {

// Some (n, n) matrices one after the other, row-major, in float64 or float32. Not owned.
class MatrixView {
 public:
  MatrixView(const double* values, std::size_t n) : doubles_(values), n_(n) {}
  MatrixView(const float* values, std::size_t n) : floats_(values), n_(n) {}

  std::size_t size() const { return n_; }
  const double* doubles() const { return doubles_; }  // null if these are floats
  const float* floats() const { return floats_; }     // null if these are doubles

  // Matrix b of them.
  MatrixView operator[](std::size_t b) const {
    return doubles_ ? MatrixView(doubles_ + b * n_ * n_, n_)
                    : MatrixView(floats_ + b * n_ * n_, n_);
  }
  double operator()(std::size_t i, std::size_t j) const {
    return doubles_ ? doubles_[i * n_ + j] : static_cast<double>(floats_[i * n_ + j]);
  }
  // Row i in float64, where it is or in `scratch` (n).
  const double* row(std::size_t i, double* scratch) const {
    if (doubles_) return doubles_ + i * n_;
    std::copy_n(floats_ + i * n_, n_, scratch);
    return scratch;
  }

 private:
  const double* doubles_ = nullptr;
  const float* floats_ = nullptr;
  std::size_t n_;
};

// scale * A^T A without its diagonal. Not owned.
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

}  // namespace qpsbgd
