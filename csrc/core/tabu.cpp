#include "core/tabu.hpp"

#include <algorithm>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/parallel.hpp"
#include "core/random.hpp"
#include "core/tabu_search.hpp"
#include "core/tabu_walkers.hpp"

namespace qpsbgd {
namespace {

// Elites of a read, and searches between two looks at what they found. On dense random problems of
// 3000 variables four elites, or sixteen, took longer to the best energies.
constexpr std::size_t kElites = 8;
constexpr std::size_t kGeneration = 8;
// Generations without a new elite after which all but the best are given up.
constexpr std::size_t kBarrenGenerations = 4;

// The best different states of a read, the best first.
class Elites {
 public:
  // Without fields a state and its opposite are the same.
  explicit Elites(bool fields) : fields_(fields) {}

  bool full() const { return elites_.size() == kElites; }
  void keep_best() { elites_.resize(1); }

  // Whether the state, whose snapshot is then taken, is one of them now.
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

  // Two of them: the first, and where the second differs from it.
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

  const bool fields_;
  std::vector<Elite> elites_;
};

// PAPER: path relinking, Wang, Lu, Glover, Hao 2012 (doi 10.1016/j.ejor.2012.07.012), with random
// paths (PR2) of which the middle is improved by tabu search.
// NOTES: pairs are drawn and found states offered by generations, so that threads share the elites
// and a read does not depend on them; a search is short (two moves a variable, not twenty).
class Read {
 public:
  Read(const Ising& problem, const TabuOptions& options, std::size_t number, const ReadStop& stop)
      : problem_(problem), options_(options), number_(number), stop_(stop) {}

  // False where the gains need more bits; `state` is then the best so far.
  bool run(std::vector<std::unique_ptr<Search>>& searches, std::size_t first_worker,
           int num_threads, std::int8_t* state, TabuRead& out) {
    const auto& linear = problem_.linear64();
    Elites elites(std::any_of(linear.begin(), linear.end(), [](double h) { return h != 0.0; }));
    Snapshot best;
    std::vector<std::int8_t> spins;
    out.restarts = 0;
    out.moves = 0;
    bool relinking = false;
    std::size_t barren = 0;
    for (std::size_t begun = 0; begun <= options_.num_restarts;) {
      std::vector<Found> found(std::min(kGeneration, options_.num_restarts + 1 - begun));
      parallel_for(
          found.size(), num_threads,
          [&](std::size_t k, int worker) {
            // A read's first search begins however little time there is.
            if (begun + k > 0 && stop_.poll()) return;
            search(*searches[first_worker + static_cast<std::size_t>(worker)], begun + k, state,
                   relinking ? &elites : nullptr, found[k]);
          },
          [this] { stop_.poll(); });
      bool renewed = false, overflow = false;
      for (std::size_t k = 0; k < found.size(); ++k) {
        overflow |= found[k].overflow;
        if (!found[k].begun) continue;
        out.restarts = static_cast<std::int64_t>(begun + k);
        out.moves += found[k].moves;
        Search& scratch = *searches[first_worker];
        Snapshot& snapshot = found[k].best;
        if (!problem_.exact()) scratch.renew(snapshot);
        if (snapshot.energy < best.energy) best = snapshot;
        scratch.spins(snapshot, spins);
        renewed |= elites.offer(snapshot, spins);
      }
      if (overflow) {
        if (!best.bytes.empty()) keep(best, *searches[first_worker], state);
        return false;
      }
      begun += found.size();
      if (stop_.poll()) break;
      barren = renewed ? 0 : barren + 1;
      if (!relinking) {
        relinking = elites.full();
      } else if (barren >= kBarrenGenerations) {
        elites.keep_best();
        relinking = false;
      }
    }
    out.timed_out = stop_.timed_out();
    keep(best, *searches[first_worker], state);
    return true;
  }

 private:
  static void keep(const Snapshot& best, Search& scratch, std::int8_t* state) {
    std::vector<std::int8_t> spins;
    scratch.spins(best, spins);
    std::copy(spins.begin(), spins.end(), state);
  }

  void search(Search& search, std::size_t index, const std::int8_t* state, const Elites* elites,
              Found& out) const {
    RandomWords random(stream_key(options_.seed, options_.number, number_, index));
    const std::size_t spread = options_.longest_tenure - options_.shortest_tenure;
    const std::size_t tenure =
        options_.shortest_tenure + (index == 0 ? spread / 2 : random.below(spread + 1));
    bool fits = true;
    if (index == 0) {
      fits = search.start(state);
    } else if (elites == nullptr) {
      std::vector<std::int8_t> spins(problem_.num_variables());
      std::uint64_t word = 0;
      for (std::size_t i = 0; i < spins.size(); ++i, word >>= 1) {
        if (i % 64 == 0) word = random.next();
        spins[i] = word & 1 ? 1 : -1;
      }
      fits = search.start(spins.data());
    } else {
      std::vector<std::uint32_t> differences;
      const Snapshot& from = elites->pair(random, differences);
      fits = search.start_between(from, differences, random);
    }
    out.overflow = !fits;
    if (!fits) return;
    search.run(tenure, index == 0 ? options_.first_moves : options_.restart_moves, random, stop_,
               out);
  }

