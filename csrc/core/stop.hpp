// Ends a long call early: at a deadline, or when the caller says so.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

namespace qpsbgd {

class Stop {
 public:
  enum class Reason { kNone, kTimeLimit, kInterrupt };

  // seconds: may be infinite. interrupt: asked every kPeriod, only in the thread that makes this
  // object; what it throws ends the call too.
  Stop(double seconds, std::function<bool()> interrupt);

  // Whether to stop. For any thread, often: a look at the clock.
  bool poll();

  Reason reason() const { return reason_; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kPeriod{20};

  bool give(Reason reason);

  const std::thread::id owner_ = std::this_thread::get_id();
  const std::function<bool()> interrupt_;
  const Clock::time_point deadline_;
  Clock::time_point asked_ = Clock::now();  // of the owner alone
  std::atomic<Reason> reason_{Reason::kNone};
};

}  // namespace qpsbgd
