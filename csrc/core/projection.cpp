#include "core/projection.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "core/parallel.hpp"
#include "core/quadratic.hpp"
#include "core/random.hpp"
#include "core/sign.hpp"

namespace qpsbgd {
namespace {

// What two states of a row are compared by, lower being better: in float64, from the data and not
// from increments. Holds scratch space: one a worker.
class Ranking {
 public:
  virtual ~Ranking() = default;
  // spins (rows, n), ranks (rows), of the rows from first_row.
  virtual void rank(std::size_t first_row, std::size_t rows, const std::int8_t* spins,
                    double* ranks) = 0;
};

// By samples.
class RowEnergy final : public Ranking {
 public:
  RowEnergy(const SampleLayer& layer, Objective objective, double alpha, double eps)
      : layer_(layer),
        objective_(objective),
        alpha_(alpha),
        eps_(eps * layer.x_scale()),
        margins_(layer.num_samples()) {}

  // The objective.
  double operator()(std::size_t row, const std::int8_t* spins) {
    set_margins(spins);
    // An all-zero target has mean 0; its t^ is 0.
    const double mean = layer_.mean_target(row);
    const double inverse_mean = mean > 0.0 ? 1.0 / mean : 0.0;
    double energy = 0.0;
    for (std::size_t i = 0; i < layer_.num_samples(); ++i) {
      const double residual = objective_ == Objective::kQuadratic
                                  ? target(row, i) * inverse_mean - alpha_ * margins_[i]
                                  : output(i) - target(row, i);
      energy += residual * residual;
    }
    return energy;
  }

  void rank(std::size_t first_row, std::size_t rows, const std::int8_t* spins,
            double* ranks) override {
    for (std::size_t r = 0; r < rows; ++r) {
      const std::int8_t* row_spins = spins + r * layer_.num_inputs();
      ranks[r] = objective_ == Objective::kQuadratic ? (*this)(first_row + r, row_spins)
                                                     : -agreement(first_row + r, row_spins);
    }
  }

 private:
  // Of the sign objective only the part that depends on the state: beside N + ||t||^2 it would be
  // lost for a t of another scale.
  double agreement(std::size_t row, const std::int8_t* spins) {
    set_margins(spins);
    double sum = 0.0;
    for (std::size_t i = 0; i < layer_.num_samples(); ++i) sum += output(i) * target(row, i);
    return sum;
  }
  // Of X b, in float64.
  void set_margins(const std::int8_t* spins) {
    layer_.kernels().margins64(layer_.inputs_t(), layer_.samples_ld(), spins, layer_.num_inputs(),
                               layer_.num_samples(), margins_.data());
  }
  double target(std::size_t row, std::size_t i) const {
    return layer_.view().targets[i * layer_.num_neurons() + row];
  }
  double output(std::size_t i) const { return margins_[i] + eps_ >= 0.0 ? 1.0 : -1.0; }

  const SampleLayer& layer_;
  Objective objective_;
  double alpha_;
  double eps_;
  Buffer<double> margins_;
};

// By products, the quadratic objective without what does not depend on the state:
// alpha^2 b^T (G - diag(G)) b - 2 alpha b^T X^T t^. Sums of integral data are exact.
class GramRanking final : public Ranking {
 public:
  GramRanking(const GramLayer& layer, double alpha)
      : layer_(layer),
        alpha_(alpha * layer.x_scale()),  // the view's X is not scaled
        states_(layer.num_inputs() * kLanes),
        zeros_(layer.num_inputs() * kLanes) {
    std::fill_n(zeros_.data(), zeros_.size(), 0.0);
  }

  void rank(std::size_t first_row, std::size_t rows, const std::int8_t* spins,
            double* ranks) override {
    for (std::size_t r = 0; r < rows; r += kLanes) {
      rank_lanes(first_row + r, std::min(kLanes, rows - r), spins + r * layer_.num_inputs(),
                 ranks + r);
    }
  }

