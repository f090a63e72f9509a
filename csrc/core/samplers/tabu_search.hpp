// One tabu search: from a state, always to the best neighbour that is not tabu.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/samplers/tabu_walkers.hpp"
#include "core/support/stop.hpp"
#include "core/support/streams.hpp"

namespace qpsbgd {

// A search ends when its best energy is so many moves old, a variable, and at least.
inline constexpr std::size_t kStallPerVariable = 2;
inline constexpr std::size_t kStallMin = 100;
// Gains that are read, or moves made, between two looks at the clock: some twenty microseconds.
inline constexpr std::size_t kTabuRun = 1 << 18;
inline constexpr std::size_t kMostMovesARun = 256;
// More than the error of an energy from rounded gains, in the sum of all biases' magnitudes: nearer
// to a threshold, an energy computed anew decides.
inline constexpr double kTabuFloat32Error = 0x1p-20, kTabuFloat64Error = 0x1p-48;
// Rounding of gains, as a part of the largest field. A state must be better than the best one by
// some of it, and if it is better by less than what many moves may round, its gains are computed
// anew first: moves that go round in a circle could else lower the energy for ever.
inline constexpr double kTabuFloat32Rounding = 0x1p-24, kTabuFloat64Rounding = 0x1p-53;
inline constexpr double kTabuLeast = 8.0, kTabuDoubtful = 4096.0;
// Moves after which float gains are computed anew.
inline constexpr std::size_t kTabuRefresh = 1 << 15;

// Numbers of one search, in order; which one it is is all that they depend on.
class RandomWords {
 public:
  explicit RandomWords(StreamKey key) : state_(std::uint64_t{key.word1} << 32 | key.word0) {}
  std::uint64_t next() { return splitmix64(state_ += 0x9e3779b97f4a7c15u); }
  std::size_t below(std::size_t bound) { return (next() >> 32) * bound >> 32; }

 private:
  std::uint64_t state_;
};

// What one search found.
struct Found {
  Snapshot best;
  std::uint64_t moves = 0;
  bool begun = false;
  bool overflow = false;
};

// What ends a read: the call's end, or its own time.
class ReadStop {
 public:
  ReadStop(Stop& stop, double seconds) : stop_(stop), limited_(seconds < kForever) {
    if (!limited_) return;
    deadline_ = Clock::now() +
                std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }
  bool poll() const { return stop_.poll() || timed_out(); }
  bool poll_interrupt() const { return stop_.poll_interrupt(); }
  bool timed_out() const { return limited_ && Clock::now() >= deadline_; }
  Stop& call() const { return stop_; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr double kForever = 1e9;  // seconds; the clock's ticks hold it
  Stop& stop_;
  const bool limited_;
  Clock::time_point deadline_;
};

// Which variables are tabu: those of the last `tenure` flips.
class TabuList {
 public:
  TabuList(std::size_t num_variables, std::size_t longest_tenure)
      : until_(num_variables), flipped_(std::bit_ceil(longest_tenure + 1)) {}

  // Before a search.
  template <class Walker>
  void clear(std::size_t tenure, Walker& walker) {
    for (std::size_t k = 0; k < std::min(moves_, tenure_); ++k) walker.allow(flip_of(moves_ - k));
    moves_ = 0;
    tenure_ = tenure;
  }
  // Before a flip: allows what is then no longer tabu, forbids its variable.
  template <class Walker>
  void add(std::size_t i, Walker& walker) {
    ++moves_;
    if (moves_ > tenure_) {
      const std::size_t old = flip_of(moves_ - tenure_);
      if (until_[old] == moves_) walker.allow(old);  // else it was flipped again
    }
    if (tenure_ == 0) return;
    flipped_[moves_ & (flipped_.size() - 1)] = static_cast<std::uint32_t>(i);
    until_[i] = moves_ + tenure_;
    walker.forbid(i);
  }
  // The first tabu variable of this gain; num_variables if there is none.
  template <class Walker>
  std::size_t find(double gain, const Walker& walker) const {
    std::size_t first = until_.size();
    for (std::size_t k = 0; k < std::min(moves_, tenure_); ++k) {
      const std::size_t i = flip_of(moves_ - k);
      if (walker.gain(i) == gain) first = std::min(first, i);
    }
    return first;
  }

