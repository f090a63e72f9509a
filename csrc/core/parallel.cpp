#include "core/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#if defined(QPSBGD_THREADS_OPENMP)
#include <omp.h>
#include <pthread.h>
#endif

namespace qpsbgd {
namespace {

#if defined(QPSBGD_THREADS_OPENMP)
// Whether this process was forked off after the library was loaded. OpenMP's threads do not live on
// in a child, and GNU OpenMP would wait for them for ever.
std::atomic<bool> forked{false};
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] { forked = true; });
#endif

#if defined(QPSBGD_THREADS_OPENMP) || defined(QPSBGD_THREADS_STD)
void run_threads(int workers, const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  try {
    for (int worker = 1; worker < workers; ++worker) threads.emplace_back(work, worker);
  } catch (...) {
    // No more threads to be had: those that started, and this one, do all tasks.
  }
  work(0);
  for (std::thread& thread : threads) thread.join();
}
#endif

// Calls `waiting` until `done`: at first without a pause, as most loops end at once, and then about
// every millisecond.
[[maybe_unused]] void wait(const std::function<void()>& waiting,
                           const std::function<bool()>& done) {
  constexpr int kEager = 1000;
  for (int i = 0; !done(); ++i) {
    waiting();
    if (i < kEager) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

// A worker's own tasks, in a row; others help when theirs are done. Task i of one loop thus mostly
// runs where task i of the loop before left its data in the cache.
struct alignas(64) Share {
  std::atomic<std::size_t> next;
  std::size_t end;
};

}  // namespace

const char* threads_backend() {
#if defined(QPSBGD_THREADS_OPENMP)
  return "openmp";
#elif defined(QPSBGD_THREADS_STD)
  return "std::thread";
#else
  return "serial";
#endif
}

int default_num_threads() {
#if defined(QPSBGD_THREADS_OPENMP)
  return std::max(1, omp_get_max_threads());
#elif defined(QPSBGD_THREADS_STD)
  return std::max(1u, std::thread::hardware_concurrency());
#else
  return 1;
#endif
}

int num_workers(std::size_t num_tasks, int num_threads) {
#if defined(QPSBGD_THREADS_OPENMP) || defined(QPSBGD_THREADS_STD)
  // Once: it reads a file.
  static const unsigned limit =
      kMaxThreadsPerProcessor * std::max(1u, std::thread::hardware_concurrency());
  const std::size_t wanted = std::min<std::size_t>(std::max(1, num_threads), limit);
  return static_cast<int>(std::max<std::size_t>(1, std::min(num_tasks, wanted)));
#else
  (void)num_tasks, (void)num_threads;
  return 1;
#endif
}

void parallel_for(std::size_t num_tasks, int num_threads,
                  const std::function<void(std::size_t, int)>& body,
                  const std::function<void()>& waiting) {
  const int workers = num_workers(num_tasks, num_threads);
  if (workers == 1) {
    for (std::size_t task = 0; task < num_tasks; ++task) body(task, 0);
    return;
  }
  std::vector<Share> shares(workers);
  for (int worker = 0; worker < workers; ++worker) {
    shares[worker].next = num_tasks * worker / workers;
    shares[worker].end = num_tasks * (worker + 1) / workers;
  }
  std::atomic<std::size_t> unfinished{num_tasks};
  std::atomic<bool> failed{false};
  std::exception_ptr failure;
  std::mutex failure_mutex;
  // Never lets an exception out: one that left a parallel region would end the process.
  [[maybe_unused]] const auto work = [&](int worker) {
    try {
      for (int i = 0; i < workers; ++i) {
        Share& share = shares[(worker + i) % workers];
        for (std::size_t task; (task = share.next.fetch_add(1)) < share.end;) {
          body(task, worker);
          --unfinished;
        }
      }
      if (worker == 0 && waiting) wait(waiting, [&] { return unfinished == 0 || failed; });
    } catch (...) {
      const std::lock_guard<std::mutex> lock(failure_mutex);
      if (!failure) failure = std::current_exception();
      failed = true;
      for (Share& share : shares) share.next = share.end;
    }
  };
#if defined(QPSBGD_THREADS_OPENMP)
  if (forked) {
    run_threads(workers, work);
  } else {
#pragma omp parallel num_threads(workers)
    work(omp_get_thread_num());
  }
#elif defined(QPSBGD_THREADS_STD)
  run_threads(workers, work);
#endif
  if (failure) std::rethrow_exception(failure);
}

}  // namespace qpsbgd
