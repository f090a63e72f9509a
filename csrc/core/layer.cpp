#include "core/layer.hpp"

#include <cmath>

namespace qpsbgd {

double unit_alpha(const RowNorms* norms, std::size_t num_rows) {
  RowNorms sum{};
  for (std::size_t row = 0; row < num_rows; ++row) {
    sum.target2 += norms[row].target2;
    sum.margin2 += norms[row].margin2;
  }
  // PAPER: alpha makes X b0 as long as the targets, one alpha a layer.
  return sum.margin2 > 0.0 ? std::sqrt(sum.target2 / sum.margin2) : 0.0;
}

}  // namespace qpsbgd
