#include "core/search/candidates.hpp"

namespace qpsbgd {

// Sorts runs and merges them, so that `stop` is polled between.
bool sort_candidates(std::vector<Candidate>& candidates, Stop& stop) {
  constexpr std::size_t kRunSize = std::size_t{1} << 14;
  const std::size_t count = candidates.size();
  const auto at = [](std::vector<Candidate>& of, std::size_t k) {
    return of.begin() + static_cast<std::ptrdiff_t>(k);
  };
  for (std::size_t first = 0; first < count; first += kRunSize) {
    if (stop.poll_interrupt()) return false;
    std::sort(at(candidates, first), at(candidates, std::min(first + kRunSize, count)));
  }
  std::vector<Candidate> merged(count > kRunSize ? count : 0);
  for (std::size_t size = kRunSize; size < count; size *= 2) {
    for (std::size_t first = 0; first < count; first += 2 * size) {
      std::size_t left = first, right = std::min(first + size, count), out = first;
      const std::size_t middle = right, end = std::min(first + 2 * size, count);
      while (out < end) {
        if (out % kRunSize == 0 && stop.poll_interrupt()) return false;
        const std::size_t stretch = std::min(out + kRunSize - out % kRunSize, end);
        for (; out < stretch; ++out) {
          const bool from_right =
              left == middle || (right < end && candidates[right] < candidates[left]);
          merged[out] = candidates[from_right ? right++ : left++];
        }
      }
    }
    candidates.swap(merged);
  }
  return true;
}

}  // namespace qpsbgd
