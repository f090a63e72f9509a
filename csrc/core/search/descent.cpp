#include "core/search/descent.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/ising/local_minimum.hpp"
#include "core/search/gain_heap.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

// Floats that a dense descent reads, and steps of a sparse one, between two polls of Stop: some
// hundred microseconds.
constexpr std::size_t kDenseRun = 1 << 21;
constexpr std::size_t kHeapRun = 1 << 10;
// Up to this number of reads, converting a row for each step takes less time than converting the
// matrix to float64, and no memory.
constexpr std::size_t kMostReadsByRows = 2;

// Steepest descent from one state, with fields in float32 or float64.
class Descent {
 public:
  virtual ~Descent() = default;
  // Starts from a state. Fields are computed from the problem, or copied from `fields` (n, float64)
  // if it is not null.
  virtual void start(const std::int8_t* spins, const double* fields) = 0;
  // Makes steps until none lowers the energy, max_steps are made, or `stop` says to end. Returns
  // their number.
  virtual std::size_t run(std::size_t max_steps, Stop& stop) = 0;
  virtual void spins(std::int8_t* out) const = 0;
};

// Couplings in float64, scaled, (n, ld); of dense problems. Null where steps convert rows.
using WideCouplings = std::shared_ptr<const Buffer<double>>;

template <class Value>
class DenseDescent final : public Descent {
 public:
  static constexpr bool kWide = std::is_same_v<Value, double>;

  DenseDescent(const KernelTable& kernels, const Ising& problem, WideCouplings wide)
      : kernels_(kernels),
        problem_(problem),
        wide_(std::move(wide)),
        fields_(problem.ld()),
        spins_(problem.ld()),
        row_(kWide && wide_ == nullptr ? problem.ld() : 0) {}

  void start(const std::int8_t* spins, const double* fields) override {
    const std::size_t n = problem_.num_variables();
    std::copy_n(spins, n, spins_.data());
    if (fields != nullptr) {
      set_fields(fields);
    } else if constexpr (kWide) {
      std::vector<double> fields64(n);
      problem_.fields64(spins, fields64.data());
      set_fields(fields64.data());
    } else {
      problem_.dense_fields(spins_.data(), fields_.data());
    }
    std::fill(spins_.data() + n, spins_.data() + problem_.ld(), Value{1});
    std::fill(fields_.data() + n, fields_.data() + problem_.ld(),
              -std::numeric_limits<Value>::infinity());
  }

  std::size_t run(std::size_t max_steps, Stop& stop) override {
    const std::size_t chunk = std::max<std::size_t>(1, kDenseRun / problem_.ld());
    std::size_t steps = 0;
    while (steps < max_steps && !stop.poll_interrupt()) {
      const std::size_t wanted = std::min(chunk, max_steps - steps);
      const std::size_t made = make_steps(wanted);
      steps += made;
      if (made < wanted) break;
    }
    return steps;
  }

  void spins(std::int8_t* out) const override {
    for (std::size_t i = 0; i < problem_.num_variables(); ++i) out[i] = spins_[i] > 0 ? 1 : -1;
  }

 private:
  void set_fields(const double* fields) {
    for (std::size_t i = 0; i < problem_.num_variables(); ++i) {
      fields_[i] = static_cast<Value>(problem_.scale() * fields[i]);
    }
  }
  std::size_t make_steps(std::size_t most) {
    if constexpr (kWide) {
      if (wide_ == nullptr) return make_steps_by_rows(most);
      return kernels_.steepest.of<double>().descend(wide_->data(), problem_.ld(), fields_.data(),
                                                    spins_.data(), most);
    } else {
      return kernels_.steepest.of<float>().descend(problem_.couplings(), problem_.ld(),
                                                   fields_.data(), spins_.data(), most);
    }
  }

  // Makes the steps of the kernel, to the bit: the product of a coupling and 2 is exact.
  std::size_t make_steps_by_rows(std::size_t most) {
    const std::size_t n = problem_.num_variables();
    for (std::size_t steps = 0; steps < most; ++steps) {
      std::size_t steepest = n;
      double largest = 0.0;
      for (std::size_t i = 0; i < n; ++i) {
        const double gain = spins_[i] * fields_[i];
        if (gain > largest) {
          largest = gain;
          steepest = i;
        }
      }
      if (steepest == n) return steps;
      problem_.scaled_row(steepest, n, row_.data());
      const double change = -2.0 * spins_[steepest];
      spins_[steepest] = -spins_[steepest];
      for (std::size_t i = 0; i < n; ++i) {
        fields_[i] += static_cast<Value>(change * row_[i]);
      }
    }
    return most;
  }

  const KernelTable& kernels_;
  const Ising& problem_;
  const WideCouplings wide_;
  Buffer<Value> fields_;  // (ld), padding -inf
  Buffer<Value> spins_;   // (ld), padding +1
  Buffer<double> row_;    // (ld), scaled; where there are no wide couplings
};

