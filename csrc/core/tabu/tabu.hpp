// Tabu search of one Ising problem, restarted from random states and from between two elites.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include "core/ising/ising.hpp"
#include "core/threads/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

struct TabuOptions {
  // Number of moves for which a flipped variable must not flip again. It is less than the number of
  // variables, so that one may always flip. The first search takes the middle of the two; others
  // draw a number between them.
  std::size_t shortest_tenure = 20, longest_tenure = 20;
  // Number of searches of a read after its first.
  std::size_t num_restarts = 0;
  // Moves of a read's first search and of its other searches. Without a number a search stops after
  // max(100, 2 n) moves without a better energy.
  std::optional<std::size_t> first_moves, restart_moves;
  // Number of elites of a read, and of generations without a new elite after which the read drops
  // all elites but the best. At least two elites.
  std::size_t num_elites = 8, barren_generations = 4;
  double seconds_per_read = std::numeric_limits<double>::infinity();
  Precision precision = Precision::kFloat32;  // of gains; must fit
  std::uint64_t seed = 0;
  std::uint64_t number = 0;    // of the problem, for the random streams
  std::size_t first_read = 0;  // number of the first read, for the random streams
  int num_threads = 1;
};

struct TabuRead {
  std::int64_t restarts = -1;  // -1: the read did not begin
  std::uint64_t moves = 0;
  bool timed_out = false;  // whether seconds_per_read ended it
  bool int16 = false;      // whether its gains were int16, and never int32
};

// Searches. states (num_reads, n): in, where each read starts; out, its best state. A state whose
// energy is not above stop's threshold ends the call. Time limits do not end a read before its
// first local minimum, and the first read always begins.
//
// A read that nothing ends early depends on the problem, its start, the options and its number
// alone.
void tabu(const KernelTable& kernels, const Ising& problem, const TabuOptions& options,
          std::size_t num_reads, std::int8_t* states, TabuRead* reads, Stop& stop);

}  // namespace qpsbgd
