// Projections of layers: whole, as shares of the rows, and from products of the samples.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/encoding/gradient_problems.hpp"
#include "core/projection/projection.hpp"
#include "core/support/dispatch.hpp"
#include "fixtures.hpp"

namespace {

template <class Layer>
std::vector<std::int8_t> solved(const Layer& layer, const std::vector<qpsbgd::RowNorms>& norms,
                                const qpsbgd::ProjectionOptions& options) {
  std::vector<std::int8_t> binary(layer.num_neurons() * layer.num_inputs());
  qpsbgd::Stop stop(1e300, {});
  qpsbgd::project(layer, norms, options, binary.data(), stop);
  return binary;
}

// The first row, and the others, with columns of T of their own.
std::vector<std::int8_t> solved_shares(const Shape& shape, const std::vector<float>& inputs,
                                       const std::vector<float>& targets,
                                       const qpsbgd::ProjectionOptions& options) {
  const std::size_t m = shape.neurons, others = m - 1;
  std::vector<float> first(shape.samples), rest(shape.samples * others);
  for (std::size_t i = 0; i < shape.samples; ++i) {
    first[i] = targets[i * m];
    std::copy_n(&targets[i * m] + 1, others, rest.data() + i * others);
  }
  const qpsbgd::SampleLayer one({inputs.data(), first.data(), shape.samples, shape.inputs, 1},
                                qpsbgd::kernels(), 2);
  if (others == 0) return solved(one, one.norms(), options);
  const qpsbgd::SampleLayer two(
      {inputs.data(), rest.data(), shape.samples, shape.inputs, others, 1}, qpsbgd::kernels(), 2);
  std::vector<qpsbgd::RowNorms> norms = one.norms();
  norms.insert(norms.end(), two.norms().begin(), two.norms().end());
  std::vector<std::int8_t> binary = solved(one, norms, options);
  for (const std::int8_t spin : solved(two, norms, options)) binary.push_back(spin);
  return binary;
}

std::vector<std::int8_t> solved_products(const Shape& shape, const std::vector<float>& inputs,
                                         const std::vector<float>& targets, int threads,
                                         const qpsbgd::ProjectionOptions& options) {
  const std::size_t n = shape.inputs, m = shape.neurons;
  std::vector<double> gram(n * n), cross(m * n), magnitudes(m), squares(m);
  for (std::size_t s = 0; s < shape.samples; ++s) {
    const float *x = &inputs[s * n], *t = &targets[s * m];
    for (std::size_t i = 0; i < n * n; ++i) gram[i] += static_cast<double>(x[i / n]) * x[i % n];
    for (std::size_t i = 0; i < m * n; ++i) cross[i] += static_cast<double>(t[i / n]) * x[i % n];
    for (std::size_t r = 0; r < m; ++r) {
      magnitudes[r] += std::fabs(t[r]);
      squares[r] += static_cast<double>(t[r]) * t[r];
    }
  }
  const qpsbgd::GramLayer layer(
      {gram.data(), cross.data(), magnitudes.data(), squares.data(), shape.samples, n, m},
      qpsbgd::kernels(), threads);
  return solved(layer, layer.norms(), options);
}

// Every layer is solved whole and as shares of its rows, from samples and from products of them.
void test_project(const Shape& shape, qpsbgd::Objective objective, qpsbgd::AlphaRule alpha_rule,
                  bool anneal) {
  // Exactly as long as they are, so that a read past the end is one.
  const std::vector<float> inputs = noise(shape.samples * shape.inputs, 1);
  const std::vector<float> targets = noise(shape.samples * shape.neurons, 2);
  const qpsbgd::SampleView view{inputs.data(), targets.data(), shape.samples, shape.inputs,
                                shape.neurons};
  qpsbgd::ProjectionOptions options;
  options.objective = objective;
  options.alpha_rule = alpha_rule;
  options.target_eps = 0.01;
  options.num_reads = 3;
  options.annealing = {.num_sweeps = 4, .betas = {}, .seed = 5};
  if (anneal) options.annealing.betas = {0.0, 0.1, 1.0, 10.0};
  CAPTURE(shape.samples);
  CAPTURE(shape.inputs);
  CAPTURE(shape.neurons);
  CAPTURE(static_cast<int>(objective));
  CAPTURE(static_cast<int>(alpha_rule));
  CAPTURE(anneal);
  std::vector<Result<std::int8_t>> results, from_products;
  for (const std::string& isa : qpsbgd::available_isas()) {
    CAPTURE(isa);
    setenv("QPSBGD_ISA", isa.c_str(), 1);
    const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
    for (const int threads : {1, 2, 5}) {
      CAPTURE(threads);
      const qpsbgd::SampleLayer layer(view, kernels, threads);
      results.push_back({setting_of(isa, threads), solved(layer, layer.norms(), options)});
      if (objective == qpsbgd::Objective::kSign) continue;
      from_products.push_back(
          {setting_of(isa, threads), solved_products(shape, inputs, targets, threads, options)});
    }
    results.push_back(
        {setting_of(isa, 2, "in shares"), solved_shares(shape, inputs, targets, options)});
    std::vector<double> energies(shape.neurons);
    qpsbgd::projection_energy(kernels, view, objective, 1.0, alpha_rule, 0.01,
                              results.back().values.data(), 2, energies.data());
    std::vector<float> coupling(shape.inputs * shape.inputs), fields(results.back().values.size());
    qpsbgd::gradient_ising(kernels, view, 1.0, alpha_rule, 2, coupling.data(), fields.data(),
                           energies.data());
  }
  unsetenv("QPSBGD_ISA");
  check_equal(results);
  check_equal(from_products);
  for (const auto* group : {&results, &from_products}) {
    for (const auto& result : *group) {
      CAPTURE(result.setting);
      CHECK_MESSAGE(std::all_of(result.values.begin(), result.values.end(), is_spin),
                    "spins are +-1");
    }
  }
}

}  // namespace

TEST_CASE("projections") {
  for (const Shape& shape :
       {Shape{1, 1, 1}, Shape{5, 17, 49}, Shape{33, 16, 3}, Shape{130, 50, 97}}) {
    for (const bool anneal : {false, true}) {
      test_project(shape, qpsbgd::Objective::kQuadratic, qpsbgd::AlphaRule::kNorm, anneal);
      test_project(shape, qpsbgd::Objective::kQuadratic, qpsbgd::AlphaRule::kFit, anneal);
      test_project(shape, qpsbgd::Objective::kSign, qpsbgd::AlphaRule::kNorm, anneal);
    }
  }
}
