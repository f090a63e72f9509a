#include "core/threads/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#if __has_include(<pthread.h>)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

namespace qpsbgd {
namespace {

using Body = std::function<void(std::size_t, int)>;

std::atomic<std::uint64_t> loops_begun{0};

// A call of parallel_for. The threads of the pool hold it too: one that arrives after the caller
// has left finds no task, and touches nothing of the caller's.
class Loop {
 public:
  Loop(std::size_t num_tasks, int workers, const Body& body)
      : body_(body), shares_(static_cast<std::size_t>(workers)), unfinished_(num_tasks) {
    const std::size_t count = shares_.size();
    for (std::size_t worker = 0; worker < count; ++worker) {
      shares_[worker].next = num_tasks * worker / count;
      shares_[worker].end = num_tasks * (worker + 1) / count;
    }
  }

  // Runs tasks until none is left that has not begun.
  void work(int worker) noexcept {
    const std::size_t count = shares_.size();
    for (std::size_t i = 0; i < count; ++i) {
      Share& share = shares_[(static_cast<std::size_t>(worker) + i) % count];
      for (std::size_t task; (task = share.next.fetch_add(1)) < share.end;) {
        try {
          body_(task, worker);
        } catch (...) {
          fail(std::current_exception());
        }
        finish(1);
      }
    }
  }

  // Returns when every task that was begun has ended, and throws the first exception.
  void wait(const std::function<void()>& waiting) {
    std::unique_lock lock(mutex_);
    while (unfinished_ != 0) {
      if (!waiting) {
        finished_.wait(lock);
      } else if (finished_.wait_for(lock, kPeriod) == std::cv_status::timeout) {
        lock.unlock();
        try {
          waiting();
        } catch (...) {
          fail(std::current_exception());
        }
        lock.lock();
      }
    }
    // Moves the exception out of this object: another thread may be the last to hold the object,
    // and would then destroy the exception.
    if (const std::exception_ptr failure = std::exchange(failure_, nullptr)) {
      lock.unlock();
      std::rethrow_exception(failure);
    }
  }

 private:
  static constexpr std::chrono::milliseconds kPeriod{1};

  // A worker's own tasks, in a row; others help when theirs are done. Task i of one loop thus
  // mostly runs where task i of the loop before left its data in the cache.
  struct alignas(64) Share {
    std::atomic<std::size_t> next;
    std::size_t end;
  };

  void fail(std::exception_ptr failure) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::move(failure);
    }
    for (Share& share : shares_) {
      const std::size_t next = share.next.exchange(share.end);
      if (next < share.end) finish(share.end - next);
    }
  }

  void finish(std::size_t count) noexcept {
    if (unfinished_.fetch_sub(count) != count) return;
    const std::lock_guard lock(mutex_);
    finished_.notify_all();
  }

  const Body& body_;  // of the caller, who stays while a task is unfinished
  std::vector<Share> shares_;
  std::atomic<std::size_t> unfinished_;
  std::mutex mutex_;
  std::condition_variable finished_;
  std::exception_ptr failure_;
};

[[maybe_unused]] unsigned num_processors() {
  // The result is kept, because hardware_concurrency() reads a file.
  static const unsigned count = std::max(1u, std::thread::hardware_concurrency());
  return count;
}

#if !defined(QPSBGD_THREADS_SERIAL)

// Threads that wait for loops to help with. They are detached, and the pool is never destroyed: at
// the end of the process they sleep.
class Pool {
 public:
  // Invites one thread for each worker from 1 on.
  void invite(const std::shared_ptr<Loop>& loop, int workers) {
    {
      const std::lock_guard lock(mutex_);
      invitations_.reserve(invitations_.size() + static_cast<std::size_t>(workers));
      for (int worker = 1; worker < workers; ++worker) invitations_.push_back({loop, worker});
      while (idle_ < invitations_.size() && start_thread()) {
      }
    }
    if (workers == 2) {
      invited_.notify_one();
    } else {
      invited_.notify_all();
    }
  }

  void withdraw(const std::shared_ptr<Loop>& loop) {
    const std::lock_guard lock(mutex_);
    std::erase_if(invitations_, [&](const Invitation& i) { return i.loop == loop; });
  }

 private:
  struct Invitation {
    std::shared_ptr<Loop> loop;
    int worker;
  };

