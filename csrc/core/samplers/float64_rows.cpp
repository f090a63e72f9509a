#include <algorithm>
#include <memory>
#include <utility>

#include "core/samplers/read_rows.hpp"
#include "core/state/spin_rows.hpp"

namespace qpsbgd {
namespace {

// Reads of dense problems with fields in float64.
class Float64Rows final : public ReadRows {
 public:
  Float64Rows(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
              std::shared_ptr<const Buffer<double>> couplings)
      : problem_(problem),
        options_(options),
        couplings_(std::move(couplings)),
        rows_(kernels, matrix_couplings(couplings_->data(), problem.num_variables()), kLanes),
        linear_(kLanes * problem.ld()) {}

  bool start(std::int8_t* states, std::size_t rows, const std::size_t* problems,
             Stop& stop) override {
    states_ = states;
    rows_.set_spins(states, rows);
    const std::size_t n = problem_.num_variables();
    for (std::size_t r = 0; r < rows; ++r) {
      const double* from = problem_.linear64(problems[r]);
      double* linear = &linear_[r * problem_.ld()];
      for (std::size_t i = 0; i < n; ++i) linear[i] = problem_.scale() * from[i];
      rows_.set_linear(r, linear);
    }
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

  void energies(double* out) override {
    for (std::size_t r = 0; r < rows_.num_rows(); ++r) out[r] = rows_.energy(r);
  }

  void keep(const bool* chosen) override {
    for (std::size_t r = 0; r < rows_.num_rows(); ++r) {
      if (chosen[r]) rows_.copy_spins(r, states_ + r * rows_.num_variables());
    }
  }

 private:
  const Ising& problem_;
  const AnnealOptions& options_;
  const std::shared_ptr<const Buffer<double>> couplings_;  // (n, ld), scaled
  SpinRows<double> rows_;
  Buffer<double> linear_;  // (kLanes, ld), scaled
  std::int8_t* states_ = nullptr;
};

}  // namespace

RowsMaker float64_rows(const KernelTable& kernels, const Ising& problem,
                       const AnnealOptions& options) {
  const std::size_t n = problem.num_variables(), ld = problem.ld();
  auto couplings = std::make_shared<Buffer<double>>(n * ld);
  for (std::size_t i = 0; i < n; ++i) problem.scaled_row(i, ld, couplings->data() + i * ld);
  return [&, couplings = std::shared_ptr<const Buffer<double>>(std::move(couplings))] {
    return std::make_unique<Float64Rows>(kernels, problem, options, couplings);
  };
}

}  // namespace qpsbgd
