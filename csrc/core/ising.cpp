#include "core/ising.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>
#include <string>

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

Ising::Ising(const double* linear, std::size_t num_variables, const Interactions& interactions,
             Form form, std::size_t num_problems)
    : form_(form),
      num_problems_(num_problems),
      linear_(linear, linear + num_variables),
      interactions_(interactions.count),
      reach_(num_variables),
      aligned_fields_(linear_),
      scaled_linear_(num_problems * ld()) {
  const auto note = [this](double bias) {
    if (bias != 0.0) lowest_bit_ = std::min(lowest_bit_, lowest_bit_of(bias));
  };
  std::vector<double> farthest(num_variables);  // fields of any problem: for the scale
  for (std::size_t i = 0; i < num_variables; ++i) reach_[i] = std::fabs(linear[i]);
  for (std::size_t k = 0; k < num_problems * num_variables; ++k) {
    double& magnitude = farthest[k % num_variables];
    magnitude = std::max(magnitude, std::fabs(linear[k]));
    note(linear[k]);
  }
  for (std::size_t k = 0; k < interactions.count; ++k) {
    const std::uint32_t i = interactions.rows[k], j = interactions.columns[k];
    if (i >= num_variables || j >= num_variables || i == j) {
      throw std::invalid_argument("interaction " + std::to_string(k) + " is (" + std::to_string(i) +
                                  ", " + std::to_string(j) +
                                  "), but must join two different variables below " +
                                  std::to_string(num_variables));
    }
    const double value = interactions.values[k];
    interactions_[k] = {i, j, value};
    reach_[i] += std::fabs(value);
    reach_[j] += std::fabs(value);
    aligned_fields_[i] += value;
    aligned_fields_[j] += value;
    note(value);
  }
  double largest = 0.0;
  for (std::size_t i = 0; i < num_variables; ++i) {
    largest = std::max(largest, reach_[i] - std::fabs(linear[i]) + farthest[i]);
  }
  double total = 0.0;
  for (const double magnitude : reach_) total += magnitude;
  if (!std::isfinite(total) || !std::isfinite(largest)) {
    throw std::invalid_argument(
        "the magnitudes of all biases must have a sum that float64 holds, but theirs is infinite");
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
  std::fill_n(scaled_linear_.data(), scaled_linear_.size(), 0.0f);
  for (std::size_t problem = 0; problem < num_problems; ++problem) {
    for (std::size_t i = 0; i < num_variables; ++i) {
      scaled_linear_[problem * ld() + i] =
          static_cast<float>(scale_ * linear[problem * num_variables + i]);
    }
  }
  if (form == Form::kDense) {
    fill_dense();
  } else {
    fill_sparse();
  }
}

void Ising::fill_dense() {
  couplings_ = Buffer<float>(ld() * ld());
  std::fill_n(couplings_.data(), ld() * ld(), 0.0f);
  for (const Interaction& e : interactions_) {
    const float value = static_cast<float>(scale_ * e.value);
    couplings_[e.row * ld() + e.column] += value;
    float& coupling = couplings_[e.column * ld() + e.row] += value;
    largest_coupling_ = std::max(largest_coupling_, std::fabs(coupling));
  }
}

void Ising::fill_sparse() {
  const std::size_t n = num_variables();
  offsets_.assign(n + 1, 0);
  for (const Interaction& e : interactions_) {
    ++offsets_[e.row + 1];
    ++offsets_[e.column + 1];
  }
  for (std::size_t i = 0; i < n; ++i) offsets_[i + 1] += offsets_[i];
  neighbours_.resize(2 * interactions_.size());
  couplings_ = Buffer<float>(2 * interactions_.size());
  std::vector<std::size_t> next(offsets_.begin(), offsets_.end() - 1);
  for (const Interaction& e : interactions_) {
    const float value = static_cast<float>(scale_ * e.value);
    neighbours_[next[e.row]] = e.column;
    couplings_[next[e.row]++] = value;
    neighbours_[next[e.column]] = e.row;
    couplings_[next[e.column]++] = value;
    largest_coupling_ = std::max(largest_coupling_, std::fabs(value));
  }
}

std::vector<double> Ising::couplings64() const {
  const std::size_t n = num_variables();
  std::vector<double> couplings(n * n);
  for (const Interaction& e : interactions_) {
    couplings[e.row * n + e.column] += e.value;
    couplings[e.column * n + e.row] += e.value;
  }
  return couplings;
}

void Ising::energies(const std::int8_t* states, std::size_t rows, int num_threads,
                     double* out) const {
  const std::size_t n = num_variables();
  parallel_for(rows, num_threads, [&](std::size_t row, int) {
    const std::int8_t* s = states + row * n;
    double energy = 0.0;
    for (std::size_t i = 0; i < n; ++i) energy += s[i] * linear_[i];
    for (const Interaction& e : interactions_) energy += s[e.row] * s[e.column] * e.value;
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
  for (std::size_t k = 0; k < interactions_.size();) {
    const std::uint32_t row = interactions_[k].row;
    double sum = 0.0;
    for (; k < interactions_.size() && interactions_[k].row == row; ++k) {
      const Interaction& e = interactions_[k];
      sum += e.value * spins[e.column];
      fields[e.column] += e.value * spins[row];
    }
    fields[row] += sum;
  }
}

}  // namespace qpsbgd