  // Returns false where no further thread can be started. The existing threads and the callers then
  // do all tasks.
  bool start_thread() {
    if (num_threads_ == kMaxThreadsPerProcessor * num_processors()) return false;
    try {
      std::thread([this, number = static_cast<int>(num_threads_) + 1] { serve(number); }).detach();
    } catch (...) {
      return false;
    }
    ++num_threads_;
    ++idle_;
    return true;
  }

  // Thread k prefers to be worker k, because its cache may still hold the data.
  void serve(int number) {
    std::unique_lock lock(mutex_);
    for (;;) {
      invited_.wait(lock, [this] { return !invitations_.empty(); });
      --idle_;
      auto chosen = std::find_if(invitations_.begin(), invitations_.end(),
                                 [&](const Invitation& i) { return i.worker == number; });
      if (chosen == invitations_.end()) chosen = invitations_.begin();
      Invitation invitation = std::move(*chosen);
      invitations_.erase(chosen);
      lock.unlock();
      invitation.loop->work(invitation.worker);
      invitation.loop.reset();
      lock.lock();
      ++idle_;
    }
  }

  std::mutex mutex_;
  std::condition_variable invited_;
  std::vector<Invitation> invitations_;  // oldest first
  unsigned num_threads_ = 0;
  std::size_t idle_ = 0;  // threads that will take an invitation next
};

std::atomic<Pool*> pool{nullptr};

Pool& shared_pool() {
  Pool* current = pool;
  if (current != nullptr) return *current;
  auto fresh = std::make_unique<Pool>();
  if (pool.compare_exchange_strong(current, fresh.get())) return *fresh.release();
  return *current;
}

#if __has_include(<pthread.h>)
// A forked child has none of its parent's threads, and may have a locked mutex: it starts afresh.
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] { pool = nullptr; });
#endif

// The number of processors that this thread may run on.
int num_usable_processors() {
#if defined(__linux__)
  for (std::size_t processors = 1024; processors <= (std::size_t{1} << 20); processors *= 4) {
    cpu_set_t* set = CPU_ALLOC(processors);
    if (set == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(processors);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
#endif
  return static_cast<int>(num_processors());
}

#endif

}  // namespace

const char* threads_backend() {
#if defined(QPSBGD_THREADS_SERIAL)
  return "serial";
#else
  return "std::thread";
#endif
}

int default_num_threads() {
#if defined(QPSBGD_THREADS_SERIAL)
  return 1;
#else
  // A list has a number for each level of nesting.
  if (const char* text = std::getenv("OMP_NUM_THREADS")) {
    char* end = nullptr;
    const long count = std::strtol(text, &end, 10);
    const bool is_number = end != text && (*end == '\0' || *end == ',' || *end == ' ');
    if (is_number && count > 0) {
      return static_cast<int>(std::min<long>(count, std::numeric_limits<int>::max()));
    }
  }
  return num_usable_processors();
#endif
}

int num_workers(std::size_t num_tasks, int num_threads) {
#if defined(QPSBGD_THREADS_SERIAL)
  (void)num_tasks, (void)num_threads;
  return 1;
#else
  const std::size_t limit = std::size_t{kMaxThreadsPerProcessor} * num_processors();
  const std::size_t wanted = std::min(static_cast<std::size_t>(std::max(1, num_threads)), limit);
  return static_cast<int>(std::max<std::size_t>(1, std::min(num_tasks, wanted)));
#endif
}

void parallel_for(std::size_t num_tasks, int num_threads, const Body& body,
                  const std::function<void()>& waiting) {
  const int workers = num_workers(num_tasks, num_threads);
  if (workers == 1) {
    for (std::size_t task = 0; task < num_tasks; ++task) body(task, 0);
    return;
  }
  loops_begun.fetch_add(1, std::memory_order_relaxed);
  const auto loop = std::make_shared<Loop>(num_tasks, workers, body);
#if !defined(QPSBGD_THREADS_SERIAL)
  Pool& threads = shared_pool();
  threads.invite(loop, workers);
  loop->work(0);
  threads.withdraw(loop);
#endif
  loop->wait(waiting);
}

std::uint64_t num_parallel_loops() { return loops_begun.load(std::memory_order_relaxed); }

}  // namespace qpsbgd
