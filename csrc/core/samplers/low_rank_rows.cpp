#include <algorithm>

#include "core/state/read_tile.hpp"

namespace qpsbgd {
namespace {

// Reads whose fields are made, a block of variables at a time, of residuals A s.
class LowRankTile final : public ReadTile {
 public:
  LowRankTile(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options)
      : kernels_(kernels),
        problem_(problem),
        options_(options),
        residuals_(kLanes * problem.inputs().samples_ld()),
        spins_(kLanes * problem.ld()) {
    for (std::size_t i = 0; i < problem.num_variables(); ++i) trace_ += problem.diagonal()[i];
  }

  bool start(std::int8_t* states, std::size_t rows, const std::size_t* problems,
             Stop& stop) override {
    states_ = states;
    rows_ = rows;
    const std::size_t n = problem_.num_variables(), ld = problem_.ld();
    std::fill_n(spins_.data(), spins_.size(), 1.0f);
    for (std::size_t r = 0; r < rows; ++r) {
      linear_[r] = problem_.linear(problems[r]);
      kernels_.elementwise.from_spins(states + r * n, n, &spins_[r * ld]);
    }
    return refresh(stop);
  }

  bool refresh(Stop& stop) override {
    if (stop.poll()) return false;
    kernels_.quadratic.of<float>().set_state(make_tile(), linear_);
    return true;
  }

  bool sweep(double beta, const StreamKey* keys, const StreamKey*, Stop& stop) override {
    if (stop.poll()) return false;
    const float heat = threshold(problem_, beta);
    if (rows_ < kLanesFrom) {
      kernels_.quadratic.of<float>().anneal(make_tile(), options_.acceptance, heat, keys);
    } else {
      kernels_.rows.anneal(make_tile(), 0, options_.acceptance, heat, keys);
    }
    return true;
  }

  // h.s + (|A s|^2 - trace) / 2
  void energies(double* out) override {
    const std::size_t samples = problem_.inputs().num_samples();
    for (std::size_t r = 0; r < rows_; ++r) {
      const float* residual = &residuals_[r * problem_.inputs().samples_ld()];
      const double linear = kernels_.energies.of<float>().energy_of_fields(
          linear_[r], linear_[r], &spins_[r * problem_.ld()], problem_.num_variables());
      const double norm2 =
          kernels_.energies.of<float>().energy_of_fields(residual, residual, residual, samples);
      out[r] = linear + 0.5 * (norm2 - trace_);
    }
  }

  void keep(const bool* chosen) override {
    keep_rows(kernels_, spins_.data(), problem_.ld(), rows_, problem_.num_variables(), chosen,
              states_);
  }

  void finish() override {}

 private:
  QuadraticTile<float> make_tile() {
    return {.updates = problem_.inputs().transposed(),
            .state = residuals_.data(),
            .ld = problem_.inputs().samples_ld(),
            .coupling = problem_.couplings(),
            .block_step = kBlock * kBlock,
            .block_ld = kBlock,
            .packed_inputs = problem_.inputs().packed(),
            .diagonal = problem_.diagonal(),
            .linear = linear_,
            .num_samples = problem_.inputs().num_samples(),
            .spins = spins_.data(),
            .spins_ld = problem_.ld(),
            .rows = rows_,
            .num_variables = problem_.num_variables()};
  }

  const KernelTable& kernels_;
  const Ising& problem_;
  const AnnealOptions& options_;
  double trace_ = 0.0;
  std::int8_t* states_ = nullptr;
  std::size_t rows_ = 0;
  const float* linear_[kLanes] = {};  // of each row's problem (n)
  Buffer<float> residuals_;           // (kLanes, samples_ld), padding 0
  Buffer<float> spins_;               // (kLanes, ld), padding +1
};

}  // namespace

TileMaker low_rank_tiles(const KernelTable& kernels, const Ising& problem,
                         const AnnealOptions& options) {
  return [&] { return std::make_unique<LowRankTile>(kernels, problem, options); };
}

}  // namespace qpsbgd
