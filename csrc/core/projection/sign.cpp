#include "core/projection/sign.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/support/parallel.hpp"
#include "core/support/product.hpp"

namespace qpsbgd {
namespace {

class SignSolver final : public TileSolver {
 public:
  SignSolver(const SignProblem& problem, const Annealing& annealing)
      : problem_(problem),
        layer_(problem.layer()),
        annealing_(annealing),
        targets_(kLanes * layer_.samples_ld()),
        margins_(kLanes * layer_.samples_ld()),
        spins_(kLanes * layer_.inputs_ld()),
        critical_(divide_up(layer_.samples_ld(), 64)) {
    std::fill_n(spins_.data(), spins_.size(), 1.0f);  // kernels read the padding
  }

  void solve(std::size_t first_row, std::size_t rows, std::size_t read, const float* margins,
             std::int8_t* spins, Stop& stop) override {
    const std::size_t n = layer_.num_inputs();
    set_samples(first_row, rows, margins);
    for (std::size_t r = 0; r < rows; ++r) {
      layer_.kernels().elementwise.from_spins(spins + r * n, n, &spins_[r * layer_.inputs_ld()]);
    }
    const SignTile tile = make_tile(rows);
    if (annealing_.descent()) {
      descend(tile, stop);
    } else {
      anneal(tile, first_row, read, stop);
    }
    for (std::size_t r = 0; r < rows; ++r) {
      layer_.kernels().elementwise.to_spins(&spins_[r * layer_.inputs_ld()], n, spins + r * n);
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

  SignTile make_tile(std::size_t rows) {
    return {.packed_inputs = layer_.inputs().packed(),
            .inputs_t = layer_.inputs_t(),
            .reach = problem_.reach(),
            .targets = targets_.data(),
            .margins = margins_.data(),
            .ld = layer_.samples_ld(),
            .spins = spins_.data(),
            .spins_ld = layer_.inputs_ld(),
            .rows = rows,
            .num_variables = layer_.num_inputs(),
            .num_samples = layer_.num_samples(),
            .critical = critical_.data()};
  }

  void descend(const SignTile& tile, Stop& stop) const {
    std::uint8_t active[kLanes];
    std::memset(active, 1, tile.rows);
    for (std::size_t sweep = 0; sweep < annealing_.num_sweeps && !stop.poll(); ++sweep) {
      layer_.kernels().sign.descend(tile, active);
      if (std::memchr(active, 1, tile.rows) == nullptr) return;  // all at a local maximum
    }
  }

  void anneal(const SignTile& tile, std::size_t first_row, std::size_t read, Stop& stop) const {
    StreamKey keys[kLanes];
    for (std::size_t sweep = 0; sweep < annealing_.num_sweeps && !stop.poll(); ++sweep) {
      for (std::size_t r = 0; r < tile.rows; ++r) {
        keys[r] = layer_.stream(annealing_.seed, first_row + r, read, sweep);
      }
      // A flip takes four times its gain off the objective.
      const double threshold = problem_.target_scale() / (4.0 * annealing_.betas[sweep]);
      layer_.kernels().sign.anneal(tile, static_cast<float>(threshold), keys);
    }
  }

  const SignProblem& problem_;
  const SampleLayer& layer_;
  const Annealing& annealing_;
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

std::unique_ptr<TileSolver> SignProblem::make_solver(const Annealing& annealing) const {
  return std::make_unique<SignSolver>(*this, annealing);
}

}  // namespace qpsbgd
