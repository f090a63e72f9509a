#include "core/anneal.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <utility>

#include "core/parallel.hpp"
#include "core/random.hpp"

namespace qpsbgd {
namespace {

// Sums of floats that are not exact drift: after so many sweeps fields are computed anew.
constexpr std::size_t kRefresh = 256;
// Variables of a sparse problem between two looks at the clock.
constexpr std::size_t kSparseRun = 1 << 13;
// Of dense reads in int16: the largest coupling, in units, whose block of flips changes a field by
// less than kNarrowFields, and the bound on fields between blocks. See kernels/dense.hpp.
constexpr double kNarrowCoupling = 127.0;
constexpr float kNarrowFields = 1 << 14;
// Dense reads that are worth lanes of their own; fewer are visited one by one.
constexpr std::size_t kLanesFrom = 4;
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
  virtual void energies(double* out) = 0;
  // Keeps the current state of every row that is chosen.
  virtual void keep(const bool* chosen) = 0;
  virtual void finish() = 0;
};

float threshold(const Ising& problem, double beta) {
  // Not infinite: a lane of padding must stay infinitely far from it.
  const double value = problem.scale() / (2.0 * beta);
  return static_cast<float>(std::min<double>(value, std::numeric_limits<float>::max() / 64));
}

// The couplings of a dense problem for NarrowTile.
struct NarrowCouplings {
  explicit NarrowCouplings(const Ising& problem)
      : columns(round_up(problem.num_variables(), 2 * kLanes)),
        // An odd number of cache lines: with a power of two the rows would share few sets.
        ld(columns / kLine % 2 == 0 ? columns + kLine : columns),
        twice(problem.num_variables() * ld) {
    const float scale = static_cast<float>(2.0 / problem.unit());
    for (std::size_t i = 0; i < problem.num_variables(); ++i) {
      const float* row = problem.couplings() + i * problem.ld();
      std::int16_t* out = twice.data() + i * ld;
      for (std::size_t j = 0; j < problem.ld(); ++j) {
        out[j] = static_cast<std::int16_t>(scale * row[j]);
      }
      std::fill(out + problem.ld(), out + ld, std::int16_t{0});
    }
  }

  static constexpr std::size_t kLine = 64 / sizeof(std::int16_t);
  std::size_t columns, ld;
  Buffer<std::int16_t> twice;  // (n, ld)
};

class DenseTile final : public ReadTile {
 public:
  static constexpr std::size_t kRows = kLanes;

  // Without narrow couplings all fields are floats.
  DenseTile(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
            std::shared_ptr<const NarrowCouplings> narrow)
      : kernels_(kernels),
        problem_(problem),
        options_(options),
        couplings16_(std::move(narrow)),
        fields_(kRows * problem.ld()),
        fields16_(couplings16_ ? kRows * couplings16_->ld : 0),
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
    // Lanes without a read never flip.
    std::fill(&fields_[rows * ld], &fields_[kRows * ld], -std::numeric_limits<float>::infinity());
    std::fill(&spins_[rows * ld], &spins_[kRows * ld], 1.0f);
    return refresh(stop);
  }

  bool refresh(Stop& stop) override {
    if (stop.poll()) return false;
    kernels_.quadratic_fields(make_tile(), problem_.linear());
    const bool wanted = rows_ >= kLanesFrom || options_.precision;
    narrow_ = couplings16_ && wanted && narrow_fields();
    return true;
  }

  bool sweep(double beta, const StreamKey* keys, const StreamKey* order, Stop& stop) override {
    if (stop.poll()) return false;
    const float heat = threshold(problem_, beta);
    if (options_.random_order) {
      kernels_.quadratic_anneal_random(make_tile(), options_.acceptance, heat, keys, order);
    } else if (narrow_) {
      const std::size_t next =
          kernels_.dense_anneal_int16(make_narrow_tile(), 0, options_.acceptance, heat, keys);
      if (next == kSweepDone) return true;
      narrow_ = false;
      widen_fields();
      kernels_.dense_anneal_float(make_tile(), next, options_.acceptance, heat, keys);
    } else if (rows_ < kLanesFrom) {
      kernels_.quadratic_anneal(make_tile(), options_.acceptance, heat, keys);
    } else {
      kernels_.dense_anneal_float(make_tile(), 0, options_.acceptance, heat, keys);
    }
    return true;
  }

