// Connected components of the variables in which two states of a sparse problem differ.
//
// Components do not interact: flipping one of them changes the energy by the same amount whatever
// is done with the others. Two replicas may therefore exchange any of them, and the better choice
// in each gives the best state that two states have together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/ising/ising.hpp"

namespace qpsbgd {

// One state among those that rows store as bits (ReadRows::spin_bits()).
struct BitState {
  std::uint16_t* spins;  // (n)
  unsigned row;          // the bit
};

class Components {
 public:
  // The problem must be sparse and outlive this. One thread uses an object at a time.
  explicit Components(const Ising& problem);

  // Exchanges each component between two states with probability 1/2. The sum of their energies
  // remains the same, so that the move keeps the Boltzmann distribution of two states at one
  // temperature. `word` names the random decisions.
  //
  // Reference: J. Houdayer, Eur. Phys. J. B 22, 479 (2001), with one component; here each is
  // exchanged or not by a decision of its own.
  void exchange(const BitState& a, const BitState& b, std::uint64_t word);

  // Takes over from `other` (n) every component that lowers the energy of `state` (n). First brings
  // `other` nearer to `state`, where this does not raise its energy: fewer variables then differ,
  // in smaller components. Returns the change of the energy of `state`, in the units of the
  // caller's biases.
  double improve(std::int8_t* state, std::int8_t* other);

 private:
  // Calls visit(members, count) for each component of the variables whose mark is 1. Sets their
  // marks to 2. If no variable has a linear bias, a state and its negative are equivalent: the
  // variables that are not marked then take the place of those that are, if they are fewer.
  template <class Visit>
  void visit_each(const Visit& visit);

  // Makes variables of `other` equal to those of `state` one by one while no such flip raises the
  // energy of `other`.
  void approach(const std::int8_t* state, std::int8_t* other);
  double field(std::size_t i, const std::int8_t* state) const;

  const Ising& problem_;
  bool is_symmetric_;                 // whether no variable has a linear bias
  std::vector<std::uint8_t> marks_;   // (n)
  std::vector<std::uint32_t> queue_;  // (n)
};

}  // namespace qpsbgd
