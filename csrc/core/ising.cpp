#include "core/ising.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/parallel.hpp"

namespace qpsbgd {
namespace {

// Exponent of the lowest bit that is set in x; x finite and not 0.
int lowest_bit_of(double x) {
  constexpr int kMantissaBits = 52, kBias = 1023;
  constexpr std::uint64_t kHidden = std::uint64_t{1} << kMantissaBits;
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const int exponent = static_cast<int>(bits >> kMantissaBits & 0x7ff);
  const std::uint64_t mantissa = (bits & (kHidden - 1)) | (exponent > 0 ? kHidden : 0);
  return std::max(exponent, 1) - kBias - kMantissaBits + std::countr_zero(mantissa);
}

}  // namespace

Ising::Form Ising::better_form(std::size_t num_variables, std::size_t num_interactions) {
  // A dense flip streams n floats, a sparse one scatters to its neighbours in sixteen lanes.
  const double degree =
      2.0 * static_cast<double>(num_interactions) / std::max<double>(1.0, num_variables);
  return num_variables <= 64 || 8.0 * degree >= static_cast<double>(num_variables) ? Form::kDense
                                                                                   : Form::kSparse;
}

Ising::Ising(Form form, const double* linear, std::size_t num_variables, std::size_t num_problems)
    : form_(form),
      num_problems_(num_problems),
      linear_(num_variables),
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
      note(bias);
    }
  }
}

Ising::Ising(const double* linear, std::size_t num_variables, const Interactions& interactions,
             Form form, std::size_t num_problems)
    : Ising(form, linear, num_variables, num_problems) {
  std::vector<Interaction> list(interactions.count);
  for (std::size_t k = 0; k < interactions.count; ++k) {
    const std::uint32_t i = interactions.rows[k], j = interactions.columns[k];
    if (i >= num_variables || j >= num_variables || i == j) {
      throw std::invalid_argument("interaction " + std::to_string(k) + " is (" + std::to_string(i) +
                                  ", " + std::to_string(j) +
                                  "), but must join two different variables below " +
                                  std::to_string(num_variables));
    }
    const double value = interactions.values[k];
    list[k] = {i, j, value};
    coupling_reach_[i] += std::fabs(value);
    coupling_reach_[j] += std::fabs(value);
    coupling_sums_[i] += value;
    coupling_sums_[j] += value;
    note(value);
  }
  set_scale(linear);
  if (form == Form::kDense) {
    fill_dense(list);
  } else {
    fill_sparse(list);
  }
  source_ = std::move(list);
}

