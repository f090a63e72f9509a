// Loops on several threads, the number of threads, and the check of numbers.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/matrices/inputs.hpp"
#include "core/support/dispatch.hpp"
#include "core/threads/parallel.hpp"
#include "core/work/work.hpp"
#include "fixtures.hpp"

namespace {

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

}  // namespace

TEST_CASE("tasks of parallel loops") { test_parallel_for(); }

TEST_CASE("loops of several threads") { test_loops_of_several_threads(); }

TEST_CASE("the caller of a loop polls while it waits") { test_waiting(); }

TEST_CASE("a caller waits for no thread that has not begun") {
  test_a_caller_waits_for_no_thread_that_has_not_begun();
}

TEST_CASE("threads by work") { test_threads_for(); }

TEST_CASE("numbers that are not finite") { test_first_nonfinite(); }
