#include "core/projection/projection.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "core/matrices/product.hpp"
#include "core/projection/quadratic.hpp"
#include "core/projection/sign.hpp"
#include "core/state/anneal_rows.hpp"
#include "core/support/buffer.hpp"
#include "core/support/streams.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

// Best read of every row so far. The result does not depend on the order in which reads arrive: the
// lower rank wins, and of equal ranks the lower read.
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

// States that reads start from. Holds scratch space: each thread needs its own.
class Starts {
 public:
  Starts(const Layer& layer, const ProjectionOptions& options)
      : layer_(layer),
        options_(options),
        images_(Layer::kTileRows * layer.image_ld()),
        variates_(layer.num_inputs()),
        scratch_(Layer::kTileRows * layer.num_inputs()) {}

  // Writes the states (rows, n) that a read starts from, and returns their images (rows, image_ld).
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
            layer_.streams(options_.annealing.seed, first_row + r, read).sweep(kInitialState);
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

// The solver of an objective. The functions are called once for each thread.
struct Solver {
  std::function<std::unique_ptr<ProjectionRows>()> make_rows;
  std::function<std::unique_ptr<Ranking>()> make_ranking;
  std::size_t tile_rows = Layer::kTileRows;
};

// Descends until no row of `count` flips anything, or num_sweeps sweeps are made.
void descend_rows(ProjectionRows& rows, std::size_t count, std::size_t num_sweeps, Stop& stop) {
  std::uint8_t active[Layer::kTileRows];
  std::memset(active, 1, count);
  for (std::size_t sweep = 0; sweep < num_sweeps && !stop.poll(); ++sweep) {
    rows.descend(active);
    if (std::memchr(active, 1, count) == nullptr) return;
  }
}

// One call of project(): tiles of rows, times reads, are dealt to threads.
class ProjectionCall {
 public:
  ProjectionCall(const Layer& layer, const Solver& solver, const ProjectionOptions& options,
                 std::int8_t* out, Stop& stop)
      : layer_(layer),
        options_(options),
        tile_rows_(solver.tile_rows),
        out_(out),
        stop_(stop),
        best_(layer.num_neurons(), layer.num_inputs(), num_tiles(), out) {
    const auto count = static_cast<std::size_t>(num_workers(num_tasks(), layer.num_threads()));
    for (std::size_t worker = 0; worker < count; ++worker) {
      workers_.push_back(std::make_unique<Worker>(
          Worker{Starts(layer, options), solver.make_rows(), solver.make_ranking(),
                 Buffer<std::int8_t>(Layer::kTileRows * layer.num_inputs())}));
    }
  }

  void run() {
    parallel_for(
        num_tasks(), layer_.num_threads(),
        [&](std::size_t task, int worker) {
          solve_tile(task / options_.num_reads, task % options_.num_reads,
                     *workers_[static_cast<std::size_t>(worker)]);
        },
        [&] { stop_.poll(); });
  }

 private:
  struct Worker {
    Starts starts;
    std::unique_ptr<ProjectionRows> rows;
    std::unique_ptr<Ranking> ranking;
    Buffer<std::int8_t> states;  // (Layer::kTileRows, n)
  };

  std::size_t num_tiles() const { return divide_up(layer_.num_neurons(), tile_rows_); }
  std::size_t num_tasks() const { return num_tiles() * options_.num_reads; }

  void solve_tile(std::size_t tile, std::size_t read, Worker& worker) {
    if (stop_.poll()) return;
    const std::size_t n = layer_.num_inputs(), first = tile * tile_rows_;
    const std::size_t count = std::min(tile_rows_, layer_.num_neurons() - first);
    // A single read needs no comparison: its states go directly to the result.
    const bool is_single = options_.num_reads == 1;
    std::int8_t* states = is_single ? out_ + first * n : worker.states.data();
    const float* images = worker.starts.fill(first, count, read, states, stop_);
    if (stop_.poll()) return;
    improve(first, count, read, images, states, *worker.rows);
    if (is_single) return;
    double ranks[Layer::kTileRows];
    worker.ranking->rank(first, count, states, ranks, &stop_);
    if (stop_.poll()) return;
    const std::lock_guard<std::mutex> lock(best_.tile_mutex(tile));
    for (std::size_t r = 0; r < count; ++r) best_.offer(first + r, read, ranks[r], states + r * n);
  }

