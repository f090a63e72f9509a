// States of an Ising problem as the bindings receive and return them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "bindings/module.hpp"
#include "core/ising/ising.hpp"

namespace qpsbgd::bindings {

// Returns the number of states. Throws std::invalid_argument unless they are (num_reads, n).
inline std::size_t check_states(const States& states, const Ising& problem) {
  if (states.ndim() != 2 || static_cast<std::size_t>(states.shape(1)) != problem.num_variables()) {
    throw std::invalid_argument("states must have shape (num_reads, " +
                                std::to_string(problem.num_variables()) + ")");
  }
  return static_cast<std::size_t>(states.shape(0));
}

inline States copy_states(const States& states) {
  States copy({states.shape(0), states.shape(1)});
  std::copy_n(states.data(), states.size(), copy.mutable_data());
  return copy;
}

}  // namespace qpsbgd::bindings
