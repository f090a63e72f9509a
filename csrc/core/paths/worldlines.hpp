// Worldlines of kLanes reads of a transverse-field Ising problem, which one thread updates
// together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/ising/ising.hpp"
#include "core/paths/field_schedule.hpp"
#include "core/support/buffer.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

// The largest transverse field that an update accepts. With a larger one, two proposed cuts would
// often fall into one slice.
inline constexpr double kLargestTransverseField = kNumSlices / 16.0;

// Chains of qubits with consecutive numbers, coupled as paths.
struct PathChains {
  std::size_t length = 1;  // divides the number of qubits
  double coupling = 0.0;   // between neighbours in a chain, beside the problem's own
  bool are_units = false;  // whether an update is one of a chain instead of a qubit
};

// Worldlines of reads as a caller holds them.
struct PathView {
  const std::int8_t* spins;        // (reads, n): in the last slice
  const std::int32_t* num_breaks;  // (reads, n), even; null for none
  const std::int32_t* breaks;      // those of the first read, variable by variable, and so on
};

class Worldlines {
 public:
  // `problem` is dense or sparse, without couplings between qubits of a chain where chains are
  // units. It must outlive this object.
  Worldlines(const KernelTable& kernels, const Ising& problem, const PathChains& chains);

  // Takes the worldlines of at most kLanes reads. The other lanes get the spins of the
  // first read, without breaks.
  void start(const PathView& reads, std::size_t count);
  // Updates every unit once, in the given order (number of units). keys (kLanes). Returns false
  // where `stop` ended the sweep early.
  bool sweep(const PathFields& fields, const std::uint32_t* order, const StreamKey* keys,
             Stop& stop);

  std::size_t num_units() const;
  // Writes the spins of a read in the last slice (n).
  void spins(std::size_t read, std::int8_t* out) const;
  // Writes the numbers of breaks of a read (n), and appends their places.
  void breaks(std::size_t read, std::int32_t* numbers, std::vector<std::int32_t>& places) const;

 private:
  std::size_t rows() const { return capacity_ + kCutRows; }
  void reserve(std::size_t capacity);
  WorldlineTile tile();

  const KernelTable& kernels_;
  const Ising& problem_;
  const PathChains chains_;
  std::size_t capacity_ = 0;
  Buffer<float> spins_;
  Buffer<std::int16_t> breaks_;
  Buffer<std::int32_t> num_breaks_;
  Buffer<std::uint32_t> num_pairs_;
  Buffer<std::int16_t> cuts_, proposals_;
  Buffer<float> integrals_;
  Buffer<std::uint16_t> masks_;
  Buffer<BrokenNeighbour> neighbours_;
  // For chains.
  Buffer<std::int32_t> num_cuts_, distances_;
  Buffer<std::uint32_t> most_cuts_, parents_;
  Buffer<float> segment_noise_, bond_noise_, energies_;
  Buffer<std::int8_t> segments_;
};

}  // namespace qpsbgd
