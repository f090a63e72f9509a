// Parallel loop on a pool of threads that sleep while there is nothing to do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace qpsbgd {

// "std::thread" or "serial".
const char* threads_backend();

// Returns the number of threads of a call whose caller gives none: the first number of
// OMP_NUM_THREADS, else the number of processors that this process may use. 1 in a serial build.
int default_num_threads();

// The largest number of threads per processor that a loop uses.
inline constexpr unsigned kMaxThreadsPerProcessor = 4;

// Returns the number of workers of a loop of `num_tasks` tasks on at most `num_threads` threads. A
// caller needs scratch space for that many.
int num_workers(std::size_t num_tasks, int num_threads);

// Calls body(task, worker) for every task in [0, num_tasks), each once, in any order, worker in
// [0, num_workers(...)). The calling thread is worker 0 and takes every task that no other thread
// has begun: it never waits for a thread that is not yet running. A loop of one worker runs in the
// calling thread alone. Loops may be nested, and several threads may run loops at once.
//
// The first exception of a body is thrown again here, after all tasks that were begun have ended;
// the others are not begun. `waiting` is called in the calling thread about every millisecond while
// it waits for tasks of other threads.
void parallel_for(std::size_t num_tasks, int num_threads,
                  const std::function<void(std::size_t task, int worker)>& body,
                  const std::function<void()>& waiting = {});

// Returns the number of loops of more than one worker that this process has begun.
std::uint64_t num_parallel_loops();

}  // namespace qpsbgd
