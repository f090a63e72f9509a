// Tabu search of one Ising problem: searches from random states and from between two elites.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include "core/samplers/ising.hpp"
#include "core/support/stop.hpp"
#include "kernels/kernels.hpp"

namespace qpsbgd {

struct TabuOptions {
  // Moves for which a flipped variable stays as it is: less than the number of variables, so that
  // one is always allowed.
  // A search draws its own from these; the first takes the middle.
  std::size_t shortest_tenure = 20, longest_tenure = 20;
  // Searches of a read after its first.
  std::size_t num_restarts = 0;
  // Moves of a read's first search and of its others; without them a search ends when its best
  // energy is so many moves old that more are not worth it.
  std::optional<std::size_t> first_moves, restart_moves;
  double seconds_per_read = std::numeric_limits<double>::infinity();
  Precision precision = Precision::kFloat32;  // of gains; must fit
  std::uint64_t seed = 0;
  std::uint64_t number = 0;  // of the problem, for the random streams
  int num_threads = 1;
};

struct TabuRead {
  std::int64_t restarts = -1;  // -1: not begun
  std::uint64_t moves = 0;
  bool timed_out = false;  // by seconds_per_read
  bool int16 = false;      // gains were in 16 bits to the end
};

// Whether gains can be kept like that: in int16 where couplings are integers of eight bits, in a
// dense problem; only a search tells whether 16 bits hold all gains, and if not, its read is made
// again in floats. In float32 and float64 always.
bool tabu_fits(const Ising& problem, Precision precision);
// int16 where that fits, else float32.
Precision narrow_tabu_precision(const Ising& problem);

// states (num_reads, n): in, where each read starts; out, the best state that it found. A read
// depends on the problem, its start, the options and its number alone, where neither time nor
// `stop` ends it; `stop` is told when a state is not above its threshold. Time limits do not end a
// read before its first local minimum, and the first read always begins.
void tabu(const KernelTable& kernels, const Ising& problem, const TabuOptions& options,
          std::size_t num_reads, std::int8_t* states, TabuRead* reads, Stop& stop);

}  // namespace qpsbgd
