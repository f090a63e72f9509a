#include "core/tabu/tabu_walkers.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "core/ising/precision.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

template <class Value>
Buffer<Value> scaled_couplings(const Ising& problem) {
  if constexpr (std::is_same_v<Value, float>) {
    return {};
  } else {
    const std::size_t count = problem.offsets()[problem.num_variables()];
    Buffer<Value> values(count);
    for (std::size_t e = 0; e < count; ++e) {
      values[e] = static_cast<Value>(problem.scale() * problem.sparse_couplings64()[e]);
    }
    return values;
  }
}

template <class Value>
const Value* couplings_of(const Ising& problem, const Buffer<Value>& scaled) {
  if constexpr (std::is_same_v<Value, float>) {
    return problem.couplings();
  } else {
    return scaled.data();
  }
}

}  // namespace

template <class Value>
Walker<Value>::Walker(const Ising& problem, double unit)
    : unit_(unit),
      linear_(problem.linear64()),
      aligned_(problem.aligned_fields()),
      ld_(round_up(num_variables(), kTabuBlock)),
      gains_(ld_),
      spins_(ld_),
      caps_(ld_) {
  for (double& bias : linear_) bias /= unit;
  std::fill_n(gains(), ld_, kLowest);
  std::fill_n(spins(), ld_, kUp);
  std::fill_n(caps(), ld_, kLowest);
  std::fill_n(caps(), num_variables(), kHighest);
}

template <class Value>
double Walker<Value>::energy() const {
  double sum = 0.0;
  for (std::size_t i = 0; i < num_variables(); ++i) {
    sum += (is_up(i) ? linear_[i] : -linear_[i]) + gain(i);
  }
  return 0.5 * sum;
}

template <class Value>
void Walker<Value>::save(Snapshot& out) const {
  out.bytes.resize(ld_ * (sizeof(Value) + sizeof(Spin)));
  std::memcpy(out.bytes.data(), gains_.data(), ld_ * sizeof(Value));
  std::memcpy(out.bytes.data() + ld_ * sizeof(Value), spins_.data(), ld_ * sizeof(Spin));
}

template <class Value>
bool Walker<Value>::load(const Snapshot& snapshot) {
  const std::byte* bytes = snapshot.bytes.data();
  const std::size_t spin_bytes = ld_ * sizeof(Spin);
  const std::size_t gain_bytes = snapshot.bytes.size() - spin_bytes;
  std::memcpy(spins(), bytes + gain_bytes, spin_bytes);
  if (gain_bytes == ld_ * sizeof(Value)) {
    std::memcpy(gains(), bytes, gain_bytes);
    return true;
  }
  if constexpr (!kFloat) {
    using Other = std::conditional_t<sizeof(Value) == 2, std::int32_t, std::int16_t>;
    const Other* other = reinterpret_cast<const Other*>(bytes);
    Other largest = 0;
    for (std::size_t i = 0; i < num_variables(); ++i) {
      largest = std::max<Other>(largest, static_cast<Other>(std::abs(other[i])));
      gains()[i] = static_cast<Value>(other[i]);
    }
    return sizeof(Value) > sizeof(Other) || largest <= kMostTabuGain;
  }
  return false;
}

template <class Value>
bool Walker<Value>::reset() {
  std::fill_n(spins(), num_variables(), kUp);
  double largest = 0.0;
  for (std::size_t i = 0; i < num_variables(); ++i) {
    const double gain = aligned_[i] / unit_;
    if constexpr (sizeof(Value) == 2) {
      largest = std::max(largest, std::fabs(gain));
      if (largest > kMostTabuGain) return false;
    }
    gains()[i] = static_cast<Value>(gain);
  }
  return true;
}

