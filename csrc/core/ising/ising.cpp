#include "core/ising/ising.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/support/bits.hpp"
#include "core/support/scale.hpp"

namespace qpsbgd {
namespace {

// Interactions between two polls of `stop`: some milliseconds.
constexpr std::size_t kBuildRun = std::size_t{1} << 18;

// Side of a square of a matrix that stays in the first cache.
constexpr std::size_t kSquare = 32;
// Float32 alone stores couplings whose scale lies between the inverse of this and this: biases in
// units of the scale then stay far from the ends of float64.
constexpr double kLargestScale = 0x1p60;

// Throws where `stop` says to end.
void check_stop(Stop* stop) {
  if (stop != nullptr && stop->poll()) throw Stopped();
}

// Copies the lower triangle of a matrix (n, n), whose rows are ld apart, to the upper one.
template <class Value>
void mirror_lower(Value* matrix, std::size_t n, std::size_t ld, Stop* stop) {
  for (std::size_t row = 0; row < n; row += kSquare) {
    check_stop(stop);
    for (std::size_t column = 0; column <= row; column += kSquare) {
      for (std::size_t i = row; i < std::min(row + kSquare, n); ++i) {
        for (std::size_t j = column; j < std::min(column + kSquare, i); ++j) {
          matrix[j * ld + i] = matrix[i * ld + j];
        }
      }
    }
  }
}

}  // namespace

Ising::Form Ising::better_form(std::size_t num_variables, std::size_t num_interactions) {
  // A dense flip streams n floats, a sparse one scatters to its neighbours in sixteen lanes.
  const double degree = 2.0 * static_cast<double>(num_interactions) /
                        std::max(1.0, static_cast<double>(num_variables));
  return num_variables <= 64 || 8.0 * degree >= static_cast<double>(num_variables) ? Form::kDense
                                                                                   : Form::kSparse;
}

Ising::Ising(Form form, const double* linear, std::size_t num_variables, std::size_t num_problems)
    : form_(form),
      num_problems_(num_problems),
      linear_(num_variables),
      all_linear_(num_problems > 1 ? linear : nullptr),
      source_(FactorView{}),
      farthest_(num_variables),
      coupling_reach_(num_variables),
      coupling_sums_(num_variables),
      reach_(num_variables),
      aligned_fields_(num_variables),
      scaled_linear_(num_problems * ld()) {
  for (std::size_t problem = 0; problem < num_problems; ++problem) {
    for (std::size_t i = 0; i < num_variables; ++i) {
      const double bias = linear[problem * num_variables + i];
      farthest_[i] = std::max(farthest_[i], std::fabs(bias));
      largest_bias_ = std::max(largest_bias_, std::fabs(bias));
    }
  }
}

Ising::Ising(const double* linear, std::size_t num_variables, const Interactions& interactions,
             Form form, std::size_t num_problems, Stop* stop)
    : Ising(form, linear, num_variables, num_problems) {
  for (std::size_t k = 0; k < interactions.count; ++k) {
    if (k % kBuildRun == 0) check_stop(stop);
    const std::uint32_t i = interactions.rows[k], j = interactions.columns[k];
    if (i >= num_variables || j >= num_variables || i == j) {
      throw std::invalid_argument("interaction " + std::to_string(k) + " is (" + std::to_string(i) +
                                  ", " + std::to_string(j) +
                                  "), but must join two different variables below " +
                                  std::to_string(num_variables));
    }
    const double value = interactions.values[k];
    coupling_reach_[i] += std::fabs(value);
    coupling_reach_[j] += std::fabs(value);
    coupling_sums_[i] += value;
    coupling_sums_[j] += value;
    add_to_bits(value);
  }
  coupling_bit_ = lowest_bit_;
  set_scale(linear);
  if (form == Form::kDense && fill_exact(interactions, stop)) {
    source_ = MatrixView(couplings_.data(), num_variables, ld(), 1.0 / scale_);
  } else if (form == Form::kDense) {
    const std::size_t n = num_variables;
    matrix_ = Buffer<double>(n * n);
    std::fill_n(matrix_.data(), n * n, 0.0);
    for (std::size_t k = 0; k < interactions.count; ++k) {
      if (k % kBuildRun == 0) check_stop(stop);
      const std::size_t i = interactions.rows[k], j = interactions.columns[k];
      matrix_[std::max(i, j) * n + std::min(i, j)] += interactions.values[k];
    }
    mirror_lower(matrix_.data(), n, n, stop);
    source_ = MatrixView(matrix_.data(), n);
    fill_dense(std::get<MatrixView>(source_), stop);
  } else {
    fill_sparse(interactions, stop);
    source_ = NeighbourLists{offsets_.data(), neighbours_.data(), couplings64_.data()};
  }
}

Ising::Ising(const double* linear, const MatrixView& couplings, std::size_t num_problems,
             Stop* stop)
    : Ising(Form::kDense, linear, couplings.size(), num_problems) {
  const std::size_t n = couplings.size();
  std::vector<double> scratch(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (i % divide_up(kBuildRun, n) == 0) check_stop(stop);
    const double* row = couplings.row(i, scratch.data());
    for (std::size_t j = 0; j < n; ++j) {
      coupling_reach_[i] += std::fabs(row[j]);
      coupling_sums_[i] += row[j];
    }
    for (std::size_t j = i + 1; j < n; ++j) add_to_bits(row[j]);
  }
  coupling_bit_ = lowest_bit_;
  set_scale(linear);
  fill_dense(couplings, stop);
  source_ = couplings;
}

Ising::Ising(const KernelTable& kernels, const double* linear, std::size_t num_variables,
             const FactorView& factor, int num_threads, std::size_t num_problems)
    : Ising(Form::kLowRank, linear, num_variables, num_problems) {
  inputs_.emplace(factor.values, factor.rank, num_variables, kernels, num_threads, false);
  const double unit = inputs_->scale();
  scale_ = unit * unit / factor.scale;
  if (!(largest_bias_ * scale_ <= kFactorRange)) {
    throw std::invalid_argument("biases are too large for the scale of the factor");
  }
  select(0, linear);
  scale_linear(linear);
  diagonal_ = Buffer<float>(num_variables);
  couplings_ = inputs_->gram_blocks(diagonal_.data());
  source_ = factor;
}

// Updates lowest_bit_. Stops doing so, because it takes long, where the biases span more than 60
// bits: float64 does not hold such integers in any case.
void Ising::add_to_bits(double bias) {
  largest_bias_ = std::max(largest_bias_, std::fabs(bias));
  if (bias == 0.0 || 0x1p-60 * largest_bias_ > lowest_unit_) return;
  lowest_bit_ = std::min(lowest_bit_, lowest_bit_of(bias));
  lowest_unit_ = std::ldexp(1.0, lowest_bit_);
}

void Ising::select(std::size_t problem, const double* linear) {
  selected_ = problem;
  double largest = 0.0;
  lowest_bit_ = coupling_bit_;
  lowest_unit_ = std::ldexp(1.0, std::min(lowest_bit_, 1000));
  for (std::size_t i = 0; i < num_variables(); ++i) {
    linear_[i] = linear[i];
    reach_[i] = coupling_reach_[i] + std::fabs(linear[i]);
    aligned_fields_[i] = coupling_sums_[i] + linear[i];
    largest = std::max(largest, reach_[i]);
    add_to_bits(linear[i]);
  }
  set_unit(largest, lowest_bit_);
}

void Ising::set_unit(double largest, int lowest_bit) {
  significant_bits_ = form_ == Form::kLowRank ? kNoBit : 0;
  if (form_ == Form::kLowRank || !(largest > 0.0)) return;
  significant_bits_ = exponent_of(largest) - lowest_bit;
  unit_ = std::ldexp(scale_, lowest_bit);
  reach_in_units_ = std::ldexp(largest, -lowest_bit);
}

double Ising::scale_for(double largest_field) { return unit_scale(largest_field, 1000); }

void Ising::check_total(double magnitudes) {
  if (!std::isfinite(magnitudes)) {
    throw std::invalid_argument(
        "the magnitudes of all biases must have a sum that float64 holds, but theirs is infinite");
  }
}

void Ising::set_scale(const double* linear) {
  const std::size_t n = num_variables();
  double largest = 0.0, couplings = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    largest = std::max(largest, coupling_reach_[i] + farthest_[i]);
    couplings += coupling_reach_[i];
  }
  for (std::size_t problem = 0; problem < num_problems_; ++problem) {
    double total = couplings;
    for (std::size_t i = 0; i < n; ++i) total += std::fabs(linear[problem * n + i]);
    check_total(total);
  }
  scale_ = scale_for(largest);
  std::vector<double>().swap(farthest_);
  select(0, linear);
  if (num_problems_ > 1) {  // until one is selected, units are those of all together
    for (std::size_t k = n; k < num_problems_ * n; ++k) add_to_bits(linear[k]);
    set_unit(largest, lowest_bit_);
  }
  scale_linear(linear);
}

