#include "core/tabu/tabu.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/ising/precision.hpp"
#include "core/support/streams.hpp"
#include "core/tabu/tabu_search.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

constexpr std::size_t kGeneration = 8;  // searches

// The best different states of a read, the best first.
class Elites {
 public:
  // Without linear biases, a state and its opposite count as one.
  Elites(std::size_t most, bool fields) : most_(most), fields_(fields) {}

  bool full() const { return elites_.size() == most_; }
  void keep_best() { elites_.resize(1); }

  // Returns whether the state has become an elite. If so, its snapshot is moved from.
  bool offer(Snapshot& snapshot, const std::vector<std::int8_t>& spins) {
    if (full() && snapshot.energy >= elites_.back().snapshot.energy) return false;
    for (const Elite& elite : elites_) {
      const std::size_t n = spins.size(), distance = distance_to(elite, spins);
      if (distance == 0 || (!fields_ && distance == n)) return false;
    }
    if (full()) elites_.pop_back();
    const auto place = std::upper_bound(
        elites_.begin(), elites_.end(), snapshot.energy,
        [](double energy, const Elite& elite) { return energy < elite.snapshot.energy; });
    elites_.insert(place, {std::move(snapshot), spins});
    return true;
  }

  // Draws two elites. Returns the first, and the variables in which the second differs from it.
  const Snapshot& pair(RandomWords& random, std::vector<std::uint32_t>& differences) const {
    const std::size_t first = random.below(elites_.size());
    std::size_t second = random.below(elites_.size() - 1);
    second += second >= first;
    const auto &a = elites_[first].spins, &b = elites_[second].spins;
    const bool opposite = !fields_ && 2 * distance_to(elites_[first], b) > b.size();
    differences.clear();
    for (std::size_t i = 0; i < a.size(); ++i) {
      if ((a[i] != b[i]) != opposite) differences.push_back(static_cast<std::uint32_t>(i));
    }
    return elites_[first].snapshot;
  }

 private:
  struct Elite {
    Snapshot snapshot;
    std::vector<std::int8_t> spins;
  };
  static std::size_t distance_to(const Elite& elite, const std::vector<std::int8_t>& spins) {
    std::size_t distance = 0;
    for (std::size_t i = 0; i < spins.size(); ++i) distance += elite.spins[i] != spins[i];
    return distance;
  }

  const std::size_t most_;
  const bool fields_;
  std::vector<Elite> elites_;
};

// PAPER: path relinking, Wang, Lu, Glover, Hao 2012 (doi 10.1016/j.ejor.2012.07.012), with random
// paths (PR2) of which the middle is improved by tabu search.
// NOTES: pairs are drawn, and results offered, a generation at a time, so that threads share the
// elites and the read does not depend on their number. A search is short: two moves without a
// better energy for each variable, not twenty.
class Read {
 public:
  Read(const Ising& problem, const TabuOptions& options, std::size_t number, const ReadStop& stop)
      : problem_(problem), options_(options), number_(number), stop_(stop) {}

  // Searches from `state`, which receives the best state. exact: whether gains are never rounded.
  void run(std::vector<std::unique_ptr<Search>>& searches, std::size_t first_worker,
           int num_threads, bool exact, std::int8_t* state, TabuRead& out) {
    const auto& linear = problem_.linear64();
    Elites elites(options_.num_elites,
                  std::any_of(linear.begin(), linear.end(), [](double h) { return h != 0.0; }));
    Snapshot best;
    std::vector<std::int8_t> spins;
    out.restarts = 0;
    out.moves = 0;
    bool relinking = false;
    std::size_t barren = 0;
    for (std::size_t begun = 0; begun <= options_.num_restarts;) {
      std::vector<SearchResult> results(std::min(kGeneration, options_.num_restarts + 1 - begun));
      parallel_for(
          results.size(), num_threads,
          [&](std::size_t k, int worker) {
            // A read's first search begins however little time there is.
            if (begun + k > 0 && stop_.poll()) return;
            search(*searches[first_worker + static_cast<std::size_t>(worker)], begun + k, state,
                   relinking ? &elites : nullptr, results[k]);
          },
          [this] {
            stop_.poll();
            stop_.poll_interrupt();
          });
      bool renewed = false;
      for (std::size_t k = 0; k < results.size(); ++k) {
        if (!results[k].has_begun) continue;
        out.int16 &= !results[k].overflows;
        out.restarts = static_cast<std::int64_t>(begun + k);
        out.moves += results[k].moves;
        Search& scratch = *searches[first_worker];
        Snapshot& snapshot = results[k].best;
        if (!exact) scratch.renew(snapshot);
        if (snapshot.energy < best.energy) best = snapshot;
        scratch.spins(snapshot, spins);
        renewed |= elites.offer(snapshot, spins);
      }
      begun += results.size();
      if (stop_.poll()) break;
      barren = renewed ? 0 : barren + 1;
      if (!relinking) {
        relinking = elites.full();
      } else if (barren >= options_.barren_generations) {
        elites.keep_best();
        relinking = false;
      }
    }
    out.timed_out = stop_.is_timed_out();
    searches[first_worker]->spins(best, spins);
    std::copy(spins.begin(), spins.end(), state);
  }

