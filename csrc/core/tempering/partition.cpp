#include "core/tempering/partition.hpp"

#include <algorithm>
#include <memory>

#include "core/annealing/anneal.hpp"
#include "core/annealing/read_rows.hpp"
#include "core/ising/precision.hpp"
#include "core/support/streams.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

// Weights are float64. Fields are therefore float64 too where a smaller type would round them.
Precision weights_precision(const Ising& problem, std::size_t num_rows) {
  return problem.exact() ? narrow_precision(problem, false, num_rows) : Precision::kFloat64;
}

// One call: chains are dealt to threads in tiles.
class WeightsCall {
 public:
  WeightsCall(const KernelTable& kernels, const Ising& problem, const PartitionOptions& options,
              std::size_t num_chains, Stop& stop)
      : problem_(problem),
        options_(options),
        num_chains_(num_chains),
        num_rows_(num_chains * problem.num_problems()),
        stop_(stop),
        rows_options_{.betas = {},
                      .acceptance = Acceptance::kGibbs,
                      .precision = weights_precision(problem, num_rows_)},
        make_rows_(rows_maker(kernels, problem, rows_options_, *rows_options_.precision)),
        energies_(options.marked.empty() ? num_rows_ * options.betas.size() : 0) {
    weights_.logs.resize(num_rows_ * options.marked.size());
  }

  Weights run() {
    const std::size_t num_tiles = divide_up(num_rows_, kLanes);
    std::vector<std::unique_ptr<ReadRows>> workers(
        static_cast<std::size_t>(num_workers(num_tiles, options_.num_threads)));
    for (auto& rows : workers) rows = make_rows_();
    parallel_for(
        num_tiles, options_.num_threads,
        [&](std::size_t tile, int worker) {
          if (!stop_.poll()) run_tile(tile * kLanes, *workers[static_cast<std::size_t>(worker)]);
        },
        [&] { stop_.poll(); });
    if (stop_.poll()) throw Stopped();
    summarise();
    return std::move(weights_);
  }

 private:
  void run_tile(std::size_t first, ReadRows& rows) {
    const std::size_t n = problem_.num_variables(), count = std::min(kLanes, num_rows_ - first);
    const std::size_t num_betas = options_.betas.size(), num_marked = options_.marked.size();
    std::vector<std::int8_t> states(count * n);
    std::size_t problems[kLanes] = {};
    ReadStreams streams[kLanes];
    for (std::size_t r = 0; r < kLanes; ++r) {
      const std::size_t row = std::min(first + r, num_rows_ - 1);
      problems[r] = row / num_chains_;
      streams[r] = {options_.seed, options_.number + problems[r], row % num_chains_};
      if (r < count) draw_state(streams[r].sweep(kInitialState), n, &states[r * n]);
    }
    if (!rows.start(states.data(), count, first, problems, stop_)) return;
    double logs[kLanes] = {}, energies[kLanes], beta = 0.0;
    std::size_t mark = 0;
    for (std::size_t k = 0; k < num_betas; ++k) {
      rows.energies(energies);
      const double step = options_.betas[k] - beta;
      beta = options_.betas[k];
      for (std::size_t r = 0; r < count; ++r) {
        const double energy = energies[r] / problem_.scale();
        logs[r] -= step * energy;
        if (!energies_.empty()) energies_[k * num_rows_ + first + r] = energy;
      }
      for (; mark < num_marked && options_.marked[mark] == k; ++mark) {
        for (std::size_t r = 0; r < count; ++r) {
          weights_.logs[(first + r) * num_marked + mark] = logs[r];
        }
      }
      if (k + 1 == num_betas) break;
      StreamKey keys[kMaxTileRows] = {};
      for (std::size_t r = 0; r < kLanes; ++r) keys[r] = streams[r].sweep(k);
      const bool is_due =
          !problem_.exact(*rows_options_.precision) && (k + 1) % kRefreshPeriod == 0;
      if ((is_due && !rows.refresh_fields(stop_)) || !rows.sweep(beta, keys, stop_)) return;
    }
  }

  void summarise() {
    const auto chains = static_cast<double>(num_chains_);
    for (std::size_t k = 0; k < options_.betas.size() && !energies_.empty(); ++k) {
      double variance = 0.0;
      for (std::size_t row = 0; row < num_rows_; row += num_chains_) {
        const double* energies = &energies_[k * num_rows_ + row];
        double sum = 0.0, squares = 0.0;
        for (std::size_t c = 0; c < num_chains_; ++c) sum += energies[c];
        const double mean = sum / chains;
        for (std::size_t c = 0; c < num_chains_; ++c) {
          squares += (energies[c] - mean) * (energies[c] - mean);
        }
        variance += squares / chains;
      }
      weights_.variances.push_back(variance / static_cast<double>(problem_.num_problems()));
    }
  }

  const Ising& problem_;
  const PartitionOptions& options_;
  const std::size_t num_chains_, num_rows_;  // of one problem, of all
  Stop& stop_;
  const AnnealOptions rows_options_;
  const RowsMaker make_rows_;
  std::vector<double> energies_;  // (betas, rows) where variances are wanted, else empty
  Weights weights_;
};

}  // namespace

Weights importance_weights(const KernelTable& kernels, const Ising& problem,
                           const PartitionOptions& options, std::size_t num_chains, Stop& stop) {
  if (problem.num_variables() == 0 || num_chains == 0) {
    const std::size_t num_rows = num_chains * problem.num_problems();
    return {.logs = std::vector<double>(num_rows * options.marked.size()),
            .variances = std::vector<double>(options.marked.empty() ? options.betas.size() : 0)};
  }
  return WeightsCall(kernels, problem, options, num_chains, stop).run();
}

}  // namespace qpsbgd
