#include "core/annealing/anneal.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/annealing/read_rows.hpp"
#include "core/ising/local_minimum.hpp"
#include "core/ising/precision.hpp"
#include "core/state/anneal_rows.hpp"
#include "core/support/streams.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

// Bounds on the error of energies that sweeps compute, relative to the sum of all biases'
// magnitudes. If an energy is nearer to the energy threshold than this, it is computed anew before
// the decision.
constexpr double kFloat32Error = 0x1p-20, kFloat64Error = 0x1p-48;

// One call of anneal(): reads are dealt to threads in tiles.
class AnnealCall {
 public:
  AnnealCall(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
             std::size_t num_reads, std::int8_t* states, std::int64_t* sweeps, Stop& stop)
      : kernels_(kernels),
        problem_(problem),
        options_(options),
        num_reads_(num_reads),
        reads_each_(num_reads / problem.num_problems()),
        states_(states),
        sweeps_(sweeps),
        stop_(stop) {
    const Precision precision = options.precision
                                    ? *options.precision
                                    : best_precision(problem, options.random_order, num_reads);
    const bool is_float64 = precision == Precision::kFloat64;
    refresh_ = problem.exact(precision) ? Refresh::kNever : Refresh::kPeriodically;
    error_ = (is_float64 ? kFloat64Error : kFloat32Error) * problem.total_magnitude();
    // Full tiles share the couplings best, but every thread should have one. Sparse problems' lanes
    // cost the same with and without a read, and a word's reads share a random stream.
    const auto threads = static_cast<std::size_t>(num_workers(num_reads, options.num_threads));
    const std::size_t reads_per_thread = divide_up(num_reads, threads);
    if (precision == Precision::kBits) {
      if (options.first_read % kWordReads != 0) {
        throw std::invalid_argument("first_read is " + std::to_string(options.first_read) +
                                    ", but must be a multiple of " + std::to_string(kWordReads) +
                                    " where spins are bits");
      }
      word_reads_ = kWordReads;
      const std::size_t tiles = threads * divide_up(reads_per_thread, kMaxReads);
      tile_rows_ = reads_per_thread <= kMostByteReads
                       ? reads_per_thread
                       : round_up(divide_up(num_reads, tiles), kWordReads);
      reads_per_stream_ = reads_per_thread <= kMostByteReads ? 1 : kWordReads;
    } else if (problem.form() == Ising::Form::kSparse) {
      tile_rows_ = kLanes;
    } else {
      tile_rows_ = std::min(kLanes, reads_per_thread);
    }
    workers_.resize(static_cast<std::size_t>(num_workers(num_tiles(), options.num_threads)));
    const RowsMaker make_rows = make_rows_maker(precision);
    for (Worker& worker : workers_) worker.rows = make_rows();
  }

  void run() {
    parallel_for(
        num_tiles(), options_.num_threads,
        [&](std::size_t tile, int worker) {
          // The first reads begin however little time there is.
          if (stop_.poll() && tile > 0) return;
          anneal_tile(tile, workers_[static_cast<std::size_t>(worker)]);
        },
        [&] {
          // Reads on their way to a local minimum go on after a time limit.
          stop_.poll();
          stop_.poll_interrupt();
        });
  }

 private:
  struct Worker {
    std::unique_ptr<ReadRows> rows;
    std::unique_ptr<LocalMinimum> minimum;
  };

  // After tile_rows_ is known.
  RowsMaker make_rows_maker(Precision precision) const {
    if (precision != Precision::kBits) {
      return rows_maker(kernels_, problem_, options_, precision);
    }
    return tile_rows_ <= kMostByteReads ? byte_rows(kernels_, problem_, options_)
                                        : bit_rows(kernels_, problem_, options_, tile_rows_);
  }
  std::size_t num_tiles() const { return divide_up(num_reads_, tile_rows_); }
  std::int8_t* state(std::size_t read) const { return states_ + read * problem_.num_variables(); }

