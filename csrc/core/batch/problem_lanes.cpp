#include "core/batch/problem_lanes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "core/state/anneal_rows.hpp"
#include "core/support/buffer.hpp"
#include "core/support/streams.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

constexpr std::uint32_t kAllLanes = (std::uint32_t{1} << kLanes) - 1;

// Sixteen problems that a thread anneals, one read of each at a time.
class ProblemLanes final : public AnnealedRows {
 public:
  ProblemLanes(const KernelTable& kernels, const BatchView& view, const BatchOptions& options)
      : kernels_(kernels),
        matrices_(std::get<MatrixView>(view.couplings)),
        view_(view),
        options_(options),
        ld_(round_up(view.num_variables, kLanes)),
        rows_(kLanes * view.num_variables * ld_),
        couplings_(num_interleaved_floats(view.num_variables)),
        linear_(ld_ * kLanes),
        fields_(ld_ * kLanes),
        spins_(ld_ * kLanes),
        kept_(ld_ * kLanes) {
    std::fill_n(rows_.data(), rows_.size(), 0.0f);
  }

  // Loads the problems [first, first + count) of the batch.
  void load(std::size_t first, std::size_t count) {
    const std::size_t n = view_.num_variables;
    first_ = first;
    count_ = count;
    // Lanes without a problem, and padding, never flip.
    std::fill_n(linear_.data(), linear_.size(), -std::numeric_limits<float>::infinity());
    std::fill(&rows_[count * n * ld_], rows_.data() + rows_.size(), 0.0f);
    std::fill_n(scales_, kLanes, 0.0);
    std::fill_n(factors_, kLanes, 1.0);
    std::copy_n(options_.beta_factors.begin() + static_cast<std::ptrdiff_t>(first), count,
                factors_);
    for (std::size_t lane = 0; lane < count; ++lane) {
      const MatrixView matrix = matrices_[first + lane];
      if (matrix.doubles()) {
        load(lane, matrix.doubles(), kernels_.reductions.of<double>());
      } else {
        load(lane, matrix.floats(), kernels_.reductions.of<float>());
      }
    }
    kernels_.interleaved.pack(rows_.data(), n, ld_, couplings_.data());
  }

