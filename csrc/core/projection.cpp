#include "core/projection.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/parallel.hpp"
#include "core/quadratic.hpp"
#include "core/random.hpp"
#include "core/sign.hpp"

namespace qpsbgd {
namespace {

// The objective of one row's state in float64, from the data and not from increments.
class RowEnergy {
 public:
  RowEnergy(const LayerView& view, const Layer& layer, Objective objective, double scale,
            double eps)
      : view_(view),
        layer_(layer),
        objective_(objective),
        alpha_(layer.alpha(scale)),
        eps_(eps * layer.x_scale()),
        margins_(layer.num_samples()) {}

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

  // What two states of a row are compared by, lower being better. Of the sign objective only the
  // part that depends on the state: beside N + ||t||^2 it would be lost for a t of another scale.
  double rank(std::size_t row, const std::int8_t* spins) {
    if (objective_ == Objective::kQuadratic) return (*this)(row, spins);
    set_margins(spins);
    double agreement = 0.0;
    for (std::size_t i = 0; i < layer_.num_samples(); ++i) agreement += output(i) * target(row, i);
    return -agreement;
  }

 private:
  // Of X b, in float64.
  void set_margins(const std::int8_t* spins) {
    layer_.kernels().margins64(layer_.inputs_t(), layer_.samples_ld(), spins, layer_.num_inputs(),
                               layer_.num_samples(), margins_.data());
  }
  double target(std::size_t row, std::size_t i) const {
    return view_.targets[i * view_.num_neurons + row];
  }
  double output(std::size_t i) const { return margins_[i] + eps_ >= 0.0 ? 1.0 : -1.0; }

  const LayerView& view_;
  const Layer& layer_;
  Objective objective_;
  double alpha_;
  double eps_;
  Buffer<double> margins_;
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

// Fills spins (rows, n) with the states that a read starts from and returns their margins (rows, N;
// samples_ld): the layer's own for the linear minimiser, computed into `margins` for others.
class Starts {
 public:
  Starts(const Layer& layer, const ProjectionOptions& options)
      : layer_(layer),
        options_(options),
        margins_(Layer::kTileRows * layer.samples_ld()),
        variates_(layer.num_inputs()),
        scratch_(Layer::kTileRows * layer.num_inputs()) {}

  const float* fill(std::size_t first_row, std::size_t rows, std::size_t read, std::int8_t* spins) {
    const std::size_t n = layer_.num_inputs();
    if (read == 0 && options_.initial == InitialState::kLinear) {
      std::copy_n(layer_.linear(first_row), rows * n, spins);
      return layer_.linear_margins(first_row);
    }
    if (read == 0 && options_.initial == InitialState::kGiven) {
      std::copy_n(options_.initial_states + first_row * n, rows * n, spins);
    } else {
      for (std::size_t r = 0; r < rows; ++r) {
        const StreamKey key =
            stream_key(options_.annealing.seed, first_row + r, read, kInitialState);
        layer_.kernels().exponential(key, 0, n, variates_.data());
        constexpr float kMedian = 0.6931472f;  // log 2
        for (std::size_t i = 0; i < n; ++i) spins[r * n + i] = variates_[i] < kMedian ? 1 : -1;
      }
    }
    layer_.times_inputs_t(spins, rows, margins_.data(), scratch_.data());
    return margins_.data();
  }

