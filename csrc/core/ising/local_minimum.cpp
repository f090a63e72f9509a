#include "core/ising/local_minimum.hpp"

#include <algorithm>
#include <cmath>
#include <variant>

namespace qpsbgd {
namespace {

// Multiplications between two polls of `stop`: some milliseconds.
constexpr std::size_t kOperationsPerPoll = std::size_t{1} << 21;

}  // namespace

LocalMinimum::LocalMinimum(const Ising& problem)
    : problem_(problem),
      couplings_(problem.couplings_view()),
      coupling_reach_(problem.coupling_reach()),
      scratch_(problem.num_variables()) {
  const std::size_t n = problem.num_variables();
  const auto* factor = std::get_if<FactorView>(&couplings_);
  if (factor == nullptr) {
    fields_.resize(n);
    return;
  }
  fields_.resize(factor->rank);
  columns_.resize(n * factor->rank);
  for (std::size_t k = 0; k < factor->rank; ++k) {
    double sum = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      columns_[i * factor->rank + k] = factor->values[k * n + i];
      sum += std::fabs(factor->values[k * n + i]);
    }
    for (std::size_t i = 0; i < n; ++i) {
      coupling_reach_[i] += std::fabs(factor->scale * factor->values[k * n + i]) * sum;
    }
  }
}

void LocalMinimum::set_fields(const double* linear, const std::int8_t* state) {
  const std::size_t n = problem_.num_variables();
  linear_ = linear;
  std::fill(fields_.begin(), fields_.end(), 0.0);
  if (const auto* matrix = std::get_if<MatrixView>(&couplings_)) {
    for (std::size_t i = 0; i < n; ++i) {
      const double* row = matrix->row(i, scratch_.data());
      const double spin = state[i];
      for (std::size_t j = 0; j < n; ++j) fields_[j] += spin * row[j];
    }
  } else if (const auto* lists = std::get_if<NeighbourLists>(&couplings_)) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t e = lists->offsets[i]; e < lists->offsets[i + 1]; ++e) {
        fields_[i] += lists->values[e] * state[lists->neighbours[e]];
      }
    }
  } else {
    const std::size_t rank = fields_.size();
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t k = 0; k < rank; ++k) fields_[k] += state[i] * columns_[i * rank + k];
    }
  }
}

double LocalMinimum::field(std::size_t i, const std::int8_t* state) const {
  const auto* factor = std::get_if<FactorView>(&couplings_);
  if (factor == nullptr) return linear_[i] + fields_[i];
  const double* column = columns_.data() + i * factor->rank;
  double product = 0.0, square = 0.0;
  for (std::size_t k = 0; k < factor->rank; ++k) {
    product += column[k] * fields_[k];
    square += column[k] * column[k];
  }
  return linear_[i] + factor->scale * (product - square * state[i]);
}

void LocalMinimum::flip(std::size_t i, std::int8_t* state) {
  const double change = -2.0 * state[i];
  state[i] = static_cast<std::int8_t>(-state[i]);
  if (const auto* matrix = std::get_if<MatrixView>(&couplings_)) {
    const double* row = matrix->row(i, scratch_.data());
    for (std::size_t j = 0; j < fields_.size(); ++j) fields_[j] += change * row[j];
  } else if (const auto* lists = std::get_if<NeighbourLists>(&couplings_)) {
    for (std::size_t e = lists->offsets[i]; e < lists->offsets[i + 1]; ++e) {
      fields_[lists->neighbours[e]] += change * lists->values[e];
    }
  } else {
    const double* column = columns_.data() + i * fields_.size();
    for (std::size_t k = 0; k < fields_.size(); ++k) fields_[k] += change * column[k];
  }
}

bool LocalMinimum::descend(std::size_t problem, std::int8_t* state, Stop* stop) {
  const std::size_t n = problem_.num_variables();
  const std::size_t work = std::holds_alternative<FactorView>(couplings_) ? fields_.size() : n;
  const std::size_t visits =
      std::max<std::size_t>(1, kOperationsPerPoll / std::max<std::size_t>(1, work));
  set_fields(problem_.linear64(problem), state);
  bool ended = true;
  std::size_t still = 0;  // consecutive variables whose flip does not lower the energy
  for (std::size_t visit = 0, i = 0; still < n; ++visit, i = i + 1 < n ? i + 1 : 0) {
    if (visit % visits == 0 && stop != nullptr && stop->poll_interrupt()) {
      ended = false;
      break;
    }
    const double reach = std::fabs(linear_[i]) + coupling_reach_[i];
    if (state[i] * field(i, state) > kRounding64 * reach) {
      flip(i, state);
      still = 0;
    } else {
      ++still;
    }
  }
  energy_ = field_norm_ = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    const double f = field(i, state), norm = std::fabs(linear_[i]) + std::fabs(f);
    energy_ += 0.5 * state[i] * (linear_[i] + f);
    field_norm_ += norm * norm;
  }
  field_norm_ = std::sqrt(field_norm_);
  return ended;
}

}  // namespace qpsbgd
