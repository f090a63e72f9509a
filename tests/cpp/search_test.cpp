// Exhaustive search, descent and tabu search.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/ising/precision.hpp"
#include "core/search/descent.hpp"
#include "core/search/exhaustive.hpp"
#include "core/support/dispatch.hpp"
#include "core/tabu/tabu.hpp"
#include "fixtures.hpp"

namespace {

struct Model {
  std::vector<double> linear, values;
  std::vector<std::uint32_t> rows, columns;

  qpsbgd::Ising ising(qpsbgd::Ising::Form form) const {
    return {linear.data(),
            linear.size(),
            {rows.data(), columns.data(), values.data(), values.size()},
            form};
  }
};

// Biases of `kind` magnitudes: 9 and 4000 are integers below that, 0 real of very different ones.
Model random_model(std::size_t n, int kind) {
  Model model;
  std::uint64_t word = n;
  const auto draw = [&word, kind] {
    word = qpsbgd::splitmix64(word);
    const auto limit = static_cast<std::uint64_t>(kind);
    if (kind != 0) return static_cast<double>(word % (2 * limit - 1)) - (kind - 1);
    return (static_cast<double>(word >> 11) * 0x1p-52 - 1.0) *
           static_cast<double>(std::uint64_t{1} << word % 40);
  };
  for (std::uint32_t i = 0; i < n; ++i) {
    model.linear.push_back(draw());
    for (std::uint32_t j = i + 1; j < n; j += 2) {
      model.rows.push_back(i);
      model.columns.push_back(j);
      model.values.push_back(draw());
    }
  }
  return model;
}

void test_enumerate(std::size_t n, int kind) {
  CAPTURE(n);
  CAPTURE(kind);
  const Model model = random_model(n, kind);
  const qpsbgd::Ising problem = model.ising(qpsbgd::Ising::Form::kSparse);
  std::vector<Result<std::int8_t>> results;
  for (const std::string& isa : qpsbgd::available_isas()) {
    CAPTURE(isa);
    setenv("QPSBGD_ISA", isa.c_str(), 1);
    for (const int threads : {1, 2, 5}) {
      CAPTURE(threads);
      int asked = 0;
      qpsbgd::Stop stop(1e300, [&asked] { return ++asked < 0; });
      const qpsbgd::LowestStates lowest =
          qpsbgd::enumerate(qpsbgd::kernels(), problem, 9, threads, stop);
      CHECK_MESSAGE((lowest.num_visited == std::uint64_t{1} << n), "all states visited");
      std::vector<double> energies(lowest.count);
      problem.energies(qpsbgd::kernels(), lowest.states.data(), lowest.count, 1, energies.data());
      CHECK_MESSAGE((std::is_sorted(energies.begin(), energies.end())), "lowest states in order");
      results.push_back({setting_of(isa, threads), lowest.states});
    }
  }
  check_equal(results);
  qpsbgd::Stop over(0.0, {});
  CHECK_MESSAGE((qpsbgd::enumerate(qpsbgd::kernels(), problem, 1, 2, over).count == 1),
                "something is found");
}

// A dense problem from pairs, from a matrix of the caller's, and from four times that matrix.
void test_dense_sources(std::size_t n, int kind) {
  CAPTURE(n);
  CAPTURE(kind);
  const Model model = random_model(n, kind);
  std::vector<double> matrix(n * n);
  for (std::size_t k = 0; k < model.values.size(); ++k) {
    matrix[model.rows[k] * n + model.columns[k]] = model.values[k];
    matrix[model.columns[k] * n + model.rows[k]] = model.values[k];
  }
  std::vector<double> fourfold(matrix);
  for (double& value : fourfold) value *= 4.0;
  const qpsbgd::MatrixView view(matrix.data(), n), times4(fourfold.data(), n);
  const qpsbgd::Ising problems[] = {model.ising(qpsbgd::Ising::Form::kDense),
                                    {model.linear.data(), view},
                                    {model.linear.data(), times4.times(0.25)}};
  constexpr std::size_t kStates = 19;
  std::vector<std::int8_t> states(kStates * n);
  for (std::size_t i = 0; i < states.size(); ++i) {
    states[i] = qpsbgd::splitmix64(i) & 1 ? 1 : -1;
  }
  std::vector<Result<double>> energies, fields;
  std::vector<Result<std::int8_t>> minima;
  for (const std::string& isa : qpsbgd::available_isas()) {
    setenv("QPSBGD_ISA", isa.c_str(), 1);
    for (const qpsbgd::Ising& problem : problems) {
      std::vector<double> energy(kStates), field(n);
      problem.energies(qpsbgd::kernels(), states.data(), kStates, 2, energy.data());
      problem.fields64(states.data(), field.data());
      energies.push_back({setting_of(isa, 2), energy});
      fields.push_back({setting_of(isa, 1), field});
      for (const std::size_t together : {std::size_t{1}, kStates}) {  // by rows, and by the matrix
        std::vector<std::int8_t> minimum(states);
        std::vector<std::int64_t> steps(kStates);
        for (std::size_t first = 0; first < kStates; first += together) {
          qpsbgd::Stop stop(1e300, {});
          qpsbgd::descend(qpsbgd::kernels(), problem, qpsbgd::Precision::kFloat64, 2, together,
                          minimum.data() + first * n, steps.data() + first, stop);
        }
        minima.push_back({setting_of(isa, 2), minimum});
      }
    }
  }
  check_equal(energies);
  check_equal(fields);
  check_equal(minima);
}

void test_descend(std::size_t n, int kind) {
  constexpr std::size_t kReads = 33;
  CAPTURE(n);
  CAPTURE(kind);
  const Model model = random_model(n, kind);
  std::vector<Result<std::int8_t>> results;
  for (const auto form : {qpsbgd::Ising::Form::kDense, qpsbgd::Ising::Form::kSparse}) {
    CAPTURE(static_cast<int>(form));
    const qpsbgd::Ising problem = model.ising(form);
    // Rounded fields may choose other steps in the two forms.
    if (!problem.exact()) {
      check_equal(results);
      results.clear();
    }
    for (const std::string& isa : qpsbgd::available_isas()) {
      CAPTURE(isa);
      setenv("QPSBGD_ISA", isa.c_str(), 1);
      for (const int threads : {1, 2, 5, -2}) {  // negative: in float64
        CAPTURE(threads);
        if (threads < 0 && !problem.exact()) continue;
        std::vector<std::int8_t> states(kReads * n);
        for (std::size_t i = 0; i < states.size(); ++i) {
          states[i] = qpsbgd::splitmix64(i) % 2 ? 1 : -1;
        }
        std::vector<std::int64_t> steps(kReads);
        qpsbgd::Stop stop(1e300, {});
        const auto precision =
            threads < 0 ? qpsbgd::Precision::kFloat64 : qpsbgd::Precision::kFloat32;
        qpsbgd::descend(qpsbgd::kernels(), problem, precision, std::abs(threads), kReads,
                        states.data(), steps.data(), stop);
        for (std::size_t read = 0; read < kReads; ++read) {
          CHECK_MESSAGE((steps[read] >= 0), "all reads made");
          std::vector<double> fields(n);
          problem.fields64(&states[read * n], fields.data());
          for (std::size_t i = 0; i < n; ++i) {
            CHECK_MESSAGE((states[read * n + i] * fields[i] <= 1e-13 * problem.reach()[i]),
                          "a minimum");
          }
        }
        results.push_back(
            {setting_of(isa, threads, "form " + std::to_string(static_cast<int>(form))), states});
      }
    }
  }
  check_equal(results);
}

// Dense in 16 bits and in floats, and sparse, all instruction sets and numbers of threads: the same
// states, where the biases are small integers. With a large bias the gains leave 16 bits.
void test_tabu(std::size_t n, std::size_t num_reads, int kind, double large_bias = 0.0) {
  CAPTURE(n);
  CAPTURE(kind);
  CAPTURE(num_reads);
  CAPTURE(large_bias);
  Model model = random_model(n, kind);
  if (large_bias != 0.0) model.linear[n / 2] = large_bias;
  std::vector<Result<std::int8_t>> results;
  for (const auto form : {qpsbgd::Ising::Form::kDense, qpsbgd::Ising::Form::kSparse}) {
    CAPTURE(static_cast<int>(form));
    const qpsbgd::Ising problem = model.ising(form);
    for (const auto precision : {qpsbgd::Precision::kFloat32, qpsbgd::Precision::kInt16}) {
      if (!qpsbgd::tabu_fits(problem, precision)) continue;
      if (!problem.exact()) {
        check_equal(results);
        results.clear();
      }
      for (const std::string& isa : qpsbgd::available_isas()) {
        CAPTURE(isa);
        setenv("QPSBGD_ISA", isa.c_str(), 1);
        for (const int threads : {1, 2, 5}) {
          CAPTURE(threads);
          qpsbgd::TabuOptions options;
          options.shortest_tenure = n / 8;
          options.longest_tenure = n / 4;
          options.num_restarts = 40;
          options.first_moves = 2 * n;
          options.restart_moves = n / 4;
          options.precision = precision;
          options.num_threads = threads;
          std::vector<std::int8_t> states(num_reads * n, 1);
          std::vector<qpsbgd::TabuRead> reads(num_reads);
          int asked = 0;
          qpsbgd::Stop stop(1e300, [&asked] { return ++asked < 0; });
          qpsbgd::tabu(qpsbgd::kernels(), problem, options, num_reads, states.data(), reads.data(),
                       stop);
          for (const auto& read : reads) {
            CHECK_MESSAGE((read.restarts == 40), "all searches made");
            CHECK_MESSAGE((read.moves == 2 * n + 40 * (n / 4)), "all moves made");
          }
          results.push_back(
              {setting_of(isa, threads,
                          "form " + std::to_string(static_cast<int>(form)) + ", precision " +
                              std::to_string(static_cast<int>(precision))),
               states});
        }
      }
    }
    qpsbgd::Stop over(0.0, {});
    std::vector<std::int8_t> states(num_reads * n, 1);
    std::vector<qpsbgd::TabuRead> reads(num_reads);
    qpsbgd::TabuOptions options;
    options.shortest_tenure = options.longest_tenure = 0;
    qpsbgd::tabu(qpsbgd::kernels(), problem, options, num_reads, states.data(), reads.data(), over);
    CHECK_MESSAGE((reads[0].restarts == 0), "no time, one descent");
    for (std::size_t read = 1; read < num_reads; ++read) {
      CHECK_MESSAGE((reads[read].restarts == -1), "no time, no other read");
    }
    std::vector<double> fields(n);
    problem.fields64(states.data(), fields.data());
    for (std::size_t i = 0; i < n; ++i) {
      CHECK_MESSAGE((states[i] * fields[i] <= 1e-5 * problem.reach()[i]), "a local minimum");
    }
  }
  check_equal(results);
}

}  // namespace

TEST_CASE("exhaustive search") {
  for (const std::size_t n : {0u, 1u, 5u, 11u, 13u, 16u}) {
    for (const int kind : {9, 4000, 0}) test_enumerate(n, kind);
  }
}

TEST_CASE("dense problems from pairs and from matrices") {
  for (const std::size_t n : {1u, 16u, 37u, 130u}) {
    for (const int kind : {9, 4000, 0}) test_dense_sources(n, kind);
  }
}

TEST_CASE("descent") {
  for (const std::size_t n : {1u, 16u, 37u, 130u}) {
    for (const int kind : {9, 4000, 0}) test_descend(n, kind);
  }
}

TEST_CASE("tabu search") {
  for (const std::size_t n : {1u, 16u, 140u}) {
    for (const int kind : {9, 4000, 0}) {
      test_tabu(n, 1, kind);
      test_tabu(n, 7, kind);
    }
    for (const double large_bias : {32'500.0, 400'001.0}) test_tabu(n, 2, 100, large_bias);
  }
}
