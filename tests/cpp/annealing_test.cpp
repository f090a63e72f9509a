// Annealing of one problem, and of reads as bits, and the barriers from which temperatures follow.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/annealing/anneal.hpp"
#include "core/annealing/excitations.hpp"
#include "core/ising/precision.hpp"
#include "core/support/dispatch.hpp"
#include "fixtures.hpp"

namespace {

// Dense and sparse, all that fields may be kept as, all instruction sets and numbers of threads:
// the same states, as the couplings are integers.
void test_anneal(std::size_t n, std::size_t num_reads, bool random_order) {
  CAPTURE(n);
  CAPTURE(num_reads);
  CAPTURE(random_order);
  std::vector<double> linear(n), values;
  std::vector<std::uint32_t> rows, columns;
  std::uint64_t word = n;
  for (std::uint32_t i = 0; i < n; ++i) {
    linear[i] = static_cast<double>(i % 3);
    for (std::uint32_t j = i + 1; j < n; j += n < 200 ? 3 : 97) {
      word = qpsbgd::splitmix64(word);
      rows.push_back(i);
      columns.push_back(j);
      values.push_back(static_cast<double>(word % 9) - 4.0);
    }
  }
  std::vector<Result<std::int8_t>> results;
  for (const auto form : {qpsbgd::Ising::Form::kDense, qpsbgd::Ising::Form::kSparse}) {
    CAPTURE(static_cast<int>(form));
    const qpsbgd::Ising problem(linear.data(), n,
                                {rows.data(), columns.data(), values.data(), values.size()}, form);
    for (const std::string& isa : qpsbgd::available_isas()) {
      CAPTURE(isa);
      setenv("QPSBGD_ISA", isa.c_str(), 1);
      for (const int round : {0, 1, 2, 3, 4, 5}) {
        CAPTURE(round);
        constexpr int kThreads[] = {1, 2, 5, 1, 2, 2};
        constexpr std::optional<qpsbgd::Precision> kPrecisions[] = {{},
                                                                    {},
                                                                    {},
                                                                    qpsbgd::Precision::kFloat32,
                                                                    qpsbgd::Precision::kInt16,
                                                                    qpsbgd::Precision::kFloat64};
        const int threads = kThreads[round];
        qpsbgd::AnnealOptions options;
        options.precision = kPrecisions[round];
        if (options.precision && !qpsbgd::fits(problem, *options.precision, random_order)) continue;
        if (!options.precision && qpsbgd::fits(problem, qpsbgd::Precision::kBits, random_order)) {
          // Bits draw other random numbers.
          options.precision = qpsbgd::narrow_precision(problem, random_order, num_reads);
        }
        options.betas = {0.0, 0.01, 0.1, 1.0, 10.0};
        options.random_order = random_order;
        options.num_threads = threads;
        std::vector<std::int8_t> states(num_reads * n, 1);
        std::vector<std::int64_t> sweeps(num_reads);
        int asked = 0;
        qpsbgd::Stop stop(1e300, [&asked] { return ++asked < 0; });
        qpsbgd::anneal(qpsbgd::kernels(), problem, options, num_reads, states.data(), sweeps.data(),
                       stop);
        for (const std::int64_t made : sweeps) CHECK_MESSAGE((made == 5), "all sweeps made");
        const std::string more =
            "form " + std::to_string(static_cast<int>(form)) + ", round " + std::to_string(round);
        results.push_back({setting_of(isa, threads, more), states});
      }
    }
    qpsbgd::Stop over(0.0, {});
    std::vector<std::int8_t> states(num_reads * n, 1);
    std::vector<std::int64_t> sweeps(num_reads);
    qpsbgd::anneal(qpsbgd::kernels(), problem, {.betas = {1.0}}, num_reads, states.data(),
                   sweeps.data(), over);
    CHECK_MESSAGE((over.reason() == qpsbgd::Stop::Reason::kTimeLimit), "no time, no sweep");
  }
  check_equal(results);
}

// Reads of bits depend on their numbers alone: not on the number of reads, on threads, which may
// anneal up to three reads one by one, on the instruction set or on the first read of a call.
void test_bits(std::size_t n, std::size_t num_reads, bool keep_best) {
  CAPTURE(n);
  CAPTURE(num_reads);
  CAPTURE(keep_best);
  std::vector<double> linear(n), values;
  std::vector<std::uint32_t> rows, columns;
  std::uint64_t word = n;
  for (std::uint32_t i = 0; i < n; ++i) {
    linear[i] = static_cast<double>(i % 3) - 1.0;
    for (const std::uint32_t step : {1u, 5u}) {
      if (i + step >= n) continue;
      word = qpsbgd::splitmix64(word);
      rows.push_back(i);
      columns.push_back(i + step);
      values.push_back(static_cast<double>(word % 7) - 3.0);
    }
  }
  const qpsbgd::Ising problem(linear.data(), n,
                              {rows.data(), columns.data(), values.data(), values.size()},
                              qpsbgd::Ising::Form::kSparse);
  REQUIRE(qpsbgd::fits(problem, qpsbgd::Precision::kBits, false));
  std::vector<std::int8_t> starts((num_reads + 64) * n);
  for (std::int8_t& spin : starts) {
    word = qpsbgd::splitmix64(word);
    spin = word & 1 ? 1 : -1;
  }
  const auto annealed = [&](std::size_t first, std::size_t count, int threads) {
    qpsbgd::AnnealOptions options;
    options.precision = qpsbgd::Precision::kBits;
    options.betas = {0.0, 0.05, 0.3, 1.0, 10.0};
    options.keep_best = keep_best;
    options.num_threads = threads;
    options.first_read = first;
    const auto* from = starts.data() + first * n;
    std::vector<std::int8_t> states(from, from + count * n);
    std::vector<std::int64_t> sweeps(count);
    qpsbgd::Stop stop(1e300, {});
    qpsbgd::anneal(qpsbgd::kernels(), problem, options, count, states.data(), sweeps.data(), stop);
    for (const std::int64_t made : sweeps) CHECK_MESSAGE((made == 5), "all sweeps made");
    CHECK_MESSAGE((std::all_of(states.begin(), states.end(), is_spin)), "spins");
    return states;
  };
  std::vector<Result<std::int8_t>> results;
  for (const std::string& isa : qpsbgd::available_isas()) {
    setenv("QPSBGD_ISA", isa.c_str(), 1);
    for (const int threads : {1, 2, 5, 16}) {
      results.push_back({setting_of(isa, threads), annealed(0, num_reads, threads)});
      auto longer = annealed(0, num_reads + 64, threads);
      longer.resize(num_reads * n);
      results.push_back({setting_of(isa, threads, "more reads"), longer});
      if (num_reads <= 32) continue;
      const auto last = annealed(32, num_reads - 32, threads);
      auto joined = annealed(0, 32, threads);
      joined.insert(joined.end(), last.begin(), last.end());
      results.push_back({setting_of(isa, threads, "two calls"), joined});
    }
  }
  check_equal(results);
  CHECK_THROWS_AS(annealed(33, 1, 1), std::invalid_argument);
}

}  // namespace

