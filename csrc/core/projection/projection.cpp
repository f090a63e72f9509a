#include "core/projection/projection.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "core/projection/quadratic.hpp"
#include "core/projection/sign.hpp"
#include "core/support/parallel.hpp"
#include "core/support/product.hpp"
#include "core/support/streams.hpp"

namespace qpsbgd {
namespace {

// What two states of a row are compared by, lower being better: in float64, from the data and not
// from increments. Holds scratch space: one a worker.
class Ranking {
 public:
  virtual ~Ranking() = default;
  // spins (rows, n), ranks (rows), of the rows from first_row.
  // Where `stop` says to end, some ranks are left as they were.
  virtual void rank(std::size_t first_row, std::size_t rows, const std::int8_t* spins,
                    double* ranks, Stop* stop) = 0;
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
  double energy(std::size_t row, const std::int8_t* spins, Stop* stop) {
    set_margins(spins, stop);
    // An all-zero target has mean 0; its t^ is 0.
    const double mean = layer_.mean_target(row);
    const double inverse_mean = mean > 0.0 ? 1.0 / mean : 0.0;
    double sum = 0.0;
    for (std::size_t i = 0; i < layer_.num_samples(); ++i) {
      const double residual = objective_ == Objective::kQuadratic
                                  ? target(row, i) * inverse_mean - alpha_ * margins_[i]
                                  : output(i) - target(row, i);
      sum += residual * residual;
    }
    return sum;
  }

  void rank(std::size_t first_row, std::size_t rows, const std::int8_t* spins, double* ranks,
            Stop* stop) override {
    for (std::size_t r = 0; r < rows && !is_stopped(stop); ++r) {
      const std::int8_t* row_spins = spins + r * layer_.num_inputs();
      ranks[r] = objective_ == Objective::kQuadratic ? energy(first_row + r, row_spins, stop)
                                                     : -agreement(first_row + r, row_spins, stop);
    }
  }