  // Anneals read `read` of each problem. states: (count, num_reads, n).
  void anneal(std::size_t read, std::int8_t* states, Stop& stop) {
    take_states(read, states);
    kernels_.interleaved.set_fields(make_tile());
    ReadStreams streams[kLanes];
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      streams[lane] = {options_.seed, options_.number + first_ + lane, read};
    }
    std::fill_n(best_, kLanes, std::numeric_limits<double>::infinity());
    if (options_.keep_best) keep_improved();
    anneal_rows(*this, options_.betas, Refresh::kPeriodically, streams, kLanes, stop,
                [&](std::size_t) {
                  if (options_.keep_best) keep_improved();
                });
    if (!options_.keep_best) kernels_.interleaved.keep(make_tile(), kAllLanes);
    give_states(read, states);
  }

  bool sweep(double beta, const StreamKey* keys, Stop& stop) override {
    if (stop.poll()) return false;
    alignas(64) float thresholds[kLanes];
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      thresholds[lane] = acceptance_threshold(scales_[lane], 2.0, factors_[lane] * beta);
    }
    kernels_.interleaved.anneal(make_tile(), options_.acceptance, thresholds, keys);
    return true;
  }

  bool refresh_fields(Stop&) override {
    kernels_.interleaved.set_fields(make_tile());
    return true;
  }

 private:
  InterleavedTile make_tile() {
    return {.couplings = couplings_.data(),
            .linear = linear_.data(),
            .fields = fields_.data(),
            .spins = spins_.data(),
            .kept = kept_.data(),
            .num_variables = view_.num_variables};
  }

  // Keeps the current states that are better than best_.
  void keep_improved() {
    double energies[kLanes];
    kernels_.interleaved.energies(make_tile(), energies);
    std::uint32_t better = 0;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      if (!(energies[lane] < best_[lane])) continue;
      best_[lane] = energies[lane];
      better |= std::uint32_t{1} << lane;
    }
    if (better != 0) kernels_.interleaved.keep(make_tile(), better);
  }

  template <class Value>
  void load(std::size_t lane, const Value* matrix, const ReductionKernels<Value>& kernels) {
    const std::size_t n = view_.num_variables;
    const double* linear = view_.linear + (first_ + lane) * n;
    double largest = 0.0, total = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      const double reach = std::fabs(linear[i]) + kernels.sum_magnitudes(matrix + i * n, n);
      largest = std::max(largest, reach);
      total += reach;
    }
    Ising::check_total(total);
    const double scale = Ising::scale_for(largest);
    scales_[lane] = scale;
    for (std::size_t i = 0; i < n; ++i) {
      kernels.scale(matrix + i * n, n, scale, &rows_[(lane * n + i) * ld_]);
      linear_[i * kLanes + lane] = static_cast<float>(scale * linear[i]);
    }
  }

  void take_states(std::size_t read, const std::int8_t* states) {
    const std::size_t n = view_.num_variables;
    std::fill_n(spins_.data(), spins_.size(), 1.0f);
    for (std::size_t lane = 0; lane < count_; ++lane) {
      const std::int8_t* state = states + (lane * options_.num_reads + read) * n;
      for (std::size_t i = 0; i < n; ++i) spins_[i * kLanes + lane] = state[i];
    }
  }
  void give_states(std::size_t read, std::int8_t* states) const {
    const std::size_t n = view_.num_variables;
    for (std::size_t lane = 0; lane < count_; ++lane) {
      std::int8_t* state = states + (lane * options_.num_reads + read) * n;
      for (std::size_t i = 0; i < n; ++i) state[i] = kept_[i * kLanes + lane] > 0.0f ? 1 : -1;
    }
  }

  const KernelTable& kernels_;
  const MatrixView matrices_;
  const BatchView& view_;
  const BatchOptions& options_;
  std::size_t ld_;
  std::size_t first_ = 0, count_ = 0;
  double scales_[kLanes], factors_[kLanes];  // 0 and 1 in lanes without a problem
  double best_[kLanes];                      // lowest energies of the current reads
  Buffer<float> rows_;  // (kLanes, n, ld): the couplings before they are interleaved
  Buffer<float> couplings_;
  Buffer<float> linear_, fields_, spins_, kept_;  // (ld, kLanes)
};

}  // namespace

void anneal_interleaved(const KernelTable& kernels, const BatchView& view,
                        const BatchOptions& options, std::int8_t* states, std::uint8_t* done,
                        double* energies, Stop& stop) {
  const auto& matrices = std::get<MatrixView>(view.couplings);
  const BatchStates batch{.linear = view.linear,
                          .states = states,
                          .num_problems = view.num_problems,
                          .num_reads = options.num_reads,
                          .num_variables = view.num_variables};
  const std::size_t n = view.num_variables, num_tiles = divide_up(view.num_problems, kLanes);
  std::vector<std::unique_ptr<ProblemLanes>> tiles(num_workers(num_tiles, options.num_threads));
  for (auto& tile : tiles) tile = std::make_unique<ProblemLanes>(kernels, view, options);
  parallel_for(
      num_tiles, options.num_threads,
      [&](std::size_t task, int worker) {
        const std::size_t first = task * kLanes;
        const std::size_t count = std::min(kLanes, view.num_problems - first);
        if (!stop.poll()) {
          tiles[worker]->load(first, count);
          std::fill_n(done + first, count, std::uint8_t{1});
        }
        for (std::size_t read = 0; read < options.num_reads && !stop.poll(); ++read) {
          tiles[worker]->anneal(read, states + first * options.num_reads * n, stop);
        }
        for (std::size_t b = first; b < first + count; ++b) {
          problem_energies(kernels, matrices[b], batch, b, energies);
        }
      },
      [&stop] { stop.poll(); });
}

}  // namespace qpsbgd