 private:
  const Layer& layer_;
  const ProjectionOptions& options_;
  Buffer<float> margins_;
  Buffer<float> variates_;
  Buffer<float> scratch_;
};

}  // namespace

void project(const KernelTable& kernels, const LayerView& view, const ProjectionOptions& options,
             std::int8_t* out, Stop& stop) {
  const Layer layer(view, kernels, options.num_threads);
  const std::size_t n = layer.num_inputs();
  std::optional<QuadraticProblem> quadratic;
  std::optional<SignProblem> sign;
  if (options.objective == Objective::kQuadratic) {
    quadratic.emplace(layer, options.scale,
                      QuadraticProblem::cheaper_form(layer.num_samples(), n, options.annealing));
  } else {
    sign.emplace(layer, options.target_eps);
  }

  struct Worker {
    Starts starts;
    std::unique_ptr<TileSolver> solver;
    RowEnergy energy;
    Buffer<std::int8_t> spins;  // (Layer::kTileRows, n)
  };
  // The sign objective's kernels take kLanes neurons a time.
  const std::size_t tile_rows = quadratic ? Layer::kTileRows : kLanes;
  const std::size_t num_tiles = divide_up(layer.num_neurons(), tile_rows);
  const std::size_t num_tasks = num_tiles * options.num_reads;
  std::vector<std::unique_ptr<Worker>> workers(num_workers(num_tasks, options.num_threads));
  for (auto& worker : workers) {
    worker.reset(
        new Worker{Starts(layer, options),
                   quadratic ? quadratic->make_solver(options.annealing)
                             : sign->make_solver(options.annealing),
                   RowEnergy(view, layer, options.objective, options.scale, options.target_eps),
                   Buffer<std::int8_t>(Layer::kTileRows * n)});
  }
  BestReads best(layer.num_neurons(), n, num_tiles, out);
  parallel_for(
      num_tasks, options.num_threads,
      [&](std::size_t task, int index) {
        if (stop.poll()) return;
        Worker& worker = *workers[index];
        const std::size_t tile = task / options.num_reads, read = task % options.num_reads;
        const std::size_t first = tile * tile_rows;
        const std::size_t rows = std::min(tile_rows, layer.num_neurons() - first);
        // A single read needs no comparison: it is solved where the caller wants it.
        std::int8_t* spins = options.num_reads == 1 ? out + first * n : worker.spins.data();
        const float* margins = worker.starts.fill(first, rows, read, spins);
        worker.solver->solve(first, rows, read, margins, spins, stop);
        if (options.num_reads == 1) return;
        double ranks[Layer::kTileRows];
        for (std::size_t r = 0; r < rows; ++r)
          ranks[r] = worker.energy.rank(first + r, spins + r * n);
        const std::lock_guard<std::mutex> lock(best.tile_mutex(tile));
        for (std::size_t r = 0; r < rows; ++r) best.offer(first + r, read, ranks[r], spins + r * n);
      },
      [&stop] { stop.poll(); });
}

void projection_energy(const KernelTable& kernels, const LayerView& view, Objective objective,
                       double scale, double target_eps, const std::int8_t* binary, int num_threads,
                       double* energies) {
  const Layer layer(view, kernels, num_threads);
  const std::size_t count = num_workers(layer.num_tiles(), num_threads);
  std::vector<RowEnergy> row_energies;
  for (std::size_t i = 0; i < count; ++i) {
    row_energies.emplace_back(view, layer, objective, scale, target_eps);
  }
  parallel_for(layer.num_tiles(), num_threads, [&](std::size_t tile, int worker) {
    const std::size_t first = tile * Layer::kTileRows;
    for (std::size_t row = first; row < first + layer.tile_rows(tile); ++row) {
      energies[row] = row_energies[worker](row, binary + row * layer.num_inputs());
    }
  });
}

void gradient_qubo(const KernelTable& kernels, const LayerView& view, double scale, int num_threads,
                   float* coupling, float* fields, double* offsets) {
  const Layer layer(view, kernels, num_threads);
  const QuadraticProblem problem(layer, scale, QuadraticProblem::Form::kFields);
  const std::size_t n = layer.num_inputs(), samples = layer.num_samples();
  const double alpha = problem.alpha();
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

std::size_t first_nonfinite(const KernelTable& kernels, const float* values, std::size_t count) {
  constexpr std::uint32_t kInfinity = 0x7f800000;
  if (kernels.largest_magnitude(values, count) < kInfinity) return count;
  return static_cast<std::size_t>(
      std::find_if(values, values + count, [](float x) { return !std::isfinite(x); }) - values);
}

}  // namespace qpsbgd