 private:
  void search(Search& search, std::size_t index, const std::int8_t* state, const Elites* elites,
              SearchResult& out) const {
    RandomWords random(
        stream_key(options_.seed, options_.number, options_.first_read + number_, index));
    const std::size_t spread = options_.longest_tenure - options_.shortest_tenure;
    const std::size_t tenure =
        options_.shortest_tenure + (index == 0 ? spread / 2 : random.below(spread + 1));
    if (index == 0) {
      search.start(state);
    } else if (elites == nullptr) {
      std::vector<std::int8_t> spins(problem_.num_variables());
      std::uint64_t word = 0;
      for (std::size_t i = 0; i < spins.size(); ++i, word >>= 1) {
        if (i % 64 == 0) word = random.next();
        spins[i] = word & 1 ? 1 : -1;
      }
      search.start(spins.data());
    } else {
      std::vector<std::uint32_t> differences;
      const Snapshot& from = elites->pair(random, differences);
      search.start_between(from, differences, random);
    }
    search.run(tenure, index == 0 ? options_.first_moves : options_.restart_moves, random, stop_,
               out);
  }

  const Ising& problem_;
  const TabuOptions& options_;
  const std::size_t number_;
  const ReadStop& stop_;
};

}  // namespace

void tabu(const KernelTable& kernels, const Ising& problem, const TabuOptions& options,
          std::size_t num_reads, std::int8_t* states, TabuRead* reads, Stop& stop) {
  const std::size_t n = problem.num_variables();
  std::fill_n(reads, num_reads, TabuRead{});
  if (n == 0) {
    for (std::size_t read = 0; read < num_reads; ++read) reads[read].restarts = 0;
    return;
  }
  if (!tabu_fits(problem, options.precision)) {
    throw std::invalid_argument("the problem's gains do not fit the precision");
  }
  const bool is_int16 = options.precision == Precision::kInt16;
  const bool exact = problem.exact(options.precision);
  const SearchMaker maker(kernels, problem, options);
  // Threads share the reads. If there are fewer reads than min(kGeneration, threads), they share
  // the searches of one read at a time.
  const bool split_reads =
      num_reads >= static_cast<std::size_t>(num_workers(kGeneration, options.num_threads));
  const int outer = split_reads ? options.num_threads : 1;
  const int inner = split_reads ? 1 : options.num_threads;
  const auto workers = static_cast<std::size_t>(split_reads ? num_workers(num_reads, outer)
                                                            : num_workers(kGeneration, inner));
  std::vector<std::unique_ptr<Search>> searches(workers);
  parallel_for(
      num_reads, outer,
      [&](std::size_t read, int worker) {
        // The first read is begun however little time there is.
        if (stop.poll() && read > 0) return;
        const std::size_t first = split_reads ? static_cast<std::size_t>(worker) : 0;
        const std::size_t count = split_reads ? 1 : workers;
        for (std::size_t k = first; k < first + count; ++k) {
          if (!searches[k]) searches[k] = maker.make();
        }
        const ReadStop read_stop(stop, options.seconds_per_read);
        Read search(problem, options, read, read_stop);
        reads[read].int16 = is_int16;
        search.run(searches, first, inner, exact, states + read * n, reads[read]);
      },
      [&stop] {
        // Reads that have not come to their first local minimum go on after a time limit.
        stop.poll();
        stop.poll_interrupt();
      });
}

}  // namespace qpsbgd
