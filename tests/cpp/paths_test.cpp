// Path-integral annealing and annealing of rotors.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/paths/path_integral.hpp"
#include "core/paths/rotors.hpp"
#include "core/support/dispatch.hpp"
#include "fixtures.hpp"

namespace {

// A model whose couplings are no integers, without couplings within chains of this length.
struct ChainModel {
  std::vector<double> linear, values;
  std::vector<std::uint32_t> rows, columns;

  ChainModel(std::size_t n, std::size_t length) : linear(n) {
    for (std::uint32_t i = 0; i < n; ++i) {
      linear[i] = static_cast<double>(i % 5) - 2.0;
      for (std::uint32_t j = i + 1; j < n; ++j) {
        if (i / length == j / length || (i + j) % 3 == 0) continue;
        rows.push_back(i);
        columns.push_back(j);
        values.push_back(0.5 - static_cast<double>((i * j) % 7) / 5.0);
      }
    }
  }
  qpsbgd::Ising ising(qpsbgd::Ising::Form form) const {
    return {linear.data(),
            linear.size(),
            {rows.data(), columns.data(), values.data(), values.size()},
            form};
  }
};

// Dense and sparse, all instruction sets and numbers of threads: the same worldlines. Breaks come
// and go at both ends of the worldline, and there are more of them than a tile first has room for.
void test_paths(std::size_t n, std::size_t num_reads, std::size_t length, double coupling) {
  CAPTURE(n);
  CAPTURE(num_reads);
  CAPTURE(length);
  CAPTURE(coupling);
  const ChainModel model(n, length);
  std::vector<std::int32_t> num_breaks(num_reads * n), breaks;
  for (std::size_t k = 0; k < num_breaks.size(); ++k) {
    num_breaks[k] = static_cast<std::int32_t>(k % 7 == 6 ? 24 : 2 * (k % 3));
    for (std::int32_t b = 0; b < num_breaks[k]; ++b) {
      breaks.push_back(b == num_breaks[k] - 1 ? qpsbgd::kNumSlices - 1 : 3 * b);
    }
  }
  const std::vector<std::int8_t> starts(num_reads * n, 1);
  std::vector<Result<std::int32_t>> results;
  for (const auto form : {qpsbgd::Ising::Form::kDense, qpsbgd::Ising::Form::kSparse}) {
    const qpsbgd::Ising problem = model.ising(form);
    for (const std::string& isa : qpsbgd::available_isas()) {
      setenv("QPSBGD_ISA", isa.c_str(), 1);
      for (const int threads : {1, 3}) {
        qpsbgd::FieldSchedule options;
        options.steps = {{0.0, 3.0}, {0.7, 30.0}, {1.0, 0.5}, {2.0, 0.0}, {1.0, 60.0}};
        options.sample_interval = 2;
        options.num_threads = threads;
        std::vector<std::int8_t> spins(num_reads * n),
            samples(num_reads * options.num_samples() * n);
        std::vector<std::int64_t> sweeps(num_reads);
        std::vector<std::int32_t> last_breaks(num_reads * n);
        qpsbgd::PathResults found{
            spins.data(), sweeps.data(), samples.data(), last_breaks.data(), {}};
        qpsbgd::Stop stop(1e300, {});
        qpsbgd::anneal_paths(qpsbgd::kernels(), problem, options, {length, coupling, length > 1},
                             num_reads, {starts.data(), num_breaks.data(), breaks.data()}, found,
                             stop);
        for (const std::int64_t made : sweeps) CHECK_MESSAGE((made == 5), "all sweeps made");
        CHECK_MESSAGE((std::all_of(samples.begin(), samples.end(), is_spin)), "all samples taken");
        std::vector<std::int32_t> all(spins.begin(), spins.end());
        all.insert(all.end(), last_breaks.begin(), last_breaks.end());
        for (const auto& places : found.breaks) all.insert(all.end(), places.begin(), places.end());
        results.push_back(
            {setting_of(isa, threads, "form " + std::to_string(static_cast<int>(form))), all});
      }
    }
  }
  check_equal(results);
}

// Rotors: the same angles and measured spins in all settings, for every way to propose angles.
void test_rotors(std::size_t n, std::size_t num_reads, qpsbgd::RotorProposal proposal) {
  CAPTURE(n);
  CAPTURE(num_reads);
  CAPTURE(static_cast<int>(proposal));
  const ChainModel model(n, 1);
  std::vector<float> transverse(n);
  std::vector<std::uint8_t> starts(num_reads * n);
  for (std::size_t i = 0; i < n; ++i) transverse[i] = 0.25f * static_cast<float>(i % 4);
  for (std::size_t k = 0; k < starts.size(); ++k) starts[k] = static_cast<std::uint8_t>(37 * k);
  std::vector<Result<std::int32_t>> results;
  for (const auto form : {qpsbgd::Ising::Form::kDense, qpsbgd::Ising::Form::kSparse}) {
    const qpsbgd::Ising problem = model.ising(form);
    for (const std::string& isa : qpsbgd::available_isas()) {
      setenv("QPSBGD_ISA", isa.c_str(), 1);
      for (const int threads : {1, 3}) {
        qpsbgd::FieldSchedule schedule;
        schedule.steps = {{0.0, 3.0}, {0.7, 30.0}, {1.0, 0.5}, {2.0, 0.0}, {1.0, 0.01}};
        schedule.sample_interval = 2;
        schedule.order = qpsbgd::VisitOrder::kDrawn;
        schedule.num_threads = threads;
        std::vector<std::uint8_t> angles(num_reads * n),
            samples(num_reads * schedule.num_samples() * n);
        std::vector<std::int8_t> spins(num_reads * n);
        std::vector<std::int64_t> sweeps(num_reads);
        qpsbgd::Stop stop(1e300, {});
        qpsbgd::anneal_rotors(qpsbgd::kernels(), problem, schedule, {proposal}, transverse.data(),
                              num_reads, starts.data(),
                              {angles.data(), spins.data(), sweeps.data(), samples.data()}, stop);
        for (const std::int64_t made : sweeps) CHECK_MESSAGE((made == 5), "all sweeps made");
        CHECK_MESSAGE((std::all_of(spins.begin(), spins.end(), is_spin)), "all spins measured");
        std::vector<std::int32_t> all(angles.begin(), angles.end());
        all.insert(all.end(), spins.begin(), spins.end());
        all.insert(all.end(), samples.begin(), samples.end());
        results.push_back(
            {setting_of(isa, threads, "form " + std::to_string(static_cast<int>(form))), all});
      }
    }
  }
  check_equal(results);
}

}  // namespace

TEST_CASE("path-integral annealing") {
  for (const std::size_t length : {1u, 3u}) {
    for (const double coupling : {-1.0, 0.5}) {
      test_paths(3, 2, length, coupling);
      test_paths(12, 33, length, coupling);
    }
  }
}

TEST_CASE("rotors") {
  for (const auto proposal : {qpsbgd::RotorProposal::kReflect, qpsbgd::RotorProposal::kUniform,
                              qpsbgd::RotorProposal::kNear}) {
    test_rotors(3, 2, proposal);
    test_rotors(37, 33, proposal);
  }
}
