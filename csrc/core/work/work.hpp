// Number of threads that a call is worth, from rough estimates of the time that one thread takes.
//
// A thread that sleeps needs some ten microseconds to begin, and on a busy machine the caller may
// have to wait until a thread that was interrupted in its task runs again. The estimates are
// measured with AVX-512 and are right within a factor of about three.
#pragma once

#include <cstddef>
#include <optional>

#include "core/batch/batch.hpp"
#include "core/ising/ising.hpp"
#include "core/paths/field_schedule.hpp"
#include "core/projection/projection.hpp"
#include "core/search/exhaustive.hpp"

namespace qpsbgd {

// The least work of a thread. The environment variable QPSBGD_NS_PER_THREAD replaces it; with 0 a
// call uses as many threads as the caller allows.
inline constexpr double kNanosecondsPerThread = 1e6;

// Returns the number of threads, from 1 to num_threads, that have at least kNanosecondsPerThread of
// work each.
int threads_for(double nanoseconds, int num_threads);

// The functions below return the nanoseconds that one thread takes.
double packing_work(const SampleView& view);
double packing_work(const GramView& view);
double projection_work(const SampleView& view, const ProjectionOptions& options);
double projection_work(const GramView& view, const ProjectionOptions& options);
double energy_work(const SampleView& view);
double gradient_work(const SampleView& view);  // of gradient_ising
// uses_bits: whether the precision is bits.
double anneal_work(const Ising& problem, std::size_t num_reads, std::size_t num_sweeps,
                   bool uses_bits);
double path_work(const Ising& problem, std::size_t num_reads, const FieldSchedule& schedule);
double rotor_work(const Ising& problem, std::size_t num_reads, const FieldSchedule& schedule);
double descent_work(const Ising& problem, std::size_t num_reads);
// Counts the work that threads share at one time: all reads, or, if there are fewer reads than
// min(8, num_threads), one generation of searches of one read.
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
