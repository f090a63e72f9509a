#include "core/layers/sample_layer.hpp"

#include <algorithm>
#include <cmath>

#include "core/matrices/product.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {

SampleLayer::SampleLayer(const SampleView& view, const KernelTable& kernels, int num_threads,
                         Stop* stop)
    : Layer(kernels, view.num_inputs, view.num_neurons, view.first_row, view.num_samples,
            num_threads),
      view_(view),
      inputs_(view.inputs, view.num_samples, view.num_inputs, kernels, num_threads, true, stop),
      targets_(view.num_neurons * samples_ld()),
      target_units_(view.num_neurons) {
  prepare_rows(stop);
}

void SampleLayer::prepare_targets(std::size_t tile, Stop* stop) {
  const std::size_t m = num_neurons(), samples = num_samples(), stride = samples_ld();
  const std::size_t first = tile * kTileRows, rows = tile_rows(tile);
  double sums[kTileRows] = {}, inverses[kTileRows];
  const std::size_t run = run_length(8 * rows, kLanes);
  for (std::size_t start = 0; start < samples; start += run) {
    if (is_stopped(stop)) return;
    for (std::size_t i = start; i < std::min(start + run, samples); ++i) {
      for (std::size_t r = 0; r < rows; ++r) sums[r] += std::fabs(view_.targets[i * m + first + r]);
    }
  }
  for (std::size_t r = 0; r < rows; ++r) {
    const double mean = sums[r] / static_cast<double>(samples);
    const double unit = view_.steps != nullptr ? view_.steps[first + r] / x_scale() : mean;
    target_units_[first + r] = unit;
    // NOTES: the paper leaves the mean of an all-zero target open; its problem keeps target 0.
    inverses[r] = unit > 0.0 ? 1.0 / unit : 0.0;
  }
  // Some samples at a time, whose cache lines stay while the rows pass over them.
  for (std::size_t start = 0; start < samples; start += kLanes) {
    if (start % run == 0 && is_stopped(stop)) return;
    const std::size_t end = std::min(start + kLanes, samples);
    for (std::size_t r = 0; r < rows; ++r) {
      float* row = &targets_[(first + r) * stride];
      const float* t = view_.targets + first + r;
      for (std::size_t i = start; i < end; ++i) {
        row[i] = static_cast<float>(t[i * m] * inverses[r]);
      }
    }
  }
}

void SampleLayer::prepare_rows(Stop* stop) {
  const std::size_t n = num_inputs(), samples = num_samples();
  const int workers = num_workers(num_tiles(), num_threads());
  Buffer<float> scratch(workers * kTileRows * n);
  parallel_for(
      num_tiles(), num_threads(),
      [&](std::size_t tile, int worker) {
        if (is_stopped(stop)) return;
        const std::size_t first = tile * kTileRows, rows = tile_rows(tile);
        float* own_scratch = &scratch[worker * kTileRows * n];
        prepare_targets(tile, stop);
        inputs_.times_inputs(targets(first), rows, own_scratch, n, stop);
        if (is_stopped(stop)) return;
        std::int8_t* spins = &linear_[first * n];
        kernels().elementwise.to_spins(own_scratch, rows * n, spins);
        for (std::size_t r = 0; r < rows; ++r) {
          norms_[first + r].product =
              kernels().reductions.of<float>().sum_magnitudes(own_scratch + r * n, n);
        }
        image(spins, rows, &linear_images_[first * image_ld()], own_scratch, stop);
        for (std::size_t r = first; r < first + rows && !is_stopped(stop); ++r) {
          norms_[r].target2 =
              kernels().reductions.of<float>().sum_squares(targets(r), samples, 1.0);
          norms_[r].margin2 =
              kernels().reductions.of<float>().sum_squares(linear_image(r), samples, 1.0);
        }
      },
      [&] { is_stopped(stop); });
}

void SampleLayer::image(const std::int8_t* spins, std::size_t rows, float* c, float* scratch,
                        Stop* stop) const {
  const std::size_t n = num_inputs();
  kernels().elementwise.from_spins(spins, rows * n, scratch);
  multiply(kernels(), scratch, n, inputs_.packed_transposed(), n, rows, num_samples(), c,
           image_ld(), stop);
}

}  // namespace qpsbgd