 private:
  void rank_lanes(std::size_t first_row, std::size_t rows, const std::int8_t* spins,
                  double* ranks) {
    const std::size_t n = layer_.num_inputs();
    std::fill_n(states_.data(), states_.size(), 0.0);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < n; ++i) states_[i * kLanes + r] = spins[r * n + i];
    }
    alignas(64) double halves[kLanes];  // of b^T (G - diag(G)) b
    layer_.kernels().matrix_double.energies(layer_.view().gram, zeros_.data(), states_.data(), n,
                                            halves);
    for (std::size_t r = 0; r < rows; ++r) {
      const double* cross = layer_.view().cross + (first_row + r) * n;
      double linear = 0.0;
      for (std::size_t i = 0; i < n; ++i) linear += cross[i] * spins[r * n + i];
      linear *= layer_.inverse_mean(first_row + r);
      ranks[r] = alpha_ * (alpha_ * (2.0 * halves[r]) - 2.0 * linear);
    }
  }

  const GramLayer& layer_;
  double alpha_;
  Buffer<double> states_;  // (n, kLanes)
  Buffer<double> zeros_;   // (n, kLanes)
};

// Best read of every row so far. The order in which reads arrive does not matter: the lower rank
// wins, and of equal ones the lower read.
class BestReads {
 public:
  BestReads(std::size_t num_neurons, std::size_t num_inputs, std::size_t num_tiles,
            std::int8_t* states)
      : num_inputs_(num_inputs),
        states_(states),
        ranks_(num_neurons, std::numeric_limits<double>::infinity()),
        reads_(num_neurons, std::numeric_limits<std::size_t>::max()),
        tile_mutexes_(num_tiles) {}

  std::mutex& tile_mutex(std::size_t tile) { return tile_mutexes_[tile]; }

  void offer(std::size_t row, std::size_t read, double rank, const std::int8_t* state) {
    const bool better = rank < ranks_[row] || (rank == ranks_[row] && read < reads_[row]);
    if (!better) return;
    ranks_[row] = rank;
    reads_[row] = read;
    std::copy_n(state, num_inputs_, states_ + row * num_inputs_);
  }

 private:
  std::size_t num_inputs_;
  std::int8_t* states_;
  std::vector<double> ranks_;
  std::vector<std::size_t> reads_;
  std::vector<std::mutex> tile_mutexes_;
};

// Fills spins (rows, n) with the states that a read starts from and returns their images: the
// layer's own for the linear minimiser, computed here for others.
class Starts {
 public:
  Starts(const Layer& layer, const ProjectionOptions& options)
      : layer_(layer),
        options_(options),
        images_(Layer::kTileRows * layer.image_ld()),
        variates_(layer.num_inputs()),
        scratch_(Layer::kTileRows * layer.num_inputs()) {}

  const float* fill(std::size_t first_row, std::size_t rows, std::size_t read, std::int8_t* spins) {
    const std::size_t n = layer_.num_inputs();
    if (read == 0 && options_.initial == InitialState::kLinear) {
      std::copy_n(layer_.linear(first_row), rows * n, spins);
      return layer_.linear_image(first_row);
    }
    if (read == 0 && options_.initial == InitialState::kGiven) {
      std::copy_n(options_.initial_states + first_row * n, rows * n, spins);
    } else {
      for (std::size_t r = 0; r < rows; ++r) {
        const StreamKey key =
            layer_.stream(options_.annealing.seed, first_row + r, read, kInitialState);
        layer_.kernels().exponential(key, 0, n, variates_.data());
        constexpr float kMedian = 0.6931472f;  // log 2
        for (std::size_t i = 0; i < n; ++i) spins[r * n + i] = variates_[i] < kMedian ? 1 : -1;
      }
    }
    layer_.image(spins, rows, images_.data(), scratch_.data());
    return images_.data();
  }

 private:
  const Layer& layer_;
  const ProjectionOptions& options_;
  Buffer<float> images_;
  Buffer<float> variates_;
  Buffer<float> scratch_;
};

// How rows are solved; called once a worker.
struct Method {
  std::function<std::unique_ptr<TileSolver>()> make_solver;
  std::function<std::unique_ptr<Ranking>()> make_ranking;
  std::size_t tile_rows = Layer::kTileRows;
};