  void anneal_tile(std::size_t tile, Worker& worker) {
    ReadRows& rows = *worker.rows;
    const std::size_t first = tile * tile_rows_, count = std::min(tile_rows_, num_reads_ - first);
    std::fill_n(sweeps_ + first, count, 0);
    std::size_t problems[kMaxReads] = {};
    for (std::size_t r = 0; r < count; ++r) problems[r] = (first + r) / reads_each_;
    ReadStreams streams[kLanes];  // also for lanes without a read
    for (std::size_t k = 0; k < kLanes; ++k) {
      const std::size_t r = k * reads_per_stream_;
      const std::size_t read = options_.first_read + (first + r) % reads_each_;
      streams[k] = {options_.seed, options_.number + problems[r], read - read % word_reads_};
    }
    std::size_t num_sweeps = 0;
    if (rows.start(state(first), count, options_.first_read + first, problems, stop_)) {
      double best[kMaxReads];
      std::fill_n(best, count, std::numeric_limits<double>::infinity());
      const bool needs_energies = options_.keep_best || options_.watch;
      if (needs_energies) keep_improved(rows, first, count, best);
      num_sweeps = anneal_rows(
          rows, options_.betas, refresh_, streams, kLanes, stop_, [&](std::size_t made) {
            std::fill_n(sweeps_ + first, count, static_cast<std::int64_t>(made));
            if (needs_energies) keep_improved(rows, first, count, best);
          });
      if (!options_.keep_best) {
        bool all[kMaxReads];
        std::fill_n(all, count, true);
        rows.keep(all);
      }
      rows.finish();
    }
    descend_if_due(worker, first, count, problems, num_sweeps < options_.betas.size());
  }

  // Keeps the current states that are better than best (count), reports their energies, and ends
  // the call if one is not above the energy threshold.
  void keep_improved(ReadRows& rows, std::size_t first, std::size_t count, double* best) {
    double energies[kMaxReads];
    rows.energies(energies);
    bool improved[kMaxReads], any = false, is_near = false;
    for (std::size_t r = 0; r < count; ++r) {
      improved[r] = energies[r] < best[r];
      if (!improved[r]) continue;
      any = true;
      best[r] = energies[r];
      const double energy = energies[r] / problem_.scale();
      stop_.found(energy);
      is_near |= energy <= stop_.energy_threshold() + error_;
    }
    if (!any || !(options_.keep_best || is_near)) return;
    rows.keep(improved);
    if (!is_near) return;
    rows.finish();
    problem_.energies(kernels_, state(first), count, 1, energies);
    for (std::size_t r = 0; r < count; ++r) {
      if (energies[r] <= stop_.energy_threshold()) stop_.reached();
    }
  }

  // Brings reads to a local minimum where the options ask for it.
  void descend_if_due(Worker& worker, std::size_t first, std::size_t count,
                      const std::size_t* problems, bool is_cut) {
    const bool is_timed_out = stop_.reason() == Stop::Reason::kTimeLimit;
    const bool has_time = is_timed_out || stop_.reason() == Stop::Reason::kNone;
    const bool is_due = (options_.descend_at_limit && is_cut && is_timed_out) ||
                        (options_.descend_always && has_time);
    if (!is_due) return;
    if (!worker.minimum) worker.minimum = std::make_unique<LocalMinimum>(problem_);
    for (std::size_t r = 0; r < count; ++r) {
      if (!worker.minimum->descend(problems[r], state(first + r), &stop_)) return;
      stop_.found(worker.minimum->energy());
    }
  }

  const KernelTable& kernels_;
  const Ising& problem_;
  const AnnealOptions& options_;
  const std::size_t num_reads_, reads_each_;  // of all problems, of one
  std::int8_t* const states_;
  std::int64_t* const sweeps_;
  Stop& stop_;
  std::size_t tile_rows_ = kLanes;
  std::size_t reads_per_stream_ = 1;  // rows take the streams of reads at this distance
  std::size_t word_reads_ = 1;        // reads that share a random stream
  Refresh refresh_ = Refresh::kNever;
  double error_ = 0.0;  // of energies
  std::vector<Worker> workers_;
};

}  // namespace

void anneal(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
            std::size_t num_reads, std::int8_t* states, std::int64_t* sweeps, Stop& stop) {
  const bool is_trivial = problem.num_variables() == 0 || num_reads == 0 || options.betas.empty();
  std::fill_n(sweeps, num_reads, is_trivial ? 0 : -1);
  if (is_trivial) return;
  if (num_reads % problem.num_problems() != 0) {
    throw std::invalid_argument("the number of reads must be a multiple of that of problems");
  }
  if (problem.form() == Ising::Form::kLowRank && options.random_order) {
    throw std::invalid_argument(
        "problems of low rank can be annealed only in the variables' order");
  }
  AnnealCall(kernels, problem, options, num_reads, states, sweeps, stop).run();
}

}  // namespace qpsbgd