void Ising::scale_linear(const double* linear) {
  const std::size_t n = num_variables();
  for (std::size_t problem = 0; problem < num_problems_; ++problem) {
    float* out = &scaled_linear_[problem * ld()];
    for (std::size_t i = 0; i < n; ++i) {
      out[i] = static_cast<float>(scale_ * linear[problem * n + i]);
    }
    std::fill(out + n, out + ld(), 0.0f);
  }
}

void Ising::fill_dense(const MatrixView& matrix, Stop* stop) {
  const std::size_t n = num_variables();
  couplings_ = Buffer<float>(ld() * ld());
  std::vector<double> scratch(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (i % divide_up(kBuildRun, n) == 0) check_stop(stop);
    const double* row = matrix.row(i, scratch.data());
    float* out = &couplings_[i * ld()];
    for (std::size_t j = 0; j < n; ++j) {
      out[j] = static_cast<float>(scale_ * row[j]);
      largest_coupling_ = std::max(largest_coupling_, std::fabs(out[j]));
    }
    std::fill(out + n, out + ld(), 0.0f);
  }
  std::fill(&couplings_[n * ld()], &couplings_[ld() * ld()], 0.0f);
}

bool Ising::fill_exact(const Interactions& interactions, Stop* stop) {
  if (!(scale_ >= 1.0 / kLargestScale && scale_ <= kLargestScale)) return false;
  for (std::size_t k = 0; k < interactions.count; ++k) {
    const double value = scale_ * interactions.values[k];
    if (static_cast<double>(static_cast<float>(value)) != value) return false;
  }
  Buffer<float> couplings(ld() * ld());
  std::fill_n(couplings.data(), couplings.size(), 0.0f);
  float largest = 0.0f;
  for (std::size_t k = 0; k < interactions.count; ++k) {
    if (k % kBuildRun == 0) check_stop(stop);
    const std::size_t i = interactions.rows[k], j = interactions.columns[k];
    float& coupling = couplings[std::max(i, j) * ld() + std::min(i, j)];
    if (coupling != 0.0f) return false;
    coupling = static_cast<float>(scale_ * interactions.values[k]);
    largest = std::max(largest, std::fabs(coupling));
  }
  mirror_lower(couplings.data(), num_variables(), ld(), stop);
  couplings_ = std::move(couplings);
  largest_coupling_ = largest;
  return true;
}

