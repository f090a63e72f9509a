#include "core/paths/field_schedule.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/support/buffer.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

// Number, as of a read, of the streams that draw the order of each sweep.
constexpr std::uint64_t kOrderRead = ~std::uint64_t{0};

void set_order(VisitOrder kind, StreamKey stream, std::vector<std::uint32_t>& order) {
  const std::uint64_t key = std::uint64_t{stream.word1} << 32 | stream.word0;
  if (kind == VisitOrder::kDrawn) {
    for (std::size_t i = 0; i < order.size(); ++i) {
      order[i] = static_cast<std::uint32_t>((splitmix64(key ^ i) >> 32) * order.size() >> 32);
    }
    return;
  }
  std::iota(order.begin(), order.end(), 0u);
  if (kind == VisitOrder::kInOrder) return;
  // Fisher and Yates.
  for (std::size_t i = order.size(); i-- > 1;) {
    const std::uint64_t bits = splitmix64(key ^ i) >> 32;
    std::swap(order[i], order[bits * (i + 1) >> 32]);
  }
}

// Returns the number of sweeps.
std::size_t anneal_tile(const FieldSchedule& schedule, std::size_t first, ScheduledReads& reads,
                        Stop& stop) {
  const ReadStreams orders(schedule.seed, 0, kOrderRead);
  ReadStreams streams[kLanes];  // also for lanes without a read
  for (std::size_t r = 0; r < kLanes; ++r) {
    streams[r] = {schedule.seed, 0, schedule.first_read + first + r};
  }
  std::vector<std::uint32_t> order(reads.num_units());
  StreamKey keys[kLanes];
  std::size_t sweep = 0;
  bool is_over = false;
  for (std::size_t step = 0; step < schedule.steps.size() && !is_over; ++step) {
    for (std::size_t k = 0; k < schedule.sweeps_per_step && !is_over; ++k) {
      for (std::size_t r = 0; r < kLanes; ++r) keys[r] = streams[r].sweep(sweep);
      set_order(schedule.order, orders.sweep(sweep), order);
      is_over = !reads.sweep(schedule.steps[step], order.data(), keys, stop);
      sweep += !is_over;
    }
    if (!is_over && schedule.sample_interval > 0 && step % schedule.sample_interval == 0) {
      reads.take_sample(step / schedule.sample_interval);
    }
  }
  for (std::size_t r = 0; r < kLanes; ++r) keys[r] = streams[r].sweep(kInitialState);
  reads.finish(keys);
  return sweep;
}

}  // namespace

void anneal_fields(const FieldSchedule& schedule, std::size_t num_reads,
                   const std::function<std::unique_ptr<ScheduledReads>()>& make,
                   std::int64_t* sweeps, Stop& stop) {
  std::fill_n(sweeps, num_reads, std::int64_t{-1});
  const std::size_t num_tiles = divide_up(num_reads, kLanes);
  std::vector<std::unique_ptr<ScheduledReads>> workers(
      static_cast<std::size_t>(num_workers(num_tiles, schedule.num_threads)));
  parallel_for(
      num_tiles, schedule.num_threads,
      [&](std::size_t tile, int worker) {
        // The first reads begin however little time there is.
        if (stop.poll() && tile > 0) return;
        std::unique_ptr<ScheduledReads>& reads = workers[static_cast<std::size_t>(worker)];
        if (!reads) reads = make();
        const std::size_t first = tile * kLanes, count = std::min(kLanes, num_reads - first);
        reads->start(first, count);
        const std::size_t made = anneal_tile(schedule, first, *reads, stop);
        std::fill_n(sweeps + first, count, static_cast<std::int64_t>(made));
      },
      [&stop] { stop.poll(); });
}

}  // namespace qpsbgd
