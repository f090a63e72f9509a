// Parallel tempering and weights of partition functions on several threads, for the sanitizer
// builds: every instruction set, dense and sparse problems, cluster moves, elimination, and ends by
// limits. tests/samplers/tempering has the oracles.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/ising/precision.hpp"
#include "core/ising/reduction.hpp"
#include "core/support/dispatch.hpp"
#include "core/support/streams.hpp"
#include "core/tempering/partition.hpp"
#include "core/tempering/tempering.hpp"

namespace {

using Form = qpsbgd::Ising::Form;

struct Interactions {
  std::vector<std::uint32_t> rows, columns;
  std::vector<double> values;

  void add(std::size_t i, std::size_t j, std::uint64_t word) {
    rows.push_back(static_cast<std::uint32_t>(i));
    columns.push_back(static_cast<std::uint32_t>(j));
    values.push_back(static_cast<double>(word >> 62) * 2.0 - 3.0);
  }

  qpsbgd::Ising problem(const std::vector<double>& linear, Form form,
                        std::size_t num_problems = 1) const {
    return {linear.data(),
            linear.size() / num_problems,
            {rows.data(), columns.data(), values.data(), values.size()},
            form,
            num_problems};
  }
};

// A ring of n variables with chords, each with four neighbours, and a tail of `tail` variables.
Interactions ring_with_tail(std::size_t n, std::size_t tail) {
  Interactions pairs;
  std::uint64_t word = n;
  for (std::size_t i = 0; i < n; ++i) {
    for (const std::size_t step : {1u, 5u}) {
      if (step < n) pairs.add(i, (i + step) % n, word = qpsbgd::splitmix64(word));
    }
  }
  for (std::size_t i = n; i < n + tail; ++i) {
    pairs.add(i - 1, i, word = qpsbgd::splitmix64(word));
  }
  return pairs;
}

std::vector<double> biases(std::size_t n) {
  std::vector<double> linear(n);
  for (std::size_t i = 0; i < n; ++i) linear[i] = static_cast<double>(i % 3) - 1.0;
  return linear;
}

// What a call returns that must not depend on threads or instruction sets.
struct Outcome {
  std::vector<std::int8_t> states, samples;
  std::vector<std::int64_t> sweeps, taken, round_trips;
  std::vector<double> exchanges;

  bool operator==(const Outcome&) const = default;
};

Outcome tempered(const qpsbgd::Ising& problem, qpsbgd::TemperOptions options, std::size_t num_reads,
                 qpsbgd::Stop& stop) {
  const std::size_t n = problem.num_variables();
  Outcome out;
  out.states.assign(num_reads * n, 1);
  out.samples.assign(num_reads * options.num_takes() * options.sampled.size() * n, 0);
  const auto reads =
      qpsbgd::temper(qpsbgd::kernels(), problem, options, num_reads, nullptr, out.states.data(),
                     options.keep_best ? nullptr : out.samples.data(), stop);
  for (const qpsbgd::TemperRead& read : reads) {
    out.sweeps.push_back(read.sweeps);
    out.taken.push_back(read.taken);
    out.round_trips.push_back(read.round_trips);
    out.exchanges.insert(out.exchanges.end(), read.exchanges.begin(), read.exchanges.end());
  }
  for (const std::int8_t spin : out.states) CHECK((spin == 1 || spin == -1));
  return out;
}

void test_temper(const qpsbgd::Ising& problem, qpsbgd::TemperOptions options) {
  std::vector<Outcome> outcomes;
  for (const std::string& isa : qpsbgd::available_isas()) {
    CAPTURE(isa);
    setenv("QPSBGD_ISA", isa.c_str(), 1);
    for (const int setting : {0, 1, 2, 3}) {
      options.num_threads = 1 + setting % 2;
      options.num_threads_per_read = 1 + setting / 2;
      qpsbgd::Stop stop(1e300, {});
      outcomes.push_back(tempered(problem, options, 3, stop));
      CHECK_MESSAGE((outcomes.back() == outcomes.front()), "one result in all settings");
    }
  }
  unsetenv("QPSBGD_ISA");
  // The caller's thread ends the call while others work.
  std::atomic<int> asked{0};
  qpsbgd::Stop stop(1e300, [&asked] { return ++asked > 1; });
  options.num_threads = 2;
  options.num_threads_per_read = 1;
  options.num_sweeps = std::size_t{1} << 40;
  options.sample_sweeps.clear();
  if (!options.keep_best) options.num_spread = 2;
  tempered(problem, options, 2, stop);
  CHECK(stop.reason() == qpsbgd::Stop::Reason::kInterrupt);
}

qpsbgd::TemperOptions options_of(std::size_t num_betas, bool is_best) {
  qpsbgd::TemperOptions options;
  for (std::size_t t = 0; t < num_betas; ++t) {
    options.betas.push_back(0.05 * static_cast<double>(t + 1));
  }
  options.num_sweeps = 13;
  options.keep_best = is_best;
  if (!is_best) {
    options.acceptance = qpsbgd::Acceptance::kGibbs;
    options.sampled = {0, num_betas - 1};
    options.sample_sweeps = {7, 13};
  }
  return options;
}

}  // namespace

