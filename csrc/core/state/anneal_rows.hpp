// The sweep driver that annealers share: schedule, random streams, refreshing of fields, stopping.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/support/streams.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// Spins that one thread sweeps together, at most kMaxTileRows rows of them: reads of a sampler,
// neurons of a layer, or problems of a batch.
class AnnealedRows {
 public:
  virtual ~AnnealedRows() = default;

  // Makes one sweep at an inverse temperature. keys (kMaxTileRows) name the rows' random streams.
  // Returns false where `stop` ended the sweep early; the rows are then some valid state.
  virtual bool sweep(double beta, const StreamKey* keys, Stop& stop) = 0;

  // Computes the rows' fields anew from their spins, which removes the rounding errors of many
  // flips. Returns false where `stop` ended it early.
  virtual bool refresh_fields(Stop& stop) = 0;
};

// Returns the threshold that kernels take for inverse temperature beta, in their units. A flip of
// gain g, measured in the caller's units, lowers the energy by energy_per_gain * g; fields in the
// kernels are `unit` times the caller's.
float acceptance_threshold(double unit, double energy_per_gain, double beta);

// The rule by which an annealing computes fields anew.
enum class Refresh {
  kNever,         // the fields are exact, or the sweeps are few
  kPeriodically,  // sums of floats drift: every kRefreshPeriod sweeps
};
inline constexpr std::size_t kRefreshPeriod = 256;

// Sweeps the rows once at each of the inverse temperatures, in order, until `stop` says to end.
// Calls after_sweep(number of sweeps made) after each completed sweep. Returns that number. streams
// (num_streams): one for each row, and for each row beyond the last up to a multiple of kLanes.
std::size_t anneal_rows(AnnealedRows& rows, const std::vector<double>& betas, Refresh refresh,
                        const ReadStreams* streams, std::size_t num_streams, Stop& stop,
                        const std::function<void(std::size_t)>& after_sweep = {});

}  // namespace qpsbgd
