// A search that a walker makes: always to the best neighbour that is not tabu.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/tabu/tabu_list.hpp"
#include "core/tabu/tabu_search.hpp"

namespace qpsbgd {

// A search stops after max(kStallMin, kStallPerVariable * n) moves without a better energy.
inline constexpr std::size_t kStallPerVariable = 2;
inline constexpr std::size_t kStallMin = 100;
// The search polls its stop after it has read kTabuRun gains, or made kMostMovesARun moves: about
// every twenty microseconds.
inline constexpr std::size_t kTabuRun = 1 << 18;
inline constexpr std::size_t kMostMovesARun = 256;
// Bounds on the error of an energy from rounded gains, relative to the sum of all biases'
// magnitudes. If an energy is nearer to the energy threshold than this, it is computed anew before
// the decision.
inline constexpr double kTabuFloat32Error = 0x1p-20, kTabuFloat64Error = 0x1p-48;
// Rounding of gains, relative to the largest field. A state counts as better than the best one if
// it is better by kTabuLeast roundings. If it is better by less than kTabuDoubtful roundings, its
// gains are first computed anew. Otherwise moves in a circle could seem to lower the energy for
// ever.
inline constexpr double kTabuFloat32Rounding = 0x1p-24, kTabuFloat64Rounding = 0x1p-53;
inline constexpr double kTabuLeast = 8.0, kTabuDoubtful = 4096.0;
// Moves after which float gains are computed anew.
inline constexpr std::size_t kTabuRefresh = 1 << 15;

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

  void start(const std::int8_t* spins) override { try_start(spins); }
  void start_between(const Snapshot& from, const std::vector<std::uint32_t>& differences,
                     RandomWords& random) override {
    try_start_between(from, differences, random);
  }

  // Starts, and returns false where the gains need more bits, which happens in int16 alone.
  bool try_start(const std::int8_t* spins) {
    if (!walker_.reset()) return false;
    flips_.clear();
    for (std::size_t i = 0; i < walker_.num_variables(); ++i) {
      if (spins[i] < 0) flips_.push_back(static_cast<std::uint32_t>(i));
    }
    return flip_all();
  }
  bool try_start_between(const Snapshot& from, const std::vector<std::uint32_t>& differences,
                         RandomWords& random) {
    if (!walker_.load(from)) return false;
    flips_.clear();
    std::uint64_t word = 0;
    for (std::size_t k = 0; k < differences.size(); ++k, word >>= 1) {
      if (k % 64 == 0) word = random.next();
      if (word & 1) flips_.push_back(differences[k]);
    }
    return flip_all();
  }
  bool load(const Snapshot& snapshot) { return walker_.load(snapshot); }
  void save(Snapshot& out) const { walker_.save(out); }

  // Sets out.overflows where the gains need more bits; out.best is then the best state so far.
  void run(std::size_t tenure, std::optional<std::size_t> moves, RandomWords& random,
           const ReadStop& stop, SearchResult& out) override {
    Walker& walker = walker_;
    const std::size_t n = walker.num_variables();
    const std::size_t stall = std::max(kStallMin, kStallPerVariable * n);
    const std::size_t chunk = std::clamp<std::size_t>(kTabuRun / n, 1, kMostMovesARun);
    list_.clear(tenure, walker);
    double energy = walker.energy();
    out.has_begun = true;
    out.best.energy = energy;
    bool unsaved = true;     // the current state is the best one, and not saved
    bool descended = false;  // the search has reached a local minimum; limits may then end it
    std::size_t now = 0, improved = 0, checked = 0, refreshed = 0;
    TabuPick next = walker.pick(static_cast<std::uint32_t>(random.next()));
    while (moves ? now < *moves : now - improved < stall) {
      if (now == checked) {
        if (descended ? stop.poll() : stop.poll_interrupt()) break;
        const std::size_t room = walker.headroom();
        out.overflows = room == 0;
        if (out.overflows) break;
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
        // Aspiration: a tabu move that leads to a new best state is allowed.
        next = {list_.find(next.largest, walker), next.largest, next.largest};
      }
      if (next.gain <= 0.0) descended = true;
      if (unsaved && next.gain <= 0.0) {
        energy = save(energy, stop.call_stop(), out);
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
    if (unsaved) save(energy, stop.call_stop(), out);
  }

  void renew(Snapshot& snapshot) override {
    walker_.load(snapshot);
    refresh();
    walker_.save(snapshot);
    snapshot.energy = walker_.energy();
  }
  void spins(const Snapshot& snapshot, std::vector<std::int8_t>& out) override {
    walker_.load(snapshot);
    copy_spins(out);
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

  void copy_spins(std::vector<std::int8_t>& out) const {
    out.resize(walker_.num_variables());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = walker_.is_up(i) ? 1 : -1;
  }

  // Computes the gains of the current state anew, which removes the rounding errors of many flips.
  void refresh() {
    copy_spins(spins_);
    try_start(spins_.data());
  }

  // Saves the current state, reports its energy, and ends the call if it is not above the energy
  // threshold. Returns the energy, computed anew from the gains where these are rounded.
  double save(double energy, Stop& stop, SearchResult& out) {
    if (!exact_) energy = walker_.energy();
    walker_.save(out.best);
    out.best.energy = energy;
    const double value = energy * walker_.unit();
    stop.found(value);
    if (value > stop.energy_threshold() + error_) return energy;
    copy_spins(spins_);
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
