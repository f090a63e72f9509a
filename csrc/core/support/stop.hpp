// Ends a long call early: at a deadline, at an energy, or when the caller says so.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <limits>
#include <thread>

namespace qpsbgd {

// Thrown by work that has no result when it is ended early.
class Stopped : public std::exception {
 public:
  const char* what() const noexcept override { return "stopped"; }
};

class Stop {
 public:
  enum class Reason { kNone, kTimeLimit, kInterrupt, kEnergyThreshold };

  // seconds: may be infinite. interrupt: asked every kPeriod, only in the thread that makes this
  // object; what it throws ends the call too. energy_threshold: an energy that is low enough, for
  // solvers to compare with.
  Stop(double seconds, std::function<bool()> interrupt,
       double energy_threshold = -std::numeric_limits<double>::infinity());

  // Whether to stop. For any thread, often: a look at the clock.
  bool poll();
  // Whether the caller wants the call to end at once: what remains to be done after another reason
  // has ended the search asks this.
  bool poll_interrupt();

  // Tells of the energy of a state that was found, for best_energy(). For any thread.
  void found(double energy);
  // Stops because a state that was found is not above the threshold.
  void reached() { give(Reason::kEnergyThreshold); }

  Reason reason() const { return reason_; }
  double energy_threshold() const { return energy_threshold_; }
  // The lowest energy that was told of; to the accuracy of whoever told.
  double best_energy() const { return best_energy_; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kPeriod{20};

  bool give(Reason reason);
  bool ask();

  const std::thread::id owner_ = std::this_thread::get_id();
  const std::function<bool()> interrupt_;
  const Clock::time_point deadline_;
  const double energy_threshold_;
  Clock::time_point asked_ = Clock::now();  // of the owner alone
  std::atomic<Reason> reason_{Reason::kNone};
  std::atomic<double> best_energy_{std::numeric_limits<double>::infinity()};
};

}  // namespace qpsbgd
