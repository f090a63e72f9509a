#include "core/samplers/tabu.hpp"

#include <algorithm>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/samplers/tabu_search.hpp"
#include "core/samplers/tabu_walkers.hpp"
#include "core/support/parallel.hpp"
#include "core/support/streams.hpp"

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

  // False where the gains need more bits; `state` is then the best so far. exact: whether gains
  // are never rounded.
  bool run(std::vector<std::unique_ptr<Search>>& searches, std::size_t first_worker,
           int num_threads, bool exact, std::int8_t* state, TabuRead& out) {
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
          [this] {
            stop_.poll();
            stop_.poll_interrupt();
          });
      bool renewed = false, overflow = false;
      for (std::size_t k = 0; k < found.size(); ++k) {
        overflow |= found[k].overflow;
        if (!found[k].begun) continue;
        out.restarts = static_cast<std::int64_t>(begun + k);
        out.moves += found[k].moves;
        Search& scratch = *searches[first_worker];
        Snapshot& snapshot = found[k].best;
        if (!exact) scratch.renew(snapshot);
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
  return precision == Precision::kFloat32 || precision == Precision::kFloat64 ||
         (precision == Precision::kInt16 && fits_int16(problem));
}

Precision narrow_tabu_precision(const Ising& problem) {
  return fits_int16(problem) ? Precision::kInt16 : Precision::kFloat32;
}

namespace {

// Makes the searches of a call, each with a walker of its own; they share the couplings.
class SearchMaker {
 public:
  SearchMaker(const KernelTable& kernels, const Ising& problem, const TabuOptions& options)
      : kernels_(kernels), problem_(problem), longest_tenure_(options.longest_tenure) {
    if (problem.form() != Ising::Form::kDense) return;
    if (options.precision == Precision::kInt16) {
      narrow_ = int8_couplings(problem, options.num_threads);
    } else if (options.precision == Precision::kFloat64) {
      doubles_ = blocked_couplings<double>(problem, options.num_threads);
    } else {
      floats_ = blocked_couplings<float>(problem, options.num_threads);
    }
  }

  // For any thread.
  std::unique_ptr<Search> make(Precision precision) {
    if (problem_.form() == Ising::Form::kSparse) {
      if (precision == Precision::kFloat64) return search<SparseWalker<double>>(precision);
      return search<SparseWalker<float>>(precision);
    }
    const double unit = 1.0 / problem_.scale();
    if (precision == Precision::kInt16) {
      return search<DenseWalker<std::int16_t>>(precision, narrow_.unit, narrow_.values.data(),
                                               narrow_.largest);
    }
    if (precision == Precision::kFloat64) {
      return search<DenseWalker<double>>(precision, unit, doubles_.data(), 0);
    }
    {
      // Where gains in 16 bits turned out to be too large.
      const std::lock_guard lock(mutex_);
      if (floats_.size() == 0) floats_ = blocked_couplings<float>(problem_, 1);
    }
    return search<DenseWalker<float>>(precision, unit, floats_.data(), 0);
  }

 private:
  template <class Walker, class... Arguments>
  std::unique_ptr<Search> search(Precision precision, const Arguments&... arguments) {
    return std::make_unique<WalkingSearch<Walker>>(kernels_, problem_, precision, longest_tenure_,
                                                   arguments...);
  }

  const KernelTable& kernels_;
  const Ising& problem_;
  const std::size_t longest_tenure_;
  Int8Couplings narrow_;
  Buffer<double> doubles_;
  Buffer<float> floats_;
  std::mutex mutex_;
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
    throw std::invalid_argument("the problem does not fit this precision");
  }
  const bool is_int16 = options.precision == Precision::kInt16;
  const bool exact = problem.exact(options.precision);
  SearchMaker maker(kernels, problem, options);
  // With fewer reads than threads these share the searches of a read, else the reads.
  const bool split_reads =
      num_reads >= static_cast<std::size_t>(num_workers(kGeneration, options.num_threads));
  const int outer = split_reads ? options.num_threads : 1;
  const int inner = split_reads ? 1 : options.num_threads;
  const auto workers = static_cast<std::size_t>(split_reads ? num_workers(num_reads, outer)
                                                            : num_workers(kGeneration, inner));
  // In the precision that was asked for, and in float32 where int16 was not enough.
  std::vector<std::unique_ptr<Search>> searches(workers), again(is_int16 ? workers : 0);
  const auto prepare = [&](std::vector<std::unique_ptr<Search>>& all, Precision precision,
                           std::size_t first, std::size_t count) {
    for (std::size_t k = first; k < first + count; ++k) {
      if (!all[k]) all[k] = maker.make(precision);
    }
  };
  parallel_for(
      num_reads, outer,
      [&](std::size_t read, int worker) {
        // The first read is begun however little time there is.
        if (stop.poll() && read > 0) return;
        const std::size_t first = split_reads ? static_cast<std::size_t>(worker) : 0;
        const std::size_t count = split_reads ? 1 : workers;
        std::int8_t* state = states + read * n;
        const std::vector<std::int8_t> start(state, state + n);
        prepare(searches, options.precision, first, count);
        const ReadStop read_stop(stop, options.seconds_per_read);
        Read search(problem, options, read, read_stop);
        reads[read].int16 = is_int16;
        if (search.run(searches, first, inner, exact, state, reads[read])) return;
        // Again in floats, from the start: the same moves and more. Where time ends that early,
        // what was found before counts too.
        reads[read].int16 = false;
        const std::vector<std::int8_t> before(state, state + n);
        std::copy(start.begin(), start.end(), state);
        prepare(again, Precision::kFloat32, first, count);
        search.run(again, first, inner, exact, state, reads[read]);
        double energies[2];
        problem.energies(kernels, before.data(), 1, 1, &energies[0]);
        problem.energies(kernels, state, 1, 1, &energies[1]);
        if (energies[0] < energies[1]) std::copy(before.begin(), before.end(), state);
      },
      [&stop] {
        // Reads that have not come to their first local minimum go on after a time limit.
        stop.poll();
        stop.poll_interrupt();
      });
}

}  // namespace qpsbgd
