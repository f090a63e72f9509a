#include "core/projection/sign.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/matrices/product.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

class SignRows final : public ProjectionRows {
 public:
  explicit SignRows(const SignProblem& problem)
      : problem_(problem),
        layer_(problem.layer()),
        targets_(kLanes * layer_.samples_ld()),
        margins_(kLanes * layer_.samples_ld()),
        spins_(kLanes * layer_.inputs_ld()),
        critical_(divide_up(layer_.samples_ld(), 64)) {
    std::fill_n(spins_.data(), spins_.size(), 1.0f);  // kernels read the padding
  }

  bool load(std::size_t first_row, std::size_t rows, const float* margins,
            const std::int8_t* states, Stop&) override {
    const std::size_t n = layer_.num_inputs();
    num_rows_ = rows;
    set_samples(first_row, rows, margins);
    for (std::size_t r = 0; r < rows; ++r) {
      layer_.kernels().elementwise.from_spins(states + r * n, n, &spins_[r * layer_.inputs_ld()]);
    }
    return true;
  }

  void descend(std::uint8_t* active) override {
    layer_.kernels().sign.descend(make_tile(), active);
  }

  bool sweep(double beta, const StreamKey* keys, Stop& stop) override {
    if (stop.poll()) return false;
    // A flip takes four times its gain off the objective.
    const float threshold = acceptance_threshold(problem_.target_scale(), 4.0, beta);
    layer_.kernels().sign.anneal(make_tile(), threshold, keys);
    return true;
  }

  void save(std::int8_t* states) const override {
    const std::size_t n = layer_.num_inputs();
    for (std::size_t r = 0; r < num_rows_; ++r) {
      layer_.kernels().elementwise.to_spins(&spins_[r * layer_.inputs_ld()], n, states + r * n);
    }
  }

 private:
  void set_samples(std::size_t first_row, std::size_t rows, const float* margins) {
    constexpr float kNever = std::numeric_limits<float>::infinity();
    const std::size_t samples = layer_.num_samples(), ld = layer_.samples_ld();
    for (std::size_t r = 0; r < rows; ++r) {
      const float* row_margins = margins + r * ld;
      const float* row_targets = layer_.targets(first_row + r);
      for (std::size_t i = 0; i < ld; ++i) {
        const float target = i < samples ? row_targets[i] * problem_.target_scale() : 0.0f;
        targets_[r * ld + i] = static_cast<std::int32_t>(target);
        margins_[r * ld + i] = targets_[r * ld + i] != 0 ? row_margins[i] + problem_.eps() : kNever;
      }
    }
  }

  SignTile make_tile() {
    return {.packed_inputs = layer_.inputs().packed(),
            .inputs_t = layer_.inputs_t(),
            .reach = problem_.reach(),
            .targets = targets_.data(),
            .margins = margins_.data(),
            .ld = layer_.samples_ld(),
            .spins = spins_.data(),
            .spins_ld = layer_.inputs_ld(),
            .rows = num_rows_,
            .num_variables = layer_.num_inputs(),
            .num_samples = layer_.num_samples(),
            .critical = critical_.data()};
  }

  const SignProblem& problem_;
  const SampleLayer& layer_;
  std::size_t num_rows_ = 0;
  Buffer<std::int32_t> targets_;  // (rows, samples_ld)
  Buffer<float> margins_;         // (rows, samples_ld), eps included
  Buffer<float> spins_;           // (rows, inputs_ld)
  Buffer<std::uint64_t> critical_;
};

}  // namespace

SignProblem::SignProblem(const SampleLayer& layer, double eps, Stop* stop)
    : layer_(layer),
      eps_(static_cast<float>(eps * layer.x_scale())),
      target_scale_(
          std::ldexp(1.0f, 30 - static_cast<int>(std::bit_width(layer.num_samples() - 1)))),
      reach_(divide_up(layer.num_inputs(), kBlock) * layer.samples_ld()) {
  const std::size_t n = layer.num_inputs(), ld = layer.samples_ld();
  parallel_for(
      divide_up(n, kBlock), layer.num_threads(),
      [&](std::size_t block, int) {
        float* reach = &reach_[block * ld];
        std::fill_n(reach, ld, 0.0f);
        const std::size_t end = std::min(n, (block + 1) * kBlock);
        for (std::size_t k = block * kBlock; k < end && !is_stopped(stop); ++k) {
          const float* x = layer.inputs_t() + k * ld;
          for (std::size_t i = 0; i < ld; ++i)
            reach[i] = std::max(reach[i], 2.0f * std::fabs(x[i]));
        }
      },
      [&] { is_stopped(stop); });
}

std::unique_ptr<ProjectionRows> SignProblem::make_rows() const {
  return std::make_unique<SignRows>(*this);
}

}  // namespace qpsbgd
