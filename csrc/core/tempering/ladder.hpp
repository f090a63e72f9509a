// Ladder of temperatures: the temperature of each replica, their exchanges, and statistics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/tempering/tempering.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// Running mean and variance of numbers, such as the energies at one temperature.
class RunningMoments {
 public:
  void add(double energy);
  double mean() const { return count_ > 0.0 ? shift_ + sum_ / count_ : 0.0; }
  double variance() const;

 private:
  // The first number. Sums of differences from it keep more digits than sums of large numbers.
  double shift_ = 0.0;
  double count_ = 0.0, sum_ = 0.0, squares_ = 0.0;
};

// The ladder of one read. Slot copy * num_betas + t stands for temperature t of a copy; one replica
// occupies it at a time.
class Ladder {
 public:
  Ladder(const KernelTable& kernels, const TemperOptions& options, std::uint64_t read);

  std::size_t num_replicas() const { return replica_at_.size(); }
  std::size_t replica_at(std::size_t slot) const { return replica_at_[slot]; }
  std::size_t replica_at(std::size_t copy, std::size_t t) const {
    return replica_at_[copy * num_betas_ + t];
  }
  std::size_t slot_of(std::size_t replica) const { return slot_of_[replica]; }
  double beta_of(std::size_t replica) const {
    return options_.betas[slot_of_[replica] % num_betas_];
  }

  // Proposes exchanges of neighbouring temperatures after sweep `number`: of even and of odd pairs
  // in turn. energies (num_replicas).
  //
  // Reference: S. Syed, A. Bouchard-Cote, G. Deligiannidis, A. Doucet, J. R. Stat. Soc. B 84, 321
  // (2022).
  void exchange(std::size_t number, const double* energies);

  // Writes the round trips and the statistics of exchanges and energies.
  void report(TemperRead& result) const;

 private:
  enum class End : std::uint8_t { kNone, kHot, kCold };

  void mark_ends(std::size_t hottest, std::size_t coldest);

  const KernelTable& kernels_;
  const TemperOptions& options_;
  const std::uint64_t read_;
  const std::size_t num_betas_;
  std::vector<std::size_t> replica_at_;  // (slots)
  std::vector<std::size_t> slot_of_;     // (replicas)
  std::vector<End> last_end_;            // (replicas): the end that it visited last
  std::int64_t round_trips_ = 0;
  std::vector<float> noise_;                 // (slots)
  std::vector<RunningMoments> exchanges_;    // (num_betas - 1): of probabilities
  std::vector<RunningMoments> energy_sums_;  // (num_betas)
};

}  // namespace qpsbgd
