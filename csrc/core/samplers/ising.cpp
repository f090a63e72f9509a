#include "core/samplers/ising.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/support/parallel.hpp"

namespace qpsbgd {
namespace {

// Interactions between two looks at whether to stop: some milliseconds.
constexpr std::size_t kBuildRun = std::size_t{1} << 18;

// Throws where building a problem is to end.
void check_stop(Stop* stop) {
  if (stop != nullptr && stop->poll()) throw Stopped();
}

}  // namespace

int lowest_bit_of(double x) {
  constexpr int kMantissaBits = 52, kBias = 1023;
  constexpr std::uint64_t kHidden = std::uint64_t{1} << kMantissaBits;
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const int exponent = static_cast<int>(bits >> kMantissaBits & 0x7ff);
  const std::uint64_t mantissa = (bits & (kHidden - 1)) | (exponent > 0 ? kHidden : 0);
  return std::max(exponent, 1) - kBias - kMantissaBits + std::countr_zero(mantissa);
}

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
    note(value);
  }
  coupling_bit_ = lowest_bit_;
  set_scale(linear);
  if (form == Form::kDense) {
    const std::size_t n = num_variables;
    matrix_ = Buffer<double>(n * n);
    std::fill_n(matrix_.data(), n * n, 0.0);
    for (std::size_t k = 0; k < interactions.count; ++k) {
      if (k % kBuildRun == 0) check_stop(stop);
      const std::size_t i = interactions.rows[k], j = interactions.columns[k];
      matrix_[i * n + j] += interactions.values[k];
      matrix_[j * n + i] += interactions.values[k];
    }
    source_ = MatrixView(matrix_.data(), n);
    fill_dense(std::get<MatrixView>(source_), stop);
  } else {
    fill_sparse(interactions, stop);
    source_ = NeighbourLists{offsets_.data(), neighbours_.data(), couplings64_.data()};
  }
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
  coupling_bit_ = lowest_bit_;
  set_scale(linear);
  fill_dense(couplings, nullptr);
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
    note(linear[i]);
  }
  set_unit(largest, lowest_bit_);
}

void Ising::set_unit(double largest, int lowest_bit) {
  significant_bits_ = form_ == Form::kLowRank ? kNoBit : 0;
  if (form_ == Form::kLowRank || !(largest > 0.0)) return;
  int exponent = 0;
  std::frexp(largest, &exponent);
  significant_bits_ = exponent - lowest_bit;
  unit_ = std::ldexp(scale_, lowest_bit);
  reach_in_units_ = std::ldexp(largest, -lowest_bit);
}

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
  if (largest > 0.0) {
    int exponent = 0;
    std::frexp(largest, &exponent);
    // Fields in (-1, 1): float holds them down to 2^-126, and couplings that are less do not count.
    scale_ = std::ldexp(1.0, std::clamp(-exponent, -1000, 1000));
  }
  select(0, linear);
  if (num_problems_ > 1) {  // of all together, until one is selected
    for (std::size_t k = n; k < num_problems_ * n; ++k) note(linear[k]);
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
  std::vector<std::size_t> next(offsets_.begin(), offsets_.end() - 1);
  for (std::size_t k = 0; k < interactions.count; ++k) {
    if (k % kBuildRun == 0) check_stop(stop);
    const std::uint32_t row = interactions.rows[k], column = interactions.columns[k];
    const double value = interactions.values[k];
    const auto scaled = static_cast<float>(scale_ * value);
    for (const auto& [from, to] : {std::pair(row, column), std::pair(column, row)}) {
      const std::size_t at = next[from]++;
      neighbours_[at] = to;
      couplings_[at] = scaled;
      couplings64_[at] = value;
    }
    largest_coupling_ = std::max(largest_coupling_, std::fabs(scaled));
  }
}

template <class Visit>
void Ising::for_each_interaction(const Visit& visit) const {
  const std::size_t n = num_variables();
  if (const auto* lists = std::get_if<NeighbourLists>(&source_)) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t e = lists->offsets[i]; e < lists->offsets[i + 1]; ++e) {
        if (lists->neighbours[e] > i) visit(i, lists->neighbours[e], lists->values[e]);
      }
    }
  } else if (const auto* matrix = std::get_if<MatrixView>(&source_)) {
    std::vector<double> scratch(n);
    for (std::size_t i = 0; i < n; ++i) {
      const double* row = matrix->row(i, scratch.data());
      for (std::size_t j = i + 1; j < n; ++j) visit(i, j, row[j]);
    }
  } else {
    const auto& factor = std::get<FactorView>(source_);
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

CouplingsView Ising::couplings_view() const { return source_; }

void Ising::scaled_row(std::size_t i, std::size_t ld, double* out) const {
  const std::size_t n = num_variables();
  const double* row = std::get<MatrixView>(source_).row(i, out);
  for (std::size_t j = 0; j < n; ++j) out[j] = scale_ * row[j];
  std::fill(out + n, out + ld, 0.0);
}

bool Ising::has_common_unit() const {
  // Of real numbers drawn at random one in 2^k ends k bits above its last place, and their
  // magnitudes differ: few end where the smallest one does. Of integers about half are odd.
  constexpr int kNear = 2;
  constexpr std::size_t kShare = 8;
  std::size_t near = 0, count = 0;
  const auto look = [&](double bias) {
    if (bias == 0.0) return;
    ++count;
    near += lowest_bit_of(bias) < lowest_bit_ + kNear;
  };
  for (const double bias : linear_) look(bias);
  for_each_interaction([&](std::size_t, std::size_t, double value) { look(value); });
  return kShare * near >= count;
}

double Ising::smallest_bias() const {
  double smallest = std::numeric_limits<double>::infinity();
  const auto look = [&](double bias) {
    if (bias != 0.0) smallest = std::min(smallest, std::fabs(bias));
  };
  for (const double bias : linear_) look(bias);
  for_each_interaction([&](std::size_t, std::size_t, double value) { look(value); });
  return smallest;
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
  for_each_interaction([&](std::size_t i, std::size_t j, double value) {
    couplings[i * n + j] += value;
    couplings[j * n + i] += value;
  });
  return couplings;
}

void Ising::energies(const KernelTable& kernels, const std::int8_t* states, std::size_t rows,
                     int num_threads, double* out, Stop* stop) const {
  const std::size_t n = num_variables();
  const auto* matrix = std::get_if<MatrixView>(&source_);
  const auto waiting = [stop] {
    if (stop != nullptr) stop->poll();
  };
  parallel_for(
      rows, num_threads,
      [&](std::size_t row, int) {
        if (stop != nullptr && stop->poll()) return;
        const std::int8_t* s = states + row * n;
        if (matrix != nullptr) {
          Buffer<double> state(n);
          std::copy_n(s, n, state.data());
          out[row] = matrix->doubles() ? kernels.energies.of<double>().energy(
                                             matrix->doubles(), linear_.data(), state.data(), n)
                                       : kernels.energies.of<float>().energy(
                                             matrix->floats(), linear_.data(), state.data(), n);
          return;
        }
        double energy = 0.0;
        for (std::size_t i = 0; i < n; ++i) energy += s[i] * linear_[i];
        for_each_interaction(
            [&](std::size_t i, std::size_t j, double value) { energy += s[i] * s[j] * value; });
        out[row] = energy;
      },
      waiting);
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