  void energies(double* out) override {
    const std::size_t ld = problem_.ld();
    if (narrow_) widen_fields();
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
  QuadraticTile make_tile() {
    QuadraticTile tile{};
    tile.updates = tile.coupling = problem_.couplings();
    tile.state = fields_.data();
    tile.ld = tile.block_ld = tile.spins_ld = problem_.ld();
    tile.block_step = kBlock * (problem_.ld() + 1);
    tile.spins = spins_.data();
    tile.rows = rows_;
    tile.num_variables = problem_.num_variables();
    return tile;
  }

  NarrowTile make_narrow_tile() {
    return {.twice = couplings16_->twice.data(),
            .fields = fields16_.data(),
            .ld = couplings16_->ld,
            .columns = couplings16_->columns,
            .unit = static_cast<float>(problem_.unit()),
            .coupling = problem_.couplings(),
            .block_step = kBlock * (problem_.ld() + 1),
            .block_ld = problem_.ld(),
            .spins = spins_.data(),
            .spins_ld = problem_.ld(),
            .rows = rows_,
            .num_variables = problem_.num_variables()};
  }

  // Takes the fields into int16; false if they are too large.
  bool narrow_fields() {
    const float scale = static_cast<float>(1.0 / problem_.unit());
    const std::size_t n = problem_.num_variables();
    for (std::size_t r = 0; r < rows_; ++r) {
      const float* fields = &fields_[r * problem_.ld()];
      std::int16_t* out = &fields16_[r * couplings16_->ld];
      for (std::size_t i = 0; i < n; ++i) {
        const float field = scale * fields[i];
        if (std::fabs(field) >= kNarrowFields) return false;
        out[i] = static_cast<std::int16_t>(field);
      }
      std::fill(out + n, out + couplings16_->ld, std::int16_t{0});
    }
    return true;
  }
  void widen_fields() {
    const float unit = static_cast<float>(problem_.unit());
    for (std::size_t r = 0; r < rows_; ++r) {
      const std::int16_t* from = &fields16_[r * couplings16_->ld];
      float* to = &fields_[r * problem_.ld()];
      for (std::size_t i = 0; i < problem_.num_variables(); ++i) {
        to[i] = unit * static_cast<float>(from[i]);
      }
    }
  }

  const KernelTable& kernels_;
  const Ising& problem_;
  const AnnealOptions& options_;
  const std::shared_ptr<const NarrowCouplings> couplings16_;
  std::int8_t* states_ = nullptr;
  std::size_t rows_ = 0;
  bool narrow_ = false;            // whether the fields are in int16
  Buffer<float> fields_;           // (kRows, ld), padding -inf
  Buffer<std::int16_t> fields16_;  // (kRows, ld of couplings16)
  Buffer<float> spins_;            // (rows, ld), padding +1
};

// Lists of neighbours as the kernels take them.
template <class Value>
struct SparseEdges {
  explicit SparseEdges(const Ising& problem)
      : unit(sizeof(Value) < sizeof(float) ? static_cast<float>(problem.unit()) : 1.0f),
        offsets(problem.num_variables() + 1) {
    const std::size_t n = problem.num_variables();
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t count = problem.offsets()[i + 1] - problem.offsets()[i];
      offsets[i + 1] = offsets[i] + round_up(count, kEdgeGroup);
    }
    edges = Buffer<SparseEdge<Value>>(offsets[n]);
    const float scale = 2.0f / unit;
    for (std::size_t i = 0; i < n; ++i) {
      SparseEdge<Value>* edge = edges.data() + offsets[i];
      for (std::size_t e = problem.offsets()[i]; e < problem.offsets()[i + 1]; ++e, ++edge) {
        edge->fields = problem.neighbours()[e] * kLanes;
        std::fill(std::begin(edge->twice), std::end(edge->twice),
                  static_cast<Value>(scale * problem.couplings()[e]));
      }
      std::fill(edge, edges.data() + offsets[i + 1],
                SparseEdge<Value>{static_cast<std::uint32_t>(n * kLanes), {}});
    }
  }

