#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "core/annealing/read_rows.hpp"
#include "core/state/spin_rows.hpp"

namespace qpsbgd {
namespace {

// The bound on fields in int16 between blocks. See kernels/dense/int16_flips.hpp.
constexpr float kNarrowFields = 1 << 14;

// Returns the leading dimension of rows that fill an odd number of cache lines. With a power of two
// the rows would share few of a cache's sets.
template <class Value>
std::size_t odd_lines(std::size_t columns) {
  constexpr std::size_t kLine = 64 / sizeof(Value);
  return (divide_up(columns, kLine) | 1) * kLine;
}

// The couplings of a dense problem in the layout of Int16Tile.
struct NarrowCouplings {
  explicit NarrowCouplings(const Ising& problem)
      : columns(round_up(problem.num_variables(), 2 * kLanes)),
        ld(odd_lines<std::int8_t>(columns)),
        fields_ld(odd_lines<std::int16_t>(columns)),
        values(problem.num_variables() * ld) {
    const auto scale = static_cast<float>(1.0 / problem.unit());
    for (std::size_t i = 0; i < problem.num_variables(); ++i) {
      const float* row = problem.couplings() + i * problem.ld();
      std::int8_t* out = values.data() + i * ld;
      // Local, because a store of bytes may alias anything that is read through a reference.
      const std::size_t count = problem.ld();
      for (std::size_t j = 0; j < count; ++j) out[j] = static_cast<std::int8_t>(scale * row[j]);
      std::fill(out + count, out + ld, std::int8_t{0});
    }
  }

  std::size_t columns, ld, fields_ld;
  Buffer<std::int8_t> values;  // (n, ld)
};

// Reads of problems whose couplings are one matrix, or one factor.
template <class Value>
class DenseRows : public ReadRows {
 public:
  DenseRows(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
            const RowCouplings<Value>& couplings)
      : problem_(problem), options_(options), rows_(kernels, couplings, kLanes) {}

  bool start(std::int8_t* states, std::size_t rows, std::size_t, const std::size_t* problems,
             Stop& stop) override {
    states_ = states;
    rows_.set_spins(states, rows);
    for (std::size_t r = 0; r < rows; ++r) rows_.set_linear(r, linear_of(r, problems[r]));
    return refresh_fields(stop);
  }

  bool refresh_fields(Stop& stop) override {
    if (stop.poll()) return false;
    rows_.compute_state();
    return true;
  }

  bool sweep(double beta, const StreamKey* keys, Stop& stop) override {
    if (stop.poll()) return false;
    const float threshold = threshold_of(problem_, beta);
    if (options_.random_order) {
      rows_.anneal_in_random_order(options_.acceptance, threshold, keys);
    } else {
      rows_.anneal(options_.acceptance, threshold, keys);
    }
    return true;
  }

  bool sweep_each(const double* betas, const StreamKey* keys, Stop& stop) override {
    if (stop.poll()) return false;
    const LaneThresholds thresholds(problem_, betas, rows_.num_rows());
    rows_.anneal_each(options_.acceptance, thresholds.values, keys);
    return true;
  }

  void copy_state(std::size_t row, std::int8_t* out) const override { rows_.copy_spins(row, out); }

  void energies(double* out) override {
    for (std::size_t r = 0; r < rows_.num_rows(); ++r) out[r] = rows_.energy(r);
  }

  void keep(const bool* chosen) override {
    for (std::size_t r = 0; r < rows_.num_rows(); ++r) {
      if (chosen[r]) rows_.copy_spins(r, states_ + r * rows_.num_variables());
    }
  }

 protected:
  // Returns the scaled h (n) of a row that belongs to a problem.
  virtual const Value* linear_of(std::size_t row, std::size_t problem) = 0;

  const Ising& problem_;
  const AnnealOptions& options_;
  SpinRows<Value> rows_;

 private:
  std::int8_t* states_ = nullptr;
};

class Float32Rows : public DenseRows<float> {
 public:
  using DenseRows::DenseRows;

 protected:
  const float* linear_of(std::size_t, std::size_t problem) override {
    return problem_.linear(problem);
  }
};

class Float64Rows final : public DenseRows<double> {
 public:
  Float64Rows(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
              std::shared_ptr<const Buffer<double>> couplings)
      : DenseRows(kernels, problem, options,
                  matrix_couplings(couplings->data(), problem.num_variables())),
        couplings_(std::move(couplings)),
        linear_(kLanes * problem.ld()) {}

 protected:
  const double* linear_of(std::size_t row, std::size_t problem) override {
    const double* from = problem_.linear64(problem);
    double* linear = &linear_[row * problem_.ld()];
    for (std::size_t i = 0; i < problem_.num_variables(); ++i) {
      linear[i] = problem_.scale() * from[i];
    }
    return linear;
  }

