// Variables that a tabu search must not flip.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace qpsbgd {

// The variables of the last `tenure` flips, which must not flip.
class TabuList {
 public:
  TabuList(std::size_t num_variables, std::size_t longest_tenure)
      : until_(num_variables), flipped_(std::bit_ceil(longest_tenure + 1)) {}

  // Empties the list before a search.
  template <class Walker>
  void clear(std::size_t tenure, Walker& walker) {
    for (std::size_t k = 0; k < std::min(moves_, tenure_); ++k) walker.allow(flip_of(moves_ - k));
    moves_ = 0;
    tenure_ = tenure;
  }
  // Adds a variable that is about to flip, and allows the one that is then no longer tabu.
  template <class Walker>
  void add(std::size_t i, Walker& walker) {
    ++moves_;
    if (moves_ > tenure_) {
      const std::size_t old = flip_of(moves_ - tenure_);
      if (until_[old] == moves_) walker.allow(old);  // not so if it was flipped again
    }
    if (tenure_ == 0) return;
    flipped_[moves_ & (flipped_.size() - 1)] = static_cast<std::uint32_t>(i);
    until_[i] = moves_ + tenure_;
    walker.forbid(i);
  }
  // Returns the first tabu variable of this gain; num_variables if there is none.
  template <class Walker>
  std::size_t find(double gain, const Walker& walker) const {
    std::size_t first = until_.size();
    for (std::size_t k = 0; k < std::min(moves_, tenure_); ++k) {
      const std::size_t i = flip_of(moves_ - k);
      if (walker.gain(i) == gain) first = std::min(first, i);
    }
    return first;
  }

 private:
  std::size_t flip_of(std::size_t move) const { return flipped_[move & (flipped_.size() - 1)]; }

  std::size_t tenure_ = 0;
  std::size_t moves_ = 0;
  std::vector<std::size_t> until_;      // (n): move at which a variable is allowed again
  std::vector<std::uint32_t> flipped_;  // by move, modulo its size, a power of 2
};

}  // namespace qpsbgd
