#include "core/anneal.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "core/parallel.hpp"
#include "core/random.hpp"

namespace qpsbgd {
namespace {

// Sums of floats that are not exact drift: after so many sweeps fields are computed anew.
constexpr std::size_t kRefresh = 256;
// Variables of a sparse problem between two looks at the clock.
constexpr std::size_t kSparseRun = 1 << 13;
// More than the relative error of the energies of sweeps: nearer to a threshold, float64 decides.
constexpr double kFloatError = 1e-4;

// Some reads that are annealed together. What `stop` cuts short returns false.
class ReadTile {
 public:
  virtual ~ReadTile() = default;
  // states (rows, n) are where the reads start and, after finish(), what they have kept.
  virtual bool start(std::int8_t* states, std::size_t rows, Stop& stop) = 0;
  virtual bool sweep(double beta, const StreamKey* keys, const StreamKey* order, Stop& stop) = 0;
  // Fields from the spins.
  virtual bool refresh(Stop& stop) = 0;
  virtual void energies(double* out) const = 0;
  // Keeps the current state of every row that is chosen.
  virtual void keep(const bool* chosen) = 0;
  virtual void finish() = 0;
};

float threshold(const Ising& problem, double beta) {
  // Not infinite: a lane of padding must stay infinitely far from it.
  const double value = problem.scale() / (2.0 * beta);
  return static_cast<float>(std::min<double>(value, std::numeric_limits<float>::max() / 64));
}

class DenseTile final : public ReadTile {
 public:
  static constexpr std::size_t kRows = kMaxTileRows;

  DenseTile(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options)
      : kernels_(kernels),
        problem_(problem),
        options_(options),
        fields_(kRows * problem.ld()),
        spins_(kRows * problem.ld()) {}

  bool start(std::int8_t* states, std::size_t rows, Stop& stop) override {
    states_ = states;
    rows_ = rows;
    const std::size_t n = problem_.num_variables(), ld = problem_.ld();
    for (std::size_t r = 0; r < rows; ++r) {
      kernels_.from_spins(states + r * n, n, &spins_[r * ld]);
      std::fill(&spins_[r * ld] + n, &spins_[r * ld] + ld, 1.0f);
      std::fill(&fields_[r * ld] + n, &fields_[r * ld] + ld,
                -std::numeric_limits<float>::infinity());
    }
    return refresh(stop);
  }

  bool refresh(Stop& stop) override {
    for (std::size_t r = 0; r < rows_; ++r) {
      if (stop.poll()) return false;
      problem_.dense_fields(&spins_[r * problem_.ld()], &fields_[r * problem_.ld()]);
    }
    return true;
  }

  bool sweep(double beta, const StreamKey* keys, const StreamKey* order, Stop& stop) override {
    if (stop.poll()) return false;
    QuadraticTile tile{};
    tile.updates = tile.coupling = problem_.couplings();
    tile.state = fields_.data();
    tile.ld = tile.block_ld = tile.spins_ld = problem_.ld();
    tile.block_step = kBlock * (problem_.ld() + 1);
    tile.spins = spins_.data();
    tile.rows = rows_;
    tile.num_variables = problem_.num_variables();
    if (options_.random_order) {
      kernels_.quadratic_anneal_random(tile, options_.acceptance, threshold(problem_, beta), keys,
                                       order);
    } else {
      kernels_.quadratic_anneal(tile, options_.acceptance, threshold(problem_, beta), keys);
    }
    return true;
  }

  void energies(double* out) const override {
    const std::size_t ld = problem_.ld();
    for (std::size_t r = 0; r < rows_; ++r) {
      out[r] = kernels_.energy(&fields_[r * ld], problem_.linear(), &spins_[r * ld],
                               problem_.num_variables());
    }
  }

  void keep(const bool* chosen) override {
    const std::size_t n = problem_.num_variables();
    for (std::size_t r = 0; r < rows_; ++r) {
      if (chosen[r]) kernels_.to_spins(&spins_[r * problem_.ld()], n, states_ + r * n);
    }
  }

  void finish() override {}

 private:
  const KernelTable& kernels_;
  const Ising& problem_;
  const AnnealOptions& options_;
  std::int8_t* states_ = nullptr;
  std::size_t rows_ = 0;
  Buffer<float> fields_;  // (rows, ld), padding -inf
  Buffer<float> spins_;   // (rows, ld), padding +1
};

class SparseLanes final : public ReadTile {
 public:
  static constexpr std::size_t kRows = kLanes;

  SparseLanes(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options)
      : kernels_(kernels),
        problem_(problem),
        options_(options),
        fields_(problem.num_variables() * kLanes),
        spins_(problem.num_variables() * kLanes),
        kept_(problem.num_variables() * kLanes) {}

  // A lane without a read repeats the last one's start.
  bool start(std::int8_t* states, std::size_t rows, Stop& stop) override {
    states_ = states;
    rows_ = rows;
    const std::size_t n = problem_.num_variables();
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const std::int8_t spin = states[std::min(lane, rows - 1) * n + i];
        spins_[i * kLanes + lane] = spin;
        kept_[i * kLanes + lane] = spin;
      }
    }
    return refresh(stop);
  }

  bool refresh(Stop& stop) override {
    const std::size_t n = problem_.num_variables();
    for (std::size_t first = 0; first < n; first += kSparseRun) {
      if (stop.poll()) return false;
      problem_.sparse_fields(spins_.data(), first, std::min(first + kSparseRun, n), fields_.data());
    }
    return true;
  }

