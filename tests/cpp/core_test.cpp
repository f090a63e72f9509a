// The core without Python, for the sanitizer builds: every instruction set, both objectives, shapes
// at the edges of lanes, panels and tiles, several threads. Equality of results is the check that
// needs no oracle; tests/test_kernels.py has the oracle. A failed check prints the shape, the
// instruction set and the number of threads, which doctest captures.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "core/annealing/anneal.hpp"
#include "core/annealing/excitations.hpp"
#include "core/batch/batch.hpp"
#include "core/ising/precision.hpp"
#include "core/paths/path_integral.hpp"
#include "core/paths/rotors.hpp"
#include "core/projection/gradient_problems.hpp"
#include "core/projection/projection.hpp"
#include "core/projection/sign_qubo.hpp"
#include "core/search/descent.hpp"
#include "core/search/exhaustive.hpp"
#include "core/support/dispatch.hpp"
#include "core/support/parallel.hpp"
#include "core/support/streams.hpp"
#include "core/support/work.hpp"
#include "core/tabu/tabu.hpp"

namespace {

bool is_spin(std::int8_t value) { return value == 1 || value == -1; }

// Result of one solver in one setting: an instruction set, a number of threads, a form.
template <class Value>
struct Result {
  std::string setting;
  std::vector<Value> values;
};

std::string setting_of(const std::string& isa, int threads, const std::string& more = "") {
  return isa + ", " + std::to_string(threads) + " threads" + (more.empty() ? "" : ", ") + more;
}

template <class Value>
void check_equal(const std::vector<Result<Value>>& results) {
  for (const Result<Value>& result : results) {
    INFO("first setting: ", results.front().setting);
    INFO("other setting: ", result.setting);
    CHECK_MESSAGE((result.values == results.front().values), "one result in all settings");
  }
}

std::vector<float> noise(std::size_t count, std::uint64_t seed) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto word = qpsbgd::splitmix64(seed * 1000003 + i);
    values[i] = static_cast<float>(static_cast<double>(word) * 0x1p-63 - 1.0);
  }
  return values;
}

struct Shape {
  std::size_t samples, inputs, neurons;
};

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

// One sample whose target is the lowest integer: 0 - INT_MIN must not be undefined behaviour, and
// all instruction sets must decide alike.
void test_lowest_target() {
  using qpsbgd::kLanes;
  std::vector<Result<float>> results;
  for (const std::string& isa : qpsbgd::available_isas()) {
    CAPTURE(isa);
    setenv("QPSBGD_ISA", isa.c_str(), 1);
    const qpsbgd::KernelTable& kernels = qpsbgd::kernels();
    qpsbgd::Buffer<float> packed(kernels.gemm.panel_columns), transposed(kLanes), reach(kLanes),
        margins(kLanes), spins(kLanes);
    qpsbgd::Buffer<std::int32_t> targets(kLanes);
    qpsbgd::Buffer<std::uint64_t> critical(1);
    for (auto* zeros : {&packed, &transposed, &reach, &spins}) {
      std::fill_n(zeros->data(), zeros->size(), 0.0f);
    }
    // Samples without a target never matter.
    std::fill_n(margins.data(), margins.size(), std::numeric_limits<float>::infinity());
    std::fill_n(targets.data(), targets.size(), 0);
    packed[0] = transposed[0] = 1.0f;
    reach[0] = 2.0f;
    margins[0] = spins[0] = 1.0f;  // the flip makes the margin -1
    targets[0] = std::numeric_limits<std::int32_t>::min();
    const qpsbgd::SignTile tile{.packed_inputs = packed.data(),
                                .inputs_t = transposed.data(),
                                .reach = reach.data(),
                                .targets = targets.data(),
                                .margins = margins.data(),
                                .ld = kLanes,
                                .spins = spins.data(),
                                .spins_ld = kLanes,
                                .rows = 1,
                                .num_variables = 1,
                                .num_samples = 1,
                                .critical = critical.data()};
    const qpsbgd::StreamKey key{};
    kernels.sign.anneal(tile, 1.0f, &key);
    results.push_back({isa, {spins.data(), spins.data() + kLanes}});
  }
  unsetenv("QPSBGD_ISA");
  check_equal(results);
}

void test_parallel_for() {
  for (const int threads : {1, 2, 8}) {
    CAPTURE(threads);
    std::vector<int> visits(100, 0);
    qpsbgd::parallel_for(100, threads, [&](std::size_t task, int) { ++visits[task]; });
    CHECK_MESSAGE((visits == std::vector<int>(100, 1)), "each task once");
    bool thrown = false;
    try {
      qpsbgd::parallel_for(100, threads, [](std::size_t task, int) {
        if (task == 7) throw std::runtime_error("seven");
      });
    } catch (const std::runtime_error& error) {
      thrown = std::string(error.what()) == "seven";
    }
    CHECK_MESSAGE((thrown), "an exception of a task comes out");
  }
}

