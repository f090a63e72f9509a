#include "core/projection/quadratic.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <sstream>
#include <stdexcept>

namespace qpsbgd {
namespace {

// Bounds on alpha in scaled units: fields reach N^2 / alpha and energies alpha^2 N n^2, which
// float32 holds within them for any layer that fits in memory.
constexpr double kMinAlpha = 1e-15;
constexpr double kMaxAlpha = 1e15;

// Sweeps over tiles of rows. What a tile's state is, and where it comes from, the derived know.
class QuadraticSolver : public TileSolver {
 public:
  void solve(std::size_t first_row, std::size_t rows, std::size_t read, const float* images,
             std::int8_t* spins, Stop& stop) override {
    // With alpha 0 every b has the same energy, and the start is as good as any.
    if (alpha_ == 0.0) return;
    set_spins(rows, spins);
    QuadraticTile<float> tile = start(first_row, rows, images, stop);
    tile.spins = spins_.data();
    tile.spins_ld = layer_.inputs_ld();
    tile.rows = rows;
    tile.num_variables = layer_.num_inputs();
    if (annealing_.descent()) {
      descend(tile, stop);
    } else {
      anneal(tile, first_row, read, stop);
    }
    const std::size_t n = layer_.num_inputs();
    for (std::size_t r = 0; r < rows; ++r) {
      layer_.kernels().elementwise.to_spins(spins_row(r), n, spins + r * n);
    }
  }

 protected:
  QuadraticSolver(const Layer& layer, double alpha, const Annealing& annealing)
      : layer_(layer),
        alpha_(alpha),
        annealing_(annealing),
        spins_(Layer::kTileRows * layer.inputs_ld()) {}

  // The tile's state, couplings and their strides, from the images of the rows' spins.
  virtual QuadraticTile<float> start(std::size_t first_row, std::size_t rows, const float* images,
                                     Stop& stop) = 0;

  double alpha() const { return alpha_; }
  const float* spins_row(std::size_t r) const { return &spins_[r * layer_.inputs_ld()]; }

 private:
  void set_spins(std::size_t rows, const std::int8_t* spins) {
    const std::size_t n = layer_.num_inputs();
    for (std::size_t r = 0; r < rows; ++r) {
      float* row = &spins_[r * layer_.inputs_ld()];
      layer_.kernels().elementwise.from_spins(spins + r * n, n, row);
      std::fill(row + n, row + layer_.inputs_ld(), 1.0f);
    }
    // Rows up to a multiple of kLanes are visited with the others.
    const std::size_t end = round_up(rows, kLanes) * layer_.inputs_ld();
    std::fill(&spins_[rows * layer_.inputs_ld()], spins_.data() + end, 1.0f);
  }

  void descend(const QuadraticTile<float>& tile, Stop& stop) const {
    std::uint8_t active[Layer::kTileRows];
    std::memset(active, 1, tile.rows);
    for (std::size_t sweep = 0; sweep < annealing_.num_sweeps && !stop.poll(); ++sweep) {
      layer_.kernels().rows.descend(tile, active);
      if (std::memchr(active, 1, tile.rows) == nullptr) return;  // all at a local minimum
    }
  }

  void anneal(const QuadraticTile<float>& tile, std::size_t first_row, std::size_t read,
              Stop& stop) const {
    StreamKey keys[Layer::kTileRows];
    const double alpha2 = alpha_ * alpha_;
    for (std::size_t sweep = 0; sweep < annealing_.num_sweeps && !stop.poll(); ++sweep) {
      for (std::size_t r = 0; r < round_up(tile.rows, kLanes); ++r) {
        keys[r] = layer_.stream(annealing_.seed, first_row + r, read, sweep);
      }
      // Not infinite: padding must stay infinitely far from it.
      const double threshold = std::min<double>(1.0 / (4.0 * alpha2 * annealing_.betas[sweep]),
                                                std::numeric_limits<float>::max() / 64);
      layer_.kernels().rows.anneal(tile, 0, Acceptance::kMetropolis, static_cast<float>(threshold),
                                   keys);
    }
  }

  const Layer& layer_;
  double alpha_;
  const Annealing& annealing_;
  Buffer<float> spins_;  // (rows, inputs_ld)
};

// Fields f of a tile (rows, inputs_ld), padding -inf.
class Fields {
 public:
  explicit Fields(const Layer& layer) : layer_(layer), f_(Layer::kTileRows * layer.inputs_ld()) {}

  float* row(std::size_t r) { return &f_[r * layer_.inputs_ld()]; }
  void pad(std::size_t rows) {
    for (std::size_t r = 0; r < rows; ++r) {
      std::fill(row(r) + layer_.num_inputs(), row(r) + layer_.inputs_ld(),
                -std::numeric_limits<float>::infinity());
    }
  }
  // coupling (inputs_ld, inputs_ld)
  QuadraticTile<float> tile(const float* coupling) {
    QuadraticTile<float> tile{};
    tile.updates = tile.coupling = coupling;
    tile.state = f_.data();
    tile.ld = tile.block_ld = layer_.inputs_ld();
    tile.block_step = kBlock * (layer_.inputs_ld() + 1);  // down the diagonal
    return tile;
  }