void solve_rows(const Layer& layer, const Method& method, const ProjectionOptions& options,
                std::int8_t* out, Stop& stop) {
  struct Worker {
    Starts starts;
    std::unique_ptr<TileSolver> solver;
    std::unique_ptr<Ranking> ranking;
    Buffer<std::int8_t> spins;  // (Layer::kTileRows, n)
  };
  const std::size_t n = layer.num_inputs();
  const std::size_t num_tiles = divide_up(layer.num_neurons(), method.tile_rows);
  const std::size_t num_tasks = num_tiles * options.num_reads;
  std::vector<std::unique_ptr<Worker>> workers(num_workers(num_tasks, layer.num_threads()));
  for (auto& worker : workers) {
    worker.reset(new Worker{Starts(layer, options), method.make_solver(), method.make_ranking(),
                            Buffer<std::int8_t>(Layer::kTileRows * n)});
  }
  BestReads best(layer.num_neurons(), n, num_tiles, out);
  parallel_for(
      num_tasks, layer.num_threads(),
      [&](std::size_t task, int index) {
        if (stop.poll()) return;
        Worker& worker = *workers[index];
        const std::size_t tile = task / options.num_reads, read = task % options.num_reads;
        const std::size_t first = tile * method.tile_rows;
        const std::size_t rows = std::min(method.tile_rows, layer.num_neurons() - first);
        // A single read needs no comparison: it is solved where the caller wants it.
        std::int8_t* spins = options.num_reads == 1 ? out + first * n : worker.spins.data();
        const float* images = worker.starts.fill(first, rows, read, spins);
        worker.solver->solve(first, rows, read, images, spins, stop);
        if (options.num_reads == 1) return;
        double ranks[Layer::kTileRows];
        worker.ranking->rank(first, rows, spins, ranks);
        const std::lock_guard<std::mutex> lock(best.tile_mutex(tile));
        for (std::size_t r = 0; r < rows; ++r) best.offer(first + r, read, ranks[r], spins + r * n);
      },
      [&stop] { stop.poll(); });
}

}  // namespace

void project(const SampleLayer& layer, const std::vector<RowNorms>& norms,
             const ProjectionOptions& options, std::int8_t* out, Stop& stop) {
  if (options.objective == Objective::kSign) {
    const SignProblem problem(layer, options.target_eps);
    const auto ranking = [&] {
      return std::make_unique<RowEnergy>(layer, Objective::kSign, 0.0, options.target_eps);
    };
    // Its kernels take kLanes neurons a time.
    const Method method{[&] { return problem.make_solver(options.annealing); }, ranking, kLanes};
    return solve_rows(layer, method, options, out, stop);
  }
  const double alpha = checked_alpha(unit_alpha(norms, options.step_length), options.scale);
  const QuadraticProblem problem(
      layer, alpha,
      QuadraticProblem::cheaper_form(layer.num_samples(), layer.num_inputs(), options.annealing));
  const auto ranking = [&] {
    return std::make_unique<RowEnergy>(layer, Objective::kQuadratic, alpha, 0.0);
  };
  solve_rows(layer, {[&] { return problem.make_solver(options.annealing); }, ranking}, options, out,
             stop);
}

void project(const GramLayer& layer, const std::vector<RowNorms>& norms,
             const ProjectionOptions& options, std::int8_t* out, Stop& stop) {
  const double alpha = checked_alpha(unit_alpha(norms, options.step_length), options.scale);
  const Method method{[&] { return make_gram_solver(layer, alpha, options.annealing); },
                      [&] { return std::make_unique<GramRanking>(layer, alpha); }};
  solve_rows(layer, method, options, out, stop);
}

void projection_energy(const KernelTable& kernels, const SampleView& view, Objective objective,
                       double scale, StepLength step_length, double target_eps,
                       const std::int8_t* binary, int num_threads, double* energies) {
  const SampleLayer layer(view, kernels, num_threads);
  const double alpha =
      objective == Objective::kQuadratic ? scale * unit_alpha(layer.norms(), step_length) : 0.0;
  const std::size_t count = num_workers(layer.num_tiles(), num_threads);
  std::vector<RowEnergy> row_energies;
  for (std::size_t i = 0; i < count; ++i) {
    row_energies.emplace_back(layer, objective, alpha, target_eps);
  }
  parallel_for(layer.num_tiles(), num_threads, [&](std::size_t tile, int worker) {
    const std::size_t first = tile * Layer::kTileRows;
    for (std::size_t row = first; row < first + layer.tile_rows(tile); ++row) {
      energies[row] = row_energies[worker](row, binary + row * layer.num_inputs());
    }
  });
}

