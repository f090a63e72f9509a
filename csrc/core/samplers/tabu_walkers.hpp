// States that a tabu search walks through by flips, each with the gains of all flips: dense with
// int16, float or double gains, sparse with float or double ones. Energies and gains are in units
// of the walker.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <type_traits>
#include <vector>

#include "core/samplers/ising.hpp"
#include "core/support/buffer.hpp"
#include "core/support/parallel.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// A state with its gains: enough to go on from there.
struct Snapshot {
  std::vector<std::byte> bytes;
  double energy = std::numeric_limits<double>::infinity();
};

// What all walkers have: gains s_i f_i, spins, and which flips are allowed.
template <class Value>
class Walker {
 public:
  std::size_t num_variables() const { return linear_.size(); }
  double unit() const { return unit_; }
  bool up(std::size_t i) const { return state_[ld_ + i] > 0; }
  Value gain(std::size_t i) const { return state_[i]; }
  double energy() const {
    double sum = 0.0;
    for (std::size_t i = 0; i < num_variables(); ++i) {
      sum += (up(i) ? linear_[i] : -linear_[i]) + gain(i);
    }
    return 0.5 * sum;
  }
  void save(Snapshot& out) const {
    out.bytes.resize(state_.size() * sizeof(Value));
    std::memcpy(out.bytes.data(), state_.data(), out.bytes.size());
  }

 protected:
  Walker(const Ising& problem, double unit)
      : unit_(unit),
        linear_(problem.linear64()),
        aligned_(problem.aligned_fields()),
        ld_(round_up(num_variables(), kTabuBlock)),
        state_(2 * ld_),
        caps_(ld_) {
    for (double& bias : linear_) bias /= unit;
    std::fill_n(gains(), ld_, kLowest);
    std::fill_n(spins(), ld_, Value{2});
    std::fill_n(caps(), ld_, kLowest);
    std::fill_n(caps(), num_variables(), kHighest);
  }

  std::size_t ld() const { return ld_; }
  Value* gains() { return state_.data(); }
  const Value* gains() const { return state_.data(); }
  Value* spins() { return state_.data() + ld_; }
  Value* caps() { return caps_.data(); }

  // To the state of all +1, whose gains are its fields.
  void reset() {
    std::fill_n(spins(), num_variables(), Value{2});
    for (std::size_t i = 0; i < num_variables(); ++i) {
      gains()[i] = static_cast<Value>(aligned_[i] / unit_);
    }
  }
  void load(const Snapshot& snapshot) {
    std::memcpy(state_.data(), snapshot.bytes.data(), snapshot.bytes.size());
  }
  void forbid(std::size_t i) { caps_[i] = kLowest; }
  void allow(std::size_t i) { caps_[i] = kHighest; }

 private:
  static constexpr bool kFloat = std::is_floating_point_v<Value>;
  static constexpr Value kHighest =
      kFloat ? std::numeric_limits<Value>::infinity() : std::numeric_limits<Value>::max();
  static constexpr Value kLowest =
      kFloat ? -std::numeric_limits<Value>::infinity() : std::numeric_limits<Value>::lowest();
  const double unit_;
  std::vector<double> linear_;
  const std::vector<double>& aligned_;
  const std::size_t ld_;
  Buffer<Value> state_;  // gains, then spins
  Buffer<Value> caps_;
};

// Couplings as int8, in the problem's least unit.
struct Int8Couplings {
  double unit = 0.0;
  int largest = 0;
  Buffer<std::int8_t> values;  // (n, ld)
};

// What 16 bits hold; one less than the highest value, which marks variables that are allowed.
inline constexpr int kMostGain = std::numeric_limits<std::int16_t>::max() - 1;

// Whether couplings, and the gains of the state of all +1, are integers of these sizes.
inline bool fits_int16(const Ising& problem) {
  const double most = kMostGain * problem.unit() / problem.scale();
  return problem.form() == Ising::Form::kDense && problem.coupling_in_units() <= 127.0 &&
         std::all_of(problem.aligned_fields().begin(), problem.aligned_fields().end(),
                     [most](double field) { return std::fabs(field) <= most; });
}

// For a problem that fits.
inline Int8Couplings int8_couplings(const Ising& problem, int num_threads) {
  const std::size_t n = problem.num_variables(), ld = round_up(n, kTabuBlock);
  Int8Couplings narrow{.unit = problem.unit() / problem.scale(),
                       .largest = static_cast<int>(problem.coupling_in_units()),
                       .values = Buffer<std::int8_t>(n * ld)};
  const auto factor = static_cast<float>(1.0 / problem.unit());
  parallel_for(n, num_threads, [&](std::size_t row, int) {
    std::int8_t* to = &narrow.values[row * ld];
    // Local copies: stores of bytes may change anything else, as far as the compiler knows.
    const float* from = problem.couplings() + row * problem.ld();
    const std::size_t count = problem.ld();
    const float scale = factor;
    for (std::size_t i = 0; i < count; ++i) to[i] = static_cast<std::int8_t>(scale * from[i]);
    std::fill(to + problem.ld(), to + ld, std::int8_t{0});
  });
  return narrow;
}

// The couplings as float or double, in rows of whole blocks.
template <class Value>
Buffer<Value> blocked_couplings(const Ising& problem, int num_threads) {
  const std::size_t n = problem.num_variables(), ld = round_up(n, kTabuBlock);
  Buffer<Value> values(n * ld);
  parallel_for(n, num_threads, [&](std::size_t row, int) {
    Value* to = &values[row * ld];
    if constexpr (std::is_same_v<Value, double>) {
      problem.scaled_row(row, ld, to);
    } else {
      std::copy_n(problem.couplings() + row * problem.ld(), problem.ld(), to);
      std::fill(to + problem.ld(), to + ld, Value{0});
    }
  });
  return values;
}