 private:
  const std::shared_ptr<const Buffer<double>> couplings_;  // (n, ld), scaled
  Buffer<double> linear_;                                  // (kLanes, ld), scaled
};

// Reads whose fields are int16 as long as they fit, and float32 from then on until the next
// refresh.
class Int16Rows final : public Float32Rows {
 public:
  Int16Rows(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
            std::shared_ptr<const NarrowCouplings> narrow)
      : Float32Rows(kernels, problem, options,
                    matrix_couplings(problem.couplings(), problem.num_variables())),
        kernels_(kernels),
        narrow_couplings_(std::move(narrow)),
        fields16_(kLanes * narrow_couplings_->fields_ld) {}

  bool refresh_fields(Stop& stop) override {
    if (!Float32Rows::refresh_fields(stop)) return false;
    const bool is_wanted = rows_.num_rows() >= kMinLaneRows || options_.precision;
    is_narrow_ = is_wanted && narrow_fields();
    return true;
  }

  bool sweep(double beta, const StreamKey* keys, Stop& stop) override {
    if (!is_narrow_) return Float32Rows::sweep(beta, keys, stop);
    if (stop.poll()) return false;
    const float threshold = threshold_of(problem_, beta);
    const std::size_t next =
        kernels_.rows.anneal_int16(make_narrow_tile(), 0, options_.acceptance, threshold, keys);
    if (must_widen(next)) rows_.anneal(options_.acceptance, threshold, keys, next);
    return true;
  }

  bool sweep_each(const double* betas, const StreamKey* keys, Stop& stop) override {
    if (!is_narrow_) return Float32Rows::sweep_each(betas, keys, stop);
    if (stop.poll()) return false;
    const LaneThresholds thresholds(problem_, betas, rows_.num_rows());
    const std::size_t next = kernels_.rows.anneal_each_int16(
        make_narrow_tile(), 0, options_.acceptance, thresholds.values, keys);
    if (must_widen(next)) rows_.anneal_each(options_.acceptance, thresholds.values, keys, next);
    return true;
  }

  void energies(double* out) override {
    if (is_narrow_) widen_fields();
    Float32Rows::energies(out);
  }

 private:
  Int16Tile make_narrow_tile() {
    return {.updates = narrow_couplings_->values.data(),
            .updates_ld = narrow_couplings_->ld,
            .fields = fields16_.data(),
            .ld = narrow_couplings_->fields_ld,
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

  // Returns whether a sweep in int16, which ended at variable `next`, must go on in float32 because
  // a field left the range of int16. The fields are then float32.
  bool must_widen(std::size_t next) {
    if (next == kSweepDone) return false;
    widen_fields();
    is_narrow_ = false;
    return true;
  }

  // Converts the fields to int16. Returns false if they are too large.
  bool narrow_fields() {
    const float scale = static_cast<float>(1.0 / problem_.unit());
    const std::size_t n = rows_.num_variables();
    for (std::size_t r = 0; r < rows_.num_rows(); ++r) {
      const float* fields = rows_.state(r);
      std::int16_t* out = &fields16_[r * narrow_couplings_->fields_ld];
      for (std::size_t i = 0; i < n; ++i) {
        const float field = scale * fields[i];
        if (std::fabs(field) >= kNarrowFields) return false;
        out[i] = static_cast<std::int16_t>(field);
      }
      std::fill(out + n, out + narrow_couplings_->fields_ld, std::int16_t{0});
    }
    return true;
  }

  void widen_fields() {
    const float unit = static_cast<float>(problem_.unit());
    for (std::size_t r = 0; r < rows_.num_rows(); ++r) {
      const std::int16_t* from = &fields16_[r * narrow_couplings_->fields_ld];
      float* to = rows_.state(r);
      for (std::size_t i = 0; i < rows_.num_variables(); ++i) {
        to[i] = unit * static_cast<float>(from[i]);
      }
    }
  }

  const KernelTable& kernels_;
  const std::shared_ptr<const NarrowCouplings> narrow_couplings_;
  bool is_narrow_ = false;         // whether the current fields are fields16_
  Buffer<std::int16_t> fields16_;  // (kLanes, fields_ld)
};

}  // namespace

RowsMaker dense_rows(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
                     Precision precision) {
  if (precision == Precision::kInt16) {
    return [&, narrow = std::make_shared<const NarrowCouplings>(problem)] {
      return std::make_unique<Int16Rows>(kernels, problem, options, narrow);
    };
  }
  if (precision == Precision::kFloat32) {
    return [&] {
      return std::make_unique<Float32Rows>(
          kernels, problem, options,
          matrix_couplings(problem.couplings(), problem.num_variables()));
    };
  }
  const std::size_t n = problem.num_variables(), ld = problem.ld();
  const auto couplings = std::make_shared<Buffer<double>>(n * ld);
  for (std::size_t i = 0; i < n; ++i) problem.scaled_row(i, ld, couplings->data() + i * ld);
  return [&, couplings] {
    return std::make_unique<Float64Rows>(kernels, problem, options, couplings);
  };
}

RowsMaker low_rank_rows(const KernelTable& kernels, const Ising& problem,
                        const AnnealOptions& options) {
  return [&] {
    return std::make_unique<Float32Rows>(
        kernels, problem, options,
        factor_couplings(problem.inputs(), problem.couplings(), problem.diagonal()));
  };
}

}  // namespace qpsbgd
