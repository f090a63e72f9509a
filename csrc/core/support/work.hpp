// How many threads a call is worth: rough estimates of the time that it takes one thread.
//
// A thread that sleeps needs some ten microseconds to begin, and on a busy machine the caller may
// have to wait until a thread that was interrupted in its task runs again. The estimates are
// measured with AVX-512 and are right within a factor of about three.
#pragma once

#include <cstddef>
#include <optional>

#include "core/batch/batch.hpp"
#include "core/projection/projection.hpp"
#include "core/samplers/exhaustive.hpp"
#include "core/samplers/ising.hpp"

namespace qpsbgd {

// The least work of a thread, unless the environment variable QPSBGD_NS_PER_THREAD has another
// number; 0 uses as many threads as the caller allows.
inline constexpr double kNanosecondsPerThread = 1e6;

// At most num_threads, and as many as have kNanosecondsPerThread of work each, but at least one.
int threads_for(double nanoseconds, int num_threads);

// Nanoseconds that one thread takes.
double packing_work(const SampleView& view);
double packing_work(const GramView& view);
double projection_work(const SampleView& view, const ProjectionOptions& options);
double energy_work(const SampleView& view);
double gradient_work(const SampleView& view);  // of gradient_qubo
double anneal_work(const Ising& problem, std::size_t num_reads, std::size_t num_sweeps);
double descent_work(const Ising& problem, std::size_t num_reads);
// What is dealt to threads at once: all reads, or, where these are fewer than the threads, some
// searches of one read.
double tabu_work(const Ising& problem, std::size_t num_reads, std::size_t num_restarts,
                 std::optional<std::size_t> moves, double seconds_per_read, int num_threads);
double enumeration_work(const Ising& problem);
double energies_work(const Ising& problem, std::size_t num_states);
// A pass over matrices (count, n, n), and products of a batch's states with a matrix of `rows`
// rows.
double matrices_work(std::size_t count, std::size_t n);
double products_work(const BatchStates& batch, std::size_t rows);
double precision_work(const BatchView& view);  // of batch_needs_float64
double batch_work(const BatchView& view, const BatchOptions& options);

}  // namespace qpsbgd
