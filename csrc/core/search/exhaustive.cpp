#include "core/search/exhaustive.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "core/search/candidates.hpp"
#include "core/search/descent.hpp"
#include "core/threads/parallel.hpp"

namespace qpsbgd {
namespace {

// Blocks between two polls of Stop: a few tens of microseconds.
constexpr std::uint64_t kBlocksPerPoll = 128;
// States that an interrupted call returns: few enough to sort in a few milliseconds.
constexpr std::size_t kInterruptedStates = 1 << 10;
// Largest number of tasks. Each computes its first fields anew.
constexpr std::uint64_t kMaxTasks = 1 << 12;

// Enumeration of a problem's states, with energies times `scale`. A block has the last kBits
// variables. If the problem has fewer, the first variables of a block are padding: they have no
// bias, and every state in which one of them is +1 has the largest energy, so that it never wins.
template <class Value>
class Enumeration {
  using Block = StateBlock<Value>;

 public:
  Enumeration(const KernelTable& kernels, const Ising& problem, double scale,
              std::uint64_t low_state)
      : kernels_(kernels),
        n_(problem.num_variables()),
        num_low_(std::min(n_, Block::kBits)),
        num_high_(n_ - num_low_),
        first_high_(low_state >> num_low_),
        scale_(scale),
        linear_(problem.linear64()),
        couplings_(problem.couplings64()),
        table_(Block::kStates) {
    for (double& bias : linear_) bias *= scale;
    for (double& bias : couplings_) bias *= scale;
    fill_table();
  }

  std::uint64_t num_blocks() const { return std::uint64_t{1} << num_high_; }
  std::uint64_t block_states() const { return std::uint64_t{1} << num_low_; }

  // Visits the blocks [first, last). They are counted from the block of a low state, so that few
  // later blocks hold lower states. Returns the number of states visited before `stop` said to end.
  std::uint64_t visit(std::uint64_t first, std::uint64_t last, Lowest& lowest, Stop& stop) const {
    // Level d holds the energy of the first d variables, which are set, and the fields of the
    // others. Each level is computed from the one above in a fixed order, so that nothing drifts.
    std::vector<double> fields((num_high_ + 1) * n_), energies(num_high_ + 1);
    std::copy(linear_.begin(), linear_.end(), fields.begin());
    alignas(64) Value low_fields[Block::kBits] = {}, row_sums[Block::kRows],
                      column_sums[Block::kColumns];
    bool collected = false;  // collecting takes 100 times longer
    for (std::uint64_t block_number = first; block_number < last; ++block_number) {
      const bool is_time = collected || (block_number - first) % kBlocksPerPoll == 0;
      if (block_number > first && is_time && stop.poll()) {
        return (block_number - first) * block_states();
      }
      const std::uint64_t high = block_number ^ first_high_;
      // The variables before this one are the same as in the last block.
      const auto changed = static_cast<std::size_t>(std::countr_zero(block_number)) + 1;
      const std::size_t same =
          block_number == first || changed > num_high_ ? 0 : num_high_ - changed;
      for (std::size_t d = same; d < num_high_; ++d) {
        const double spin = high >> (num_high_ - 1 - d) & 1 ? 1.0 : -1.0;
        const double* above = &fields[d * n_];
        double* below = &fields[(d + 1) * n_];
        for (std::size_t i = d + 1; i < n_; ++i)
          below[i] = above[i] + spin * couplings_[d * n_ + i];
        energies[d + 1] = energies[d] + spin * above[d];
      }
      for (std::size_t i = 0; i < num_low_; ++i) {
        low_fields[Block::kBits - num_low_ + i] =
            static_cast<Value>(fields[num_high_ * n_ + num_high_ + i]);
      }
      const Block block{.table = table_.data(),
                        .fields = low_fields,
                        .energy = static_cast<Value>(energies[num_high_]),
                        .row_sums = row_sums,
                        .column_sums = column_sums};
      const std::uint64_t code = high << num_low_;
      const auto least = static_cast<double>(kernels_.enumeration.of<Value>().lowest_energy(block));
      collected = lowest.takes({least, code});
      if (collected) collect(block, code, lowest, stop);
    }
    return (last - first) * block_states();
  }