TEST_CASE("annealing") {
  for (const bool random_order : {false, true}) {
    test_anneal(1, 3, random_order);
    test_anneal(37, 33, random_order);
    test_anneal(130, 50, random_order);
    test_anneal(300, 18, random_order);
  }
}

TEST_CASE("reads as bits") {
  for (const std::size_t n : {1u, 7u, 67u, 131u}) {
    for (const std::size_t num_reads : {1u, 3u, 31u, 33u, 513u}) {
      for (const bool keep_best : {false, true}) test_bits(n, num_reads, keep_best);
    }
  }
}

TEST_CASE("barriers") {
  const std::vector<double> barriers = {3.0, 1.0, 2.0, 2.0}, highest = {4.0, 2.0, 2.0, 6.0};
  const qpsbgd::BarrierRule rule{.hot = 5.0,
                                 .hot_quantile = 0.9,
                                 .large_per_median = 2.0,
                                 .knee_excited = 2e-4,
                                 .knee_lowest = 0.05};
  const qpsbgd::HotAndKnee ends = qpsbgd::hot_and_knee(barriers, highest, rule);
  CHECK(ends.hot == 1.25);
  CHECK(ends.knee > ends.hot);
  CHECK(qpsbgd::beta_of_excitations(barriers, {}, 0.01, 1.0) ==
        doctest::Approx(4.62).epsilon(0.01));
  std::vector<double> many(1000);  // most of them soon do not count
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = 0.1 * static_cast<double>(i + 1);
  const double beta = qpsbgd::beta_of_excitations(many, many, 0.01, 1.0);
  double sum = 0.0;
  for (const double barrier : many) sum += barrier * std::exp(-beta * barrier);
  CHECK(sum == doctest::Approx(0.01).epsilon(0.002));
}
