#include "core/tempering/tempering.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>

#include "core/annealing/anneal.hpp"
#include "core/annealing/read_rows.hpp"
#include "core/ising/local_minimum.hpp"
#include "core/support/streams.hpp"
#include "core/tempering/components.hpp"
#include "core/tempering/ladder.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

using Clock = std::chrono::steady_clock;

// Takes the place of a replica's number in the name of a random stream.
constexpr std::uint64_t kClusterStream = ~std::uint64_t{0} - 1;

// What the calls of one thread use again and again.
struct Workspace {
  std::vector<std::unique_ptr<ReadRows>> tiles;
  std::vector<std::int8_t> states;  // (tiles, kLanes, n)
  std::unique_ptr<Components> components;
};

// One read.
class Tempering {
 public:
  Tempering(const KernelTable& kernels, const Ising& problem, const TemperOptions& options,
            Workspace& space, std::uint64_t read, Stop& stop)
      : kernels_(kernels),
        problem_(problem),
        options_(options),
        space_(space),
        read_(read),
        stop_(stop),
        ladder_(kernels, options, read),
        lane_betas_(space.tiles.size() * kLanes, 0.0),
        energies_(space.tiles.size() * kLanes),
        candidate_(problem.num_variables()) {
    if (options.seconds_per_read < 1e9) {
      deadline_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                     std::chrono::duration<double>(options.seconds_per_read));
    }
  }

  // best (n): in, the start of the first replica; out, the best state.
  TemperRead run(const std::int8_t* replicas, std::int8_t* best, std::int8_t* samples) {
    best_ = best;
    TemperRead result;
    result.sweeps = 0;
    const bool is_started = start(replicas);
    if (is_started && options_.num_sweeps > 0) {
      update_energies();
      keep_best();
    }
    while (is_started && static_cast<std::size_t>(result.sweeps) < options_.num_sweeps) {
      if (Clock::now() >= deadline_ || !sweep(static_cast<std::size_t>(result.sweeps))) break;
      const auto made = static_cast<std::size_t>(++result.sweeps);
      if (options_.cluster_period > 0 && made % options_.cluster_period == 0) move_clusters(made);
      update_energies();
      keep_best();
      ladder_.exchange(made, energies_.data());
      if (samples != nullptr) take_due(made, samples);
      if (stop_.poll()) break;
    }
    result.taken = static_cast<std::int64_t>(taken_);
    // A call that stopped early returns the states so far.
    for (; samples != nullptr && taken_ < options_.num_takes(); ++taken_) take(taken_, samples);
    if (options_.keep_best && result.sweeps > 0 && stop_.reason() != Stop::Reason::kInterrupt) {
      LocalMinimum minimum(problem_);
      minimum.descend(0, best_, &stop_);
      stop_.found(minimum.energy());
    }
    ladder_.report(result);
    return result;
  }

 private:
  std::size_t n() const { return problem_.num_variables(); }
  std::size_t rows_of(std::size_t tile) const {
    return std::min(kLanes, ladder_.num_replicas() - tile * kLanes);
  }
  ReadRows& tile_of(std::size_t replica) { return *space_.tiles[replica / kLanes]; }

  // Calls body(tile) for all tiles. Returns whether all calls returned true.
  template <class Body>
  bool for_each_tile(const Body& body) {
    std::atomic<bool> all{true};
    parallel_for(
        space_.tiles.size(), options_.num_threads_per_read,
        [&](std::size_t tile, int) {
          if (!body(tile)) all = false;
        },
        [&] { stop_.poll(); });
    return all;
  }

  bool start(const std::int8_t* replicas) {
    const std::size_t size = n();
    for (std::size_t r = 0; r < ladder_.num_replicas(); ++r) {
      std::int8_t* state = &space_.states[r * size];
      if (replicas != nullptr) {
        std::copy_n(replicas + ladder_.slot_of(r) * size, size, state);
      } else if (r == 0) {
        std::copy_n(best_, size, state);
      } else {
        draw_state(stream_key(options_.seed, r, read_, kInitialState), size, state);
      }
    }
    static constexpr std::size_t kProblems[kLanes] = {};
    return for_each_tile([&](std::size_t tile) {
      return space_.tiles[tile]->start(&space_.states[tile * kLanes * size], rows_of(tile),
                                       tile * kLanes, kProblems, stop_);
    });
  }

  bool sweep(std::size_t number) {
    const bool is_exact = problem_.exact(options_.precision);
    const bool is_due = !is_exact && (number + 1) % kRefreshPeriod == 0;
    for (std::size_t r = 0; r < ladder_.num_replicas(); ++r) {
      lane_betas_[r] = ladder_.beta_of(r);
    }
    return for_each_tile([&](std::size_t tile) {
      StreamKey keys[kMaxTileRows] = {};
      for (std::size_t lane = 0; lane < rows_of(tile); ++lane) {
        keys[lane] = stream_key(options_.seed, tile * kLanes + lane, read_, number);
      }
      ReadRows& rows = *space_.tiles[tile];
      if (is_due && !rows.refresh_fields(stop_)) return false;
      return rows.sweep_each(&lane_betas_[tile * kLanes], keys, stop_);
    });
  }

  void update_energies() {
    for_each_tile([&](std::size_t tile) {
      double* energies = &energies_[tile * kLanes];
      space_.tiles[tile]->energies(energies);
      for (std::size_t lane = 0; lane < kLanes; ++lane) energies[lane] /= problem_.scale();
      return true;
    });
  }

  // Keeps the best current state if it is better than the best so far, and ends the call if it is
  // good enough.
  void keep_best() {
    const auto first = energies_.begin();
    const auto lowest =
        std::min_element(first, first + static_cast<std::ptrdiff_t>(ladder_.num_replicas()));
    if (!(*lowest < best_energy_)) return;
    const auto replica = static_cast<std::size_t>(lowest - first);
    const bool has_best = best_energy_ < std::numeric_limits<double>::infinity();
    if (!options_.keep_best) {
      best_energy_ = *lowest;
    } else if (space_.components && has_best) {
      improve(replica);
      best_energy_ = std::min(best_energy_, *lowest);
    } else {
      tile_of(replica).copy_state(replica % kLanes, best_);
      best_energy_ = *lowest;
    }
    report(replica);
  }

  void report(std::size_t replica) {
    stop_.found(best_energy_);
    // float32 fields may be inexact: an energy near the threshold is computed anew.
    const double error = 0x1p-20 * problem_.total_magnitude();
    if (!(best_energy_ <= stop_.energy_threshold() + error)) return;
    if (!options_.keep_best) tile_of(replica).copy_state(replica % kLanes, candidate_.data());
    const std::int8_t* state = options_.keep_best ? best_ : candidate_.data();
    double energy = 0.0;
    problem_.energies(kernels_, state, 1, 1, &energy);
    if (energy <= stop_.energy_threshold()) stop_.reached();
  }

  void improve(std::size_t replica) {
    tile_of(replica).copy_state(replica % kLanes, candidate_.data());
    best_energy_ += space_.components->improve(best_, candidate_.data());
  }

  // Exchanges components between the copies at each cold temperature.
  void move_clusters(std::size_t number) {
    const std::uint64_t word = word_of(stream_key(options_.seed, kClusterStream, read_, number));
    for (std::size_t t = options_.first_clustered; t < options_.betas.size(); ++t) {
      for (std::size_t copy = 0; copy + 1 < options_.num_copies; copy += 2) {
        if (stop_.poll()) return refresh();
        const std::size_t a = ladder_.replica_at(copy, t);
        const std::size_t b = ladder_.replica_at(copy + 1, t);
        space_.components->exchange(bits_of(a), bits_of(b), splitmix64(word ^ (copy << 32 | t)));
      }
    }
    refresh();
    if (!options_.keep_best) return;
    for (std::size_t t = options_.first_clustered; t < options_.betas.size(); ++t) {
      for (std::size_t copy = 0; copy < options_.num_copies; ++copy) {
        if (stop_.poll()) return;
        improve(ladder_.replica_at(copy, t));
      }
    }
    report(0);
  }

  BitState bits_of(std::size_t replica) {
    return {tile_of(replica).spin_bits(), static_cast<unsigned>(replica % kLanes)};
  }

  // Brings the fields up to date with spins that changed. A time limit does not end it.
  void refresh() {
    for_each_tile([&](std::size_t tile) { return space_.tiles[tile]->refresh_fields(stop_); });
  }

  // Takes the samples that are due after `made` sweeps.
  //
  // Without a known end, samples are taken at even intervals. When there is no room left, every
  // second one goes and the interval doubles: between half the room and all of it is in use then.
  void take_due(std::size_t made, std::int8_t* samples) {
    if (options_.num_spread == 0) {
      const auto& due = options_.sample_sweeps;
      for (; taken_ < due.size() && due[taken_] == made; ++taken_) take(taken_, samples);
      return;
    }
    if (made % interval_ != 0) return;
    const std::size_t room = options_.num_takes(), size = options_.sampled.size() * n();
    if (taken_ == room) {
      taken_ = room / 2;
      interval_ *= 2;
      for (std::size_t k = 0; k < taken_; ++k) {
        std::copy_n(samples + (2 * k + 1) * size, size, samples + k * size);
      }
      if (made % interval_ != 0) return;
    }
    take(taken_++, samples);
  }

  void take(std::size_t number, std::int8_t* samples) {
    const std::size_t count = options_.sampled.size();
    for (std::size_t k = 0; k < count; ++k) {
      const std::size_t replica = ladder_.replica_at(options_.sampled[k]);
      tile_of(replica).copy_state(replica % kLanes, samples + (number * count + k) * n());
    }
  }

  const KernelTable& kernels_;
  const Ising& problem_;
  const TemperOptions& options_;
  Workspace& space_;
  const std::uint64_t read_;
  Stop& stop_;
  Ladder ladder_;
  Clock::time_point deadline_ = Clock::time_point::max();
  std::size_t taken_ = 0;     // number of times at which samples were taken
  std::size_t interval_ = 1;  // sweeps between two of them, where the end is not known
  std::vector<double> lane_betas_, energies_;  // (replicas, rounded up to kLanes)
  std::vector<std::int8_t> candidate_;         // (n)
  std::int8_t* best_ = nullptr;
  double best_energy_ = std::numeric_limits<double>::infinity();
};

}  // namespace

