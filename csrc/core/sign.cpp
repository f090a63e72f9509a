#include "core/sign.hpp"

#include <algorithm>

#include "core/random.hpp"

namespace qpsbgd {
namespace {

class SignSolver final : public TileSolver {
 public:
  SignSolver(const Layer& layer, double eps, const Annealing& annealing)
      : layer_(layer),
        annealing_(annealing),
        eps_(static_cast<float>(eps * layer.x_scale())),
        targets_(layer.num_samples() * kLanes),
        margins_(layer.num_samples() * kLanes),
        spins_(layer.num_inputs() * kLanes) {}

  // Lanes without a neuron have targets 0, which no flip improves.
  void solve(std::size_t first_row, std::size_t rows, std::size_t read, const float* margins,
             std::int8_t* spins, Stop& stop) override {
    const std::size_t n = layer_.num_inputs(), samples = layer_.num_samples();
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const bool used = lane < rows;
      const float* targets = used ? layer_.targets(first_row + lane) : nullptr;
      for (std::size_t i = 0; i < samples; ++i) {
        targets_[i * kLanes + lane] = used ? targets[i] : 0.0f;
        margins_[i * kLanes + lane] =
            (used ? margins[lane * layer_.samples_ld() + i] : 0.0f) + eps_;
      }
      for (std::size_t k = 0; k < n; ++k) {
        spins_[k * kLanes + lane] = used ? spins[lane * n + k] : 1.0f;
      }
    }
    alignas(64) float scores[kLanes];
    const SignTile tile{.inputs_t = layer_.inputs_t(),
                        .inputs_ld = layer_.samples_ld(),
                        .targets = targets_.data(),
                        .margins = margins_.data(),
                        .spins = spins_.data(),
                        .scores = scores,
                        .num_variables = n,
                        .num_samples = samples};
    layer_.kernels().sign_scores(tile);
    for (std::size_t sweep = 0; sweep < annealing_.num_sweeps && !stop.poll(); ++sweep) {
      if (annealing_.descent()) {
        if (layer_.kernels().sign_descent(tile) == 0) break;  // all at a local maximum
      } else {
        StreamKey keys[kLanes];
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          keys[lane] = stream_key(annealing_.seed, first_row + lane, read, sweep);
        }
        const double threshold = 1.0 / (2.0 * annealing_.betas[sweep]);
        layer_.kernels().sign_anneal(tile, static_cast<float>(threshold), keys);
      }
    }
    for (std::size_t lane = 0; lane < rows; ++lane) {
      for (std::size_t k = 0; k < n; ++k) {
        spins[lane * n + k] = spins_[k * kLanes + lane] > 0.0f ? 1 : -1;
      }
    }
  }

 private:
  const Layer& layer_;
  const Annealing& annealing_;
  float eps_;
  Buffer<float> targets_;  // (N, kLanes)
  Buffer<float> margins_;  // (N, kLanes), eps included
  Buffer<float> spins_;    // (n, kLanes)
};

}  // namespace

std::unique_ptr<TileSolver> make_sign_solver(const Layer& layer, double eps,
                                             const Annealing& annealing) {
  return std::make_unique<SignSolver>(layer, eps, annealing);
}

}  // namespace qpsbgd
