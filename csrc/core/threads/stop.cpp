#include "core/threads/stop.hpp"

#include <utility>

namespace qpsbgd {
namespace {

std::chrono::steady_clock::time_point after(double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr double kForever = 1e9;  // thirty years: what the clock's ticks hold for certain
  if (!(seconds < kForever)) return Clock::time_point::max();
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

Stop::Stop(double seconds, std::function<bool()> interrupt, double energy_threshold)
    : interrupt_(std::move(interrupt)),
      deadline_(after(seconds)),
      energy_threshold_(energy_threshold) {}

bool Stop::poll() {
  if (reason_ != Reason::kNone) return true;
  if (Clock::now() >= deadline_) return give(Reason::kTimeLimit);
  return ask() && give(Reason::kInterrupt);
}

bool Stop::poll_interrupt() {
  if (reason_ == Reason::kInterrupt) return true;
  if (!ask()) return false;
  reason_ = Reason::kInterrupt;  // whatever it was before
  return true;
}

bool Stop::ask() {
  if (!interrupt_ || std::this_thread::get_id() != owner_) return false;
  const Clock::time_point now = Clock::now();
  if (now - asked_ < kPeriod) return false;
  asked_ = now;
  return interrupt_();
}

void Stop::found(double energy) {
  double best = best_energy_;
  while (energy < best && !best_energy_.compare_exchange_weak(best, energy)) {
  }
}

bool Stop::give(Reason reason) {
  Reason none = Reason::kNone;
  reason_.compare_exchange_strong(none, reason);
  return true;
}

}  // namespace qpsbgd
