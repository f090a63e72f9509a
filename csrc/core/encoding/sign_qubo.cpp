#include "core/encoding/sign_qubo.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <unordered_map>

#include "core/ising/ising.hpp"
#include "core/matrices/inputs.hpp"
#include "core/matrices/product.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

// Returns the smallest number of agreeing inputs, out of `size`, that makes an output +1. Agrees
// with projection_energy(), whose margins are exact for inputs of one magnitude.
std::int32_t output_threshold(std::int32_t size, double magnitude, double eps) {
  const auto positive = [&](std::int32_t agreeing) {
    return magnitude * (2.0 * agreeing - size) + eps >= 0.0;
  };
  std::int32_t low = 0, high = size;  // eps >= 0: all agreeing are enough
  while (low < high) {
    const std::int32_t middle = low + (high - low) / 2;
    (positive(middle) ? high : low) = positive(middle) ? middle : middle + 1;
  }
  return low;
}

}  // namespace

std::size_t first_other_magnitude(const float* inputs, std::size_t num_samples,
                                  std::size_t num_inputs, Stop* stop) {
  for (std::size_t i = 0; i < num_samples && !is_stopped(stop); ++i) {
    float magnitude = 0.0f;
    for (std::size_t k = 0; k < num_inputs; ++k) {
      const float entry = std::fabs(inputs[i * num_inputs + k]);
      if (magnitude == 0.0f) magnitude = entry;
      if (entry != 0.0f && entry != magnitude) return i * num_inputs + k;
    }
  }
  return num_samples * num_inputs;
}

std::size_t SignQubo::Count::num_slack_bits() const {
  return std::bit_width(static_cast<std::uint32_t>(threshold) - 1);
}

// The weights are 1, 2, 4, ... and the rest of M - 1, so that their sums are 0 .. M - 1.
double SignQubo::Count::weight(std::size_t bit) const {
  const std::int32_t power = std::int32_t{1} << bit;
  return std::min(power, threshold - power);  // the rest, for the last bit
}

SignQubo::SignQubo(const SampleView& view, const KernelTable& kernels, double target_eps,
                   int num_threads, Stop* stop)
    : view_(view),
      num_threads_(num_threads),
      samples_(view.num_samples),
      products_(view.num_inputs * view.num_inputs) {
  const std::size_t count = view.num_samples * view.num_inputs;
  if (first_other_magnitude(view.inputs, view.num_samples, view.num_inputs, stop) < count) {
    throw std::invalid_argument("the inputs of a sample need one magnitude beside 0");
  }
  if (view.num_inputs > kMaxVariables) {
    throw std::invalid_argument("the number of variables must be less than 2^28");
  }
  const float scale = scale_to_unit(view.inputs, count, kernels, stop);
  find_counts(scale, target_eps * scale, stop);
  multiply_patterns(stop);
  add_penalties(stop);
}

// Samples whose outputs always agree, or always differ, share a count.
void SignQubo::find_counts(float scale, double eps, Stop* stop) {
  const std::size_t n = view_.num_inputs;
  std::unordered_map<std::string, std::size_t> known;  // by pattern and threshold
  std::vector<std::int8_t> pattern(n);
  num_variables_ = n;
  for (std::size_t i = 0; i < view_.num_samples && !is_stopped(stop); ++i) {
    std::int32_t size = 0;
    double magnitude = 0.0;
    for (std::size_t k = 0; k < n; ++k) {
      const float entry = scale * view_.inputs[i * n + k];
      pattern[k] = static_cast<std::int8_t>((entry > 0.0f) - (entry < 0.0f));
      size += pattern[k] != 0;
      if (entry != 0.0f) magnitude = std::fabs(entry);
    }
    const std::int32_t tau = output_threshold(size, magnitude, eps);
    if (tau == 0) {
      samples_[i] = {.count = 0, .sign = 0.0};
      continue;
    }
    // Counts the disagreeing inputs where they have the larger threshold. Where both thresholds are
    // equal, x and -x share a count, whose pattern is the one with a positive first entry.
    const std::int32_t threshold = std::max(tau, size + 1 - tau);
    bool by_agreeing = tau == threshold;
    if (2 * threshold == size + 1) {
      by_agreeing = *std::find_if(pattern.begin(), pattern.end(), [](int s) { return s != 0; }) > 0;
    }
    if (!by_agreeing) {
      for (std::int8_t& s : pattern) s = static_cast<std::int8_t>(-s);
    }
    std::string key(reinterpret_cast<const char*>(pattern.data()), n);
    key.append(reinterpret_cast<const char*>(&threshold), sizeof threshold);
    const auto [place, added] = known.try_emplace(std::move(key), counts_.size());
    samples_[i] = {.count = place->second, .sign = by_agreeing ? 1.0 : -1.0};
    if (!added) continue;
    counts_.push_back({.size = size, .threshold = threshold, .indicator = num_variables_});
    patterns_.insert(patterns_.end(), pattern.begin(), pattern.end());
    num_variables_ += 1 + counts_.back().num_slack_bits();
    if (num_variables_ > kMaxVariables) {
      throw std::invalid_argument("the number of variables must be less than 2^28");
    }
  }
}

