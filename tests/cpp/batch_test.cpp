// Batches of problems in every form.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <variant>
#include <vector>

#include "core/batch/batch.hpp"
#include "core/support/dispatch.hpp"
#include "fixtures.hpp"

namespace {

// Problems (num_problems, n, n) of small integers, each with its own couplings.
std::vector<double> random_matrices(std::size_t num_problems, std::size_t n, std::uint64_t word) {
  std::vector<double> matrices(num_problems * n * n);
  for (std::size_t b = 0; b < num_problems; ++b) {
    double* matrix = matrices.data() + b * n * n;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        word = qpsbgd::splitmix64(word);
        matrix[i * n + j] = matrix[j * n + i] = static_cast<double>(word % 9) - 4.0;
      }
    }
  }
  return matrices;
}

// One batch in every form that has it: the same states on every instruction set and number of
// threads, and, as the couplings are integers, in every form of the same couplings.
void test_batch(std::size_t problems, std::size_t n, std::size_t reads, qpsbgd::BatchMethod method,
                bool keep_best) {
  using qpsbgd::BatchForm;
  CAPTURE(problems);
  CAPTURE(n);
  CAPTURE(reads);
  CAPTURE(static_cast<int>(method));
  CAPTURE(keep_best);
  const std::vector<double> matrices = random_matrices(problems, n, n), shared = [&] {
    return std::vector<double>(matrices.begin(),
                               matrices.begin() + static_cast<std::ptrdiff_t>(n * n));
  }();
  const std::vector<float> matrices32(matrices.begin(), matrices.end());
  std::vector<double> linear(problems * n);
  for (std::size_t i = 0; i < linear.size(); ++i) linear[i] = static_cast<double>(i % 5) - 2.0;
  constexpr std::size_t kRank = 3;
  const std::vector<float> factor = noise(kRank * n, n);
  const std::vector<double> factor64(factor.begin(), factor.end());
  std::vector<std::uint32_t> rows, columns;
  for (std::uint32_t i = 0; i < n; ++i) {
    for (std::uint32_t j = i + 1; j < n; ++j) {
      rows.push_back(i);
      columns.push_back(j);
    }
  }
  std::vector<double> values, shared_values;
  for (std::size_t b = 0; b < problems; ++b) {
    for (std::size_t k = 0; k < rows.size(); ++k) {
      values.push_back(matrices[(b * n + rows[k]) * n + columns[k]]);
      if (b == 0) shared_values.push_back(values.back());
    }
  }
  const qpsbgd::MatrixView own(matrices.data(), n), own32(matrices32.data(), n);
  const qpsbgd::MatrixView same(shared.data(), n);
  struct Case {
    std::variant<qpsbgd::MatrixView, qpsbgd::FactorView, qpsbgd::PatternView> couplings;
    bool shared;
    BatchForm form;
    int group;  // cases with the same couplings
  };
  const std::vector<Case> cases = {
      {own, false, BatchForm::kDense, 0},
      {own32, false, BatchForm::kDense, 0},
      {own, false, BatchForm::kInterleaved, 0},
      {own32, false, BatchForm::kInterleaved, 0},
      {qpsbgd::PatternView{rows.data(), columns.data(), values.data(), rows.size()}, false,
       BatchForm::kDense, 0},
      {same, true, BatchForm::kDense, 1},
      {qpsbgd::PatternView{rows.data(), columns.data(), shared_values.data(), rows.size()}, true,
       BatchForm::kDense, 1},
      {qpsbgd::FactorView{factor.data(), kRank, 0.5}, true, BatchForm::kLowRank, 2},
  };
  qpsbgd::BatchOptions options;
  options.method = method;
  options.num_reads = reads;
  if (method == qpsbgd::BatchMethod::kAnneal) options.betas = {0.01, 0.1, 1.0, 10.0};
  options.beta_factors.assign(problems, 1.0);
  options.keep_best = keep_best;
  options.moves = 3 * n;
  options.tenure = n / 4;
  std::vector<std::vector<Result<std::int8_t>>> results(3);
  std::vector<double> found;
  for (const Case& c : cases) {
    CAPTURE(static_cast<int>(c.form));
    CAPTURE(c.group);
    if (c.form != BatchForm::kDense && method != qpsbgd::BatchMethod::kAnneal) continue;
    const qpsbgd::BatchView view{c.couplings, c.shared, linear.data(), problems, n};
    options.form = c.form;
    for (const std::string& isa : qpsbgd::available_isas()) {
      CAPTURE(isa);
      setenv("QPSBGD_ISA", isa.c_str(), 1);
      const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
      for (const int threads : {1, 3}) {
        CAPTURE(threads);
        options.num_threads = threads;
        std::vector<std::int8_t> states(problems * reads * n);
        for (std::size_t i = 0; i < states.size(); ++i) {
          states[i] = qpsbgd::splitmix64(i) % 2 ? 1 : -1;
        }
        std::vector<std::uint8_t> done(problems);
        std::vector<double> energies(problems * reads, 12345.0);
        qpsbgd::Stop stop(1e300, {});
        qpsbgd::solve_batch(kernels, view, options, states.data(), done.data(), energies.data(),
                            stop);
        for (const std::uint8_t begun : done)
          CHECK_MESSAGE((begun == (n > 0)), "all problems begun");
        const std::string more = "form " + std::to_string(static_cast<int>(c.form));
        auto& result = results[static_cast<std::size_t>(c.group)];
        result.push_back({setting_of(isa, threads, more), states});
        // Passes over the same couplings.
        const qpsbgd::BatchStates batch{linear.data(), states.data(), problems, reads, n};
        std::vector<double> again(problems * reads), fields(problems * reads * n);
        if (const auto* matrix = std::get_if<qpsbgd::MatrixView>(&c.couplings)) {
          std::vector<double> largest(c.shared ? 1 : problems), most(problems), typical(problems);
          CHECK_MESSAGE(
              (!qpsbgd::find_bad_entry(kernels, *matrix, largest.size(), threads, largest.data())),
              "sound matrices");
          qpsbgd::batch_magnitudes(kernels, *matrix, c.shared, largest.data(), linear.data(),
                                   problems, threads, most.data(), typical.data());
          qpsbgd::batch_energies(kernels, *matrix, c.shared, batch, threads, again.data());
          qpsbgd::batch_fields(kernels, *matrix, c.shared, batch, threads, fields.data());
        } else if (c.form == BatchForm::kLowRank) {
          qpsbgd::factor_energies(kernels, factor64.data(), kRank, 0.5, batch, threads,
                                  again.data());
          qpsbgd::factor_fields(kernels, factor64.data(), kRank, 0.5, batch, threads,
                                fields.data());
        } else {
          continue;
        }
        if (c.form == BatchForm::kInterleaved)
          CHECK_MESSAGE((energies == again), "energies of the solver");
        for (std::size_t row = 0; row < problems * reads; ++row) {
          double sum = 0.0;  // h.s + s.(h + J s), twice the energy
          for (std::size_t i = 0; i < n; ++i) {
            const double h = linear[row / reads * n + i];
            sum += states[row * n + i] * (h + fields[row * n + i]);
          }
          CHECK_MESSAGE((std::fabs(sum / 2 - again[row]) <= 1e-9 * (1 + std::fabs(sum))),
                        "energy of fields");
        }
      }
    }
    unsetenv("QPSBGD_ISA");
    std::vector<std::int8_t> states(problems * reads * n, 1);
    std::vector<std::uint8_t> done(problems);
    std::vector<double> energies(problems * reads);
    qpsbgd::Stop over(0.0, {});
    qpsbgd::solve_batch(qpsbgd::kernels(), view, options, states.data(), done.data(),
                        energies.data(), over);
    for (std::size_t b = 0; b < problems; ++b) {
      const auto first = states.begin() + static_cast<std::ptrdiff_t>(b * reads * n);
      const bool initial = std::all_of(first, first + static_cast<std::ptrdiff_t>(reads * n),
                                       [](std::int8_t spin) { return spin == 1; });
      CHECK_MESSAGE((done[b] || initial), "the initial states of what was not begun");
    }
  }
  for (const auto& group : results) check_equal(group);
}

}  // namespace

TEST_CASE("batches") {
  using qpsbgd::BatchMethod;
  for (const std::size_t n : {0u, 1u, 15u, 16u, 17u, 64u, 65u, 130u}) {
    const std::size_t num_problems = n < 130 ? 17 : 2;  // 17 fill lanes, and begin others
    for (const bool keep_best : {false, true}) {
      test_batch(num_problems, n, 1, BatchMethod::kAnneal, keep_best);
      test_batch(3, n, 5, BatchMethod::kAnneal, keep_best);
    }
    test_batch(2, n, 17, BatchMethod::kAnneal, true);
    test_batch(3, n, 2, BatchMethod::kDescent, true);
    test_batch(3, n, 2, BatchMethod::kTabu, true);
  }
}
