// Types that hold a problem's fields or gains: the fastest that fits, and float64 where float32 is
// too coarse.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/ising/ising.hpp"
#include "core/threads/stop.hpp"

namespace qpsbgd {

// The largest coupling, in units, that int16 fields of a dense problem allow: a block of flips then
// changes a field by less than 2^14. It also fits the int8 couplings of tabu search.
inline constexpr double kMostNarrowCoupling = 127.0;

// The largest gain that tabu search keeps in int16. The highest value marks variables that may
// flip.
inline constexpr int kMostTabuGain = std::numeric_limits<std::int16_t>::max() - 1;

// Returns whether an annealer can keep the problem's fields in this type. int16 needs biases that
// are multiples of a unit, and variables in order. In a sparse problem every field and twice every
// coupling must fit. In a dense problem couplings of at most kMostNarrowCoupling units suffice,
// because fields that grow too large become float32. Problems of low rank need float32. Bits need a
// single sparse problem whose fields are below 2^kMaxPlanes units.
bool fits(const Ising& problem, Precision precision, bool random_order);
// Returns the fastest type that fits for so many reads, leaving float64 and bits out. Only anneal()
// has bits.
Precision narrow_precision(const Ising& problem, bool random_order, std::size_t num_reads);
// Returns float64 where needs_float64(problem), else bits where they fit, else narrow_precision().
Precision best_precision(const Ising& problem, bool random_order, std::size_t num_reads);

// Returns whether tabu search can keep gains in this type. int16 needs a dense problem, gains that
// float32 holds exactly, and couplings that int8 holds. Only a search shows whether int16 holds all
// its gains; if not, it goes on in int32.
bool tabu_fits(const Ising& problem, Precision precision);
// Returns int16 where it fits, else float32.
Precision narrow_tabu_precision(const Ising& problem);

// Returns whether fields and gains must be float64 for a search to find the states that the biases
// describe. float32 is enough where
// - no sum of biases at a variable has more than 23 significant bits: then it is exact; or
// - biases are real numbers, and float32 rounds the fields at local minima by far less than both
//   the energy differences of the minima and the largest field of every variable.
// float32 is not enough for integers of more bits, whose last bits count (number partitioning);
// where large biases cancel at the minima and small ones decide between them (penalties); and where
// some variables have small biases alone.
//
// The minima are those that descents from a few fixed states find, so that the answer depends on
// the problem alone. If several problems share the couplings, the answer is about the selected one.
// The answer is void where an interrupt of `stop` ended the descents.
bool needs_float64(const Ising& problem, Stop* stop = nullptr);

// Returns the answer for couplings scale * (A^T A - diag), without building the problem where the
// factor A alone decides. linear: (num_variables).
bool needs_float64(const KernelTable& kernels, const double* linear, std::size_t num_variables,
                   const FactorView& factor, int num_threads, Stop* stop);

}  // namespace qpsbgd
