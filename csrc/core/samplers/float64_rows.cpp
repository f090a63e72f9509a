#include <algorithm>
#include <utility>

#include "core/state/read_tile.hpp"

namespace qpsbgd {
namespace {

// Reads of dense problems with fields in float64.
class WideDenseTile final : public ReadTile {
 public:
  WideDenseTile(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
                std::shared_ptr<const Buffer<double>> couplings)
      : kernels_(kernels),
        problem_(problem),
        options_(options),
        couplings_(std::move(couplings)),
        linear_(kLanes * problem.ld()),
        fields_(kLanes * problem.ld()),
        spins_(kLanes * problem.ld()) {}

  bool start(std::int8_t* states, std::size_t rows, const std::size_t* problems,
             Stop& stop) override {
    states_ = states;
    rows_ = rows;
    const std::size_t n = problem_.num_variables(), ld = problem_.ld();
    std::fill_n(spins_.data(), spins_.size(), 1.0);
    for (std::size_t r = 0; r < rows; ++r) {
      const double* linear = problem_.linear64(problems[r]);
      for (std::size_t i = 0; i < n; ++i) linear_[r * ld + i] = problem_.scale() * linear[i];
      std::copy_n(states + r * n, n, &spins_[r * ld]);
    }
    return refresh(stop);
  }

  bool refresh(Stop& stop) override {
    if (stop.poll()) return false;
    const double* linear[kLanes];
    for (std::size_t r = 0; r < rows_; ++r) linear[r] = &linear_[r * problem_.ld()];
    kernels_.quadratic.of<double>().set_state(make_tile(), linear);
    return true;
  }

  bool sweep(double beta, const StreamKey* keys, const StreamKey* order, Stop& stop) override {
    if (stop.poll()) return false;
    const float heat = threshold(problem_, beta);
    if (options_.random_order) {
      kernels_.quadratic.of<double>().anneal_random(make_tile(), options_.acceptance, heat, keys,
                                                    order);
    } else {
      kernels_.quadratic.of<double>().anneal(make_tile(), options_.acceptance, heat, keys);
    }
    return true;
  }

  void energies(double* out) override {
    const std::size_t ld = problem_.ld();
    for (std::size_t r = 0; r < rows_; ++r) {
      out[r] = kernels_.energies.of<double>().energy_of_fields(
          &fields_[r * ld], &linear_[r * ld], &spins_[r * ld], problem_.num_variables());
    }
  }

  void keep(const bool* chosen) override {
    const std::size_t n = problem_.num_variables();
    for (std::size_t r = 0; r < rows_; ++r) {
      if (!chosen[r]) continue;
      const double* spins = &spins_[r * problem_.ld()];
      for (std::size_t i = 0; i < n; ++i) states_[r * n + i] = spins[i] > 0.0 ? 1 : -1;
    }
  }

  void finish() override {}

 private:
  QuadraticTile<double> make_tile() {
    const std::size_t ld = problem_.ld();
    return {.updates = couplings_->data(),
            .state = fields_.data(),
            .ld = ld,
            .coupling = couplings_->data(),
            .block_step = kBlock * (ld + 1),
            .block_ld = ld,
            .packed_inputs = nullptr,
            .diagonal = nullptr,
            .linear = nullptr,
            .num_samples = 0,
            .spins = spins_.data(),
            .spins_ld = ld,
            .rows = rows_,
            .num_variables = problem_.num_variables()};
  }

  const KernelTable& kernels_;
  const Ising& problem_;
  const AnnealOptions& options_;
  const std::shared_ptr<const Buffer<double>> couplings_;  // (n, ld)
  std::int8_t* states_ = nullptr;
  std::size_t rows_ = 0;
  Buffer<double> linear_;  // (kLanes, ld)
  Buffer<double> fields_;  // (kLanes, ld), padding -inf
  Buffer<double> spins_;   // (kLanes, ld), padding +1
};

}  // namespace

TileMaker wide_dense_tiles(const KernelTable& kernels, const Ising& problem,
                           const AnnealOptions& options) {
  const std::size_t n = problem.num_variables(), ld = problem.ld();
  auto couplings = std::make_shared<Buffer<double>>(n * ld);
  for (std::size_t i = 0; i < n; ++i) problem.scaled_row(i, ld, couplings->data() + i * ld);
  return [&, couplings = std::shared_ptr<const Buffer<double>>(std::move(couplings))] {
    return std::make_unique<WideDenseTile>(kernels, problem, options, couplings);
  };
}

}  // namespace qpsbgd
