#include "core/state/anneal_rows.hpp"

#include <limits>

namespace qpsbgd {

float acceptance_threshold(double unit, double energy_per_gain, double beta) {
  // The threshold stays finite: padding has fields of minus infinity, which no bound may reach.
  constexpr double kLargest = std::numeric_limits<float>::max() / 64;
  const double threshold = unit / (energy_per_gain * beta);
  return static_cast<float>(threshold < kLargest ? threshold : kLargest);
}

std::size_t anneal_rows(AnnealedRows& rows, const std::vector<double>& betas, Refresh refresh,
                        const ReadStreams* streams, std::size_t num_streams, Stop& stop,
                        const std::function<void(std::size_t)>& after_sweep) {
  StreamKey keys[kMaxTileRows] = {};
  for (std::size_t sweep = 0; sweep < betas.size(); ++sweep) {
    const bool is_due = refresh == Refresh::kPeriodically && (sweep + 1) % kRefreshPeriod == 0;
    if (is_due && !rows.refresh_fields(stop)) return sweep;
    for (std::size_t r = 0; r < num_streams; ++r) keys[r] = streams[r].sweep(sweep);
    if (!rows.sweep(betas[sweep], keys, stop)) return sweep;
    if (after_sweep) after_sweep(sweep + 1);
  }
  return betas.size();
}

}  // namespace qpsbgd
