#include "core/samplers/read_rows.hpp"

namespace qpsbgd {

RowsMaker rows_maker(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
                     Precision precision) {
  switch (problem.form()) {
    case Ising::Form::kLowRank:
      return low_rank_rows(kernels, problem, options);
    case Ising::Form::kSparse:
      return sparse_rows(kernels, problem, options, precision);
    default:
      return dense_rows(kernels, problem, options, precision);
  }
}

}  // namespace qpsbgd