void gradient_qubo(const KernelTable& kernels, const SampleView& view, double scale,
                   StepLength step_length, int num_threads, float* coupling, float* fields,
                   double* offsets) {
  const SampleLayer layer(view, kernels, num_threads);
  const double alpha = checked_alpha(unit_alpha(layer.norms(), step_length), scale);
  const QuadraticProblem problem(layer, alpha, QuadraticProblem::Form::kFields);
  const std::size_t n = layer.num_inputs(), samples = layer.num_samples();
  parallel_for(n, num_threads, [&](std::size_t i, int) {
    const float* source = problem.coupling() + i * layer.inputs_ld();
    for (std::size_t j = 0; j < n; ++j) {
      coupling[i * n + j] = static_cast<float>(2.0 * alpha * alpha * source[j]);
    }
  });
  double trace = 0.0;
  for (std::size_t i = 0; i < n * layer.samples_ld(); ++i) {  // padding 0
    trace += static_cast<double>(layer.inputs_t()[i]) * layer.inputs_t()[i];
  }
  parallel_for(layer.num_tiles(), num_threads, [&](std::size_t tile, int) {
    const std::size_t first = tile * Layer::kTileRows, rows = layer.tile_rows(tile);
    float* tile_fields = fields + first * n;
    layer.inputs().times_inputs(layer.targets(first), rows, tile_fields, n);
    for (std::size_t i = 0; i < rows * n; ++i) {
      tile_fields[i] = static_cast<float>(-2.0 * alpha * tile_fields[i]);
    }
    for (std::size_t r = first; r < first + rows; ++r) {
      double norm2 = 0.0;
      for (std::size_t i = 0; i < samples; ++i) {
        norm2 += static_cast<double>(layer.targets(r)[i]) * layer.targets(r)[i];
      }
      offsets[r] = norm2 + alpha * alpha * trace;
    }
  });
}

void gradient_ising(const KernelTable& kernels, const SampleView& view, double scale,
                    StepLength step_length, int num_threads, double* couplings, double* fields,
                    double* offsets) {
  const SampleLayer layer(view, kernels, num_threads);
  const double alpha = checked_alpha(unit_alpha(layer.norms(), step_length), scale);
  const std::size_t n = layer.num_inputs(), m = layer.num_neurons(), samples = layer.num_samples();
  Buffer<double> x(samples * n);
  double trace = 0.0;
  for (std::size_t i = 0; i < samples * n; ++i) {
    x[i] = layer.x_scale() * view.inputs[i];
    trace += x[i] * x[i];
  }
  const std::size_t workers = num_workers(n, num_threads);
  Buffer<double> sums(workers * n);
  parallel_for(n, num_threads, [&](std::size_t k, int worker) {
    double* row = &sums[worker * n];
    std::fill(row + k, row + n, 0.0);
    for (std::size_t i = 0; i < samples; ++i) {
      const double* inputs = &x[i * n];
      for (std::size_t l = k + 1; l < n; ++l) row[l] += inputs[k] * inputs[l];
    }
    double* out = couplings + (k * (2 * n - k - 1)) / 2;
    for (std::size_t l = k + 1; l < n; ++l) *out++ = 2.0 * alpha * alpha * row[l];
  });
  parallel_for(m, num_threads, [&](std::size_t r, int) {
    const double mean = layer.mean_target(r), inverse = mean > 0.0 ? 1.0 / mean : 0.0;
    double *row = fields + r * n, norm2 = 0.0;
    std::fill_n(row, n, 0.0);
    for (std::size_t i = 0; i < samples; ++i) {
      const double* inputs = &x[i * n];
      const double target = view.targets[i * m + r] * inverse;  // as in RowEnergy
      for (std::size_t k = 0; k < n; ++k) row[k] += target * inputs[k];
      norm2 += target * target;
    }
    for (std::size_t k = 0; k < n; ++k) row[k] *= -2.0 * alpha;
    offsets[r] = norm2 + alpha * alpha * trace;
  });
}

std::size_t first_nonfinite(const KernelTable& kernels, const float* values, std::size_t count) {
  constexpr std::uint32_t kInfinity = 0x7f800000;
  if (kernels.largest_magnitude(values, count) < kInfinity) return count;
  return static_cast<std::size_t>(
      std::find_if(values, values + count, [](float x) { return !std::isfinite(x); }) - values);
}

}  // namespace qpsbgd
