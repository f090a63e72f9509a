// Bindings of parallel tempering and of the estimates of partition functions.
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/module.hpp"
#include "bindings/watch.hpp"
#include "core/ising/ising.hpp"
#include "core/ising/precision.hpp"
#include "core/ising/reduction.hpp"
#include "core/tempering/partition.hpp"
#include "core/tempering/tempering.hpp"

using namespace py::literals;

namespace qpsbgd::bindings {
namespace {

void check_replicas(const std::optional<States>& replicas, const TemperOptions& options,
                    std::size_t n) {
  if (!replicas) return;
  const auto size = [&](py::ssize_t axis) {
    return static_cast<std::size_t>(replicas->shape(axis));
  };
  if (replicas->ndim() != 3 || size(0) != options.num_copies || size(1) != options.betas.size() ||
      size(2) != n) {
    throw std::invalid_argument("replicas must have shape (copies, betas, variables)");
  }
}

void check_options(const TemperOptions& options, const Ising& problem) {
  const std::vector<double>& betas = options.betas;
  if (betas.empty() || options.num_copies == 0 || !std::is_sorted(betas.begin(), betas.end()) ||
      !std::all_of(betas.begin(), betas.end(), [](double beta) { return std::isfinite(beta); })) {
    throw std::invalid_argument("betas must be ascending and finite, with at least one copy each");
  }
  if (std::any_of(options.sampled.begin(), options.sampled.end(),
                  [&](std::size_t t) { return t >= betas.size(); })) {
    throw std::invalid_argument("sampled must be numbers of betas");
  }
  if (options.cluster_period > 0 && problem.form() != Ising::Form::kSparse) {
    throw std::invalid_argument("cluster moves need the sparse form");
  }
  if (options.precision == Precision::kBits || !fits(problem, options.precision, false)) {
    throw std::invalid_argument("the problem's fields do not fit the precision");
  }
}

// Copies one value, or `width` of them, of each read to an array.
template <class T, class Values>
Array<T> column(const std::vector<TemperRead>& reads, std::size_t width, const Values& values) {
  Array<T> out({reads.size(), width});
  for (std::size_t k = 0; k < reads.size(); ++k) {
    const auto& from = values(reads[k]);
    T* to = out.mutable_data() + k * width;
    std::fill_n(to, width, T{});
    std::copy(from.begin(), from.end(), to);
  }
  return out;
}

py::tuple temper_reads(const Ising& problem, const States& initial_states,
                       std::optional<States> replicas, std::vector<double> betas,
                       std::size_t num_copies, std::size_t num_sweeps, std::size_t num_discarded,
                       std::size_t cluster_period, std::size_t first_clustered,
                       Acceptance acceptance, bool keep_best, std::vector<std::size_t> sampled,
                       std::vector<std::size_t> sample_sweeps, std::size_t num_spread,
                       Precision precision, std::uint64_t seed, std::uint64_t first_read,
                       int num_threads, double time_limit, double seconds_per_read,
                       double energy_threshold, py::object watch) {
  const std::size_t n = problem.num_variables();
  if (initial_states.ndim() != 2 || static_cast<std::size_t>(initial_states.shape(1)) != n) {
    throw std::invalid_argument("states must have shape (num_reads, " + std::to_string(n) + ")");
  }
  const auto num_reads = static_cast<std::size_t>(initial_states.shape(0));
  const Limits limits{time_limit, energy_threshold, std::move(watch)};
  TemperOptions options{.betas = std::move(betas),
                        .num_copies = num_copies,
                        .num_sweeps = num_sweeps,
                        .num_discarded = num_discarded,
                        .cluster_period = cluster_period,
                        .first_clustered = first_clustered,
                        .acceptance = acceptance,
                        .keep_best = keep_best,
                        .sampled = std::move(sampled),
                        .sample_sweeps = std::move(sample_sweeps),
                        .num_spread = num_spread,
                        .precision = precision,
                        .seconds_per_read = seconds_per_read,
                        .watch = limits.needs_energies(),
                        .seed = seed,
                        .first_read = first_read};
  check_options(options, problem);
  check_replicas(replicas, options, n);
  States states({initial_states.shape(0), initial_states.shape(1)});
  std::copy_n(initial_states.data(), initial_states.size(), states.mutable_data());
  States samples({num_reads, options.num_takes(), options.sampled.size(), n});
  std::int8_t* states_out = states.mutable_data();
  std::int8_t* samples_out = keep_best ? nullptr : samples.mutable_data();
  if (samples.size() > 0) std::fill_n(samples.mutable_data(), samples.size(), std::int8_t{1});
  const std::int8_t* replica_states = replicas ? replicas->data() : nullptr;
  const std::size_t num_replicas = options.betas.size() * num_copies;
  // Threads beyond the number of reads share the tiles of each read, sweep by sweep.
  const int spare = std::max(1, num_threads / static_cast<int>(std::max<std::size_t>(
                                                  1, std::min<std::size_t>(num_reads, 1u << 20))));
  options.num_threads_per_read = threads_for(anneal_work(problem, num_replicas, 1, false), spare);
  std::vector<TemperRead> reads;
  const auto ending =
      run_sampler(anneal_work(problem, num_reads * num_replicas, num_sweeps, false), num_threads,
                  limits, [&](const KernelTable& table, int threads, Stop& stop) {
                    options.num_threads = threads;
                    reads = temper(table, problem, options, num_reads, replica_states, states_out,
                                   samples_out, stop);
                  });
  Array<std::int64_t> sweeps(initial_states.shape(0)), round_trips(initial_states.shape(0)),
      taken(initial_states.shape(0));
  for (std::size_t read = 0; read < num_reads; ++read) {
    sweeps.mutable_data()[read] = reads[read].sweeps;
    round_trips.mutable_data()[read] = reads[read].round_trips;
    taken.mutable_data()[read] = reads[read].taken;
  }
  const std::size_t num_betas = options.betas.size();
  const auto exchanges = column<double>(
      reads, num_betas - 1, [](const TemperRead& read) -> const auto& { return read.exchanges; });
  const auto means = column<double>(
      reads, num_betas, [](const TemperRead& read) -> const auto& { return read.means; });
  const auto variances = column<double>(
      reads, num_betas, [](const TemperRead& read) -> const auto& { return read.variances; });
  return py::make_tuple(states, samples, sweeps, taken, round_trips, exchanges, means, variances,
                        ending.reason, ending.exception);
}

std::unique_ptr<Reduction> reduce(const Ising& problem) {
  if (problem.form() != Ising::Form::kSparse) {
    throw std::invalid_argument("only problems in sparse form can be reduced");
  }
  std::unique_ptr<Reduction> reduction;
  run_or_throw(0.0, 1, [&](const KernelTable&, int, Stop& stop) {
    reduction = std::make_unique<Reduction>(problem, stop);
  });
  return reduction;
}

template <class T>
Array<T> copy_vector(const std::vector<T>& values) {
  return Array<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

States restore(const Reduction& reduction, const States& kept) {
  const std::size_t k = reduction.kept().size(), n = reduction.num_variables();
  if (kept.ndim() != 2 || static_cast<std::size_t>(kept.shape(1)) != k) {
    throw std::invalid_argument("states must have shape (num_reads, " + std::to_string(k) + ")");
  }
  const auto num_reads = static_cast<std::size_t>(kept.shape(0));
  States states({num_reads, n});
  for (std::size_t read = 0; read < num_reads; ++read) {
    reduction.restore(kept.data() + read * k, states.mutable_data() + read * n);
  }
  return states;
}

// Returns log weights (problems, chains, marked), and variances of energies where none is marked.
py::tuple weigh_chains(const Array<double>& linear, const Array<std::uint32_t>& rows,
                       const Array<std::uint32_t>& columns, const Array<double>& values,
                       std::vector<double> betas, std::vector<std::size_t> marked,
                       std::size_t num_chains, std::uint64_t seed, std::uint64_t number,
                       int num_threads) {
  if (linear.ndim() != 2 || rows.size() != columns.size() || rows.size() != values.size()) {
    throw std::invalid_argument(
        "linear must have shape (problems, variables), and rows, columns and values the same size");
  }
  const auto num_problems = static_cast<std::size_t>(linear.shape(0));
  const auto n = static_cast<std::size_t>(linear.shape(1));
  const auto count = static_cast<std::size_t>(values.size());
  const bool is_ascending = std::is_sorted(betas.begin(), betas.end());
  if (n > kMaxVariables || betas.empty() || !is_ascending || !(betas.front() >= 0.0) ||
      !std::isfinite(betas.back()) || !std::is_sorted(marked.begin(), marked.end()) ||
      (!marked.empty() && marked.back() >= betas.size())) {
    throw std::invalid_argument(
        "betas must be ascending, finite and at least 0, marked ascending numbers of them, and "
        "variables fewer than 2^28");
  }
  const Ising::Interactions interactions{rows.data(), columns.data(), values.data(), count};
  const auto form = Ising::better_form(n, count);
  PartitionOptions options{
      .betas = std::move(betas), .marked = std::move(marked), .seed = seed, .number = number};
  Weights weights;
  const double proposals = static_cast<double>(num_problems * num_chains) * static_cast<double>(n) *
                           static_cast<double>(options.betas.size());
  run_or_throw(3.0 * proposals, num_threads,
               [&](const KernelTable& table, int threads, Stop& stop) {
                 options.num_threads = threads;
                 if (num_problems == 0) return;
                 const Ising problem(linear.data(), n, interactions, form, num_problems, &stop);
                 weights = importance_weights(table, problem, options, num_chains, stop);
               });
  Array<double> logs({num_problems, num_chains, options.marked.size()});
  std::copy(weights.logs.begin(), weights.logs.end(), logs.mutable_data());
  return py::make_tuple(logs, copy_vector(weights.variances));
}

}  // namespace

void define_tempering(py::module_& m) {
  py::class_<Reduction>(m, "Reduction")
      .def(py::init(&reduce), "problem"_a)
      .def_property_readonly("kept", [](const Reduction& r) { return copy_vector(r.kept()); })
      .def_property_readonly("linear", [](const Reduction& r) { return copy_vector(r.linear()); })
      .def_property_readonly("rows", [](const Reduction& r) { return copy_vector(r.rows()); })
      .def_property_readonly("columns", [](const Reduction& r) { return copy_vector(r.columns()); })
      .def_property_readonly("values", [](const Reduction& r) { return copy_vector(r.values()); })
      .def_property_readonly("offset", &Reduction::offset)
      .def("restore", &restore, "states"_a.noconvert());
  m.def("weigh_chains", &weigh_chains, "linear"_a.noconvert(), "rows"_a.noconvert(),
        "columns"_a.noconvert(), "values"_a.noconvert(), py::kw_only(), "betas"_a, "marked"_a,
        "num_chains"_a, "seed"_a, "number"_a, "num_threads"_a);
  m.def("temper", &temper_reads, "problem"_a, "initial_states"_a.noconvert(), py::kw_only(),
        "replicas"_a.noconvert() = py::none(), "betas"_a, "num_copies"_a, "num_sweeps"_a,
        "num_discarded"_a, "cluster_period"_a, "first_clustered"_a, "acceptance"_a, "keep_best"_a,
        "sampled"_a, "sample_sweeps"_a, "num_spread"_a = 0, "precision"_a, "seed"_a, "first_read"_a,
        "num_threads"_a, "time_limit"_a, "seconds_per_read"_a, "energy_threshold"_a, "watch"_a);
}

}  // namespace qpsbgd::bindings