 private:
  const Layer& layer_;
  Buffer<float> f_;
};

// The state is the residuals r = X b - t^/alpha (rows, samples_ld), padding 0.
class ResidualSolver : public QuadraticSolver {
 public:
  ResidualSolver(const QuadraticProblem& problem, const Annealing& annealing)
      : QuadraticSolver(problem.layer(), problem.alpha(), annealing),
        problem_(problem),
        residuals_(Layer::kTileRows * problem.layer().samples_ld()) {}

 protected:
  QuadraticTile<float> start(std::size_t first_row, std::size_t rows, const float* margins,
                             Stop&) override {
    set_residuals(first_row, rows, margins);
    QuadraticTile<float> tile{};
    tile.updates = layer().inputs_t();
    tile.state = residuals_.data();
    tile.ld = layer().samples_ld();
    tile.coupling = problem_.coupling();
    tile.block_ld = kBlock;
    tile.block_step = kBlock * kBlock;
    tile.packed_inputs = layer().inputs().packed();
    tile.diagonal = problem_.diagonal();
    tile.num_samples = layer().num_samples();
    return tile;
  }

  void set_residuals(std::size_t first_row, std::size_t rows, const float* margins) {
    const std::size_t samples = layer().num_samples(), ld = layer().samples_ld();
    const double inverse = 1.0 / alpha();
    for (std::size_t r = 0; r < rows; ++r) {
      const float* target = layer().targets(first_row + r);
      float* row = &residuals_[r * ld];
      for (std::size_t i = 0; i < samples; ++i) {
        row[i] = static_cast<float>(margins[r * ld + i] - target[i] * inverse);
      }
      std::fill(row + samples, row + ld, 0.0f);
    }
  }

  const SampleLayer& layer() const { return problem_.layer(); }
  const QuadraticProblem& problem() const { return problem_; }
  const float* residuals() const { return residuals_.data(); }

 private:
  const QuadraticProblem& problem_;
  Buffer<float> residuals_;
};

// The state is the fields, f = X^T r - diag(G) b to begin with.
class FieldsSolver final : public ResidualSolver {
 public:
  FieldsSolver(const QuadraticProblem& problem, const Annealing& annealing)
      : ResidualSolver(problem, annealing), fields_(problem.layer()) {}

 private:
  QuadraticTile<float> start(std::size_t first_row, std::size_t rows, const float* margins,
                             Stop& stop) override {
    set_residuals(first_row, rows, margins);
    layer().inputs().times_inputs(residuals(), rows, fields_.row(0), layer().inputs_ld(), &stop);
    for (std::size_t r = 0; r < rows; ++r) {
      float* row = fields_.row(r);
      const float* spins = spins_row(r);
      for (std::size_t i = 0; i < layer().num_inputs(); ++i) {
        row[i] -= problem().diagonal()[i] * spins[i];
      }
    }
    fields_.pad(rows);
    return fields_.tile(problem().coupling());
  }

  Fields fields_;
};

// The state is the fields, f = (G - diag(G)) b - X^T t^/alpha to begin with.
class GramSolver final : public QuadraticSolver {
 public:
  GramSolver(const GramLayer& layer, double alpha, const Annealing& annealing)
      : QuadraticSolver(layer, alpha, annealing), layer_(layer), fields_(layer) {}

 private:
  QuadraticTile<float> start(std::size_t first_row, std::size_t rows, const float* images,
                             Stop&) override {
    const std::size_t n = layer_.num_inputs();
    for (std::size_t r = 0; r < rows; ++r) {
      const double* cross = layer_.view().cross + (first_row + r) * n;
      const double factor = layer_.x_scale() * layer_.inverse_mean(first_row + r) / alpha();
      const float* image = images + r * layer_.image_ld();
      float* row = fields_.row(r);
      for (std::size_t i = 0; i < n; ++i) row[i] = static_cast<float>(image[i] - cross[i] * factor);
    }
    fields_.pad(rows);
    return fields_.tile(layer_.coupling());
  }

  const GramLayer& layer_;
  Fields fields_;
};

}  // namespace

double checked_alpha(double unit_alpha, double scale) {
  const double alpha = scale * unit_alpha;
  if (alpha != 0.0 && !(alpha >= kMinAlpha && alpha <= kMaxAlpha)) {
    std::ostringstream message;
    message << "scale is " << scale << ", but must lie between " << kMinAlpha / unit_alpha
            << " and " << kMaxAlpha / unit_alpha << " for this X and T";
    throw std::invalid_argument(message.str());
  }
  return alpha;
}

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

QuadraticProblem::QuadraticProblem(const SampleLayer& layer, double alpha, Form form, Stop* stop)
    : layer_(layer),
      form_(form),
      alpha_(alpha),
      diagonal_(layer.num_inputs()),
      coupling_(form == Form::kFields ? layer.inputs().gram(diagonal_.data(), stop)
                                      : layer.inputs().gram_blocks(diagonal_.data(), stop)) {}

std::unique_ptr<TileSolver> QuadraticProblem::make_solver(const Annealing& annealing) const {
  if (form_ == Form::kFields) return std::make_unique<FieldsSolver>(*this, annealing);
  return std::make_unique<ResidualSolver>(*this, annealing);
}

std::unique_ptr<TileSolver> make_gram_solver(const GramLayer& layer, double alpha,
                                             const Annealing& annealing) {
  return std::make_unique<GramSolver>(layer, alpha, annealing);
}

}  // namespace qpsbgd
