// Elimination of the variables of a sparse problem that have at most two neighbours.
//
// Given the states of its neighbours, the best value of a variable is known, and with it what the
// variable adds to the energy: a function of at most two spins, that is, a constant, two linear
// biases and a coupling. The lowest energy remains the same. The distribution of states does not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/ising/ising.hpp"

namespace qpsbgd {

class Reduction {
 public:
  // The problem must be sparse. Throws Stopped where `stop` says to end.
  Reduction(const Ising& problem, Stop& stop);

  std::size_t num_variables() const { return linear_.size(); }
  // The variables that remain, ascending (k).
  const std::vector<std::uint32_t>& kept() const { return kept_; }
  // The problem of these variables: linear biases (k) and interactions, each once. Its energies
  // plus offset() are those of the whole problem with the best values of the other variables.
  const std::vector<double>& linear() const { return kept_linear_; }
  const std::vector<std::uint32_t>& rows() const { return rows_; }
  const std::vector<std::uint32_t>& columns() const { return columns_; }
  const std::vector<double>& values() const { return values_; }
  double offset() const { return offset_; }

  // Writes the state (n) of all variables from that of the kept ones (k).
  void restore(const std::int8_t* kept, std::int8_t* state) const;

 private:
  struct Neighbour {
    std::uint32_t variable;
    double coupling;
  };
  // An eliminated variable with its bias and its neighbours, at most two. A neighbour that does not
  // exist has the coupling 0.
  struct Step {
    std::uint32_t variable;
    double bias;
    Neighbour first, second;
  };

  void eliminate(std::uint32_t variable);
  void compact(std::uint32_t variable);
  void collect();

  std::vector<double> linear_;                 // (n)
  std::vector<std::vector<Neighbour>> lists_;  // (n): may name a neighbour more than once
  std::vector<std::uint32_t> counts_;          // (n): of entries whose variable still exists
  std::vector<std::uint8_t> is_gone_;          // (n)
  std::vector<std::uint32_t> queue_;           // variables to look at
  std::vector<Step> steps_;
  double offset_ = 0.0;
  std::vector<std::uint32_t> kept_, rows_, columns_;
  std::vector<double> kept_linear_, values_;
};

}  // namespace qpsbgd
