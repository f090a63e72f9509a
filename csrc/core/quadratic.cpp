#include "core/quadratic.hpp"

#include <algorithm>
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
  using Form = QuadraticProblem::Form;

  QuadraticSolver(const QuadraticProblem& problem, const Annealing& annealing)
      : problem_(problem),
        layer_(problem.layer()),
        annealing_(annealing),
        residuals_(Layer::kTileRows * layer_.samples_ld()),
        fields_(problem.form() == Form::kFields ? Layer::kTileRows * layer_.inputs_ld() : 0),
        spins_(Layer::kTileRows * layer_.inputs_ld()) {}

  void solve(std::size_t first_row, std::size_t rows, std::size_t read, const float* margins,
             std::int8_t* spins, Stop& stop) override {
    // alpha is 0 if T, or X b0, is: every b has the same energy and the start is as good as any.
    if (problem_.alpha() == 0.0) return;
    set_spins(rows, spins);
    set_residuals(first_row, rows, margins);
    if (problem_.form() == Form::kFields) set_fields(rows);
    const QuadraticTile tile = make_tile(rows);
    if (annealing_.descent()) {
      descend(tile, stop);
    } else {
      anneal(tile, first_row, read, stop);
    }
    const std::size_t n = layer_.num_inputs();
    for (std::size_t r = 0; r < rows; ++r) {
      layer_.kernels().to_spins(&spins_[r * layer_.inputs_ld()], n, spins + r * n);
    }
  }

 private:
  QuadraticTile make_tile(std::size_t rows) {
    QuadraticTile tile{};
    if (problem_.form() == Form::kFields) {
      tile.updates = problem_.coupling();
      tile.state = fields_.data();
      tile.ld = layer_.inputs_ld();
      tile.block_ld = layer_.inputs_ld();
      tile.block_step = kBlock * (layer_.inputs_ld() + 1);  // down the diagonal
    } else {
      tile.updates = layer_.inputs_t();
      tile.state = residuals_.data();
      tile.ld = layer_.samples_ld();
      tile.block_ld = kBlock;
      tile.block_step = kBlock * kBlock;
      tile.packed_inputs = layer_.inputs().packed();
    }
    tile.coupling = problem_.coupling();
    tile.diagonal = problem_.diagonal();
    tile.num_samples = layer_.num_samples();
    tile.spins = spins_.data();
    tile.spins_ld = layer_.inputs_ld();
    tile.rows = rows;
    tile.num_variables = layer_.num_inputs();
    return tile;
  }

  void set_spins(std::size_t rows, const std::int8_t* spins) {
    const std::size_t n = layer_.num_inputs();
    for (std::size_t r = 0; r < rows; ++r) {
      float* row = &spins_[r * layer_.inputs_ld()];
      layer_.kernels().from_spins(spins + r * n, n, row);
      std::fill(row + n, row + layer_.inputs_ld(), 1.0f);
    }
    // Rows up to a multiple of kLanes are visited with the others.
    const std::size_t end = round_up(rows, kLanes) * layer_.inputs_ld();
    std::fill(&spins_[rows * layer_.inputs_ld()], spins_.data() + end, 1.0f);
  }

  // r = X b - t^/alpha (rows, samples_ld), padding 0.
  void set_residuals(std::size_t first_row, std::size_t rows, const float* margins) {
    const std::size_t samples = layer_.num_samples(), ld = layer_.samples_ld();
    const double inverse = 1.0 / problem_.alpha();
    for (std::size_t r = 0; r < rows; ++r) {
      const float* target = layer_.targets(first_row + r);
      float* row = &residuals_[r * ld];
      for (std::size_t i = 0; i < samples; ++i) {
        row[i] = static_cast<float>(margins[r * ld + i] - target[i] * inverse);
      }
      std::fill(row + samples, row + ld, 0.0f);
    }
  }

  // f = X^T r - diag(G) b (rows, inputs_ld), padding -inf.
  void set_fields(std::size_t rows) {
    const std::size_t n = layer_.num_inputs(), ld = layer_.inputs_ld();
    layer_.inputs().times_inputs(residuals_.data(), rows, fields_.data(), ld);
    for (std::size_t r = 0; r < rows; ++r) {
      float* row = &fields_[r * ld];
      const float* spins = &spins_[r * ld];
      for (std::size_t i = 0; i < n; ++i) row[i] -= problem_.diagonal()[i] * spins[i];
      std::fill(row + n, row + ld, -std::numeric_limits<float>::infinity());
    }
  }

  void descend(const QuadraticTile& tile, Stop& stop) const {
    std::uint8_t active[Layer::kTileRows];
    std::memset(active, 1, tile.rows);
    for (std::size_t sweep = 0; sweep < annealing_.num_sweeps && !stop.poll(); ++sweep) {
      layer_.kernels().quadratic_descent(tile, active);
      if (std::memchr(active, 1, tile.rows) == nullptr) return;  // all at a local minimum
    }
  }

  void anneal(const QuadraticTile& tile, std::size_t first_row, std::size_t read,
              Stop& stop) const {
    StreamKey keys[Layer::kTileRows];
    const double alpha2 = problem_.alpha() * problem_.alpha();
    for (std::size_t sweep = 0; sweep < annealing_.num_sweeps && !stop.poll(); ++sweep) {
      for (std::size_t r = 0; r < round_up(tile.rows, kLanes); ++r) {
        keys[r] = stream_key(annealing_.seed, first_row + r, read, sweep);
      }
      // Not infinite: padding must stay infinitely far from it.
      const double threshold = std::min<double>(1.0 / (4.0 * alpha2 * annealing_.betas[sweep]),
                                                std::numeric_limits<float>::max() / 64);
      layer_.kernels().dense_anneal_float(tile, 0, Acceptance::kMetropolis,
                                          static_cast<float>(threshold), keys);
    }
  }

  const QuadraticProblem& problem_;
  const Layer& layer_;
  const Annealing& annealing_;
  Buffer<float> residuals_;  // (rows, samples_ld)
  Buffer<float> fields_;     // (rows, inputs_ld); fields form only
  Buffer<float> spins_;      // (rows, inputs_ld)
};

}  // namespace

QuadraticProblem::Form QuadraticProblem::cheaper_form(std::size_t num_samples,
                                                      std::size_t num_inputs,
                                                      const Annealing& annealing) {
  // Multiply-adds a row and variable: residuals num_samples a sweep (from the second on; the first
  // product is what fields start from too), fields num_inputs a flip. Of gradient problems about
  // 30 % of the variables flip in the first sweep; in a later one 6 % in descent, and in annealing
  // 25 % on average of usual temperatures.
  const double later_flips = annealing.descent() ? 0.06 : 0.25;
  const double later =
      annealing.num_sweeps > 0 ? static_cast<double>(annealing.num_sweeps - 1) : 0.0;
  const double residuals = later * static_cast<double>(num_samples);
  const double fields = (0.30 + later_flips * later) * 2.0 * static_cast<double>(num_inputs);
  return residuals < fields ? Form::kResiduals : Form::kFields;
}

QuadraticProblem::QuadraticProblem(const Layer& layer, double scale, Form form)
    : layer_(layer),
      form_(form),
      alpha_(checked_alpha(layer, scale)),
      diagonal_(layer.num_inputs()),
      coupling_(form == Form::kFields ? layer.inputs().gram(diagonal_.data())
                                      : layer.inputs().gram_blocks(diagonal_.data())) {}

std::unique_ptr<TileSolver> QuadraticProblem::make_solver(const Annealing& annealing) const {
  return std::make_unique<QuadraticSolver>(*this, annealing);
}

}  // namespace qpsbgd
