#include "core/encoding/gradient_problems.hpp"

#include <algorithm>

#include "core/matrices/product.hpp"
#include "core/projection/quadratic.hpp"
#include "core/support/buffer.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {

void gradient_ising(const KernelTable& kernels, const SampleView& view, double scale,
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

void gradient_ising_pairs(const KernelTable& kernels, const SampleView& view, double scale,
                          AlphaRule alpha_rule, int num_threads, std::int32_t* rows,
                          std::int32_t* columns, double* couplings, double* fields, double* offsets,
                          Stop* stop) {
  const SampleLayer layer(view, kernels, num_threads, stop);
  if (is_stopped(stop)) return;
  const double alpha = checked_alpha(unit_alpha(layer.norms(), alpha_rule), scale);
  const std::size_t n = layer.num_inputs(), m = layer.num_neurons(), samples = layer.num_samples();
  const std::size_t run = run_length(4 * n);  // samples between two polls of stop
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
        const double mean = layer.target_unit(r), inverse = mean > 0.0 ? 1.0 / mean : 0.0;
        double *row = fields + r * n, norm2 = 0.0;
        std::fill_n(row, n, 0.0);
        for (std::size_t i = 0; i < samples; ++i) {
          if (i % run == 0 && is_stopped(stop)) return;
          const double* inputs = &x[i * n];
          const double target = view.targets[i * m + r] * inverse;  // as in SampleRanking
          for (std::size_t k = 0; k < n; ++k) row[k] += target * inputs[k];
          norm2 += target * target;
        }
        for (std::size_t k = 0; k < n; ++k) row[k] *= -2.0 * alpha;
        offsets[r] = norm2 + alpha * alpha * trace;
      },
      waiting);
}

}  // namespace qpsbgd