 private:
  void fill_table() {
    // From the last variable on, each doubles the number of states.
    std::vector<double> energies(Block::kStates, std::numeric_limits<double>::max());
    std::vector<double> fields(Block::kStates);
    energies[0] = 0.0;
    for (std::size_t bit = 0; bit < num_low_; ++bit) {
      const double* row = &couplings_[(n_ - 1 - bit) * n_];
      fields[0] = 0.0;
      for (std::size_t other = 0; other < bit; ++other) {
        const std::size_t count = std::size_t{1} << other;
        for (std::size_t code = 0; code < count; ++code) {
          fields[count + code] = fields[code] + row[n_ - 1 - other];
          fields[code] -= row[n_ - 1 - other];
        }
      }
      const std::size_t count = std::size_t{1} << bit;
      for (std::size_t code = 0; code < count; ++code) {
        energies[count + code] = energies[code] + fields[code];
        energies[code] -= fields[code];
      }
    }
    for (std::size_t code = 0; code < Block::kStates; ++code) {
      table_[code] = static_cast<Value>(energies[code]);
    }
  }

  void collect(const Block& block, std::uint64_t code, Lowest& lowest, Stop& stop) const {
    for (std::size_t row = 0; row < Block::kRows && row * Block::kColumns < block_states(); ++row) {
      Value energies[Block::kColumns];
      const Value* table = block.table + row * Block::kColumns;
      for (std::size_t column = 0; column < Block::kColumns; ++column) {
        // Rounds like the kernel.
        energies[column] = static_cast<Value>(
            static_cast<Value>(table[column] + block.row_sums[row]) + block.column_sums[column]);
      }
      const std::size_t count = std::min<std::uint64_t>(Block::kColumns, block_states());
      for (std::size_t column = 0; column < count; ++column) {
        const Candidate candidate{static_cast<double>(energies[column]),
                                  code + row * Block::kColumns + column};
        if (!lowest.takes(candidate)) continue;
        lowest.take(candidate);
        const double energy = candidate.energy / scale_;
        stop.found(energy);
        if (energy <= stop.energy_threshold()) stop.reached();
      }
    }
  }

