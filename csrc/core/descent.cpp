#include "core/descent.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>
#include <vector>

#include "core/parallel.hpp"

namespace qpsbgd {
namespace {

// Floats that a dense descent reads, and steps of a sparse one, between two looks at the clock:
// some hundred microseconds.
constexpr std::size_t kDenseRun = 1 << 21;
constexpr std::size_t kSparseRun = 1 << 10;
// A gain less than this part of a variable's largest field is float64's rounding.
constexpr double kRounding = 1e-14;

// Steps by float32 fields from one state.
class Descent {
 public:
  virtual ~Descent() = default;
  // Fields are the problem's, or, where they are given, those in float64.
  virtual void start(const std::int8_t* spins, const double* fields) = 0;
  // Makes steps until none lowers the energy, max_steps are made, or `stop` says so; returns how
  // many.
  virtual std::size_t run(std::size_t max_steps, Stop& stop) = 0;
  virtual void spins(std::int8_t* out) const = 0;
};

class DenseDescent final : public Descent {
 public:
  DenseDescent(const KernelTable& kernels, const Ising& problem)
      : kernels_(kernels), problem_(problem), fields_(problem.ld()), spins_(problem.ld()) {}

  void start(const std::int8_t* spins, const double* fields) override {
    const std::size_t n = problem_.num_variables();
    kernels_.from_spins(spins, n, spins_.data());
    if (fields == nullptr) {
      problem_.dense_fields(spins_.data(), fields_.data());
    } else {
      for (std::size_t i = 0; i < n; ++i) {
        fields_[i] = static_cast<float>(problem_.scale() * fields[i]);
      }
    }
    std::fill(spins_.data() + n, spins_.data() + problem_.ld(), 1.0f);
    std::fill(fields_.data() + n, fields_.data() + problem_.ld(),
              -std::numeric_limits<float>::infinity());
  }

  std::size_t run(std::size_t max_steps, Stop& stop) override {
    const std::size_t chunk = std::max<std::size_t>(1, kDenseRun / problem_.ld());
    std::size_t steps = 0;
    while (steps < max_steps && !stop.poll()) {
      const std::size_t wanted = std::min(chunk, max_steps - steps);
      const std::size_t made = kernels_.steepest_descent(problem_.couplings(), problem_.ld(),
                                                         fields_.data(), spins_.data(), wanted);
      steps += made;
      if (made < wanted) break;
    }
    return steps;
  }

  void spins(std::int8_t* out) const override {
    kernels_.to_spins(spins_.data(), problem_.num_variables(), out);
  }

 private:
  const KernelTable& kernels_;
  const Ising& problem_;
  Buffer<float> fields_;  // (ld), padding -inf
  Buffer<float> spins_;   // (ld), padding +1
};

// The variables of positive gain, the largest gain and of equal ones the first on top; any can be
// changed.
class GainHeap {
 public:
  explicit GainHeap(std::size_t num_variables) : places_(num_variables) {}

  // From all gains at once, in linear time.
  void assign(const float* fields, const std::int8_t* spins) {
    entries_.clear();
    for (std::uint32_t i = 0; i < places_.size(); ++i) {
      const float gain = static_cast<float>(spins[i]) * fields[i];
      places_[i] = kAbsent;
      if (!(gain > 0.0f)) continue;
      places_[i] = static_cast<std::uint32_t>(entries_.size());
      entries_.push_back(entry(gain, i));
    }
    for (std::size_t place = entries_.size() / kArity + 1; place-- > 0;) {
      if (place < entries_.size()) sink(place, entries_[place]);
    }
  }

  bool empty() const { return entries_.empty(); }
  std::uint32_t top() const { return variable(entries_[0]); }

  void change(std::uint32_t i, float gain) {
    const std::size_t place = places_[i];
    if (gain > 0.0f) {
      const std::uint64_t changed = entry(gain, i);
      if (place == kAbsent) {
        entries_.push_back(changed);
        rise(entries_.size() - 1, changed);
      } else if (changed > entries_[place]) {
        rise(place, changed);
      } else {
        sink(place, changed);
      }
    } else if (place != kAbsent) {
      places_[i] = kAbsent;
      const std::uint64_t last = entries_.back();
      entries_.pop_back();
      if (place == entries_.size()) return;
      if (last > entries_[place]) {
        rise(place, last);
      } else {
        sink(place, last);
      }
    }
  }

 private:
  static constexpr std::size_t kArity = 4;  // four entries are half a cache line
  static constexpr std::uint32_t kAbsent = ~std::uint32_t{0};

  // Ordered by gain, as the bits of positive floats are, then by variable.
  static std::uint64_t entry(float gain, std::uint32_t i) {
    return std::uint64_t{std::bit_cast<std::uint32_t>(gain)} << 32 | ~i;
  }
  static std::uint32_t variable(std::uint64_t entry) { return ~static_cast<std::uint32_t>(entry); }

