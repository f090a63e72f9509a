#include "core/stop.hpp"

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
  const Clock::time_point now = Clock::now();
  if (now >= deadline_) return give(Reason::kTimeLimit);
  return std::this_thread::get_id() == owner_ && ask(now);
}

bool Stop::interrupted() { return interrupted_ || ask(Clock::now()); }

bool Stop::ask(Clock::time_point now) {
  if (!interrupt_ || now - asked_ < kPeriod) return false;
  asked_ = now;
  if (!interrupt_()) return false;
  interrupted_ = true;
  return give(Reason::kInterrupt);
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
