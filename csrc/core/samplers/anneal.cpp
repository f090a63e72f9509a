#include "core/samplers/anneal.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "core/samplers/local_minimum.hpp"
#include "core/samplers/precision.hpp"
#include "core/state/read_tile.hpp"
#include "core/support/parallel.hpp"
#include "core/support/streams.hpp"

namespace qpsbgd {
namespace {

// Sums of floats that are not exact drift: after so many sweeps fields are computed anew.
constexpr std::size_t kRefresh = 256;
// More than the error of the energies of sweeps, in the sum of all biases' magnitudes: nearer to a
// threshold, an energy computed anew decides.
constexpr double kFloat32Error = 0x1p-20, kFloat64Error = 0x1p-48;
// Couplings of dense problems in int16: the largest, in units, whose block of flips changes a field
// by less than 2^14. See kernels/int16_flips.hpp.
constexpr double kNarrowCoupling = 127.0;

}  // namespace

float threshold(const Ising& problem, double beta) {
  // Not infinite: a lane of padding must stay infinitely far from it.
  const double value = problem.scale() / (2.0 * beta);
  return static_cast<float>(std::min<double>(value, std::numeric_limits<float>::max() / 64));
}

bool fits(const Ising& problem, Precision precision, bool random_order) {
  if (precision == Precision::kFloat32) return true;
  if (precision == Precision::kFloat64) return problem.form() != Ising::Form::kLowRank;
  if (!problem.exact() || random_order) return false;
  if (problem.form() == Ising::Form::kDense) return problem.coupling_in_units() <= kNarrowCoupling;
  const double largest = std::numeric_limits<std::int16_t>::max();
  return problem.reach_in_units() <= largest && 2.0 * problem.coupling_in_units() <= largest;
}

Precision narrow_precision(const Ising& problem, bool random_order, std::size_t num_reads) {
  const bool lanes = problem.form() == Ising::Form::kSparse || num_reads >= kLanesFrom;
  const bool narrow = lanes && fits(problem, Precision::kInt16, random_order);
  return narrow ? Precision::kInt16 : Precision::kFloat32;
}

Precision best_precision(const Ising& problem, bool random_order, std::size_t num_reads) {
  if (problem.form() != Ising::Form::kLowRank && needs_float64(problem)) {
    return Precision::kFloat64;
  }
  return narrow_precision(problem, random_order, num_reads);
}

void anneal(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
            std::size_t num_reads, std::int8_t* states, std::int64_t* sweeps, Stop& stop) {
  const std::size_t n = problem.num_variables(), num_sweeps = options.betas.size();
  const bool nothing = n == 0 || num_reads == 0 || num_sweeps == 0;
  std::fill_n(sweeps, num_reads, nothing ? 0 : -1);
  if (nothing) return;
  const bool sparse = problem.form() == Ising::Form::kSparse;
  const bool low_rank = problem.form() == Ising::Form::kLowRank;
  const std::size_t num_problems = problem.num_problems();
  if (num_reads % num_problems != 0) {
    throw std::invalid_argument("reads must be dealt evenly to the problems");
  }
  if (low_rank && options.random_order) {
    throw std::invalid_argument("problems of low rank are visited in order");
  }
  const std::size_t reads_each = num_reads / num_problems;
  // Full tiles share the couplings best, but every thread should have one.
  const std::size_t threads = static_cast<std::size_t>(num_workers(num_reads, options.num_threads));
  // Lanes that are reads cost nothing.
  const std::size_t rows_max = sparse ? kLanes : std::min(kLanes, divide_up(num_reads, threads));
  const std::size_t num_tiles = divide_up(num_reads, rows_max);
  std::vector<std::unique_ptr<ReadTile>> tiles(num_workers(num_tiles, options.num_threads));
  const Precision precision = options.precision
                                  ? *options.precision
                                  : best_precision(problem, options.random_order, num_reads);
  const bool wide = precision == Precision::kFloat64;
  const bool exact = problem.exact(precision);
  const double error = (wide ? kFloat64Error : kFloat32Error) * problem.total_magnitude();
  const TileMaker make_tile = low_rank ? low_rank_tiles(kernels, problem, options)
                              : sparse ? sparse_tiles(kernels, problem, options, precision)
                              : wide   ? wide_dense_tiles(kernels, problem, options)
                                       : dense_tiles(kernels, problem, options, precision);
  for (auto& tile : tiles) tile = make_tile();
  std::vector<std::unique_ptr<LocalMinimum>> minima(tiles.size());
  parallel_for(
      num_tiles, options.num_threads,
      [&](std::size_t task, int worker) {
        ReadTile& tile = *tiles[worker];
        const std::size_t first = task * rows_max, rows = std::min(rows_max, num_reads - first);
        std::size_t problems[kLanes] = {};
        for (std::size_t r = 0; r < rows; ++r) problems[r] = (first + r) / reads_each;
        // The first read is begun however little time there is.
        if (stop.poll() && task > 0) return;
        std::fill_n(sweeps + first, rows, 0);
        const bool started = tile.start(states + first * n, rows, problems, stop);
        // kLanes streams even for fewer reads: the lanes beyond them run too.
        ReadStreams streams[kLanes];
        for (std::size_t r = 0; r < kLanes; ++r) {
          streams[r] = {options.seed, options.number + problems[r], (first + r) % reads_each};
        }
        double best[kLanes];
        std::fill_n(best, rows, std::numeric_limits<double>::infinity());
        // Looks at the current states: keeps those that are a read's best, tells of them, and stops
        // the call if one is not above the threshold.
        const auto look = [&] {
          double energies[kLanes];
          tile.energies(energies);
          bool chosen[kLanes], any = false, near = false;
          for (std::size_t r = 0; r < rows; ++r) {
            chosen[r] = energies[r] < best[r];
            if (!chosen[r]) continue;
            any = true;
            best[r] = energies[r];
            const double energy = energies[r] / problem.scale();
            stop.found(energy);
            near |= energy <= stop.energy_threshold() + error;
          }
          if (!any || !(options.keep_best || near)) return;
          tile.keep(chosen);
          if (!near) return;
          tile.finish();
          problem.energies(kernels, states + first * n, rows, 1, energies);
          for (std::size_t r = 0; r < rows; ++r) {
            if (energies[r] <= stop.energy_threshold()) stop.reached();
          }
        };
        if (started && (options.keep_best || options.watch)) look();
        std::size_t sweep = 0;
        for (; started && sweep < num_sweeps; ++sweep) {
          if (sweep % kRefresh == kRefresh - 1 && !exact && !tile.refresh(stop)) break;
          StreamKey keys[kLanes], order[kLanes];
          for (std::size_t r = 0; r < kLanes; ++r) {
            keys[r] = streams[r].sweep(sweep);
            order[r] = order_key(keys[r]);
          }
          if (!tile.sweep(options.betas[sweep], keys, order, stop)) break;
          for (std::size_t r = 0; r < rows; ++r) {
            sweeps[first + r] = static_cast<std::int64_t>(sweep + 1);
          }
          if (options.keep_best || options.watch) look();
        }
        if (started && !options.keep_best) {
          bool all[kLanes];
          std::fill_n(all, rows, true);
          tile.keep(all);
        }
        if (started) tile.finish();
        const bool timed_out = stop.reason() == Stop::Reason::kTimeLimit;
        const bool cut = sweep < num_sweeps && timed_out;
        const bool ended = timed_out || stop.reason() == Stop::Reason::kNone;
        if (!(options.descend_at_limit && cut) && !(options.descend_always && ended)) return;
        auto& minimum = minima[static_cast<std::size_t>(worker)];
        if (!minimum) minimum = std::make_unique<LocalMinimum>(problem);
        for (std::size_t r = 0; r < rows; ++r) {
          if (!minimum->descend(problems[r], states + (first + r) * n, &stop)) return;
          stop.found(minimum->energy());
        }
      },
      [&stop] {
        // Reads that are brought to a local minimum go on after a time limit.
        stop.poll();
        stop.poll_interrupt();
      });
}

}  // namespace qpsbgd
