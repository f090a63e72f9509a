// Early end of a long call: at a deadline, at an energy, or at the caller's request.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <limits>
#include <thread>

namespace qpsbgd {

// Exception of work that has no result when it ends early.
class Stopped : public std::exception {
 public:
  const char* what() const noexcept override { return "stopped"; }
};

class Stop {
 public:
  enum class Reason { kNone, kTimeLimit, kInterrupt, kEnergyThreshold };

  // seconds may be infinite. The thread that makes this object calls interrupt() every kPeriod; a
  // true result, or an exception, ends the call. energy_threshold is an energy that is low enough;
  // solvers compare with it.
  Stop(double seconds, std::function<bool()> interrupt,
       double energy_threshold = -std::numeric_limits<double>::infinity());

  // Returns whether to stop. Any thread may call it often: it reads the clock and an atomic flag.
  bool poll();
  // Returns whether the caller wants the call to end at once. Work that follows the end of a
  // search, whatever ended it, polls this.
  bool poll_interrupt();

  // Reports the energy of a state, for best_energy(). Any thread may call it.
  void found(double energy);
  // Stops because the energy of a state is not above the threshold.
  void reached() { give(Reason::kEnergyThreshold); }

  Reason reason() const { return reason_; }
  double energy_threshold() const { return energy_threshold_; }
  // The lowest reported energy, as accurate as the solver computed it.
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