Ising::Ising(const double* linear, const MatrixView& couplings, std::size_t num_problems)
    : Ising(Form::kDense, linear, couplings.size(), num_problems) {
  const std::size_t n = couplings.size();
  std::vector<double> scratch(n);
  for (std::size_t i = 0; i < n; ++i) {
    const double* row = couplings.row(i, scratch.data());
    for (std::size_t j = 0; j < n; ++j) {
      coupling_reach_[i] += std::fabs(row[j]);
      coupling_sums_[i] += row[j];
    }
    for (std::size_t j = i + 1; j < n; ++j) note(row[j]);
  }
  set_scale(linear);
  fill_dense(couplings);
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

// Finds out down to which power of two the biases go: only as long as that matters, as it takes
// longer than all else. What spans more than a double's 53 bits is no float's integers.
void Ising::note(double bias) {
  largest_bias_ = std::max(largest_bias_, std::fabs(bias));
  if (bias == 0.0 || 0x1p-60 * largest_bias_ > least_bias_) return;
  lowest_bit_ = std::min(lowest_bit_, lowest_bit_of(bias));
  least_bias_ = std::ldexp(1.0, lowest_bit_);
}

void Ising::select(std::size_t problem, const double* linear) {
  selected_ = problem;
  for (std::size_t i = 0; i < num_variables(); ++i) {
    linear_[i] = linear[i];
    reach_[i] = coupling_reach_[i] + std::fabs(linear[i]);
    aligned_fields_[i] = coupling_sums_[i] + linear[i];
  }
}

void Ising::check_total(double magnitudes) {
  if (!std::isfinite(magnitudes)) {
    throw std::invalid_argument(
        "the magnitudes of all biases must have a sum that float64 holds, but theirs is infinite");
  }
}

void Ising::set_scale(const double* linear) {
  select(0, linear);
  double largest = 0.0, couplings = 0.0;
  for (std::size_t i = 0; i < num_variables(); ++i) {
    largest = std::max(largest, coupling_reach_[i] + farthest_[i]);
    couplings += coupling_reach_[i];
  }
  for (std::size_t problem = 0; problem < num_problems_; ++problem) {
    double total = couplings;
    for (std::size_t i = 0; i < num_variables(); ++i) {
      total += std::fabs(linear[problem * num_variables() + i]);
    }
    check_total(total);
  }
  if (largest > 0.0) {
    int exponent = 0;
    std::frexp(largest, &exponent);
    // Fields in (-1, 1): float holds them down to 2^-126, and couplings that are less do not count.
    scale_ = std::ldexp(1.0, std::clamp(-exponent, -1000, 1000));
    exact_ = exponent - lowest_bit_ <= 24;
    unit_ = std::ldexp(scale_, lowest_bit_);
    reach_in_units_ = std::ldexp(largest, -lowest_bit_);
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

void Ising::fill_dense(const MatrixView& matrix) {
  const std::size_t n = num_variables();
  couplings_ = Buffer<float>(ld() * ld());
  std::vector<double> scratch(n);
  for (std::size_t i = 0; i < n; ++i) {
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

void Ising::fill_dense(const std::vector<Interaction>& interactions) {
  couplings_ = Buffer<float>(ld() * ld());
  std::fill_n(couplings_.data(), ld() * ld(), 0.0f);
  for (const Interaction& e : interactions) {
    const float value = static_cast<float>(scale_ * e.value);
    couplings_[e.row * ld() + e.column] += value;
    float& coupling = couplings_[e.column * ld() + e.row] += value;
    largest_coupling_ = std::max(largest_coupling_, std::fabs(coupling));
  }
}

void Ising::fill_sparse(const std::vector<Interaction>& interactions) {
  const std::size_t n = num_variables();
  offsets_.assign(n + 1, 0);
  for (const Interaction& e : interactions) {
    ++offsets_[e.row + 1];
    ++offsets_[e.column + 1];
  }
  for (std::size_t i = 0; i < n; ++i) offsets_[i + 1] += offsets_[i];
  neighbours_.resize(2 * interactions.size());
  couplings_ = Buffer<float>(2 * interactions.size());
  std::vector<std::size_t> next(offsets_.begin(), offsets_.end() - 1);
  for (const Interaction& e : interactions) {
    const float value = static_cast<float>(scale_ * e.value);
    neighbours_[next[e.row]] = e.column;
    couplings_[next[e.row]++] = value;
    neighbours_[next[e.column]] = e.row;
    couplings_[next[e.column]++] = value;
    largest_coupling_ = std::max(largest_coupling_, std::fabs(value));
  }
}

template <class Visit>
void Ising::for_each_interaction(const Visit& visit) const {
  if (const auto* list = std::get_if<std::vector<Interaction>>(&source_)) {
    for (const Interaction& e : *list) visit(e.row, e.column, e.value);
  } else if (const auto* matrix = std::get_if<MatrixView>(&source_)) {
    std::vector<double> scratch(num_variables());
    for (std::size_t i = 0; i < num_variables(); ++i) {
      const double* row = matrix->row(i, scratch.data());
      for (std::size_t j = i + 1; j < num_variables(); ++j) visit(i, j, row[j]);
    }
  } else {
    const auto& factor = std::get<FactorView>(source_);
    for (std::size_t i = 0; i < num_variables(); ++i) {
      for (std::size_t j = i + 1; j < num_variables(); ++j) {
        double product = 0.0;
        for (std::size_t k = 0; k < factor.rank; ++k) {
          const float* row = factor.values + k * num_variables();
          product += static_cast<double>(row[i]) * row[j];
        }
        visit(i, j, factor.scale * product);
      }
    }
  }
}

std::vector<double> Ising::couplings64() const {
  const std::size_t n = num_variables();
  std::vector<double> couplings(n * n);
  for_each_interaction([&](std::size_t i, std::size_t j, double value) {
    couplings[i * n + j] += value;
    couplings[j * n + i] += value;
  });
  return couplings;
}

void Ising::energies(const std::int8_t* states, std::size_t rows, int num_threads,
                     double* out) const {
  const std::size_t n = num_variables();
  parallel_for(rows, num_threads, [&](std::size_t row, int) {
    const std::int8_t* s = states + row * n;
    double energy = 0.0;
    for (std::size_t i = 0; i < n; ++i) energy += s[i] * linear_[i];
    for_each_interaction(
        [&](std::size_t i, std::size_t j, double value) { energy += s[i] * s[j] * value; });
    out[row] = energy;
  });
}

void Ising::dense_fields(const float* spins, float* fields) const {
  const std::size_t n = num_variables();
  std::copy_n(linear(), n, fields);
  for (std::size_t k = 0; k < n; ++k) {
    const float spin = spins[k];
    const float* row = couplings() + k * ld();
    for (std::size_t i = 0; i < n; ++i) fields[i] += spin * row[i];
  }
}

void Ising::fields64(const std::int8_t* spins, double* fields) const {
  std::copy(linear_.begin(), linear_.end(), fields);
  // Interactions mostly come row by row: a row's sum in a register takes a third of the time.
  std::size_t row = 0;
  double sum = 0.0;
  for_each_interaction([&](std::size_t i, std::size_t j, double value) {
    if (i != row) {
      fields[row] += sum;
      row = i;
      sum = 0.0;
    }
    sum += value * spins[j];
    fields[j] += value * spins[i];
  });
  if (num_variables() > 0) fields[row] += sum;
}

}  // namespace qpsbgd