 private:
  std::size_t flip_of(std::size_t move) const { return flipped_[move & (flipped_.size() - 1)]; }

  std::size_t tenure_ = 0;
  std::size_t moves_ = 0;
  std::vector<std::size_t> until_;      // (n): move at which a variable is allowed again
  std::vector<std::uint32_t> flipped_;  // by move, modulo its size, a power of 2
};

// Walks a state of its own: to where a search starts, and the search. One a worker.
class Search {
 public:
  virtual ~Search() = default;

  // Goes to a state; from a state to the middle of a random path to another one. False where the
  // gains need more bits.
  virtual bool start(const std::int8_t* spins) = 0;
  virtual bool start_between(const Snapshot& from, const std::vector<std::uint32_t>& differences,
                             RandomWords& random) = 0;
  // From there until the best energy is old, or `moves` are made.
  virtual void run(std::size_t tenure, std::optional<std::size_t> moves, RandomWords& random,
                   const ReadStop& stop, Found& out) = 0;

  // Computes a snapshot's gains anew, without what many flips have rounded.
  virtual void renew(Snapshot& snapshot) = 0;
  virtual void spins(const Snapshot& snapshot, std::vector<std::int8_t>& out) = 0;
};

template <class Walker>
class WalkingSearch final : public Search {
 public:
  template <class... Arguments>
  WalkingSearch(const KernelTable& kernels, const Ising& problem, Precision precision,
                std::size_t longest_tenure, const Arguments&... arguments)
      : kernels_(kernels),
        problem_(problem),
        exact_(problem.exact(precision)),
        walker_(kernels, problem, arguments...),
        list_(problem.num_variables(), longest_tenure) {
    if (exact_) return;
    const bool wide = precision == Precision::kFloat64;
    const auto& reach = problem.reach();
    const double largest = *std::max_element(reach.begin(), reach.end());
    rounding_ = (wide ? kTabuFloat64Rounding : kTabuFloat32Rounding) * largest / walker_.unit();
    error_ = (wide ? kTabuFloat64Error : kTabuFloat32Error) * problem.total_magnitude();
  }

  bool start(const std::int8_t* spins) override {
    walker_.reset();
    flips_.clear();
    for (std::size_t i = 0; i < walker_.num_variables(); ++i) {
      if (spins[i] < 0) flips_.push_back(static_cast<std::uint32_t>(i));
    }
    return flip_all();
  }
  bool start_between(const Snapshot& from, const std::vector<std::uint32_t>& differences,
                     RandomWords& random) override {
    walker_.load(from);
    flips_.clear();
    std::uint64_t word = 0;
    for (std::size_t k = 0; k < differences.size(); ++k, word >>= 1) {
      if (k % 64 == 0) word = random.next();
      if (word & 1) flips_.push_back(differences[k]);
    }
    return flip_all();
  }

