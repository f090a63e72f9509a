// One tabu search: moves from a state always to the best neighbour that is not tabu.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/ising/ising.hpp"
#include "core/support/streams.hpp"
#include "core/tabu/tabu.hpp"
#include "core/tabu/tabu_walkers.hpp"
#include "core/threads/stop.hpp"

namespace qpsbgd {

// Random words of one search. They depend on nothing but the search's key.
class RandomWords {
 public:
  explicit RandomWords(StreamKey key) : state_(std::uint64_t{key.word1} << 32 | key.word0) {}
  std::uint64_t next() { return splitmix64(state_ += 0x9e3779b97f4a7c15u); }
  // Returns a number in [0, bound).
  std::size_t below(std::size_t bound) { return (next() >> 32) * bound >> 32; }

 private:
  std::uint64_t state_;
};

// The result of one search.
struct SearchResult {
  Snapshot best;
  std::uint64_t moves = 0;
  bool has_begun = false;
  bool overflows = false;  // int16 did not hold all gains
};

// Stopping rule of a read: it stops when the call stops or when its own time is over.
class ReadStop {
 public:
  ReadStop(Stop& stop, double seconds) : stop_(stop), is_limited_(seconds < kForever) {
    if (!is_limited_) return;
    deadline_ = Clock::now() +
                std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }
  bool poll() const { return stop_.poll() || is_timed_out(); }
  bool poll_interrupt() const { return stop_.poll_interrupt(); }
  bool is_timed_out() const { return is_limited_ && Clock::now() >= deadline_; }
  Stop& call_stop() const { return stop_; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr double kForever = 1e9;  // seconds; the clock's ticks hold it
  Stop& stop_;
  const bool is_limited_;
  Clock::time_point deadline_;
};

// A search with a state of its own. Each thread needs its own.
class Search {
 public:
  virtual ~Search() = default;

  // Goes to a state.
  virtual void start(const std::int8_t* spins) = 0;
  // Goes to a random state between two states: flips each of the variables in which they differ
  // with probability 1/2.
  virtual void start_between(const Snapshot& from, const std::vector<std::uint32_t>& differences,
                             RandomWords& random) = 0;
  // Searches from the current state until `moves` are made. Without a number the search stops after
  // max(100, 2 n) moves without a better energy.
  virtual void run(std::size_t tenure, std::optional<std::size_t> moves, RandomWords& random,
                   const ReadStop& stop, SearchResult& out) = 0;

  // Computes a snapshot's gains anew, which removes the rounding errors of many flips.
  virtual void renew(Snapshot& snapshot) = 0;
  virtual void spins(const Snapshot& snapshot, std::vector<std::int8_t>& out) = 0;
};

// Factory of the searches of a call, which share the couplings.
class SearchMaker {
 public:
  SearchMaker(const KernelTable& kernels, const Ising& problem, const TabuOptions& options);

  // Returns a new search. Any thread may call this.
  std::unique_ptr<Search> make() const;

 private:
  template <class Walker, class... Arguments>
  std::unique_ptr<Search> make_search(const Arguments&... arguments) const;

  const KernelTable& kernels_;
  const Ising& problem_;
  const std::size_t longest_tenure_;
  const Precision precision_;
  BlockedCouplings<std::int8_t> bytes_;
  BlockedCouplings<double> doubles_;
  BlockedCouplings<float> floats_;
};

}  // namespace qpsbgd
