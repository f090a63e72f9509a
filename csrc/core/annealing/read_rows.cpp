#include "core/annealing/read_rows.hpp"

#include <stdexcept>

namespace qpsbgd {

bool ReadRows::sweep_each(const double*, const StreamKey*, Stop&) {
  throw std::logic_error("these rows share one temperature");
}

RowsMaker rows_maker(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
                     Precision precision) {
  if (precision == Precision::kBits) {
    throw std::invalid_argument("precision is bits, which only annealing has");
  }
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