 private:
  // Of the sign objective only the part that depends on the state: beside N + ||t||^2 it would be
  // lost for a t of another scale.
  double agreement(std::size_t row, const std::int8_t* spins, Stop* stop) {
    set_margins(spins, stop);
    double sum = 0.0;
    for (std::size_t i = 0; i < layer_.num_samples(); ++i) sum += output(i) * target(row, i);
    return sum;
  }
  // Of X b, in float64.
  void set_margins(const std::int8_t* spins, Stop* stop) {
    const std::size_t samples = layer_.num_samples();
    const std::size_t run = run_length(4 * layer_.num_inputs(), kLanes);
    for (std::size_t first = 0; first < samples && !is_stopped(stop); first += run) {
      layer_.kernels().gemm.margins(layer_.inputs_t() + first, layer_.samples_ld(), spins,
                                    layer_.num_inputs(), std::min(run, samples - first),
                                    margins_.data() + first);
    }
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

  void rank(std::size_t first_row, std::size_t rows, const std::int8_t* spins, double* ranks,
            Stop* stop) override {
    for (std::size_t r = 0; r < rows && !is_stopped(stop); r += kLanes) {
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
    layer_.kernels().energies.of<double>().energies(layer_.view().gram, zeros_.data(),
                                                    states_.data(), n, halves);
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

  const float* fill(std::size_t first_row, std::size_t rows, std::size_t read, std::int8_t* spins,
                    Stop& stop) {
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
        layer_.kernels().elementwise.exponential(key, 0, n, variates_.data());
        constexpr float kMedian = 0.6931472f;  // log 2
        for (std::size_t i = 0; i < n; ++i) spins[r * n + i] = variates_[i] < kMedian ? 1 : -1;
      }
    }
    layer_.image(spins, rows, images_.data(), scratch_.data(), &stop);
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
        const float* images = worker.starts.fill(first, rows, read, spins, stop);
        if (stop.poll()) return;
        worker.solver->solve(first, rows, read, images, spins, stop);
        if (options.num_reads == 1) return;
        double ranks[Layer::kTileRows];
        worker.ranking->rank(first, rows, spins, ranks, &stop);
        if (stop.poll()) return;
        const std::lock_guard<std::mutex> lock(best.tile_mutex(tile));
        for (std::size_t r = 0; r < rows; ++r) best.offer(first + r, read, ranks[r], spins + r * n);
      },
      [&stop] { stop.poll(); });
}

}  // namespace

void project(const SampleLayer& layer, const std::vector<RowNorms>& norms,
             const ProjectionOptions& options, std::int8_t* out, Stop& stop) {
  if (stop.poll()) return;
  if (options.objective == Objective::kSign) {
    const SignProblem problem(layer, options.target_eps, &stop);
    const auto ranking = [&] {
      return std::make_unique<RowEnergy>(layer, Objective::kSign, 0.0, options.target_eps);
    };
    // Its kernels take kLanes neurons a time.
    const Method method{[&] { return problem.make_solver(options.annealing); }, ranking, kLanes};
    return solve_rows(layer, method, options, out, stop);
  }
  const double alpha = checked_alpha(unit_alpha(norms, options.alpha_rule), options.scale);
  const QuadraticProblem problem(
      layer, alpha,
      QuadraticProblem::cheaper_form(layer.num_samples(), layer.num_inputs(), options.annealing),
      &stop);
  const auto ranking = [&] {
    return std::make_unique<RowEnergy>(layer, Objective::kQuadratic, alpha, 0.0);
  };
  solve_rows(layer, {[&] { return problem.make_solver(options.annealing); }, ranking}, options, out,
             stop);
}

void project(const GramLayer& layer, const std::vector<RowNorms>& norms,
             const ProjectionOptions& options, std::int8_t* out, Stop& stop) {
  if (stop.poll()) return;
  const double alpha = checked_alpha(unit_alpha(norms, options.alpha_rule), options.scale);
  const Method method{[&] { return make_gram_solver(layer, alpha, options.annealing); },
                      [&] { return std::make_unique<GramRanking>(layer, alpha); }};
  solve_rows(layer, method, options, out, stop);
}

void projection_energy(const KernelTable& kernels, const SampleView& view, Objective objective,
                       double scale, AlphaRule alpha_rule, double target_eps,
                       const std::int8_t* binary, int num_threads, double* energies, Stop* stop) {
  const SampleLayer layer(view, kernels, num_threads, stop);
  if (is_stopped(stop)) return;
  const double alpha =
      objective == Objective::kQuadratic ? scale * unit_alpha(layer.norms(), alpha_rule) : 0.0;
  const std::size_t count = num_workers(layer.num_tiles(), num_threads);
  std::vector<RowEnergy> row_energies;
  for (std::size_t i = 0; i < count; ++i) {
    row_energies.emplace_back(layer, objective, alpha, target_eps);
  }
  parallel_for(
      layer.num_tiles(), num_threads,
      [&](std::size_t tile, int worker) {
        const std::size_t first = tile * Layer::kTileRows, end = first + layer.tile_rows(tile);
        for (std::size_t row = first; row < end && !is_stopped(stop); ++row) {
          energies[row] = row_energies[worker].energy(row, binary + row * layer.num_inputs(), stop);
        }
      },
      [&] { is_stopped(stop); });
}

void gradient_qubo(const KernelTable& kernels, const SampleView& view, double scale,
                   AlphaRule alpha_rule, int num_threads, float* coupling, float* fields,
                   double* offsets, Stop* stop) {
  const SampleLayer layer(view, kernels, num_threads, stop);
  if (is_stopped(stop)) return;
  const double alpha = checked_alpha(unit_alpha(layer.norms(), alpha_rule), scale);
  const QuadraticProblem problem(layer, alpha, QuadraticProblem::Form::kFields, stop);
  const std::size_t n = layer.num_inputs(), samples = layer.num_samples();
  const auto waiting = [&] { is_stopped(stop); };
  parallel_for(
      n, num_threads,
      [&](std::size_t i, int) {
        if (is_stopped(stop)) return;
        const float* source = problem.coupling() + i * layer.inputs_ld();
        for (std::size_t j = 0; j < n; ++j) {
          coupling[i * n + j] = static_cast<float>(2.0 * alpha * alpha * source[j]);
        }
      },
      waiting);
  double trace = 0.0;
  for (std::size_t k = 0; k < n; ++k) {
    const float* x = layer.inputs_t() + k * layer.samples_ld();
    for (std::size_t i = 0; i < samples; ++i) trace += static_cast<double>(x[i]) * x[i];
    if (is_stopped(stop)) return;
  }
  parallel_for(
      layer.num_tiles(), num_threads,
      [&](std::size_t tile, int) {
        if (is_stopped(stop)) return;
        const std::size_t first = tile * Layer::kTileRows, rows = layer.tile_rows(tile);
        float* tile_fields = fields + first * n;
        layer.inputs().times_inputs(layer.targets(first), rows, tile_fields, n, stop);
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
      },
      waiting);
}

void gradient_ising(const KernelTable& kernels, const SampleView& view, double scale,
                    AlphaRule alpha_rule, int num_threads, std::int32_t* rows,
                    std::int32_t* columns, double* couplings, double* fields, double* offsets,
                    Stop* stop) {
  const SampleLayer layer(view, kernels, num_threads, stop);
  if (is_stopped(stop)) return;
  const double alpha = checked_alpha(unit_alpha(layer.norms(), alpha_rule), scale);
  const std::size_t n = layer.num_inputs(), m = layer.num_neurons(), samples = layer.num_samples();
  const std::size_t run = run_length(4 * n);  // samples between two polls
  const auto waiting = [&] { is_stopped(stop); };
  Buffer<double> x(samples * n);
  double trace = 0.0;
  for (std::size_t i = 0; i < samples; ++i) {
    if (i % run == 0 && is_stopped(stop)) return;
    for (std::size_t k = 0; k < n; ++k) {
      x[i * n + k] = layer.x_scale() * view.inputs[i * n + k];
      trace += x[i * n + k] * x[i * n + k];
    }
  }
  const std::size_t workers = num_workers(n, num_threads);
  Buffer<double> sums(workers * n);
  parallel_for(
      n, num_threads,
      [&](std::size_t k, int worker) {
        double* row = &sums[worker * n];
        std::fill(row + k, row + n, 0.0);
        for (std::size_t i = 0; i < samples; ++i) {
          if (i % run == 0 && is_stopped(stop)) return;
          const double* inputs = &x[i * n];
          for (std::size_t l = k + 1; l < n; ++l) row[l] += inputs[k] * inputs[l];
        }
        std::size_t at = k * (2 * n - k - 1) / 2;
        for (std::size_t l = k + 1; l < n; ++l, ++at) {
          rows[at] = static_cast<std::int32_t>(k);
          columns[at] = static_cast<std::int32_t>(l);
          couplings[at] = 2.0 * alpha * alpha * row[l];
        }
      },
      waiting);
  parallel_for(
      m, num_threads,
      [&](std::size_t r, int) {
        const double mean = layer.mean_target(r), inverse = mean > 0.0 ? 1.0 / mean : 0.0;
        double *row = fields + r * n, norm2 = 0.0;
        std::fill_n(row, n, 0.0);
        for (std::size_t i = 0; i < samples; ++i) {
          if (i % run == 0 && is_stopped(stop)) return;
          const double* inputs = &x[i * n];
          const double target = view.targets[i * m + r] * inverse;  // as in RowEnergy
          for (std::size_t k = 0; k < n; ++k) row[k] += target * inputs[k];
          norm2 += target * target;
        }
        for (std::size_t k = 0; k < n; ++k) row[k] *= -2.0 * alpha;
        offsets[r] = norm2 + alpha * alpha * trace;
      },
      waiting);
}

std::size_t first_nonfinite(const KernelTable& kernels, const float* values, std::size_t count,
                            Stop* stop) {
  const std::size_t run = run_length(1);
  for (std::size_t first = 0; first < count && !is_stopped(stop); first += run) {
    const float* end = values + std::min(count, first + run);
    const auto length = static_cast<std::size_t>(end - (values + first));
    if (std::isfinite(kernels.reductions.of<float>().largest(values + first, length))) continue;
    return static_cast<std::size_t>(
        std::find_if(values + first, end, [](float x) { return !std::isfinite(x); }) - values);
  }
  return count;
}

}  // namespace qpsbgd