  void run(std::size_t tenure, std::optional<std::size_t> moves, RandomWords& random,
           const ReadStop& stop, Found& out) override {
    Walker& walker = walker_;
    const std::size_t n = walker.num_variables();
    const std::size_t stall = std::max(kStallMin, kStallPerVariable * n);
    const std::size_t chunk = std::clamp<std::size_t>(kTabuRun / n, 1, kMostMovesARun);
    list_.clear(tenure, walker);
    double energy = walker.energy();
    out.begun = true;
    out.best.energy = energy;
    bool unsaved = true;     // the state is the best one
    bool descended = false;  // a local minimum was reached: then limits may end the search
    std::size_t now = 0, improved = 0, checked = 0, refreshed = 0;
    TabuPick next = walker.pick(static_cast<std::uint32_t>(random.next()));
    while (moves ? now < *moves : now - improved < stall) {
      if (now == checked) {
        if (descended ? stop.poll() : stop.poll_interrupt()) break;
        const std::size_t room = walker.headroom();
        out.overflow = room == 0;
        if (out.overflow) break;
        if (!exact_ && now - refreshed >= kTabuRefresh) {
          refresh();
          energy = walker.energy();
          next = walker.pick(static_cast<std::uint32_t>(random.next()));
          refreshed = now;
        }
        checked = now + std::min(chunk, room);
      }
      if (next.largest > next.gain &&
          energy - 2.0 * next.largest < out.best.energy - kTabuLeast * rounding_) {
        // Aspiration: tabu, but it leads to the best state.
        next = {list_.find(next.largest, walker), next.largest, next.largest};
      }
      if (next.gain <= 0.0) descended = true;
      if (unsaved && next.gain <= 0.0) {
        energy = save(energy, stop.call(), out);
        unsaved = false;
      }
      ++now;
      list_.add(next.variable, walker);
      energy -= 2.0 * next.gain;
      next = walker.move(next.variable, static_cast<std::uint32_t>(random.next()));
      const double least = out.best.energy - kTabuLeast * rounding_;
      const bool descending = improved + 1 == now;
      if (energy < least && energy > out.best.energy - kTabuDoubtful * rounding_ && !descending) {
        refresh();
        energy = walker.energy();
        next = walker.pick(static_cast<std::uint32_t>(random.next()));
        refreshed = now;
      }
      if (energy < least) {
        out.best.energy = energy;
        improved = now;
        unsaved = true;
      }
    }
    out.moves = now;
    if (unsaved) save(energy, stop.call(), out);
  }

  void renew(Snapshot& snapshot) override {
    walker_.load(snapshot);
    refresh();
    walker_.save(snapshot);
    snapshot.energy = walker_.energy();
  }
  void spins(const Snapshot& snapshot, std::vector<std::int8_t>& out) override {
    walker_.load(snapshot);
    out.resize(walker_.num_variables());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = walker_.up(i) ? 1 : -1;
  }

 private:
  bool flip_all() {
    std::size_t checked = 0;
    for (std::size_t k = 0; k < flips_.size(); ++k) {
      if (k == checked) {
        const std::size_t room = walker_.headroom();
        if (room == 0) return false;
        checked = room < flips_.size() ? k + room : flips_.size();
      }
      walker_.flip(flips_[k]);
    }
    return walker_.headroom() > 0;
  }

  // The same state with gains that no flip has rounded.
  void refresh() {
    spins_.resize(walker_.num_variables());
    for (std::size_t i = 0; i < spins_.size(); ++i) spins_[i] = walker_.up(i) ? 1 : -1;
    start(spins_.data());
  }

  // Keeps the state, tells of it, and ends the call if it is not above the threshold. Returns its
  // energy, anew from the gains where these are rounded.
  double save(double energy, Stop& stop, Found& out) {
    if (!exact_) energy = walker_.energy();
    walker_.save(out.best);
    out.best.energy = energy;
    const double value = energy * walker_.unit();
    stop.found(value);
    if (value > stop.energy_threshold() + error_) return energy;
    spins_.resize(walker_.num_variables());
    for (std::size_t i = 0; i < spins_.size(); ++i) spins_[i] = walker_.up(i) ? 1 : -1;
    double sure = 0.0;
    problem_.energies(kernels_, spins_.data(), 1, 1, &sure);
    if (sure <= stop.energy_threshold()) stop.reached();
    return energy;
  }

  const KernelTable& kernels_;
  const Ising& problem_;
  const bool exact_;
  double rounding_ = 0.0, error_ = 0.0;  // of gains, in the walker's unit; of energies
  Walker walker_;
  TabuList list_;
  std::vector<std::uint32_t> flips_;
  std::vector<std::int8_t> spins_;
};

}  // namespace qpsbgd