  const KernelTable& kernels_;
  std::size_t n_, num_low_, num_high_;
  std::uint64_t first_high_;  // of the first block
  double scale_;
  std::vector<double> linear_;     // (n)
  std::vector<double> couplings_;  // (n, n)
  Buffer<Value> table_;
};

void to_spins(std::uint64_t code, std::size_t n, std::int8_t* spins) {
  for (std::size_t i = 0; i < n; ++i) spins[i] = code >> (n - 1 - i) & 1 ? 1 : -1;
}

// Returns the code of a local minimum; of the state of all -1 if all energies are equal.
std::uint64_t low_state(const KernelTable& kernels, const Ising& problem, Stop& stop) {
  std::vector<std::int8_t> spins(problem.num_variables(), -1);
  std::int64_t steps = 0;
  descend(kernels, problem, Precision::kFloat64, 1, 1, spins.data(), &steps, stop);
  std::uint64_t code = 0;
  for (const std::int8_t spin : spins) code = code << 1 | (spin > 0);
  return code;
}

template <class Value>
LowestStates enumerate(const KernelTable& kernels, const Ising& problem, double scale,
                       std::size_t num_states, int num_threads, Stop& stop) {
  const Enumeration<Value> enumeration(kernels, problem, scale, low_state(kernels, problem, stop));
  const std::size_t n = problem.num_variables();
  const std::uint64_t num_blocks = enumeration.num_blocks();
  const std::uint64_t num_tasks = std::min(num_blocks, kMaxTasks);
  const std::uint64_t task_blocks = num_blocks / num_tasks;
  num_states = std::min<std::uint64_t>(num_states, std::uint64_t{1} << n);
  std::vector<Lowest> lowest(num_workers(num_tasks, num_threads), Lowest(num_states));
  std::atomic<std::uint64_t> num_visited{0};
  parallel_for(
      num_tasks, num_threads,
      [&](std::size_t task, int worker) {
        // The first task always begins, so that there is a result.
        if (task != 0 && stop.poll()) return;
        num_visited +=
            enumeration.visit(task * task_blocks, (task + 1) * task_blocks, lowest[worker], stop);
      },
      [&stop] { stop.poll(); });
  std::vector<Candidate> found;
  for (const Lowest& part : lowest) {
    found.insert(found.end(), part.candidates().begin(), part.candidates().end());
  }
  // Sorts again by the energies that the caller will see, whose last digits may differ.
  const auto renew = [&](Candidate& candidate, std::int8_t* spins) {
    to_spins(candidate.code, n, spins);
    problem.energies(kernels, spins, 1, 1, &candidate.energy);
  };
  std::vector<Candidate> copy = found;
  if (!sort_candidates(copy, stop)) {
    // An interrupted caller does not wait until all are sorted.
    num_states = std::min(num_states, kInterruptedStates);
    const std::size_t count = std::min(found.size(), num_states);
    std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count),
                      found.end());
    found.resize(count);
  } else {
    found = std::move(copy);
    found.resize(std::min(found.size(), num_states));
  }
  std::vector<std::int8_t> spins(n);
  std::size_t renewed = 0;
  while (renewed < found.size()) {
    renew(found[renewed++], spins.data());
    if (renewed % kBlocksPerPoll == 0 && renewed >= kInterruptedStates && stop.poll_interrupt())
      break;
  }
  found.resize(renewed);
  if (!sort_candidates(found, stop)) {
    const std::size_t count = std::min(found.size(), kInterruptedStates);
    std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count),
                      found.end());
    found.resize(count);
  }
  LowestStates result{found.size(), std::vector<std::int8_t>(found.size() * n), num_visited};
  for (std::size_t k = 0; k < found.size(); ++k) {
    to_spins(found[k].code, n, result.states.data() + k * n);
  }
  return result;
}

}  // namespace

LowestStates enumerate(const KernelTable& kernels, const Ising& problem, std::size_t num_states,
                       int num_threads, Stop& stop) {
  const std::size_t n = problem.num_variables();
  if (n > kMaxExhaustiveVariables) {
    throw std::invalid_argument("the problem has " + std::to_string(n) +
                                " variables, but must have at most " +
                                std::to_string(kMaxExhaustiveVariables));
  }
  // Every sum on the way to an energy adds some of the biases, each once. A type that holds the sum
  // of all magnitudes as an integer is therefore exact.
  double bound = 0.0;  // of the scaled energy
  for (std::size_t i = 0; i < n; ++i) {
    const double linear = problem.scale() * std::fabs(problem.linear64()[i]);
    bound += 0.5 * (linear + problem.scale() * problem.reach()[i]);
  }
  const double unit = bound > 0.0 ? std::ldexp(1.0, problem.lowest_bit()) : 1.0;
  const double largest = bound / problem.scale() / unit;
  if (n >= StateBlock<std::int16_t>::kBits && largest < 0x1p15) {
    return enumerate<std::int16_t>(kernels, problem, 1.0 / unit, num_states, num_threads, stop);
  }
  if (n >= StateBlock<float>::kBits && largest <= 0x1p24) {
    return enumerate<float>(kernels, problem, 1.0 / unit, num_states, num_threads, stop);
  }
  return enumerate<double>(kernels, problem, problem.scale(), num_states, num_threads, stop);
}

}  // namespace qpsbgd
