// States that a tabu search walks through by flips, with the gains of all flips. Energies and gains
// are in units of the walker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/ising/ising.hpp"
#include "core/support/buffer.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// A state with its gains, from which a search can go on.
struct Snapshot {
  std::vector<std::byte> bytes;  // gains, then spins, as the walker that saved them has them
  double energy = std::numeric_limits<double>::infinity();
};

// The part that all walkers share: gains s_i f_i, spins, and which flips are allowed.
template <class Value>
class Walker {
 public:
  using Spin = typename TabuTile<Value>::Spin;

  std::size_t num_variables() const { return linear_.size(); }
  double unit() const { return unit_; }
  bool is_up(std::size_t i) const { return spins_[i] > 0; }
  Value gain(std::size_t i) const { return gains_[i]; }
  double energy() const;
  void save(Snapshot& out) const;

 protected:
  Walker(const Ising& problem, double unit);

  std::size_t ld() const { return ld_; }
  Value* gains() { return gains_.data(); }
  Spin* spins() { return spins_.data(); }
  Value* caps() { return caps_.data(); }

  // Goes to the state of all +1, whose gains are its fields. Returns false where these need more
  // bits.
  bool reset();
  // Goes to a state that a walker of this type, or of the other integral type, saved. Returns false
  // where its gains need more bits.
  bool load(const Snapshot& snapshot);
  void forbid(std::size_t i) { caps_[i] = kLowest; }
  void allow(std::size_t i) { caps_[i] = kHighest; }

 private:
  static constexpr bool kFloat = std::is_floating_point_v<Value>;
  static constexpr Spin kUp = kFloat ? 2 : 1;
  static constexpr Value kHighest =
      kFloat ? std::numeric_limits<Value>::infinity() : std::numeric_limits<Value>::max();
  static constexpr Value kLowest =
      kFloat ? -std::numeric_limits<Value>::infinity() : std::numeric_limits<Value>::lowest();
  const double unit_;
  std::vector<double> linear_;
  const std::vector<double>& aligned_;
  const std::size_t ld_;
  Buffer<Value> gains_;
  Buffer<Spin> spins_;
  Buffer<Value> caps_;
};

// Couplings of a dense problem in rows of whole blocks of kTabuBlock.
template <class Value>
struct BlockedCouplings {
  double unit = 0.0;
  int largest = 0;       // in units; of int8 only
  Buffer<Value> values;  // (n, ld)
};
// The int8 couplings need a problem that tabu_fits() in int16.
BlockedCouplings<std::int8_t> int8_couplings(const Ising& problem, int num_threads);
template <class Value>
BlockedCouplings<Value> blocked_couplings(const Ising& problem, int num_threads);

// Walker on a dense problem. Gains are int16, int32, float or double. int32 holds all gains of a
// problem whose couplings and biases it holds.
template <class Value>
class DenseWalker final : public Walker<Value> {
 public:
  using Coupling = typename TabuTile<Value>::Coupling;

  DenseWalker(const KernelTable& kernels, const Ising& problem,
              const BlockedCouplings<Coupling>& couplings);

  using Walker<Value>::reset;
  using Walker<Value>::load;
  using Walker<Value>::forbid;
  using Walker<Value>::allow;

  void flip(std::size_t i) { kernel_.flip(tile_, i); }
  TabuPick pick(std::uint32_t random) { return kernel_.pick(tile_, random); }
  TabuPick move(std::size_t i, std::uint32_t random) { return kernel_.move(tile_, i, random); }
  // Returns how many flips may follow before the next call of this function; 0 where the gains need
  // more bits.
  std::size_t headroom() const;

 private:
  const TabuKernels<Value>& kernel_;
  const int largest_coupling_;
  Buffer<Value> maxima_;
  const TabuTile<Value> tile_;
};

// Walker on a sparse problem. Gains are float or double.
template <class Value>
class SparseWalker final : public Walker<Value> {
 public:
  SparseWalker(const KernelTable& kernels, const Ising& problem);

  bool reset() {
    mark_all();
    return Walker<Value>::reset();
  }
  bool load(const Snapshot& snapshot) {
    mark_all();
    return Walker<Value>::load(snapshot);
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
  // Marks a block whose maxima must be computed anew.
  void mark(std::size_t block) {
    if (stale_[block] != 0) return;
    stale_[block] = 1;
    blocks_[tile_.num_stale++] = static_cast<std::uint32_t>(block);
  }
  void mark_all();

  const SparseTabuKernels<Value>& kernel_;
  const std::size_t num_blocks_;
  const Buffer<Value> couplings_;  // double only: the problem has scaled couplings as floats
  Buffer<Value> maxima_;
  Buffer<std::uint8_t> stale_;
  Buffer<std::uint32_t> blocks_;  // one more: the kernel writes before it knows whether to
  SparseTabuTile<Value> tile_;
};

}  // namespace qpsbgd
