#include "core/quadratic.hpp"

#include <cstring>
#include <limits>
#include <sstream>
#include <stdexcept>

#include "core/random.hpp"

namespace qpsbgd {
namespace {

// Bounds on alpha in scaled units: fields reach N^2 / alpha and energies alpha^2 N n^2, which
// float32 holds within them for any layer that fits in memory.
constexpr double kMinAlpha = 1e-15;
constexpr double kMaxAlpha = 1e15;

double checked_alpha(const Layer& layer, double scale) {
  const double alpha = layer.alpha(scale);
  if (alpha != 0.0 && !(alpha >= kMinAlpha && alpha <= kMaxAlpha)) {
    std::ostringstream message;
    message << "scale is " << scale << ", but must lie between " << kMinAlpha / layer.alpha(1.0)
            << " and " << kMaxAlpha / layer.alpha(1.0) << " for this X and T";
    throw std::invalid_argument(message.str());
  }
  return alpha;
}

class QuadraticSolver final : public TileSolver {
 public:
  QuadraticSolver(const QuadraticProblem& problem, const Annealing& annealing)
      : problem_(problem),
        layer_(problem.layer()),
        annealing_(annealing),
        residuals_(Layer::kTileRows * layer_.num_samples()),
        fields_(Layer::kTileRows * layer_.ld()),
        spins_(Layer::kTileRows * layer_.ld()),
        scratch_(layer_.scratch_size()) {}

  void solve(std::size_t first_row, std::size_t rows, std::size_t read, const float* margins,
             std::int8_t* spins) override {
    // alpha is 0 if T, or X b0, is: every b has the same energy and the start is as good as any.
    if (problem_.alpha() == 0.0) return;
    initialise(first_row, rows, margins, spins);
    const QuadraticTile tile{.coupling = problem_.coupling(),
                             .fields = fields_.data(),
                             .spins = spins_.data(),
                             .rows = rows,
                             .num_variables = layer_.num_inputs(),
                             .ld = layer_.ld()};
    if (annealing_.descent()) {
      descend(tile);
    } else {
      anneal(tile, first_row, read);
    }
    const std::size_t n = layer_.num_inputs();
    for (std::size_t r = 0; r < rows; ++r) {
      const float* row = &spins_[r * layer_.ld()];
      for (std::size_t i = 0; i < n; ++i) spins[r * n + i] = row[i] > 0.0f ? 1 : -1;
    }
  }

 private:
  void initialise(std::size_t first_row, std::size_t rows, const float* margins,
                  const std::int8_t* spins) {
    const std::size_t n = layer_.num_inputs(), samples = layer_.num_samples(), ld = layer_.ld();
    const double inverse = 1.0 / problem_.alpha();
    const float* targets = layer_.targets(first_row);
    for (std::size_t i = 0; i < rows * samples; ++i) {
      residuals_[i] = static_cast<float>(margins[i] - targets[i] * inverse);
    }
    layer_.times_inputs(residuals_.data(), rows, fields_.data(), ld, scratch_.data());
    for (std::size_t r = 0; r < rows; ++r) {
      float* field = &fields_[r * ld];
      float* spin = &spins_[r * ld];
      for (std::size_t i = 0; i < n; ++i) {
        spin[i] = spins[r * n + i];
        field[i] -= problem_.diagonal(i) * spin[i];
      }
      for (std::size_t i = n; i < ld; ++i) {
        spin[i] = 1.0f;
        field[i] = -std::numeric_limits<float>::infinity();
      }
    }
  }

  void descend(const QuadraticTile& tile) const {
    std::uint8_t active[Layer::kTileRows];
    std::memset(active, 1, tile.rows);
    for (std::size_t sweep = 0; sweep < annealing_.num_sweeps; ++sweep) {
      layer_.kernels().quadratic_descent(tile, active);
      if (std::memchr(active, 1, tile.rows) == nullptr) return;  // all at a local minimum
    }
  }

  void anneal(const QuadraticTile& tile, std::size_t first_row, std::size_t read) const {
    StreamKey keys[Layer::kTileRows];
    const double alpha2 = problem_.alpha() * problem_.alpha();
    for (std::size_t sweep = 0; sweep < annealing_.num_sweeps; ++sweep) {
      for (std::size_t r = 0; r < tile.rows; ++r) {
        keys[r] = stream_key(annealing_.seed, first_row + r, read, sweep);
      }
      const double threshold = 1.0 / (4.0 * alpha2 * annealing_.betas[sweep]);
      layer_.kernels().quadratic_anneal(tile, static_cast<float>(threshold), keys);
    }
  }

  const QuadraticProblem& problem_;
  const Layer& layer_;
  const Annealing& annealing_;
  Buffer<float> residuals_;  // (rows, N)
  Buffer<float> fields_;     // (rows, ld)
  Buffer<float> spins_;      // (rows, ld)
  Buffer<float> scratch_;
};

}  // namespace

QuadraticProblem::QuadraticProblem(const Layer& layer, double scale)
    : layer_(layer),
      alpha_(checked_alpha(layer, scale)),
      coupling_(layer.gram()),
      diagonal_(layer.num_inputs()) {
  for (std::size_t i = 0; i < layer.num_inputs(); ++i) {
    float& on_diagonal = coupling_[i * layer.ld() + i];
    diagonal_[i] = on_diagonal;
    on_diagonal = 0.0f;
  }
}

std::unique_ptr<TileSolver> QuadraticProblem::make_solver(const Annealing& annealing) const {
  return std::make_unique<QuadraticSolver>(*this, annealing);
}

}  // namespace qpsbgd
