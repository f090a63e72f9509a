#include "core/tempering/ladder.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/support/streams.hpp"

namespace qpsbgd {
namespace {

// Takes the place of a replica's number in the name of a random stream.
constexpr std::uint64_t kExchangeStream = ~std::uint64_t{0};

}  // namespace

void RunningMoments::add(double energy) {
  if (count_ == 0.0) shift_ = energy;
  const double d = energy - shift_;
  count_ += 1.0;
  sum_ += d;
  squares_ += d * d;
}

double RunningMoments::variance() const {
  if (count_ < 2.0) return 0.0;
  return std::max(0.0, (squares_ - sum_ * sum_ / count_) / (count_ - 1.0));
}

Ladder::Ladder(const KernelTable& kernels, const TemperOptions& options, std::uint64_t read)
    : kernels_(kernels),
      options_(options),
      read_(read),
      num_betas_(options.betas.size()),
      replica_at_(num_betas_ * options.num_copies),
      slot_of_(replica_at_.size()),
      last_end_(replica_at_.size(), End::kNone),
      noise_(replica_at_.size()),
      exchanges_(num_betas_ - 1),
      energy_sums_(num_betas_) {
  for (std::size_t r = 0; r < num_replicas(); ++r) replica_at_[r] = slot_of_[r] = r;
  // The replica that starts at the read's initial state is the coldest.
  std::swap(replica_at_[0], replica_at_[num_betas_ - 1]);
  std::swap(slot_of_[0], slot_of_[num_betas_ - 1]);
}

void Ladder::exchange(std::size_t number, const double* energies) {
  const StreamKey key = stream_key(options_.seed, kExchangeStream, read_, number);
  kernels_.elementwise.exponential(key, 0, num_replicas(), noise_.data());
  const bool is_counted = number > options_.num_discarded;
  for (std::size_t copy = 0; copy < options_.num_copies; ++copy) {
    const std::size_t first = copy * num_betas_;
    std::size_t* replicas = &replica_at_[first];
    for (std::size_t t = 0; is_counted && t < num_betas_; ++t) {
      energy_sums_[t].add(energies[replicas[t]]);
    }
    for (std::size_t t = number % 2; t + 1 < num_betas_; t += 2) {
      const double gain = (options_.betas[t + 1] - options_.betas[t]) *
                          (energies[replicas[t + 1]] - energies[replicas[t]]);
      if (is_counted) exchanges_[t].add(std::exp(std::min(0.0, gain)));
      if (!(gain + static_cast<double>(noise_[first + t]) >= 0.0)) continue;
      std::swap(replicas[t], replicas[t + 1]);
      slot_of_[replicas[t]] = first + t;
      slot_of_[replicas[t + 1]] = first + t + 1;
    }
    mark_ends(replicas[0], replicas[num_betas_ - 1]);
  }
}

void Ladder::mark_ends(std::size_t hottest, std::size_t coldest) {
  if (num_betas_ < 2) return;
  if (last_end_[hottest] == End::kCold) ++round_trips_;
  last_end_[hottest] = End::kHot;
  if (last_end_[coldest] == End::kHot) last_end_[coldest] = End::kCold;
}

void Ladder::report(TemperRead& result) const {
  result.round_trips = round_trips_;
  for (const RunningMoments& pair : exchanges_) result.exchanges.push_back(pair.mean());
  for (const RunningMoments& sums : energy_sums_) {
    result.means.push_back(sums.mean());
    result.variances.push_back(sums.variance());
  }
}

}  // namespace qpsbgd