BlockedCouplings<std::int8_t> int8_couplings(const Ising& problem, int num_threads) {
  const std::size_t n = problem.num_variables(), ld = round_up(n, kTabuBlock);
  BlockedCouplings<std::int8_t> narrow{.unit = problem.unit() / problem.scale(),
                                       .largest = static_cast<int>(problem.coupling_in_units()),
                                       .values = Buffer<std::int8_t>(n * ld)};
  const auto factor = static_cast<float>(1.0 / problem.unit());
  parallel_for(n, num_threads, [&](std::size_t row, int) {
    std::int8_t* to = &narrow.values[row * ld];
    // Local copies, because a store of bytes may alias anything that is read through a reference.
    const float* from = problem.couplings() + row * problem.ld();
    const std::size_t count = problem.ld();
    const float scale = factor;
    for (std::size_t i = 0; i < count; ++i) to[i] = static_cast<std::int8_t>(scale * from[i]);
    std::fill(to + problem.ld(), to + ld, std::int8_t{0});
  });
  return narrow;
}

template <class Value>
BlockedCouplings<Value> blocked_couplings(const Ising& problem, int num_threads) {
  const std::size_t n = problem.num_variables(), ld = round_up(n, kTabuBlock);
  BlockedCouplings<Value> blocked{
      .unit = 1.0 / problem.scale(), .largest = 0, .values = Buffer<Value>(n * ld)};
  parallel_for(n, num_threads, [&](std::size_t row, int) {
    Value* to = &blocked.values[row * ld];
    if constexpr (std::is_same_v<Value, double>) {
      problem.scaled_row(row, ld, to);
    } else {
      std::copy_n(problem.couplings() + row * problem.ld(), problem.ld(), to);
      std::fill(to + problem.ld(), to + ld, Value{0});
    }
  });
  return blocked;
}

template <class Value>
DenseWalker<Value>::DenseWalker(const KernelTable& kernels, const Ising& problem,
                                const BlockedCouplings<Coupling>& couplings)
    : Walker<Value>(problem, couplings.unit),
      kernel_(kernels.tabu.dense.of<Value>()),
      largest_coupling_(couplings.largest),
      maxima_(this->ld() / kTabuBlock * 64 / sizeof(Value)),
      tile_{.couplings = couplings.values.data(),
            .gains = this->gains(),
            .spins = this->spins(),
            .caps = this->caps(),
            .maxima = maxima_.data(),
            .ld = this->ld()} {}

template <class Value>
std::size_t DenseWalker<Value>::headroom() const {
  if constexpr (sizeof(Value) > 2) {
    return std::numeric_limits<std::size_t>::max();
  } else {
    // A flip changes a gain by at most twice the largest coupling.
    int largest = 0;
    for (std::size_t i = 0; i < this->num_variables(); ++i) {
      largest = std::max(largest, std::abs(int{this->gain(i)}));
    }
    return static_cast<std::size_t>(std::max(0, kMostTabuGain - largest)) /
           static_cast<std::size_t>(std::max(1, 2 * largest_coupling_));
  }
}

template <class Value>
SparseWalker<Value>::SparseWalker(const KernelTable& kernels, const Ising& problem)
    : Walker<Value>(problem, 1.0 / problem.scale()),
      kernel_(kernels.tabu.sparse.of<Value>()),
      num_blocks_(this->ld() / kTabuBlock),
      couplings_(scaled_couplings<Value>(problem)),
      maxima_(2 * round_up(num_blocks_, kLanes)),
      stale_(num_blocks_),
      blocks_(num_blocks_ + 1),
      tile_{.offsets = problem.offsets(),
            .neighbours = problem.neighbours(),
            .couplings = couplings_of(problem, couplings_),
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

template <class Value>
void SparseWalker<Value>::mark_all() {
  std::fill_n(stale_.data(), num_blocks_, std::uint8_t{0});
  tile_.num_stale = 0;
  for (std::size_t block = 0; block < num_blocks_; ++block) mark(block);
}

template BlockedCouplings<float> blocked_couplings(const Ising&, int);
template BlockedCouplings<double> blocked_couplings(const Ising&, int);
template class Walker<std::int16_t>;
template class Walker<std::int32_t>;
template class Walker<float>;
template class Walker<double>;
template class DenseWalker<std::int16_t>;
template class DenseWalker<std::int32_t>;
template class DenseWalker<float>;
template class DenseWalker<double>;
template class SparseWalker<float>;
template class SparseWalker<double>;

}  // namespace qpsbgd