void Ising::fill_sparse(const Interactions& interactions, Stop* stop) {
  const std::size_t n = num_variables();
  offsets_.assign(n + 1, 0);
  for (std::size_t k = 0; k < interactions.count; ++k) {
    ++offsets_[interactions.rows[k] + 1];
    ++offsets_[interactions.columns[k] + 1];
  }
  for (std::size_t i = 0; i < n; ++i) offsets_[i + 1] += offsets_[i];
  neighbours_.resize(2 * interactions.count);
  couplings_ = Buffer<float>(2 * interactions.count);
  couplings64_ = Buffer<double>(2 * interactions.count);
  // While a list is filled, its offset is that of the next entry.
  for (std::size_t k = 0; k < interactions.count; ++k) {
    if (k % kBuildRun == 0) check_stop(stop);
    const std::uint32_t row = interactions.rows[k], column = interactions.columns[k];
    const double value = interactions.values[k];
    const auto scaled = static_cast<float>(scale_ * value);
    for (const auto& [from, to] : {std::pair(row, column), std::pair(column, row)}) {
      const std::size_t at = offsets_[from]++;
      neighbours_[at] = to;
      couplings_[at] = scaled;
      couplings64_[at] = value;
    }
    largest_coupling_ = std::max(largest_coupling_, std::fabs(scaled));
  }
  std::copy_backward(offsets_.begin(), offsets_.end() - 1, offsets_.end());
  offsets_[0] = 0;
}

CouplingsView Ising::couplings_view() const { return source_; }

void Ising::scaled_row(std::size_t i, std::size_t ld, double* out) const {
  const std::size_t n = num_variables();
  const double* row = std::get<MatrixView>(source_).row(i, out);
  for (std::size_t j = 0; j < n; ++j) out[j] = scale_ * row[j];
  std::fill(out + n, out + ld, 0.0);
}

double Ising::total_magnitude() const {
  double total = 0.0;
  for (std::size_t i = 0; i < num_variables(); ++i) {
    total += std::fabs(linear_[i]) + 0.5 * coupling_reach_[i];
  }
  return total;
}

std::vector<double> Ising::couplings64() const {
  const std::size_t n = num_variables();
  std::vector<double> couplings(n * n);
  for_each_coupling(source_, n, [&](std::size_t i, std::size_t j, double value) {
    couplings[i * n + j] += value;
    couplings[j * n + i] += value;
  });
  return couplings;
}

}  // namespace qpsbgd
