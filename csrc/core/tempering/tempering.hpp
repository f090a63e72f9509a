// Parallel tempering of one Ising problem: replicas at several temperatures that exchange them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/ising/ising.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

struct TemperOptions {
  std::vector<double> betas;      // ascending and finite, at least one
  std::size_t num_copies = 1;     // replicas at each temperature
  std::size_t num_sweeps = 0;     // of each replica
  std::size_t num_discarded = 0;  // sweeps before the statistics begin
  // Cluster moves between pairs of replicas at one temperature, and improvements of the best state
  // by components, take place after each cluster_period sweeps, at the temperatures from number
  // first_clustered on. 0 for none. They need a sparse problem.
  std::size_t cluster_period = 0;
  std::size_t first_clustered = 0;
  Acceptance acceptance = Acceptance::kMetropolis;
  bool keep_best = true;                   // otherwise samples are kept
  std::vector<std::size_t> sampled;        // numbers of the temperatures to sample
  std::vector<std::size_t> sample_sweeps;  // ascending: the sweeps after which to take samples
  // Samples of a read whose number of sweeps is not known in advance: the number that its last
  // quarter has at least. 0 takes samples after sample_sweeps instead.
  std::size_t num_spread = 0;
  Precision precision = Precision::kFloat32;  // must fit
  double seconds_per_read = std::numeric_limits<double>::infinity();
  bool watch = false;  // report energies to `stop` also where keep_best is false
  std::uint64_t seed = 0;
  std::uint64_t first_read = 0;
  int num_threads = 1;           // that share the reads
  int num_threads_per_read = 1;  // that share the replicas of a read

  // Number of times at which a read may keep samples.
  std::size_t num_takes() const {
    return num_spread > 0 ? kSpreadRoom * num_spread : sample_sweeps.size();
  }
  static constexpr std::size_t kSpreadRoom = 4;
};

// What one read did.
struct TemperRead {
  std::int64_t sweeps = -1;       // of each replica before `stop` ended the call; -1: not begun
  std::int64_t taken = 0;         // number of times at which it took samples
  std::int64_t round_trips = 0;   // from the hottest temperature to the coldest and back
  std::vector<double> exchanges;  // (betas - 1): mean probability of an exchange of neighbours
  std::vector<double> means, variances;  // (betas): of the energies
};

// Tempers reads. states (num_reads, n): in, where the first replica of each read starts; out, the
// best state of the read. The other replicas start at random states. If replicas is not null, all
// replicas of every read start there: (num_copies, betas, n). samples: (num_reads, num_takes(),
// sampled, n), of the first copies; null where keep_best. Those of a read that were not taken
// before it ended are its last states. A state whose energy is not above stop's threshold ends the
// call.
//
// Read k depends on the problem, its start, the options and k alone: not on the number of reads or
// threads, nor on the instruction set.
std::vector<TemperRead> temper(const KernelTable& kernels, const Ising& problem,
                               const TemperOptions& options, std::size_t num_reads,
                               const std::int8_t* replicas, std::int8_t* states,
                               std::int8_t* samples, Stop& stop);

}  // namespace qpsbgd
