// The driver of samplers that follow a schedule of a problem's field and a transverse field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/support/streams.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// Fields of a step of a schedule, in units of the temperature.
struct PathFields {
  double problem;     // factor of the problem's energy
  double transverse;  // on each qubit
};

// The order in which a sweep visits qubits, rotors or chains. All reads share it.
enum class VisitOrder {
  kPermuted,  // a random permutation
  kInOrder,
  kDrawn,  // as many as there are, each drawn with replacement
};

struct FieldSchedule {
  std::vector<PathFields> steps;  // finite, >= 0
  std::size_t sweeps_per_step = 1;
  std::size_t sample_interval = 0;  // steps between samples; 0 for none
  VisitOrder order = VisitOrder::kPermuted;
  std::uint64_t seed = 0;
  std::uint64_t first_read = 0;  // number of the first read, which names its random streams
  int num_threads = 1;

  // Number of samples of a read: after the first step, and after each `sample_interval` steps more.
  std::size_t num_samples() const {
    return sample_interval == 0 || steps.empty() ? 0 : 1 + (steps.size() - 1) / sample_interval;
  }
};

// Reads that one thread updates together, at most kLanes of them.
class ScheduledReads {
 public:
  virtual ~ScheduledReads() = default;
  // Returns the number of visits of a sweep.
  virtual std::size_t num_units() const = 0;
  // Takes the reads first, ..., first + count - 1 from where they start.
  virtual void start(std::size_t first, std::size_t count) = 0;
  // Makes a sweep. keys (kLanes). Returns false where `stop` ended it early.
  virtual bool sweep(const PathFields& fields, const std::uint32_t* order, const StreamKey* keys,
                     Stop& stop) = 0;
  virtual void take_sample(std::size_t number) = 0;
  // Writes the last states. `stream` names random numbers of each lane that no sweep uses.
  virtual void finish(const StreamKey* streams) = 0;
};

// Anneals num_reads reads; `make` makes the reads of one thread. Sets sweeps (num_reads) to the
// number of sweeps made before `stop` ended the call, -1 for a read that did not begin. The first
// reads always begin. A read depends on the seed, its number and its start alone.
void anneal_fields(const FieldSchedule& schedule, std::size_t num_reads,
                   const std::function<std::unique_ptr<ScheduledReads>()>& make,
                   std::int64_t* sweeps, Stop& stop);

}  // namespace qpsbgd