  void improve(std::size_t first, std::size_t count, std::size_t read, const float* images,
               std::int8_t* states, ProjectionRows& rows) {
    const Annealing& annealing = options_.annealing;
    if (!rows.load(first, count, images, states, stop_)) return;
    if (annealing.is_descent()) {
      descend_rows(rows, count, annealing.num_sweeps, stop_);
    } else {
      ReadStreams streams[Layer::kTileRows];
      for (std::size_t r = 0; r < Layer::kTileRows; ++r) {
        streams[r] = layer_.streams(annealing.seed, first + r, read);
      }
      anneal_rows(rows, annealing.betas, Refresh::kNever, streams, round_up(count, kLanes), stop_);
    }
    rows.save(states);
  }

  const Layer& layer_;
  const ProjectionOptions& options_;
  const std::size_t tile_rows_;
  std::int8_t* const out_;
  Stop& stop_;
  BestReads best_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace

void project(const SampleLayer& layer, const std::vector<RowNorms>& norms,
             const ProjectionOptions& options, std::int8_t* out, Stop& stop) {
  if (stop.poll()) return;
  if (options.objective == Objective::kSign) {
    const SignProblem problem(layer, options.target_eps, &stop);
    const auto make_ranking = [&] {
      return std::make_unique<SampleRanking>(layer, Objective::kSign, 0.0, options.target_eps);
    };
    const Solver solver{[&] { return problem.make_rows(); }, make_ranking, kLanes};
    return ProjectionCall(layer, solver, options, out, stop).run();
  }
  const double alpha = checked_alpha(layer.unit_step(norms, options.alpha_rule), options.scale);
  const auto form =
      QuadraticProblem::cheaper_form(layer.num_samples(), layer.num_inputs(), options.annealing);
  ProjectionOptions own = options;
  if (layer.view().steps != nullptr) {
    // Temperatures are in units of the squares of steps, which belong to the X that is not scaled.
    const double x_scale = layer.x_scale();
    for (double& beta : own.annealing.betas) beta /= x_scale * x_scale;
  }
  const QuadraticProblem problem(layer, alpha, form, &stop);
  const Solver solver{
      [&] { return problem.make_rows(); },
      [&] { return std::make_unique<SampleRanking>(layer, Objective::kQuadratic, alpha, 0.0); }};
  ProjectionCall(layer, solver, own, out, stop).run();
}

void project(const GramLayer& layer, const std::vector<RowNorms>& norms,
             const ProjectionOptions& options, std::int8_t* out, Stop& stop) {
  if (stop.poll()) return;
  const double alpha = checked_alpha(unit_alpha(norms, options.alpha_rule), options.scale);
  const Solver solver{[&] { return make_gram_rows(layer, alpha); },
                      [&] { return std::make_unique<GramRanking>(layer, alpha); }};
  ProjectionCall(layer, solver, options, out, stop).run();
}

void projection_energy(const KernelTable& kernels, const SampleView& view, Objective objective,
                       double scale, AlphaRule alpha_rule, double target_eps,
                       const std::int8_t* binary, int num_threads, double* energies, Stop* stop) {
  const SampleLayer layer(view, kernels, num_threads, stop);
  if (is_stopped(stop)) return;
  const double alpha =
      objective == Objective::kQuadratic ? scale * layer.unit_step(layer.norms(), alpha_rule) : 0.0;
  const std::size_t count = num_workers(layer.num_tiles(), num_threads);
  std::vector<SampleRanking> rankings;
  for (std::size_t i = 0; i < count; ++i) {
    rankings.emplace_back(layer, objective, alpha, target_eps);
  }
  parallel_for(
      layer.num_tiles(), num_threads,
      [&](std::size_t tile, int worker) {
        const std::size_t first = tile * Layer::kTileRows, end = first + layer.tile_rows(tile);
        for (std::size_t row = first; row < end && !is_stopped(stop); ++row) {
          const double unit = view.steps != nullptr ? layer.target_unit(row) : 1.0;
          energies[row] =
              unit * unit * rankings[worker].energy(row, binary + row * layer.num_inputs(), stop);
        }
      },
      [&] { is_stopped(stop); });
}

}  // namespace qpsbgd
