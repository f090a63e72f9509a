#include "core/layers/layer.hpp"

#include <cmath>

namespace qpsbgd {

double unit_alpha(const std::vector<RowNorms>& norms, AlphaRule alpha_rule) {
  RowNorms sum{};
  for (const RowNorms& row : norms) {
    sum.target2 += row.target2;
    sum.margin2 += row.margin2;
    sum.product += row.product;
  }
  if (!(sum.margin2 > 0.0)) return 0.0;
  // NOTES: where X explains little of T^, X b as long as T^ is far too long: b then minimises
  // ||X b|| instead of following T^. The least-squares length is shorter by their cosine.
  if (alpha_rule == AlphaRule::kFit) return sum.product / sum.margin2;
  // PAPER: alpha makes X b0 as long as the targets, one alpha a layer.
  return std::sqrt(sum.target2 / sum.margin2);
}

}  // namespace qpsbgd
