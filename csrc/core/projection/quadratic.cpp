#include "core/projection/quadratic.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "core/state/spin_rows.hpp"

namespace qpsbgd {
namespace {

// Bounds on alpha in scaled units. Fields reach N^2 / alpha and energies alpha^2 N n^2. Within the
// bounds float32 holds both for any layer that fits in memory.
constexpr double kMinAlpha = 1e-15;
constexpr double kMaxAlpha = 1e15;

// Writes the states of rows [first_row, first_row + rows.num_rows()) of the layer: their fields or
// residuals, from their images (rows, image_ld).
using FillStates = std::function<void(std::size_t first_row, const float* images,
                                      SpinRows<float>& rows, Stop& stop)>;

class QuadraticRows final : public ProjectionRows {
 public:
  QuadraticRows(const KernelTable& kernels, const RowCouplings<float>& couplings, double alpha,
                FillStates fill_states)
      : rows_(kernels, couplings, Layer::kTileRows),
        alpha_(alpha),
        fill_states_(std::move(fill_states)) {}

  bool load(std::size_t first_row, std::size_t rows, const float* images, const std::int8_t* states,
            Stop& stop) override {
    if (alpha_ == 0.0) return false;  // every b has the same energy
    rows_.set_spins(states, rows);
    fill_states_(first_row, images, rows_, stop);
    return true;
  }

  void descend(std::uint8_t* active) override { rows_.descend(active); }

  bool sweep(double beta, const StreamKey* keys, Stop& stop) override {
    if (stop.poll()) return false;
    rows_.anneal(Acceptance::kMetropolis, acceptance_threshold(1.0, 4.0 * (alpha_ * alpha_), beta),
                 keys);
    return true;
  }

  void save(std::int8_t* states) const override {
    for (std::size_t r = 0; r < rows_.num_rows(); ++r) {
      rows_.copy_spins(r, states + r * rows_.num_variables());
    }
  }

 private:
  SpinRows<float> rows_;
  double alpha_;
  FillStates fill_states_;
};

// Writes the residuals r = X b - t^/alpha (rows, samples_ld), padding 0, from the margins X b.
void set_residuals(const SampleLayer& layer, double alpha, std::size_t first_row, std::size_t rows,
                   const float* margins, float* residuals) {
  const std::size_t samples = layer.num_samples(), ld = layer.samples_ld();
  const double inverse = 1.0 / alpha;
  for (std::size_t r = 0; r < rows; ++r) {
    const float* target = layer.targets(first_row + r);
    float* row = residuals + r * ld;
    for (std::size_t i = 0; i < samples; ++i) {
      row[i] = static_cast<float>(margins[r * ld + i] - target[i] * inverse);
    }
    std::fill(row + samples, row + ld, 0.0f);
  }
}

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
  // Multiply-adds for each row and variable. Residuals take num_samples a sweep from the second
  // sweep on (both forms need the product of the first). Fields take num_inputs a flip. In gradient
  // problems about 30 % of the variables flip in the first sweep. In a later sweep 6 % flip in
  // descent, and 25 % in annealing, averaged over usual temperatures. A product accumulates in
  // registers; the update of a field loads and stores it, and counts as two multiply-adds.
  const double later_flips = annealing.is_descent() ? 0.06 : 0.25;
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

std::unique_ptr<ProjectionRows> QuadraticProblem::make_rows() const {
  const Inputs& inputs = layer_.inputs();
  if (form_ == Form::kResiduals) {
    return std::make_unique<QuadraticRows>(
        layer_.kernels(), factor_couplings(inputs, coupling_.data(), diagonal_.data()), alpha_,
        [this](std::size_t first_row, const float* margins, SpinRows<float>& rows, Stop&) {
          set_residuals(layer_, alpha_, first_row, rows.num_rows(), margins, rows.state(0));
        });
  }
  // f = X^T r - diag(G) b
  const auto residuals = std::make_shared<Buffer<float>>(Layer::kTileRows * layer_.samples_ld());
  return std::make_unique<QuadraticRows>(
      layer_.kernels(), matrix_couplings(coupling_.data(), layer_.num_inputs()), alpha_,
      [this, residuals](std::size_t first_row, const float* margins, SpinRows<float>& rows,
                        Stop& stop) {
        const std::size_t num_rows = rows.num_rows(), n = layer_.num_inputs();
        set_residuals(layer_, alpha_, first_row, num_rows, margins, residuals->data());
        layer_.inputs().times_inputs(residuals->data(), num_rows, rows.state(0), rows.ld(), &stop);
        for (std::size_t r = 0; r < num_rows; ++r) {
          float* fields = rows.state(r);
          const float* spins = rows.spins(r);
          for (std::size_t i = 0; i < n; ++i) fields[i] -= diagonal_[i] * spins[i];
        }
      });
}

std::unique_ptr<ProjectionRows> make_gram_rows(const GramLayer& layer, double alpha) {
  // f = (G - diag(G)) b - X^T t^/alpha
  return std::make_unique<QuadraticRows>(
      layer.kernels(), matrix_couplings(layer.coupling(), layer.num_inputs()), alpha,
      [&layer, alpha](std::size_t first_row, const float* images, SpinRows<float>& rows, Stop&) {
        const std::size_t n = layer.num_inputs();
        for (std::size_t r = 0; r < rows.num_rows(); ++r) {
          const double* cross = layer.view().cross + (first_row + r) * n;
          const double factor = layer.x_scale() * layer.inverse_mean(first_row + r) / alpha;
          const float* image = images + r * layer.image_ld();
          float* fields = rows.state(r);
          for (std::size_t i = 0; i < n; ++i) {
            fields[i] = static_cast<float>(image[i] - cross[i] * factor);
          }
        }
      });
}

}  // namespace qpsbgd
