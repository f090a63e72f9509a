#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "core/samplers/read_rows.hpp"
#include "core/state/spin_rows.hpp"

namespace qpsbgd {
namespace {

// The bound on fields in int16 between blocks. See kernels/int16_flips.hpp.
constexpr float kNarrowFields = 1 << 14;

// The couplings of a dense problem in the layout of Int16Tile.
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

// Reads of problems whose couplings are one matrix, or one factor. Fields of a matrix are float32,
// or int16 where narrow couplings are given and the fields fit.
class DenseRows final : public ReadRows {
 public:
  DenseRows(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
            const RowCouplings<float>& couplings, std::shared_ptr<const NarrowCouplings> narrow)
      : kernels_(kernels),
        problem_(problem),
        options_(options),
        narrow_couplings_(std::move(narrow)),
        rows_(kernels, couplings, kLanes),
        fields16_(narrow_couplings_ ? kLanes * narrow_couplings_->ld : 0) {}

  bool start(std::int8_t* states, std::size_t rows, const std::size_t* problems,
             Stop& stop) override {
    states_ = states;
    rows_.set_spins(states, rows);
    for (std::size_t r = 0; r < rows; ++r) rows_.set_linear(r, problem_.linear(problems[r]));
    return refresh_fields(stop);
  }

  bool refresh_fields(Stop& stop) override {
    if (stop.poll()) return false;
    rows_.compute_state();
    const bool wanted = rows_.num_rows() >= kMinLaneRows || options_.precision;
    is_narrow_ = narrow_couplings_ && wanted && narrow_fields();
    return true;
  }

  bool sweep(double beta, const StreamKey* keys, Stop& stop) override {
    if (stop.poll()) return false;
    const float threshold = threshold_of(problem_, beta);
    if (options_.random_order) {
      rows_.anneal_in_random_order(options_.acceptance, threshold, keys);
      return true;
    }
    std::size_t first = 0;
    if (is_narrow_) {
      first =
          kernels_.rows.anneal_int16(make_narrow_tile(), 0, options_.acceptance, threshold, keys);
      if (first == kSweepDone) return true;
      // A field left int16's range: the sweep goes on in float32.
      widen_fields();
      is_narrow_ = false;
    }
    rows_.anneal(options_.acceptance, threshold, keys, first);
    return true;
  }

  void energies(double* out) override {
    if (is_narrow_) widen_fields();
    for (std::size_t r = 0; r < rows_.num_rows(); ++r) out[r] = rows_.energy(r);
  }

  void keep(const bool* chosen) override {
    for (std::size_t r = 0; r < rows_.num_rows(); ++r) {
      if (chosen[r]) rows_.copy_spins(r, states_ + r * rows_.num_variables());
    }
  }

 private:
  Int16Tile make_narrow_tile() {
    return {.twice = narrow_couplings_->twice.data(),
            .fields = fields16_.data(),
            .ld = narrow_couplings_->ld,
            .columns = narrow_couplings_->columns,
            .unit = static_cast<float>(problem_.unit()),
            .coupling = problem_.couplings(),
            .block_step = kBlock * (problem_.ld() + 1),
            .block_ld = problem_.ld(),
            .spins = rows_.spins(0),
            .spins_ld = rows_.ld(),
            .rows = rows_.num_rows(),
            .num_variables = rows_.num_variables()};
  }

  // Converts the fields to int16. Returns false if they are too large.
  bool narrow_fields() {
    const float scale = static_cast<float>(1.0 / problem_.unit());
    const std::size_t n = rows_.num_variables();
    for (std::size_t r = 0; r < rows_.num_rows(); ++r) {
      const float* fields = rows_.state(r);
      std::int16_t* out = &fields16_[r * narrow_couplings_->ld];
      for (std::size_t i = 0; i < n; ++i) {
        const float field = scale * fields[i];
        if (std::fabs(field) >= kNarrowFields) return false;
        out[i] = static_cast<std::int16_t>(field);
      }
      std::fill(out + n, out + narrow_couplings_->ld, std::int16_t{0});
    }
    return true;
  }

  void widen_fields() {
    const float unit = static_cast<float>(problem_.unit());
    for (std::size_t r = 0; r < rows_.num_rows(); ++r) {
      const std::int16_t* from = &fields16_[r * narrow_couplings_->ld];
      float* to = rows_.state(r);
      for (std::size_t i = 0; i < rows_.num_variables(); ++i) {
        to[i] = unit * static_cast<float>(from[i]);
      }
    }
  }

  const KernelTable& kernels_;
  const Ising& problem_;
  const AnnealOptions& options_;
  const std::shared_ptr<const NarrowCouplings> narrow_couplings_;  // or null
  SpinRows<float> rows_;
  bool is_narrow_ = false;         // whether the current fields are fields16_
  Buffer<std::int16_t> fields16_;  // (kLanes, narrow ld)
  std::int8_t* states_ = nullptr;
};

}  // namespace

RowsMaker dense_rows(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
                     Precision precision) {
  std::shared_ptr<const NarrowCouplings> narrow;
  if (precision == Precision::kInt16) narrow = std::make_shared<const NarrowCouplings>(problem);
  return [&, narrow] {
    const RowCouplings<float> couplings =
        matrix_couplings(problem.couplings(), problem.num_variables());
    return std::make_unique<DenseRows>(kernels, problem, options, couplings, narrow);
  };
}

RowsMaker low_rank_rows(const KernelTable& kernels, const Ising& problem,
                        const AnnealOptions& options) {
  return [&] {
    const RowCouplings<float> couplings =
        factor_couplings(problem.inputs(), problem.couplings(), problem.diagonal());
    return std::make_unique<DenseRows>(kernels, problem, options, couplings, nullptr);
  };
}

}  // namespace qpsbgd
