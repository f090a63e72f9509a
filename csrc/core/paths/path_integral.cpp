#include "core/paths/path_integral.hpp"

#include <algorithm>
#include <memory>

#include "core/support/buffer.hpp"

namespace qpsbgd {
namespace {

// What the threads of a call share.
struct PathCall {
  const Ising& problem;
  const PathView& starts;
  PathResults& results;
  std::size_t num_samples;
  std::vector<std::size_t> first_breaks;  // number of the first break of each tile
};

class PathReads final : public ScheduledReads {
 public:
  PathReads(const KernelTable& kernels, const PathChains& chains, const PathCall& call)
      : call_(call),
        num_variables_(call.problem.num_variables()),
        worldlines_(kernels, call.problem, chains) {}

  std::size_t num_units() const override { return worldlines_.num_units(); }

  void start(std::size_t first, std::size_t count) override {
    first_ = first;
    count_ = count;
    const PathView& starts = call_.starts;
    PathView reads{starts.spins + first * num_variables_, nullptr, nullptr};
    if (starts.num_breaks != nullptr) {
      reads.num_breaks = starts.num_breaks + first * num_variables_;
      reads.breaks = starts.breaks + call_.first_breaks[first / kLanes];
    }
    worldlines_.start(reads, count);
  }

  bool sweep(const PathFields& fields, const std::uint32_t* order, const StreamKey* keys,
             Stop& stop) override {
    return worldlines_.sweep(fields, order, keys, stop);
  }

  void take_sample(std::size_t number) override {
    for (std::size_t r = 0; r < count_; ++r) {
      const std::size_t place = (first_ + r) * call_.num_samples + number;
      worldlines_.spins(r, call_.results.samples + place * num_variables_);
    }
  }

  void finish(const StreamKey*) override {
    for (std::size_t r = 0; r < count_; ++r) {
      const std::size_t read = first_ + r;
      worldlines_.spins(r, call_.results.spins + read * num_variables_);
      if (call_.results.num_breaks != nullptr) {
        worldlines_.breaks(r, call_.results.num_breaks + read * num_variables_,
                           call_.results.breaks[read]);
      }
    }
  }

 private:
  const PathCall& call_;
  const std::size_t num_variables_;
  Worldlines worldlines_;
  std::size_t first_ = 0, count_ = 0;
};

}  // namespace

void anneal_paths(const KernelTable& kernels, const Ising& problem, const FieldSchedule& schedule,
                  const PathChains& chains, std::size_t num_reads, const PathView& starts,
                  PathResults& results, Stop& stop) {
  const std::size_t n = problem.num_variables();
  std::fill_n(results.sweeps, num_reads, std::int64_t{0});
  std::copy_n(starts.spins, num_reads * n, results.spins);
  std::fill_n(results.samples, num_reads * schedule.num_samples() * n, std::int8_t{0});
  results.breaks.assign(num_reads, {});
  if (results.num_breaks != nullptr) std::fill_n(results.num_breaks, num_reads * n, 0);
  if (n == 0 || num_reads == 0) return;
  PathCall call{problem, starts, results, schedule.num_samples(), {}};
  if (starts.num_breaks != nullptr) {
    std::size_t count = 0;
    for (std::size_t k = 0; k < num_reads * n; ++k) {
      if (k % (kLanes * n) == 0) call.first_breaks.push_back(count);
      count += static_cast<std::size_t>(starts.num_breaks[k]);
    }
  }
  anneal_fields(
      schedule, num_reads, [&] { return std::make_unique<PathReads>(kernels, chains, call); },
      results.sweeps, stop);
}

}  // namespace qpsbgd