  const Ising& problem_;
  const TabuOptions& options_;
  const std::size_t number_;
  const ReadStop& stop_;
};

}  // namespace

bool tabu_fits(const Ising& problem, Precision precision) {
  return precision == Precision::kFloat32 ||
         (precision == Precision::kInt16 && fits_int16(problem));
}

void tabu(const KernelTable& kernels, const Ising& problem, const TabuOptions& options,
          std::size_t num_reads, std::int8_t* states, TabuRead* reads, Stop& stop) {
  const std::size_t n = problem.num_variables();
  std::fill_n(reads, num_reads, TabuRead{});
  if (n == 0) {
    for (std::size_t read = 0; read < num_reads; ++read) reads[read].restarts = 0;
    return;
  }
  if (!tabu_fits(problem, options.precision)) {
    throw std::invalid_argument("the problem does not fit this precision");
  }
  const bool narrow_fits = options.precision == Precision::kInt16;
  Int8Couplings narrow;
  if (narrow_fits) narrow = int8_couplings(kernels, problem, options.num_threads);
  // In floats now, or when a read's gains need them.
  Buffer<float> blocked;
  std::mutex blocking;
  if (!narrow_fits && problem.form() == Ising::Form::kDense) {
    blocked = blocked_couplings(problem, options.num_threads);
  }
  const auto make_search = [&](bool is_narrow) -> std::unique_ptr<Search> {
    if (is_narrow) {
      return std::make_unique<WalkingSearch<DenseWalker<std::int16_t>>>(
          kernels, problem, options.longest_tenure, narrow.unit, narrow.values.data(),
          narrow.largest);
    }
    if (problem.form() == Ising::Form::kSparse) {
      return std::make_unique<WalkingSearch<SparseWalker>>(kernels, problem,
                                                           options.longest_tenure);
    }
    const std::lock_guard lock(blocking);
    if (blocked.size() == 0) blocked = blocked_couplings(problem, 1);
    return std::make_unique<WalkingSearch<DenseWalker<float>>>(
        kernels, problem, options.longest_tenure, 1.0 / problem.scale(), blocked.data(), 0);
  };
  // With fewer reads than threads these share the searches of a read, else the reads.
  const bool split_reads =
      num_reads >= static_cast<std::size_t>(num_workers(kGeneration, options.num_threads));
  const int outer = split_reads ? options.num_threads : 1;
  const int inner = split_reads ? 1 : options.num_threads;
  const auto workers = static_cast<std::size_t>(split_reads ? num_workers(num_reads, outer)
                                                            : num_workers(kGeneration, inner));
  std::vector<std::unique_ptr<Search>> searches[2];  // by narrow
  searches[0].resize(workers);
  searches[1].resize(workers);
  const auto ready = [&](bool is_narrow, std::size_t first, std::size_t count) {
    for (std::size_t k = first; k < first + count; ++k) {
      auto& search = searches[is_narrow][k];
      if (!search) search = make_search(is_narrow);
    }
  };
  parallel_for(
      num_reads, outer,
      [&](std::size_t read, int worker) {
        if (stop.poll()) return;
        const std::size_t first = split_reads ? static_cast<std::size_t>(worker) : 0;
        const std::size_t count = split_reads ? 1 : workers;
        std::int8_t* state = states + read * n;
        const std::vector<std::int8_t> start(state, state + n);
        ready(narrow_fits, first, count);
        const ReadStop read_stop(stop, options.seconds_per_read);
        Read search(problem, options, read, read_stop);
        reads[read].int16 = narrow_fits;
        if (search.run(searches[narrow_fits], first, inner, state, reads[read])) return;
        // Again in floats, from the start: the same moves and more. Where time ends that early,
        // what was found before counts too.
        if (read_stop.poll()) {
          reads[read].timed_out = read_stop.timed_out();
          return;
        }
        reads[read].int16 = false;
        const std::vector<std::int8_t> before(state, state + n);
        std::copy(start.begin(), start.end(), state);
        ready(false, first, count);
        search.run(searches[false], first, inner, state, reads[read]);
        double energies[2];
        problem.energies(before.data(), 1, 1, &energies[0]);
        problem.energies(state, 1, 1, &energies[1]);
        if (energies[0] < energies[1]) std::copy(before.begin(), before.end(), state);
      },
      [&stop] { stop.poll(); });
}

}  // namespace qpsbgd