template <class Value>
class DenseWalker final : public Walker<Value> {
 public:
  using Coupling = typename TabuTile<Value>::Coupling;
  static constexpr bool kNarrow = !std::is_floating_point_v<Value>;

  // couplings (n, ld): of whole blocks.
  DenseWalker(const KernelTable& kernels, const Ising& problem, double unit,
              const Coupling* couplings, int largest_coupling)
      : Walker<Value>(problem, unit),
        kernels_(kernels),
        largest_coupling_(largest_coupling),
        maxima_(this->ld() / kTabuBlock * 64 / sizeof(Value)),
        tile_{.couplings = couplings,
              .gains = this->gains(),
              .spins = this->spins(),
              .caps = this->caps(),
              .maxima = maxima_.data(),
              .ld = this->ld()} {}

  using Walker<Value>::reset;
  using Walker<Value>::load;
  using Walker<Value>::forbid;
  using Walker<Value>::allow;

  void flip(std::size_t i) { kernel().flip(tile_, i); }
  TabuPick pick(std::uint32_t random) { return kernel().pick(tile_, random); }
  TabuPick move(std::size_t i, std::uint32_t random) { return kernel().move(tile_, i, random); }
  // How many flips may follow before it has to be asked again; 0 where the gains need more bits.
  // A flip changes a gain by at most twice the largest coupling.
  std::size_t headroom() const {
    if constexpr (kNarrow) {
      int largest = 0;
      for (std::size_t i = 0; i < this->num_variables(); ++i) {
        largest = std::max(largest, std::abs(int{this->gain(i)}));
      }
      return static_cast<std::size_t>(std::max(0, kMostGain - largest)) /
             static_cast<std::size_t>(std::max(1, 2 * largest_coupling_));
    } else {
      return std::numeric_limits<std::size_t>::max();
    }
  }

 private:
  const TabuKernels<Value>& kernel() const { return kernels_.tabu.dense.template of<Value>(); }

  const KernelTable& kernels_;
  const int largest_coupling_;
  Buffer<Value> maxima_;
  const TabuTile<Value> tile_;
};

template <class Value>
class SparseWalker final : public Walker<Value> {
 public:
  SparseWalker(const KernelTable& kernels, const Ising& problem)
      : Walker<Value>(problem, 1.0 / problem.scale()),
        kernel_(kernels.tabu.sparse.of<Value>()),
        num_blocks_(this->ld() / kTabuBlock),
        couplings_(scaled_couplings(problem)),
        maxima_(2 * round_up(num_blocks_, kLanes)),
        stale_(num_blocks_),
        blocks_(num_blocks_ + 1),
        tile_{.offsets = problem.offsets(),
              .neighbours = problem.neighbours(),
              .couplings = couplings_.size() > 0 ? couplings_.data() : floats_of(problem),
              .gains = this->gains(),
              .spins = this->spins(),
              .caps = this->caps(),
              .allowed = maxima_.data(),
              .largest = maxima_.data() + round_up(num_blocks_, kLanes),
              .stale = stale_.data(),
              .blocks = blocks_.data(),
              .num_stale = 0,
              .ld = this->ld()} {
    std::fill_n(maxima_.data(), maxima_.size(), -std::numeric_limits<Value>::infinity());
  }

  void reset() {
    Walker<Value>::reset();
    mark_all();
  }
  void load(const Snapshot& snapshot) {
    Walker<Value>::load(snapshot);
    mark_all();
  }
  void forbid(std::size_t i) {
    Walker<Value>::forbid(i);
    mark(i / kTabuBlock);
  }
  void allow(std::size_t i) {
    Walker<Value>::allow(i);
    mark(i / kTabuBlock);
  }
  void flip(std::size_t i) { kernel_.flip(tile_, i); }
  TabuPick pick(std::uint32_t random) { return kernel_.pick(tile_, random); }
  TabuPick move(std::size_t i, std::uint32_t random) {
    flip(i);
    return pick(random);
  }
  std::size_t headroom() const { return std::numeric_limits<std::size_t>::max(); }

 private:
  // The problem has scaled couplings as floats alone.
  static Buffer<Value> scaled_couplings(const Ising& problem) {
    if constexpr (std::is_same_v<Value, float>) return {};
    const std::size_t count = problem.offsets()[problem.num_variables()];
    Buffer<Value> values(count);
    for (std::size_t e = 0; e < count; ++e) {
      values[e] = static_cast<Value>(problem.scale() * problem.sparse_couplings64()[e]);
    }
    return values;
  }
  static const Value* floats_of(const Ising& problem) {
    if constexpr (std::is_same_v<Value, float>) return problem.couplings();
    return nullptr;
  }

  void mark(std::size_t block) {
    if (stale_[block] != 0) return;
    stale_[block] = 1;
    blocks_[tile_.num_stale++] = static_cast<std::uint32_t>(block);
  }
  void mark_all() {
    std::fill_n(stale_.data(), num_blocks_, 0);
    tile_.num_stale = 0;
    for (std::size_t block = 0; block < num_blocks_; ++block) mark(block);
  }

  const SparseTabuKernels<Value>& kernel_;
  const std::size_t num_blocks_;
  const Buffer<Value> couplings_;
  Buffer<Value> maxima_;
  Buffer<std::uint8_t> stale_;
  Buffer<std::uint32_t> blocks_;  // one more: the kernel writes before it knows whether to
  SparseTabuTile<Value> tile_;
};

}  // namespace qpsbgd
