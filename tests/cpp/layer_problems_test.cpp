// The problems of a layer's rows as arrays, for other solvers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/encoding/gradient_problems.hpp"
#include "core/encoding/sign_qubo.hpp"
#include "core/projection/projection.hpp"
#include "core/support/dispatch.hpp"
#include "fixtures.hpp"

namespace {

// Inputs of one magnitude a sample, some of them zeros, some samples twice or all zeros.
std::vector<float> signs(const Shape& shape, std::uint64_t seed) {
  std::vector<float> values = noise(shape.samples * shape.inputs, seed);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t sample = i / shape.inputs;
    const float magnitude = sample % 5 == 4 ? 0.0f : 1.0f + static_cast<float>(sample % 3);
    values[i] = values[i] > 0.8f ? 0.0f : std::copysign(magnitude, values[i]);
    if (sample % 7 == 6) values[i] = -values[i - shape.inputs];
  }
  return values;
}

// A layer's problems as arrays; of each row the energy of one state of its weights, with the
// auxiliary variables of least energy of their count, is the objective.
void test_problems(const Shape& shape, double target_eps) {
  const std::size_t n = shape.inputs, m = shape.neurons;
  const std::vector<float> inputs = signs(shape, 3), targets = noise(shape.samples * m, 4);
  const qpsbgd::SampleView view{inputs.data(), targets.data(), shape.samples, n, m};
  CAPTURE(shape.samples);
  CAPTURE(n);
  CAPTURE(m);
  CAPTURE(target_eps);
  std::vector<Result<double>> results;
  for (const std::string& isa : qpsbgd::available_isas()) {
    CAPTURE(isa);
    setenv("QPSBGD_ISA", isa.c_str(), 1);
    const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
    for (const int threads : {1, 2, 5}) {
      CAPTURE(threads);
      const qpsbgd::SignQubo problem(view, kernels, target_eps, threads);
      const std::size_t width = problem.num_variables(), pairs = problem.num_couplings();
      std::vector<std::int8_t> patterns(problem.num_counts() * n);
      std::vector<std::int32_t> thresholds(problem.num_counts()), rows(pairs), columns(pairs);
      std::vector<double> values(pairs), factors(m), fields(m * width), offsets(m);
      problem.patterns(patterns.data());
      problem.thresholds(thresholds.data());
      problem.couplings(rows.data(), columns.data(), values.data());
      problem.rows(1.1, factors.data(), fields.data(), offsets.data());
      std::vector<std::int8_t> state(width, 1);
      for (std::size_t k = 0; k < n; ++k) state[k] = k % 3 == 1 ? -1 : 1;
      std::size_t variable = n;
      for (std::size_t g = 0; g < thresholds.size(); ++g) {
        std::int32_t agreeing = 0;
        for (std::size_t k = 0; k < n; ++k) agreeing += patterns[g * n + k] * state[k] > 0;
        const bool indicator = agreeing >= thresholds[g];
        state[variable++] = indicator ? 1 : -1;
        std::int32_t left = indicator ? agreeing - thresholds[g] : agreeing;
        std::vector<std::int32_t> weights;
        for (std::int32_t rest = thresholds[g] - 1; rest > 0; rest -= weights.back()) {
          weights.push_back(std::min(rest, std::int32_t{1} << weights.size()));
        }
        for (std::size_t j = weights.size(); j-- > 0;) {
          std::int32_t lower = 0;
          for (std::size_t i = 0; i < j; ++i) lower += weights[i];
          state[variable + j] = left > lower ? 1 : -1;
          left -= left > lower ? weights[j] : 0;
        }
        variable += weights.size();
      }
      CHECK_MESSAGE((variable == width), "variables of all counts");
      std::vector<std::int8_t> binary;
      for (std::size_t r = 0; r < m; ++r) binary.insert(binary.end(), state.data(), &state[0] + n);
      std::vector<double> expected(m);
      qpsbgd::projection_energy(kernels, view, qpsbgd::Objective::kSign, 1.0,
                                qpsbgd::AlphaRule::kNorm, target_eps, binary.data(), threads,
                                expected.data());
      for (std::size_t r = 0; r < m; ++r) {
        double energy = offsets[r];
        for (std::size_t v = 0; v < width; ++v) energy += fields[r * width + v] * state[v];
        for (std::size_t e = 0; e < pairs; ++e) {
          CHECK_MESSAGE((rows[e] >= 0 && rows[e] < columns[e] &&
                         static_cast<std::size_t>(columns[e]) < width),
                        "pairs above the diagonal");
          const auto row = static_cast<std::size_t>(rows[e]);
          const auto column = static_cast<std::size_t>(columns[e]);
          energy += factors[r] * values[e] * state[row] * state[column];
        }
        CHECK_MESSAGE((std::fabs(energy - expected[r]) <= 1e-9 * std::max(1.0, expected[r])),
                      "the energy is the sign objective");
      }
      std::vector<double> quadratic(n * (n - 1) / 2 + m * n + m);
      double* const linear = quadratic.data() + n * (n - 1) / 2;
      std::vector<std::int32_t> firsts(n * (n - 1) / 2), seconds(firsts.size());
      qpsbgd::gradient_ising_pairs(kernels, view, 1.0, qpsbgd::AlphaRule::kNorm, threads,
                                   firsts.data(), seconds.data(), quadratic.data(), linear,
                                   linear + m * n);
      for (std::size_t i = 0, at = 0; i < n; ++i) {
        for (std::size_t j = i + 1; j < n; ++j, ++at) {
          CHECK_MESSAGE((firsts[at] == static_cast<std::int32_t>(i) &&
                         seconds[at] == static_cast<std::int32_t>(j)),
                        "pairs in lexicographic order");
        }
      }
      std::vector<double> all = quadratic;
      for (const auto* part : {&values, &factors, &fields, &offsets}) {
        all.insert(all.end(), part->begin(), part->end());
      }
      results.push_back({setting_of(isa, threads), std::move(all)});
    }
  }
  unsetenv("QPSBGD_ISA");
  check_equal(results);
  std::vector<float> other = inputs;
  CHECK_MESSAGE((qpsbgd::first_other_magnitude(other.data(), shape.samples, n) == other.size()),
                "one magnitude a sample");
  if (n < 2) return;
  other[0] = 1.0f;
  other[1] = 2.0f;
  CHECK_MESSAGE((qpsbgd::first_other_magnitude(other.data(), shape.samples, n) == 1),
                "another magnitude");
  bool thrown = false;
  try {
    const qpsbgd::SignQubo problem({other.data(), targets.data(), shape.samples, n, m},
                                   qpsbgd::kernels(), target_eps, 1);
  } catch (const std::invalid_argument&) {
    thrown = true;
  }
  CHECK_MESSAGE((thrown), "two magnitudes are refused");
}

}  // namespace

TEST_CASE("a layer's problems for other solvers") {
  for (const Shape& shape : {Shape{1, 1, 1}, Shape{8, 2, 3}, Shape{20, 17, 35}, Shape{9, 64, 2}}) {
    for (const double target_eps : {0.0, 0.01, 2.0, 1e300}) test_problems(shape, target_eps);
  }
}
