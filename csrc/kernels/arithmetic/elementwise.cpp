// Passes over arrays that treat every element alone.
#include "kernels/simd/random.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

void to_spins(const float* values, std::size_t count, std::int8_t* spins) {
  for (std::size_t i = 0; i < count; ++i) spins[i] = values[i] >= 0.0f ? 1 : -1;
}

void from_spins(const std::int8_t* spins, std::size_t count, float* values) {
  for (std::size_t i = 0; i < count; ++i) values[i] = spins[i];
}

void step_along(float* weights, const std::int8_t* binary, std::size_t count, float lr,
                float clip) {
  for (std::size_t i = 0; i < count; ++i) {
    const float moved = weights[i] - lr * static_cast<float>(binary[i]);
    const float above = moved < -clip ? -clip : moved;  // both comparisons leave a NaN alone
    weights[i] = above > clip ? clip : above;
  }
}

void exponential(StreamKey key, std::uint32_t first, std::size_t count, float* out) {
  for (std::size_t start = 0; start < count; start += kLanes) {
    alignas(64) float values[kLanes];
    store_lanes(values, draw_run_noise<Acceptance::kMetropolis>(
                            key, first + static_cast<std::uint32_t>(start)));
    for (std::size_t i = 0; i < kLanes && start + i < count; ++i) out[start + i] = values[i];
  }
}

}  // namespace

constinit const ElementwiseKernels kElementwise = {
    .to_spins = to_spins,
    .from_spins = from_spins,
    .step_along = step_along,
    .exponential = exponential,
};

}  // namespace qpsbgd::QPSBGD_ISA