  float unit;
  std::vector<std::size_t> offsets;
  Buffer<SparseEdge<Value>> edges;
};

// Fields and couplings are floats, or int16 or int8 in units of the problem.
template <class Value>
class SparseLanes final : public ReadTile {
 public:
  static constexpr std::size_t kRows = kLanes;

  SparseLanes(const KernelTable::Sparse<Value>& kernels, const Ising& problem,
              const AnnealOptions& options, std::shared_ptr<const SparseEdges<Value>> edges)
      : kernels_(kernels),
        problem_(problem),
        options_(options),
        edges_(std::move(edges)),
        fields_((problem.num_variables() + 1) * kLanes),
        spins_(problem.num_variables() + 1),
        kept_(problem.num_variables()) {}

  // A lane without a read repeats the last one's start.
  bool start(std::int8_t* states, std::size_t rows, Stop& stop) override {
    states_ = states;
    rows_ = rows;
    const std::size_t n = problem_.num_variables();
    for (std::size_t i = 0; i < n; ++i) {
      unsigned spins = 0;
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        spins |= unsigned{states[std::min(lane, rows - 1) * n + i] > 0} << lane;
      }
      spins_[i] = kept_[i] = static_cast<std::uint16_t>(spins);
    }
    spins_[n] = 0;
    std::fill_n(&fields_[n * kLanes], kLanes, Value{});
    return refresh(stop);
  }

  bool refresh(Stop& stop) override {
    return in_runs(stop, [&](std::size_t first, std::size_t last) {
      kernels_.fields(make_tile(), first, last, problem_.linear());
    });
  }

  bool sweep(double beta, const StreamKey* keys, const StreamKey* order, Stop& stop) override {
    return in_runs(stop, [&](std::size_t first, std::size_t last) {
      if (options_.random_order) {
        kernels_.anneal_random(make_tile(), first, last, options_.acceptance,
                               threshold(problem_, beta), keys, order);
      } else {
        kernels_.anneal(make_tile(), first, last, options_.acceptance, threshold(problem_, beta),
                        keys);
      }
    });
  }

  void energies(double* out) override { kernels_.energies(make_tile(), problem_.linear(), out); }

  void keep(const bool* chosen) override {
    unsigned mask = 0;
    for (std::size_t r = 0; r < rows_; ++r) mask |= unsigned{chosen[r]} << r;
    for (std::size_t i = 0; i < problem_.num_variables(); ++i) {
      kept_[i] = static_cast<std::uint16_t>((spins_[i] & mask) | (kept_[i] & ~mask));
    }
  }

  void finish() override {
    const std::size_t n = problem_.num_variables();
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t i = 0; i < n; ++i) states_[r * n + i] = kept_[i] >> r & 1 ? 1 : -1;
    }
  }

 private:
  template <class Body>
  bool in_runs(Stop& stop, const Body& body) {
    const std::size_t n = problem_.num_variables();
    for (std::size_t first = 0; first < n; first += kSparseRun) {
      if (stop.poll()) return false;
      body(first, std::min(first + kSparseRun, n));
    }
    return true;
  }

  SparseTile<Value> make_tile() const {
    return {
        .offsets = edges_->offsets.data(),
        .edges = edges_->edges.data(),
        .fields = const_cast<Value*>(fields_.data()),
        .spins = const_cast<std::uint16_t*>(spins_.data()),
        .num_variables = problem_.num_variables(),
        .unit = edges_->unit,
        .reach = sizeof(Value) < sizeof(float) ? static_cast<int>(problem_.reach_in_units()) : 0};
  }

  const KernelTable::Sparse<Value>& kernels_;
  const Ising& problem_;
  const AnnealOptions& options_;
  const std::shared_ptr<const SparseEdges<Value>> edges_;
  std::int8_t* states_ = nullptr;
  std::size_t rows_ = 0;
  Buffer<Value> fields_;         // (n + 1, kLanes)
  Buffer<std::uint16_t> spins_;  // (n + 1)
  Buffer<std::uint16_t> kept_;   // (n)
};

using TileMaker = std::function<std::unique_ptr<ReadTile>()>;