void SignQubo::multiply_patterns(Stop* stop) {
  const std::size_t n = view_.num_inputs;
  first_.assign(n + 1, 0);
  const std::size_t run = run_length(4 * n);  // counts between two polls
  parallel_for(
      n, num_threads_,
      [&](std::size_t k, int) {
        std::int32_t* row = &products_[k * n];
        std::fill_n(row, n, 0);
        std::size_t couplings = 0;
        for (std::size_t g = 0; g < counts_.size(); ++g) {
          if (g % run == 0 && is_stopped(stop)) return;
          const std::int8_t* s = pattern(g);
          if (s[k] == 0) continue;
          for (std::size_t l = k + 1; l < n; ++l) row[l] += s[k] * s[l];
          couplings += 1 + counts_[g].num_slack_bits();
        }
        for (std::size_t l = k + 1; l < n; ++l) couplings += row[l] != 0;
        first_[k + 1] = couplings;
      },
      [&] { is_stopped(stop); });
  for (std::size_t k = 0; k < n; ++k) first_[k + 1] += first_[k];
  num_couplings_ = first_[n];
  for (const Count& count : counts_) {
    num_couplings_ += count.num_slack_bits() * (count.num_slack_bits() + 1) / 2;
  }
}

// In spins a square is (C + v.s / 2)^2: v is the pattern, -M, and the weights with a minus,
// C = (n' + 1) / 2 - M.
void SignQubo::add_penalties(Stop* stop) {
  const std::size_t n = view_.num_inputs;
  penalty_fields_.assign(num_variables_, 0.0);
  for (std::size_t g = 0; g < counts_.size() && !is_stopped(stop); ++g) {
    const Count& count = counts_[g];
    const double constant = 0.5 * (count.size + 1) - count.threshold;
    const double threshold = count.threshold;
    for (std::size_t k = 0; k < n; ++k) penalty_fields_[k] += constant * pattern(g)[k];
    penalty_fields_[count.indicator] = -constant * threshold;
    double squares = count.size + threshold * threshold;
    for (std::size_t j = 0; j < count.num_slack_bits(); ++j) {
      const double weight = count.weight(j);
      penalty_fields_[count.indicator + 1 + j] = -constant * weight;
      squares += weight * weight;
    }
    penalty_offset_ += constant * constant + 0.25 * squares;
  }
}

void SignQubo::patterns(std::int8_t* out) const {
  std::copy(patterns_.begin(), patterns_.end(), out);
}

void SignQubo::thresholds(std::int32_t* out) const {
  for (const Count& count : counts_) *out++ = count.threshold;
}

void SignQubo::couplings(std::int32_t* rows, std::int32_t* columns, double* values,
                         Stop* stop) const {
  const std::size_t n = view_.num_inputs;
  const auto put = [&](std::size_t at, std::size_t row, std::size_t column, double value) {
    rows[at] = static_cast<std::int32_t>(row);
    columns[at] = static_cast<std::int32_t>(column);
    values[at] = value;
  };
  const auto waiting = [&] { is_stopped(stop); };
  parallel_for(
      n, num_threads_,
      [&](std::size_t k, int) {
        if (is_stopped(stop)) return;
        std::size_t at = first_[k];
        for (std::size_t l = k + 1; l < n; ++l) {
          const std::int32_t product = products_[k * n + l];
          if (product != 0) put(at++, k, l, 0.5 * product);
        }
        for (std::size_t g = 0; g < counts_.size(); ++g) {
          const Count& count = counts_[g];
          const double half = 0.5 * pattern(g)[k];
          if (half == 0.0) continue;
          put(at++, k, count.indicator, -half * count.threshold);
          for (std::size_t j = 0; j < count.num_slack_bits(); ++j) {
            put(at++, k, count.indicator + 1 + j, -half * count.weight(j));
          }
        }
      },
      waiting);
  std::size_t at = first_[n];
  for (const Count& count : counts_) {
    const std::size_t bits = count.num_slack_bits(), slack = count.indicator + 1;
    for (std::size_t j = 0; j < bits; ++j) {
      put(at++, count.indicator, slack + j, 0.5 * count.threshold * count.weight(j));
    }
    for (std::size_t i = 0; i < bits; ++i) {
      for (std::size_t j = i + 1; j < bits; ++j) {
        put(at++, slack + i, slack + j, 0.5 * count.weight(i) * count.weight(j));
      }
    }
  }
}

void SignQubo::rows(double penalty_factor, double* factors, double* fields, double* offsets,
                    Stop* stop) const {
  const std::size_t m = view_.num_neurons, width = num_variables_;
  parallel_for(
      divide_up(m, Layer::kTileRows), num_threads_,
      [&](std::size_t tile, int) {
        const std::size_t first = tile * Layer::kTileRows,
                          end = std::min(first + Layer::kTileRows, m);
        std::fill(fields + first * width, fields + end * width, 0.0);
        std::fill(offsets + first, offsets + end, 0.0);
        // The loss of an output y = +-1 is 1 + t^2 - 2 y t. At first, fields hold the sums of t.
        for (std::size_t i = 0; i < view_.num_samples && !is_stopped(stop); ++i) {
          const Sample& sample = samples_[i];
          const std::size_t variable = sample.sign != 0.0 ? counts_[sample.count].indicator : 0;
          for (std::size_t r = first; r < end; ++r) {
            const double t = view_.targets[i * m + r];
            if (sample.sign == 0.0) {
              offsets[r] += (1.0 - t) * (1.0 - t);
            } else {
              fields[r * width + variable] += sample.sign * t;
              offsets[r] += 1.0 + t * t;
            }
          }
        }
        for (std::size_t r = first; r < end && !is_stopped(stop); ++r) {
          double* row = fields + r * width;
          double largest = 0.0;
          for (const Count& count : counts_) {
            largest = std::max(largest, std::fabs(row[count.indicator]));
          }
          // More than a wrong indicator can save: its two values change the loss by 4 |sum t|.
          factors[r] = largest > 0.0 ? penalty_factor * (4.0 * largest) : 1.0;
          for (std::size_t v = 0; v < width; ++v) {
            row[v] = factors[r] * penalty_fields_[v] - 2.0 * row[v];
          }
          offsets[r] += factors[r] * penalty_offset_;
        }
      },
      [&] { is_stopped(stop); });
}

}  // namespace qpsbgd
