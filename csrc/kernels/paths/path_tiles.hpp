// The data of kernels for worldlines and rotors (sizes.hpp).
#pragma once

#include <cstddef>
#include <cstdint>

namespace qpsbgd {

// Slices of a worldline. A break is a place between two slices, or between the last and the first.
inline constexpr std::int32_t kNumSlices = 1 << 16;
// Positions of breaks and cuts are stored as int16, kFirstPosition for 0. Padding is the last one.
inline constexpr std::int16_t kFirstPosition = -(1 << 15);
inline constexpr std::int16_t kLastPosition = (1 << 15) - 1;
// Cuts that a sweep integrates fields up to together, at most; see WorldlineScratch.
inline constexpr std::size_t kCutRows = 8;

// A neighbour whose worldline has breaks in a lane.
struct BrokenNeighbour {
  const std::int16_t* breaks;  // (2 num_pairs, kLanes)
  const float* spins;          // (kLanes)
  std::size_t num_pairs;
  float coupling;
};

// What an update of the qubits of a chain needs; `rows` is capacity + kCutRows of the tile.
struct WorldlineScratch {
  std::int16_t* cuts;           // (chain_length, rows, kLanes)
  float* integrals;             // (chain_length, rows, kLanes): of the field, up to each cut
  std::int16_t* proposals;      // (rows, kLanes)
  std::uint16_t* masks;         // (2, rows)
  BrokenNeighbour* neighbours;  // (num_variables)

  // The rest is for updates of chains alone.
  std::int32_t* num_cuts;    // (chain_length, kLanes)
  std::uint32_t* most_cuts;  // (chain_length): largest number of a lane
  float* segment_noise;      // (chain_length, rows, kLanes)
  float* bond_noise;         // (chain_length, 2 rows, kLanes)
  // Of one lane. Segment m of qubit q has the number q * rows + m.
  std::int32_t* distances;  // (chain_length, rows): of the cuts from slice 0
  std::int8_t* spins;       // (chain_length, rows)
  float* energies;          // (chain_length, rows)
  std::uint32_t* parents;   // (chain_length, rows)
};

// kLanes reads of a transverse-field Ising problem, one in each lane. The state of a qubit is a
// worldline: its spin in each of kNumSlices slices of imaginary time, which is periodic. It is
// stored as the spin in the last slice, which holds until the first break, and the breaks.
struct WorldlineTile {
  const std::size_t* offsets;       // (num_variables + 1) into neighbours and couplings, or null
  const std::uint32_t* neighbours;  // where all qubits are neighbours
  const float* couplings;           // of the lists, or (num_variables, ld)
  std::size_t ld;
  const float* linear;       // (num_variables)
  float* spins;              // (num_variables, kLanes)
  std::int16_t* breaks;      // (num_variables, capacity, kLanes), ascending
  std::int32_t* num_breaks;  // (num_variables, kLanes), even
  std::uint32_t* num_pairs;  // (num_variables): half of the largest number of a lane
  std::size_t capacity;      // even
  std::size_t num_variables;
  std::size_t chain_length;  // qubits of a chain, which have consecutive numbers
  WorldlineScratch scratch;
};

// Fields at which a sweep updates worldlines.
struct WorldlineFields {
  float energy_factor;    // factor from an integral of a field to twice an energy
  float mean_gap;         // mean number of slices between proposed cuts; infinite for none
  float chain_factor;     // -log(1 - probability) that a slice joins aligned qubits of a chain
  bool is_ferromagnetic;  // whether aligned means equal
};

// Angles of a rotor: multiples of 2 pi / kNumAngles.
inline constexpr std::size_t kNumAngles = 256;

// Angles that an update of a rotor proposes.
enum class RotorProposal {
  kReflect,  // that of the opposite cosine
  kUniform,  // any
  kNear,     // one within a reach
};

// kLanes reads of a problem whose spins are the cosines of angles, one in each lane.
struct RotorTile {
  const std::size_t* offsets;  // this and the next four as in WorldlineTile
  const std::uint32_t* neighbours;
  const float* couplings;
  std::size_t ld;
  const float* linear;
  const float* transverse;  // (num_variables): factors of the transverse field
  const float* cosines;     // (kNumAngles)
  const float* sines;       // (kNumAngles): magnitudes
  std::int32_t* angles;     // (num_variables, kLanes)
  float* spins;             // (num_variables, kLanes): cosines of the angles
  std::size_t num_variables;
};

// A sweep's rule.
struct RotorRule {
  RotorProposal proposal;
  float energy_factor;  // factor from a field times a spin to an energy
  float transverse;     // factor of the sines' energies
  // kNear proposes angles at most `reach` away with equal probabilities, or, with the probability
  // outside / 2^24, one of the two that are one step further.
  std::uint32_t reach;
  std::uint32_t outside;
};

}  // namespace qpsbgd