  bool sweep(double beta, const StreamKey* keys, const StreamKey* order, Stop& stop) override {
    const SparseTile tile = make_tile();
    const std::size_t n = problem_.num_variables();
    for (std::size_t first = 0; first < n; first += kSparseRun) {
      if (stop.poll()) return false;
      const std::size_t last = std::min(first + kSparseRun, n);
      if (options_.random_order) {
        kernels_.sparse_anneal_random(tile, first, last, options_.acceptance,
                                      threshold(problem_, beta), keys, order);
      } else {
        kernels_.sparse_anneal(tile, first, last, options_.acceptance, threshold(problem_, beta),
                               keys);
      }
    }
    return true;
  }

  void energies(double* out) const override {
    kernels_.sparse_energies(make_tile(), problem_.linear(), out);
  }

  void keep(const bool* chosen) override {
    std::int8_t mask[kLanes];
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      mask[lane] = lane < rows_ && chosen[lane] ? -1 : 0;
    }
    for (std::size_t i = 0; i < problem_.num_variables() * kLanes; i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const std::int8_t spin = spins_[i + lane] > 0.0f ? 1 : -1;
        kept_[i + lane] =
            static_cast<std::int8_t>((spin & mask[lane]) | (kept_[i + lane] & ~mask[lane]));
      }
    }
  }

  void finish() override {
    const std::size_t n = problem_.num_variables();
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t r = 0; r < rows_; ++r) states_[r * n + i] = kept_[i * kLanes + r];
    }
  }

 private:
  SparseTile make_tile() const {
    return {.offsets = problem_.offsets(),
            .neighbours = problem_.neighbours(),
            .couplings = problem_.couplings(),
            .fields = const_cast<float*>(fields_.data()),
            .spins = const_cast<float*>(spins_.data()),
            .num_variables = problem_.num_variables()};
  }

  const KernelTable& kernels_;
  const Ising& problem_;
  const AnnealOptions& options_;
  std::int8_t* states_ = nullptr;
  std::size_t rows_ = 0;
  Buffer<float> fields_;      // (n, kLanes)
  Buffer<float> spins_;       // (n, kLanes)
  Buffer<std::int8_t> kept_;  // (n, kLanes)
};

}  // namespace

void anneal(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
            std::size_t num_reads, std::int8_t* states, std::uint64_t* sweeps, Stop& stop) {
  const std::size_t n = problem.num_variables(), num_sweeps = options.betas.size();
  std::fill_n(sweeps, num_reads, 0);
  if (n == 0 || num_reads == 0 || num_sweeps == 0) return;
  const bool dense = problem.form() == Ising::Form::kDense;
  // Full tiles share the couplings best, but every thread should have one.
  const std::size_t threads = static_cast<std::size_t>(num_workers(num_reads, options.num_threads));
  // Lanes that are reads cost nothing.
  const std::size_t rows_max =
      dense ? std::min(DenseTile::kRows, divide_up(num_reads, threads)) : SparseLanes::kRows;
  const std::size_t num_tiles = divide_up(num_reads, rows_max);
  std::vector<std::unique_ptr<ReadTile>> tiles(num_workers(num_tiles, options.num_threads));
  for (auto& tile : tiles) {
    if (dense) {
      tile = std::make_unique<DenseTile>(kernels, problem, options);
    } else {
      tile = std::make_unique<SparseLanes>(kernels, problem, options);
    }
  }
  parallel_for(
      num_tiles, options.num_threads,
      [&](std::size_t task, int worker) {
        ReadTile& tile = *tiles[worker];
        const std::size_t first = task * rows_max, rows = std::min(rows_max, num_reads - first);
        if (stop.poll() || !tile.start(states + first * n, rows, stop)) return;
        double best[kMaxTileRows];
        std::fill_n(best, rows, std::numeric_limits<double>::infinity());
        // Looks at the current states: keeps those that are a read's best, tells of them, and stops
        // the call if one is not above the threshold.
        const auto look = [&] {
          double energies[kMaxTileRows];
          tile.energies(energies);
          bool chosen[kMaxTileRows], any = false, near = false;
          for (std::size_t r = 0; r < rows; ++r) {
            chosen[r] = energies[r] < best[r];
            if (!chosen[r]) continue;
            any = true;
            best[r] = energies[r];
            const double energy = energies[r] / problem.scale();
            stop.found(energy);
            near |= energy <= stop.energy_threshold() + kFloatError * std::fabs(energy);
          }
          if (!any || !(options.keep_best || near)) return;
          tile.keep(chosen);
          if (!near) return;
          tile.finish();
          problem.energies(states + first * n, rows, 1, energies);
          for (std::size_t r = 0; r < rows; ++r) {
            if (energies[r] <= stop.energy_threshold()) stop.reached();
          }
        };
        if (options.keep_best || options.watch) look();
        for (std::size_t sweep = 0; sweep < num_sweeps; ++sweep) {
          if (sweep % kRefresh == kRefresh - 1 && !problem.exact() && !tile.refresh(stop)) break;
          StreamKey keys[kMaxTileRows], order[kMaxTileRows];
          // kLanes keys even for fewer reads: the lanes beyond them run too.
          for (std::size_t r = 0; r < std::max(rows, kLanes); ++r) {
            keys[r] = stream_key(options.seed, 0, first + r, sweep);
            order[r] = order_key(keys[r]);
          }
          if (!tile.sweep(options.betas[sweep], keys, order, stop)) break;
          for (std::size_t r = 0; r < rows; ++r) sweeps[first + r] = sweep + 1;
          if (options.keep_best || options.watch) look();
        }
        if (!options.keep_best) {
          bool all[kMaxTileRows];
          std::fill_n(all, rows, true);
          tile.keep(all);
        }
        tile.finish();
      },
      [&stop] { stop.poll(); });
}

}  // namespace qpsbgd
