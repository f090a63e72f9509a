#include <algorithm>
#include <memory>
#include <utility>

#include "core/samplers/read_rows.hpp"
#include "core/support/streams.hpp"

namespace qpsbgd {
namespace {

// Reads of dense problems with fields in float64.
class Float64Rows final : public ReadRows {
 public:
  Float64Rows(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
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
    return refresh_fields(stop);
  }

  bool refresh_fields(Stop& stop) override {
    if (stop.poll()) return false;
    const double* linear[kLanes];
    for (std::size_t r = 0; r < rows_; ++r) linear[r] = &linear_[r * problem_.ld()];
    kernels_.wide_fields(make_tile(), linear);
    return true;
  }

  bool sweep(double beta, const StreamKey* keys, Stop& stop) override {
    if (stop.poll()) return false;
    const float threshold = threshold_of(problem_, beta);
    if (options_.random_order) {
      StreamKey order[kLanes];
      std::transform(keys, keys + kLanes, order, order_key);
      kernels_.wide_anneal_random(make_tile(), options_.acceptance, threshold, keys, order);
    } else {
      kernels_.wide_anneal(make_tile(), options_.acceptance, threshold, keys);
    }
    return true;
  }

  void energies(double* out) override {
    const std::size_t ld = problem_.ld();
    for (std::size_t r = 0; r < rows_; ++r) {
      out[r] = kernels_.wide_energy(&fields_[r * ld], &linear_[r * ld], &spins_[r * ld],
                                    problem_.num_variables());
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

 private:
  WideTile make_tile() {
    return {.couplings = couplings_->data(),
            .fields = fields_.data(),
            .spins = spins_.data(),
            .ld = problem_.ld(),
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
