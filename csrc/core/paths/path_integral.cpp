#include "core/paths/path_integral.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "core/support/buffer.hpp"
#include "core/support/parallel.hpp"
#include "core/support/streams.hpp"

namespace qpsbgd {
namespace {

// Number, as of a read, of the stream that draws the order of each sweep.
constexpr std::uint64_t kOrder = ~std::uint64_t{0};

// Sets `order` to a random permutation (Fisher and Yates).
void shuffle(StreamKey stream, std::vector<std::uint32_t>& order) {
  std::iota(order.begin(), order.end(), 0u);
  const std::uint64_t key = std::uint64_t{stream.word1} << 32 | stream.word0;
  for (std::size_t i = order.size(); i-- > 1;) {
    const std::uint64_t bits = splitmix64(key ^ i) >> 32;
    std::swap(order[i], order[bits * (i + 1) >> 32]);
  }
}

// One call of anneal_paths(): reads are dealt to threads in tiles.
class PathCall {
 public:
  PathCall(const KernelTable& kernels, const Ising& problem, const PathOptions& options,
           std::size_t num_reads, const PathView& starts, PathResults& results, Stop& stop)
      : kernels_(kernels),
        problem_(problem),
        options_(options),
        num_reads_(num_reads),
        starts_(starts),
        results_(results),
        stop_(stop),
        first_breaks_(divide_up(num_reads, kLanes)),
        workers_(num_workers(first_breaks_.size(), options.num_threads)) {
    if (starts.num_breaks == nullptr) return;
    std::size_t count = 0;
    for (std::size_t k = 0; k < num_reads * problem.num_variables(); ++k) {
      if (k % (kLanes * problem.num_variables()) == 0) {
        first_breaks_[k / (kLanes * problem.num_variables())] = count;
      }
      count += static_cast<std::size_t>(starts.num_breaks[k]);
    }
  }

  void run() {
    parallel_for(
        first_breaks_.size(), options_.num_threads,
        [&](std::size_t tile, int worker) {
          // The first reads begin however little time there is.
          if (stop_.poll() && tile > 0) return;
          anneal_tile(tile, workers_[static_cast<std::size_t>(worker)]);
        },
        [&] { stop_.poll(); });
  }

 private:
  struct Worker {
    std::unique_ptr<Worldlines> worldlines;
    std::vector<std::uint32_t> order;
  };

  void anneal_tile(std::size_t tile, Worker& worker) {
    if (!worker.worldlines) {
      worker.worldlines = std::make_unique<Worldlines>(kernels_, problem_, options_.chains);
      worker.order.resize(worker.worldlines->num_units());
    }
    Worldlines& worldlines = *worker.worldlines;
    const std::size_t first = tile * kLanes, count = std::min(kLanes, num_reads_ - first);
    const std::size_t n = problem_.num_variables();
    const bool has_breaks = starts_.num_breaks != nullptr;
    worldlines.start(
        {starts_.spins + first * n, has_breaks ? starts_.num_breaks + first * n : nullptr,
         has_breaks ? starts_.breaks + first_breaks_[tile] : nullptr},
        count);
    const std::size_t made = anneal(worldlines, worker.order, first, count);
    for (std::size_t r = 0; r < count; ++r) {
      const std::size_t read = first + r;
      results_.sweeps[read] = static_cast<std::int64_t>(made);
      worldlines.spins(r, results_.spins + read * n);
      if (results_.num_breaks != nullptr) {
        worldlines.breaks(r, results_.num_breaks + read * n, results_.breaks[read]);
      }
    }
  }

  // Returns the number of sweeps.
  std::size_t anneal(Worldlines& worldlines, std::vector<std::uint32_t>& order, std::size_t first,
                     std::size_t count) {
    const ReadStreams orders(options_.seed, 0, kOrder);
    ReadStreams streams[kLanes];  // also for lanes without a read
    for (std::size_t r = 0; r < kLanes; ++r) streams[r] = {options_.seed, 0, first + r};
    StreamKey keys[kLanes];
    std::size_t sweep = 0;
    for (std::size_t step = 0; step < options_.schedule.size(); ++step) {
      for (std::size_t k = 0; k < options_.sweeps_per_step; ++k, ++sweep) {
        for (std::size_t r = 0; r < kLanes; ++r) keys[r] = streams[r].sweep(sweep);
        shuffle(orders.sweep(sweep), order);
        if (!worldlines.sweep(options_.schedule[step], order.data(), keys, stop_)) return sweep;
      }
      if (options_.sample_interval > 0 && step % options_.sample_interval == 0) {
        const std::size_t sample = step / options_.sample_interval;
        for (std::size_t r = 0; r < count; ++r) {
          const std::size_t place = (first + r) * options_.num_samples() + sample;
          worldlines.spins(r, results_.samples + place * problem_.num_variables());
        }
      }
    }
    return sweep;
  }

  const KernelTable& kernels_;
  const Ising& problem_;
  const PathOptions& options_;
  const std::size_t num_reads_;
  const PathView& starts_;
  PathResults& results_;
  Stop& stop_;
  std::vector<std::size_t> first_breaks_;  // number of the first break of each tile
  std::vector<Worker> workers_;
};

}  // namespace

void anneal_paths(const KernelTable& kernels, const Ising& problem, const PathOptions& options,
                  std::size_t num_reads, const PathView& starts, PathResults& results, Stop& stop) {
  const std::size_t n = problem.num_variables();
  const bool is_trivial = n == 0 || num_reads == 0;
  std::fill_n(results.sweeps, num_reads, is_trivial ? 0 : -1);
  std::copy_n(starts.spins, num_reads * n, results.spins);
  std::fill_n(results.samples, num_reads * options.num_samples() * n, std::int8_t{0});
  results.breaks.assign(num_reads, {});
  if (results.num_breaks != nullptr) std::fill_n(results.num_breaks, num_reads * n, 0);
  if (is_trivial) return;
  PathCall(kernels, problem, options, num_reads, starts, results, stop).run();
}

}  // namespace qpsbgd
