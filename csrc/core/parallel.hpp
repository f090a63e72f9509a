// A parallel loop over OpenMP, std::thread, or one thread, chosen when the library is built.
#pragma once

#include <cstddef>
#include <functional>

namespace qpsbgd {

// "openmp", "std::thread" or "serial".
const char* threads_backend();

// Threads that a call uses if the caller names no number: what OpenMP would (OMP_NUM_THREADS, else
// the processors this process may run on), or the processors of the machine.
int default_num_threads();

// More threads than this a processor are never started: GNU OpenMP ends the process where it cannot
// start one.
inline constexpr unsigned kMaxThreadsPerProcessor = 4;

// Threads that `num_tasks` tasks on at most `num_threads` really use: also the number of workers
// for which a caller must hold scratch space.
int num_workers(std::size_t num_tasks, int num_threads);

// Calls body(task, worker) for every task in [0, num_tasks), each once, in any order, worker in
// [0, num_workers(...)). One worker runs in the calling thread and opens no parallel region. The
// first exception of a body is thrown again here, after all threads have joined. `waiting` is
// called in the calling thread about every millisecond while it waits for the others.
void parallel_for(std::size_t num_tasks, int num_threads,
                  const std::function<void(std::size_t task, int worker)>& body,
                  const std::function<void()>& waiting = {});

}  // namespace qpsbgd