// Many short loops from several threads, each with loops in its tasks: every task is done once when
// the loop returns, and no two tasks of one loop have the same worker at once.
void test_loops_of_several_threads() {
  const auto loops = [] {
    for (int repeat = 0; repeat < 200; ++repeat) {
      const std::size_t num_tasks = static_cast<std::size_t>(repeat % 7);
      std::vector<int> visits(num_tasks * 5, 0);
      std::vector<int> busy(static_cast<std::size_t>(qpsbgd::num_workers(num_tasks, 3)), 0);
      bool alone = true;
      std::mutex mutex;
      qpsbgd::parallel_for(num_tasks, 3, [&](std::size_t task, int worker) {
        int& own = busy[static_cast<std::size_t>(worker)];
        if (own++ != 0) {
          const std::lock_guard lock(mutex);
          alone = false;
        }
        qpsbgd::parallel_for(5, 2, [&](std::size_t k, int) { ++visits[task * 5 + k]; });
        --own;
      });
      CHECK_MESSAGE((visits == std::vector<int>(num_tasks * 5, 1)),
                    "each task of a nested loop once");
      CHECK_MESSAGE((alone), "a worker has one task at a time");
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(loops);
  for (std::thread& thread : threads) thread.join();
}

// The caller polls while another thread has the last task, which ends when it has been polled
// twice; what the poll throws comes out after that task.
void test_waiting() {
  for (const bool throws : {false, true}) {
    std::atomic<int> polls{0};
    std::atomic<bool> begun{false}, ended{false};
    const auto caller = std::this_thread::get_id();
    bool thrown = false;
    try {
      qpsbgd::parallel_for(
          2, 2,
          [&](std::size_t, int) {
            if (std::this_thread::get_id() == caller) {
              while (!begun) std::this_thread::yield();
              return;
            }
            begun = true;
            while (polls < (throws ? 1 : 2)) std::this_thread::yield();
            ended = true;
          },
          [&] {
            CHECK_MESSAGE((std::this_thread::get_id() == caller), "the caller polls");
            ++polls;
            if (throws) throw std::runtime_error("poll");
          });
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    CHECK_MESSAGE((thrown == throws && ended),
                  "the poll's exception comes out after the last task");
  }
}

// The pool does not need to run for the caller to end.
void test_a_caller_waits_for_no_thread_that_has_not_begun() {
  // All threads of the pool are held by tasks of another loop.
  const std::size_t held = std::size_t{1} << 20;
  const auto most = static_cast<std::size_t>(qpsbgd::num_workers(held, 1 << 20));
  std::atomic<bool> release{false};
  std::atomic<std::size_t> holding{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i) {
    callers.emplace_back([&] {
      qpsbgd::parallel_for(held, 1 << 20, [&](std::size_t, int) {
        ++holding;
        while (!release) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      });
    });
  }
  while (holding < most + 2) std::this_thread::yield();
  std::size_t done = 0;
  qpsbgd::parallel_for(100, 8, [&](std::size_t, int worker) {
    CHECK_MESSAGE((worker == 0), "the caller does all tasks");
    ++done;
  });
  CHECK_MESSAGE((done == 100), "a loop ends while the pool is busy");
  release = true;
  for (std::thread& caller : callers) caller.join();
}

void test_threads_for() {
  using qpsbgd::kNanosecondsPerThread;
  CHECK_MESSAGE((qpsbgd::threads_for(0.0, 8) == 1), "no work, one thread");
  CHECK_MESSAGE((qpsbgd::threads_for(1.9 * kNanosecondsPerThread, 8) == 1),
                "too little for two threads");
  CHECK_MESSAGE((qpsbgd::threads_for(2.0 * kNanosecondsPerThread, 8) == 2),
                "enough for two threads");
  CHECK_MESSAGE((qpsbgd::threads_for(1e300, 8) == 8), "no more threads than allowed");
  CHECK_MESSAGE((qpsbgd::threads_for(1e300, 1) == 1), "one thread where one is allowed");
  setenv("QPSBGD_NS_PER_THREAD", "0", 1);
  CHECK_MESSAGE((qpsbgd::threads_for(0.0, 8) == 8), "all threads on request");
  unsetenv("QPSBGD_NS_PER_THREAD");
}

void test_first_nonfinite() {
  std::vector<float> values = noise(5000, 3);
  CHECK_MESSAGE(
      (qpsbgd::first_nonfinite(qpsbgd::kernels(), values.data(), values.size()) == values.size()),
      "all finite");
  values[3333] = values[0] / 0.0f;
  values[4444] = values[3333] - values[3333];
  CHECK_MESSAGE((qpsbgd::first_nonfinite(qpsbgd::kernels(), values.data(), values.size()) == 3333),
                "the first that is not");
}

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

TEST_CASE("a layer's problems for other solvers") {
  for (const Shape& shape : {Shape{1, 1, 1}, Shape{8, 2, 3}, Shape{20, 17, 35}, Shape{9, 64, 2}}) {
    for (const double target_eps : {0.0, 0.01, 2.0, 1e300}) test_problems(shape, target_eps);
  }
}

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

TEST_CASE("path-integral annealing") {
  for (const std::size_t length : {1u, 3u}) {
    for (const double coupling : {-1.0, 0.5}) {
      test_paths(3, 2, length, coupling);
      test_paths(36, 33, length, coupling);
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

TEST_CASE("batches") {
  using qpsbgd::BatchMethod;
  for (const std::size_t n : {0u, 1u, 15u, 16u, 17u, 63u, 64u, 65u, 130u}) {
    for (const bool keep_best : {false, true}) {
      test_batch(17, n, 1, BatchMethod::kAnneal, keep_best);
      test_batch(3, n, 5, BatchMethod::kAnneal, keep_best);
    }
    test_batch(2, n, 17, BatchMethod::kAnneal, true);
    test_batch(3, n, 2, BatchMethod::kDescent, true);
    test_batch(3, n, 2, BatchMethod::kTabu, true);
  }
}

TEST_CASE("the lowest target of the sign objective") { test_lowest_target(); }

TEST_CASE("tasks of parallel loops") { test_parallel_for(); }

TEST_CASE("loops of several threads") { test_loops_of_several_threads(); }

TEST_CASE("the caller of a loop polls while it waits") { test_waiting(); }

TEST_CASE("a caller waits for no thread that has not begun") {
  test_a_caller_waits_for_no_thread_that_has_not_begun();
}

TEST_CASE("threads by work") { test_threads_for(); }

TEST_CASE("numbers that are not finite") { test_first_nonfinite(); }
