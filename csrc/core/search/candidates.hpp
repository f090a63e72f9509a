// States of an enumeration that may be among the lowest.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/threads/stop.hpp"

namespace qpsbgd {

// A state's code has a binary digit for each variable, the highest for the first one; +1 is a one.
struct Candidate {
  double energy;
  std::uint64_t code;

  bool operator<(const Candidate& other) const {
    return energy < other.energy || (energy == other.energy && code < other.code);
  }
};

// The lowest of the candidates that take() received.
class Lowest {
 public:
  explicit Lowest(std::size_t capacity) : capacity_(capacity) {}

  bool full() const { return heap_.size() == capacity_; }
  bool takes(const Candidate& candidate) const { return !full() || candidate < heap_.front(); }
  void take(const Candidate& candidate) {
    if (full()) {
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.pop_back();
    }
    heap_.push_back(candidate);
    std::push_heap(heap_.begin(), heap_.end());
  }
  const std::vector<Candidate>& candidates() const { return heap_; }

 private:
  std::size_t capacity_;
  std::vector<Candidate> heap_;  // the highest first
};

// Sorts candidates. Returns false where an interrupt of `stop` ended it; some candidates are then
// missing and some are double.
bool sort_candidates(std::vector<Candidate>& candidates, Stop& stop);

}  // namespace qpsbgd