template <class Value>
TileMaker sparse_tiles(const KernelTable::Sparse<Value>& kernels, const Ising& problem,
                       const AnnealOptions& options) {
  return [&, edges = std::make_shared<const SparseEdges<Value>>(problem)] {
    return std::make_unique<SparseLanes<Value>>(kernels, problem, options, edges);
  };
}

TileMaker tile_maker(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
                     Precision precision) {
  if (problem.form() == Ising::Form::kDense) {
    std::shared_ptr<const NarrowCouplings> narrow;
    if (precision == Precision::kInt16) narrow = std::make_shared<const NarrowCouplings>(problem);
    return [&, narrow] { return std::make_unique<DenseTile>(kernels, problem, options, narrow); };
  }
  switch (precision) {
    case Precision::kInt8:
      return sparse_tiles(kernels.sparse_int8, problem, options);
    case Precision::kInt16:
      return sparse_tiles(kernels.sparse_int16, problem, options);
    default:
      return sparse_tiles(kernels.sparse_float, problem, options);
  }
}

}  // namespace

bool fits(const Ising& problem, Precision precision, bool random_order) {
  if (precision == Precision::kFloat32) return true;
  if (!problem.exact()) return false;
  if (problem.form() == Ising::Form::kDense) {
    return precision == Precision::kInt16 && !random_order &&
           problem.coupling_in_units() <= kNarrowCoupling;
  }
  const double largest = precision == Precision::kInt8 ? std::numeric_limits<std::int8_t>::max()
                                                       : std::numeric_limits<std::int16_t>::max();
  return problem.reach_in_units() <= largest && 2.0 * problem.coupling_in_units() <= largest;
}

Precision best_precision(const Ising& problem, bool random_order, std::size_t num_reads) {
  const bool lanes = problem.form() == Ising::Form::kSparse || num_reads >= kLanesFrom;
  for (const Precision precision : {Precision::kInt8, Precision::kInt16}) {
    if (lanes && fits(problem, precision, random_order)) return precision;
  }
  return Precision::kFloat32;
}

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
      dense ? std::min(DenseTile::kRows, divide_up(num_reads, threads)) : SparseLanes<float>::kRows;
  const std::size_t num_tiles = divide_up(num_reads, rows_max);
  std::vector<std::unique_ptr<ReadTile>> tiles(num_workers(num_tiles, options.num_threads));
  const TileMaker make_tile = tile_maker(
      kernels, problem, options,
      options.precision.value_or(best_precision(problem, options.random_order, num_reads)));
  for (auto& tile : tiles) tile = make_tile();
  parallel_for(
      num_tiles, options.num_threads,
      [&](std::size_t task, int worker) {
        ReadTile& tile = *tiles[worker];
        const std::size_t first = task * rows_max, rows = std::min(rows_max, num_reads - first);
        if (stop.poll() || !tile.start(states + first * n, rows, stop)) return;
        // kLanes streams even for fewer reads: the lanes beyond them run too.
        ReadStreams streams[kLanes];
        for (std::size_t r = 0; r < kLanes; ++r) streams[r] = {options.seed, 0, first + r};
        double best[kLanes];
        std::fill_n(best, rows, std::numeric_limits<double>::infinity());
        // Looks at the current states: keeps those that are a read's best, tells of them, and stops
        // the call if one is not above the threshold.
        const auto look = [&] {
          double energies[kLanes];
          tile.energies(energies);
          bool chosen[kLanes], any = false, near = false;
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
          StreamKey keys[kLanes], order[kLanes];
          for (std::size_t r = 0; r < kLanes; ++r) {
            keys[r] = streams[r].sweep(sweep);
            order[r] = order_key(keys[r]);
          }
          if (!tile.sweep(options.betas[sweep], keys, order, stop)) break;
          for (std::size_t r = 0; r < rows; ++r) sweeps[first + r] = sweep + 1;
          if (options.keep_best || options.watch) look();
        }
        if (!options.keep_best) {
          bool all[kLanes];
          std::fill_n(all, rows, true);
          tile.keep(all);
        }
        tile.finish();
      },
      [&stop] { stop.poll(); });
}

}  // namespace qpsbgd