TEST_CASE("parallel tempering") {
  for (const std::size_t n : {1u, 17u, 130u}) {
    CAPTURE(n);
    const std::vector<double> linear = biases(n);
    const Interactions pairs = ring_with_tail(n, 0);
    for (const bool is_best : {false, true}) {
      CAPTURE(is_best);
      // One tile, and three tiles of which the last is not full.
      for (const std::size_t num_betas : {2u, 19u}) {
        test_temper(pairs.problem(linear, Form::kDense), options_of(num_betas, is_best));
        auto options = options_of(num_betas, is_best);
        options.num_copies = 2;
        options.cluster_period = 3;
        options.first_clustered = num_betas / 2;
        test_temper(pairs.problem(linear, Form::kSparse), options);
      }
    }
    auto spread = options_of(5, false);
    spread.sample_sweeps.clear();
    spread.num_spread = 1;  // room for 4 of 13 sweeps
    test_temper(pairs.problem(linear, Form::kSparse), spread);
  }
}

TEST_CASE("tempering of a reduced problem") {
  for (const std::size_t n : {0u, 40u}) {
    CAPTURE(n);
    const std::vector<double> linear = biases(n + 30);
    const qpsbgd::Ising whole = ring_with_tail(std::max<std::size_t>(n, 1), n == 0 ? 29 : 30)
                                    .problem(linear, Form::kSparse);
    qpsbgd::Stop endless(1e300, {});
    const qpsbgd::Reduction reduction(whole, endless);
    CHECK(reduction.kept().size() == n);
    const std::size_t count = reduction.values().size();
    const qpsbgd::Ising smaller(
        reduction.linear().data(), n,
        {reduction.rows().data(), reduction.columns().data(), reduction.values().data(), count},
        Form::kSparse);
    auto options = options_of(6, true);
    options.num_copies = 2;
    options.cluster_period = 4;
    options.num_threads = 2;
    qpsbgd::Stop stop(1e300, {});
    const Outcome outcome = tempered(smaller, options, 4, stop);
    std::vector<std::int8_t> state(n + 30, 0);
    for (std::size_t read = 0; read < 4; ++read) {
      reduction.restore(outcome.states.data() + read * n, state.data());
      double energies[2] = {};
      whole.energies(qpsbgd::kernels(), state.data(), 1, 1, &energies[0]);
      smaller.energies(qpsbgd::kernels(), outcome.states.data() + read * n, 1, 1, &energies[1]);
      CHECK(energies[0] == energies[1] + reduction.offset());
    }
  }
}

TEST_CASE("weights of partition functions") {
  for (const std::size_t n : {1u, 17u, 130u}) {
    CAPTURE(n);
    std::vector<double> linear;
    for (std::size_t k = 0; k < 3; ++k) {
      for (const double bias : biases(n)) linear.push_back(bias * static_cast<double>(k));
    }
    for (const Form form : {Form::kDense, Form::kSparse}) {
      const qpsbgd::Ising problem = ring_with_tail(n, 0).problem(linear, form, 3);
      for (const bool is_marked : {true, false}) {
        qpsbgd::PartitionOptions options{.betas = {0.0, 0.1, 0.2, 0.5}, .marked = {}};
        if (is_marked) options.marked = {1, 3};
        std::vector<qpsbgd::Weights> results;
        for (const std::string& isa : qpsbgd::available_isas()) {
          setenv("QPSBGD_ISA", isa.c_str(), 1);
          for (const int threads : {1, 2}) {
            options.num_threads = threads;
            qpsbgd::Stop stop(1e300, {});
            results.push_back(
                qpsbgd::importance_weights(qpsbgd::kernels(), problem, options, 21, stop));
            CHECK(results.back().logs.size() == (is_marked ? 3 * 21 * 2 : 0));
            CHECK((results.back().logs == results.front().logs));
            CHECK((results.back().variances == results.front().variances));
          }
        }
        unsetenv("QPSBGD_ISA");
        qpsbgd::Stop over(0.0, {});
        CHECK_THROWS_AS(qpsbgd::importance_weights(qpsbgd::kernels(), problem, options, 21, over),
                        qpsbgd::Stopped);
      }
    }
  }
}