  void put(std::size_t place, std::uint64_t entry) {
    entries_[place] = entry;
    places_[variable(entry)] = static_cast<std::uint32_t>(place);
  }
  void rise(std::size_t place, std::uint64_t entry) {
    while (place > 0) {
      const std::size_t parent = (place - 1) / kArity;
      if (entries_[parent] > entry) break;
      put(place, entries_[parent]);
      place = parent;
    }
    put(place, entry);
  }
  void sink(std::size_t place, std::uint64_t entry) {
    for (;;) {
      const std::size_t first = kArity * place + 1;
      if (first >= entries_.size()) break;
      const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(first);
      const auto end =
          begin + static_cast<std::ptrdiff_t>(std::min(kArity, entries_.size() - first));
      const auto child = std::max_element(begin, end);
      if (*child < entry) break;
      put(place, *child);
      place = static_cast<std::size_t>(child - entries_.begin());
    }
    put(place, entry);
  }

  std::vector<std::uint64_t> entries_;
  std::vector<std::uint32_t> places_;  // (n)
};

class SparseDescent final : public Descent {
 public:
  explicit SparseDescent(const Ising& problem)
      : problem_(problem),
        fields_(problem.num_variables()),
        spins_(problem.num_variables()),
        heap_(problem.num_variables()) {}

  void start(const std::int8_t* spins, const double* fields) override {
    const std::size_t n = problem_.num_variables();
    std::copy_n(spins, n, spins_.data());
    for (std::size_t i = 0; i < n; ++i) {
      if (fields != nullptr) {
        fields_[i] = static_cast<float>(problem_.scale() * fields[i]);
        continue;
      }
      float field = problem_.linear()[i];
      for (std::size_t e = problem_.offsets()[i]; e < problem_.offsets()[i + 1]; ++e) {
        field += problem_.couplings()[e] * spins_[problem_.neighbours()[e]];
      }
      fields_[i] = field;
    }
    heap_.assign(fields_.data(), spins_.data());
  }

  std::size_t run(std::size_t max_steps, Stop& stop) override {
    std::size_t steps = 0;
    for (; steps < max_steps && !heap_.empty(); ++steps) {
      if (steps % kSparseRun == 0 && stop.poll()) break;
      const std::uint32_t i = heap_.top();
      const float change = -2.0f * spins_[i];
      spins_[i] = static_cast<std::int8_t>(-spins_[i]);
      heap_.change(i, spins_[i] * fields_[i]);
      for (std::size_t e = problem_.offsets()[i]; e < problem_.offsets()[i + 1]; ++e) {
        const std::uint32_t j = problem_.neighbours()[e];
        fields_[j] += change * problem_.couplings()[e];
        heap_.change(j, spins_[j] * fields_[j]);
      }
    }
    return steps;
  }

  void spins(std::int8_t* out) const override { std::copy_n(spins_.data(), spins_.size(), out); }

 private:
  const Ising& problem_;
  Buffer<float> fields_;       // (n)
  Buffer<std::int8_t> spins_;  // (n)
  GainHeap heap_;
};

// One read. Returns the number of steps.
std::size_t descend(const Ising& problem, Descent& descent, std::int8_t* spins, Stop& stop) {
  constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();
  const std::size_t n = problem.num_variables();
  descent.start(spins, nullptr);
  // Rounded fields may hide a gain, or show gains that are none, even for ever: then float64
  // decides.
  std::size_t steps = descent.run(problem.exact() ? kUnlimited : 4 * n, stop);
  descent.spins(spins);
  if (problem.exact()) return steps;
  Buffer<double> fields(n);
  double lowest = std::numeric_limits<double>::infinity();
  for (bool rounded = true; !stop.poll();) {
    problem.fields64(spins, fields.data());
    std::size_t steepest = n;
    double largest = 0.0, energy = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      const double gain = spins[i] * fields[i];
      energy += 0.5 * (spins[i] * problem.linear64()[i] + gain);
      if (gain <= std::max(largest, kRounding * problem.reach()[i])) continue;
      largest = gain;
      steepest = i;
    }
    if (steepest == n) break;
    // Again from better fields, but only as long as that helps: so this ends.
    rounded = rounded && energy < lowest;
    lowest = energy;
    if (rounded) {
      descent.start(spins, fields.data());
      steps += descent.run(4 * n, stop);
      descent.spins(spins);
    } else {
      spins[steepest] = static_cast<std::int8_t>(-spins[steepest]);
      ++steps;
    }
  }
  return steps;
}

}  // namespace

void descend(const KernelTable& kernels, const Ising& problem, int num_threads,
             std::size_t num_reads, std::int8_t* states, std::int64_t* steps, Stop& stop) {
  const std::size_t n = problem.num_variables();
  std::fill_n(steps, num_reads, n == 0 ? 0 : -1);
  if (n == 0) return;
  std::vector<std::unique_ptr<Descent>> descents(num_workers(num_reads, num_threads));
  for (auto& descent : descents) {
    if (problem.form() == Ising::Form::kDense) {
      descent = std::make_unique<DenseDescent>(kernels, problem);
    } else {
      descent = std::make_unique<SparseDescent>(problem);
    }
  }
  parallel_for(
      num_reads, num_threads,
      [&](std::size_t read, int worker) {
        if (stop.poll()) return;
        steps[read] =
            static_cast<std::int64_t>(descend(problem, *descents[worker], states + read * n, stop));
      },
      [&stop] { stop.poll(); });
}

}  // namespace qpsbgd
