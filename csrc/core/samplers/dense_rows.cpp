#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/state/read_tile.hpp"

namespace qpsbgd {
namespace {

// The bound on fields in int16 between blocks. See kernels/int16_flips.hpp.
constexpr float kNarrowFields = 1 << 14;

// The couplings of a dense problem for Int16Tile.
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

  bool start(std::int8_t* states, std::size_t rows, const std::size_t* problems,
             Stop& stop) override {
    states_ = states;
    rows_ = rows;
    for (std::size_t r = 0; r < rows; ++r) linear_[r] = problem_.linear(problems[r]);
    const std::size_t n = problem_.num_variables(), ld = problem_.ld();
    for (std::size_t r = 0; r < rows; ++r) {
      kernels_.elementwise.from_spins(states + r * n, n, &spins_[r * ld]);
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
    kernels_.quadratic.of<float>().set_state(make_tile(), linear_);
    const bool wanted = rows_ >= kLanesFrom || options_.precision;
    narrow_ = couplings16_ && wanted && narrow_fields();
    return true;
  }

  bool sweep(double beta, const StreamKey* keys, const StreamKey* order, Stop& stop) override {
    if (stop.poll()) return false;
    const float heat = threshold(problem_, beta);
    if (options_.random_order) {
      kernels_.quadratic.of<float>().anneal_random(make_tile(), options_.acceptance, heat, keys,
                                                   order);
    } else if (narrow_) {
      const std::size_t next =
          kernels_.rows.anneal_int16(make_narrow_tile(), 0, options_.acceptance, heat, keys);
      if (next == kSweepDone) return true;
      narrow_ = false;
      widen_fields();
      kernels_.rows.anneal(make_tile(), next, options_.acceptance, heat, keys);
    } else if (rows_ < kLanesFrom) {
      kernels_.quadratic.of<float>().anneal(make_tile(), options_.acceptance, heat, keys);
    } else {
      kernels_.rows.anneal(make_tile(), 0, options_.acceptance, heat, keys);
    }
    return true;
  }

  void energies(double* out) override {
    const std::size_t ld = problem_.ld();
    if (narrow_) widen_fields();
    for (std::size_t r = 0; r < rows_; ++r) {
      out[r] = kernels_.energies.of<float>().energy_of_fields(
          &fields_[r * ld], linear_[r], &spins_[r * ld], problem_.num_variables());
    }
  }

  void keep(const bool* chosen) override {
    keep_rows(kernels_, spins_.data(), problem_.ld(), rows_, problem_.num_variables(), chosen,
              states_);
  }

  void finish() override {}

 private:
  QuadraticTile<float> make_tile() {
    QuadraticTile<float> tile{};
    tile.updates = tile.coupling = problem_.couplings();
    tile.state = fields_.data();
    tile.ld = tile.block_ld = tile.spins_ld = problem_.ld();
    tile.block_step = kBlock * (problem_.ld() + 1);
    tile.spins = spins_.data();
    tile.rows = rows_;
    tile.num_variables = problem_.num_variables();
    return tile;
  }

  Int16Tile make_narrow_tile() {
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
  const float* linear_[kRows] = {};  // of each row's problem (n)
  bool narrow_ = false;              // whether the fields are in int16
  Buffer<float> fields_;             // (kRows, ld), padding -inf
  Buffer<std::int16_t> fields16_;    // (kRows, ld of couplings16)
  Buffer<float> spins_;              // (rows, ld), padding +1
};

}  // namespace

TileMaker dense_tiles(const KernelTable& kernels, const Ising& problem,
                      const AnnealOptions& options, Precision precision) {
  std::shared_ptr<const NarrowCouplings> narrow;
  if (precision == Precision::kInt16) narrow = std::make_shared<const NarrowCouplings>(problem);
  return [&, narrow] { return std::make_unique<DenseTile>(kernels, problem, options, narrow); };
}

}  // namespace qpsbgd