template <class Value>
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
        fields_[i] = static_cast<Value>(problem_.scale() * fields[i]);
        continue;
      }
      Value field = linear(i);
      for (std::size_t e = problem_.offsets()[i]; e < problem_.offsets()[i + 1]; ++e) {
        field += coupling(e) * static_cast<Value>(spins_[problem_.neighbours()[e]]);
      }
      fields_[i] = field;
    }
    heap_.assign(fields_.data(), spins_.data());
  }

  std::size_t run(std::size_t max_steps, Stop& stop) override {
    std::size_t steps = 0;
    for (; steps < max_steps && !heap_.empty(); ++steps) {
      if (steps % kHeapRun == 0 && stop.poll_interrupt()) break;
      const std::uint32_t i = heap_.top();
      const auto change = static_cast<Value>(-2 * spins_[i]);
      spins_[i] = static_cast<std::int8_t>(-spins_[i]);
      heap_.change(i, static_cast<Value>(spins_[i]) * fields_[i]);
      for (std::size_t e = problem_.offsets()[i]; e < problem_.offsets()[i + 1]; ++e) {
        const std::uint32_t j = problem_.neighbours()[e];
        fields_[j] += change * coupling(e);
        heap_.change(j, static_cast<Value>(spins_[j]) * fields_[j]);
      }
    }
    return steps;
  }

  void spins(std::int8_t* out) const override { std::copy_n(spins_.data(), spins_.size(), out); }

 private:
  static constexpr bool kWide = std::is_same_v<Value, double>;
  Value linear(std::size_t i) const {
    if constexpr (kWide) return problem_.scale() * problem_.linear64()[i];
    return static_cast<Value>(problem_.linear()[i]);
  }
  Value coupling(std::size_t e) const {
    if constexpr (kWide) return problem_.scale() * problem_.sparse_couplings64()[e];
    return static_cast<Value>(problem_.couplings()[e]);
  }

  const Ising& problem_;
  Buffer<Value> fields_;       // (n)
  Buffer<std::int8_t> spins_;  // (n)
  GainHeap<Value> heap_;
};

// Descends in one read. Returns the number of steps.
std::size_t descend(const Ising& problem, Descent& descent, bool exact, std::int8_t* spins,
                    Stop& stop) {
  constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();
  const std::size_t n = problem.num_variables();
  descent.start(spins, nullptr);
  // Rounded fields may hide a gain, or show gains that do not exist, even endlessly. After 4 n
  // steps float64 decides.
  std::size_t steps = descent.run(exact ? kUnlimited : 4 * n, stop);
  descent.spins(spins);
  if (exact) return steps;
  Buffer<double> fields(n);
  double lowest = std::numeric_limits<double>::infinity();
  for (bool rounded = true; !stop.poll_interrupt();) {
    problem.fields64(spins, fields.data());
    std::size_t steepest = n;
    double largest = 0.0, energy = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      const double gain = spins[i] * fields[i];
      energy += 0.5 * (spins[i] * problem.linear64()[i] + gain);
      if (gain <= std::max(largest, kRounding64 * problem.reach()[i])) continue;
      largest = gain;
      steepest = i;
    }
    if (steepest == n) break;
    // Descends again from better fields, but only as long as that lowers the energy, so that the
    // loop ends.
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

void descend(const KernelTable& kernels, const Ising& problem, Precision precision, int num_threads,
             std::size_t num_reads, std::int8_t* states, std::int64_t* steps, Stop& stop) {
  const std::size_t n = problem.num_variables(), ld = problem.ld();
  std::fill_n(steps, num_reads, n == 0 ? 0 : -1);
  if (n == 0) return;
  const bool dense = problem.form() == Ising::Form::kDense;
  const bool wide = precision == Precision::kFloat64;
  WideCouplings couplings;
  if (dense && wide && num_reads > kMostReadsByRows) {
    auto values = std::make_shared<Buffer<double>>(n * ld);
    for (std::size_t i = 0; i < n; ++i) problem.scaled_row(i, ld, values->data() + i * ld);
    couplings = std::move(values);
  }
  std::vector<std::unique_ptr<Descent>> descents(num_workers(num_reads, num_threads));
  for (auto& descent : descents) {
    if (dense && wide) {
      descent = std::make_unique<DenseDescent<double>>(kernels, problem, couplings);
    } else if (dense) {
      descent = std::make_unique<DenseDescent<float>>(kernels, problem, nullptr);
    } else if (wide) {
      descent = std::make_unique<SparseDescent<double>>(problem);
    } else {
      descent = std::make_unique<SparseDescent<float>>(problem);
    }
  }
  parallel_for(
      num_reads, num_threads,
      [&](std::size_t read, int worker) {
        // Limits end the call between two descents; the first one always begins.
        if (read > 0 ? stop.poll() : stop.poll_interrupt()) return;
        steps[read] = static_cast<std::int64_t>(
            descend(problem, *descents[worker], problem.exact(precision), states + read * n, stop));
      },
      [&stop] {
        stop.poll();
        stop.poll_interrupt();
      });
}

}  // namespace qpsbgd