std::vector<TemperRead> temper(const KernelTable& kernels, const Ising& problem,
                               const TemperOptions& options, std::size_t num_reads,
                               const std::int8_t* replicas, std::int8_t* states,
                               std::int8_t* samples, Stop& stop) {
  std::vector<TemperRead> reads(num_reads);
  const std::size_t n = problem.num_variables();
  for (TemperRead& read : reads) read.sweeps = n == 0 ? 0 : -1;
  if (n == 0) return reads;
  const AnnealOptions rows_options{
      .betas = {}, .acceptance = options.acceptance, .precision = options.precision};
  const RowsMaker make_rows = rows_maker(kernels, problem, rows_options, options.precision);
  const std::size_t num_tiles = divide_up(options.betas.size() * options.num_copies, kLanes);
  std::vector<Workspace> spaces(
      static_cast<std::size_t>(num_workers(num_reads, options.num_threads)));
  for (Workspace& space : spaces) {
    for (std::size_t tile = 0; tile < num_tiles; ++tile) space.tiles.push_back(make_rows());
    space.states.resize(num_tiles * kLanes * n);
    if (options.cluster_period > 0) space.components = std::make_unique<Components>(problem);
  }
  const std::size_t size = options.num_takes() * options.sampled.size() * n;
  parallel_for(
      num_reads, options.num_threads,
      [&](std::size_t read, int worker) {
        // The first read begins however little time there is.
        if (stop.poll() && read > 0) return;
        Tempering tempering(kernels, problem, options, spaces[static_cast<std::size_t>(worker)],
                            options.first_read + read, stop);
        reads[read] = tempering.run(replicas, states + read * n,
                                    samples == nullptr ? nullptr : samples + read * size);
      },
      [&] {
        stop.poll();
        stop.poll_interrupt();
      });
  return reads;
}

}  // namespace qpsbgd
