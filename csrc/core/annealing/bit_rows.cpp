// Reads of sparse problems with small integer biases, whose spins and fields are bits.
#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "core/annealing/bit_states.hpp"
#include "core/annealing/chances.hpp"
#include "core/annealing/read_rows.hpp"

namespace qpsbgd {
namespace {

// Variables that are swept, and pairs that are counted, between two polls of Stop.
constexpr std::size_t kBitRun = 1 << 13, kPairRun = 1 << 16;

// Lists of terms in the layout of BitTile.
struct BitTerms {
  BitTerms(const Ising& problem, std::size_t num_words)
      : words(num_words), starts(problem.num_variables()), is_odd(problem.num_variables()) {
    const std::size_t n = problem.num_variables();
    num_planes = std::max<std::size_t>(3, digits_of(problem.reach_in_units()));
    num_lists = std::max<std::size_t>(1, digits_of(largest_magnitude(problem)));
    unit = problem.unit();
    offsets.reserve(n * num_lists + 1);
    offsets.push_back(0);
    std::vector<std::vector<BitPair>> lists(num_lists);
    for (std::size_t i = 0; i < n; ++i) add_variable(problem, i, lists);
    pair_offsets.push_back(0);
    for (std::vector<BitPair>& list : lists) {
      list.resize(round_up(list.size(), kBitPairGroup), BitPair{0, 0});
      pairs.insert(pairs.end(), list.begin(), list.end());
      pair_offsets.push_back(pairs.size());
    }
  }

  const std::size_t words;  // of a tile
  std::vector<std::size_t> offsets, pair_offsets;
  std::vector<std::uint32_t> edges;
  std::vector<BitPair> pairs;
  std::vector<std::uint8_t> starts, is_odd;
  std::size_t num_planes = 0, num_lists = 0;
  double unit = 1.0, total = 0.0;                        // total: sum of all magnitudes, in units
  std::size_t first_sum = std::size_t{1} << kMaxPlanes;  // the lowest of `starts`

 private:
  static std::size_t digits_of(double value) {
    return static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(value)));
  }
  static double largest_magnitude(const Ising& problem) {
    double largest = problem.coupling_in_units();
    for (std::size_t i = 0; i < problem.num_variables(); ++i) {
      largest = std::max(largest, std::fabs(double{problem.linear()[i]}) / problem.unit());
    }
    return largest;
  }

  void add_variable(const Ising& problem, std::size_t i,
                    std::vector<std::vector<BitPair>>& pair_lists) {
    const std::size_t n = problem.num_variables();
    // The position of a variable's spins, or of their complement.
    const auto at = [this](std::size_t other, bool is_complement) {
      return static_cast<std::uint32_t>((2 * other + is_complement) * words / kBitPosition);
    };
    std::vector<std::pair<std::size_t, int>> terms;  // neighbours, with couplings in units
    for (std::size_t e = problem.offsets()[i]; e < problem.offsets()[i + 1]; ++e) {
      terms.emplace_back(problem.neighbours()[e],
                         static_cast<int>(problem.couplings()[e] / problem.unit()));
    }
    // The last spin is -1.
    terms.emplace_back(n, -static_cast<int>(problem.linear()[i] / problem.unit()));
    std::size_t reach = 0;
    for (const auto& [other, value] : terms) {
      reach += static_cast<std::size_t>(std::abs(value));
      if (other > i) total += std::abs(value);
    }
    for (std::size_t list = 0; list < num_lists; ++list) {
      for (const auto& [other, value] : terms) {
        if ((std::abs(value) >> list & 1) == 0) continue;
        edges.push_back(at(other, value > 0));
        if (other > i) pair_lists[list].push_back({at(i, false), at(other, value > 0)});
      }
      edges.resize(round_up(edges.size(), bit_edge_group(num_planes)), at(i, false));
      offsets.push_back(edges.size());
    }
    const std::size_t start = (std::size_t{1} << (num_planes - 1)) - (reach + 1) / 2;
    starts[i] = static_cast<std::uint8_t>(start);
    is_odd[i] = reach % 2;
    first_sum = std::min(first_sum, start);
  }
};

class BitRows final : public ReadRows {
 public:
  BitRows(const BitKernels& kernels, const Ising& problem, const AnnealOptions& options,
          std::shared_ptr<const BitTerms> terms)
      : kernels_(kernels),
        options_(options),
        num_variables_(problem.num_variables()),
        scale_(problem.scale()),
        terms_(std::move(terms)),
        words_(terms_->words),
        chances_(options.acceptance, terms_->num_planes, terms_->first_sum) {}

  bool start(std::int8_t* states, std::size_t rows, std::size_t, const std::size_t*,
             Stop& stop) override {
    states_ = states;
    rows_ = rows;
    for (std::size_t w = 0; w < kMaxBitWords; ++w) {
      const std::size_t left = rows - std::min(rows, w * kWordReads);
      active_[w] = left >= kWordReads ? ~std::uint32_t{0} : (std::uint32_t{1} << left) - 1;
    }
    const std::size_t n = num_variables_;
    if (spins_.size() == 0) {
      spins_ = Buffer<std::uint32_t>(2 * (n + 1) * words_);
      kept_ = Buffer<std::uint32_t>(n * words_);
      counts_ = Buffer<std::uint32_t>(kWordReads * words_);
    }
    std::fill_n(spins_.data(), spins_.size(), 0);
    for (std::size_t first = 0; first < n; first += kBlock) {
      if (first % kBitRun == 0 && stop.poll()) return false;
      for (std::size_t r = 0; r < rows; r += kWordReads) {
        pack_states(states + r * n + first, n, std::min(kWordReads, rows - r),
                    std::min(kBlock, n - first), 2 * words_,
                    &spins_[2 * first * words_ + r / kWordReads]);
      }
    }
    for (std::size_t i = 0; i <= n; ++i) {
      std::uint32_t* spins = &spins_[2 * i * words_];
      for (std::size_t w = 0; w < words_; ++w) spins[words_ + w] = ~spins[w];
      if (i < n) std::copy_n(spins, words_, &kept_[i * words_]);
    }
    return true;
  }

  bool refresh_fields(Stop&) override { return true; }

  bool sweep(double beta, const StreamKey* keys, Stop& stop) override {
    const BitChances& chances = chances_.at(2.0 * beta * terms_->unit / scale_);
    for (std::size_t first = 0; first < num_variables_; first += kBitRun) {
      if (stop.poll()) return false;
      kernels_.anneal(make_tile(), first, std::min(first + kBitRun, num_variables_),
                      options_.acceptance, chances, keys, active_);
    }
    return true;
  }

  void copy_state(std::size_t row, std::int8_t* out) const override {
    const std::uint32_t* spins = &spins_[row / kWordReads];
    for (std::size_t i = 0; i < num_variables_; ++i) {
      out[i] = spins[2 * i * words_] >> row % kWordReads & 1 ? 1 : -1;
    }
  }

  void energies(double* out) override {
    std::fill_n(out, rows_, -terms_->total * terms_->unit);
    for (std::size_t list = 0; list < terms_->num_lists; ++list) {
      const std::size_t end = terms_->pair_offsets[list + 1];
      for (std::size_t first = terms_->pair_offsets[list]; first < end; first += kPairRun) {
        std::fill_n(counts_.data(), counts_.size(), 0);
        kernels_.count_terms(make_tile(), first, std::min(first + kPairRun, end), counts_.data());
        const double weight = std::ldexp(2.0 * terms_->unit, static_cast<int>(list));
        for (std::size_t r = 0; r < rows_; ++r) {
          out[r] += weight * counts_[r % kWordReads * words_ + r / kWordReads];
        }
      }
    }
  }

  void keep(const bool* chosen) override {
    std::uint32_t words[kMaxBitWords] = {};
    for (std::size_t r = 0; r < rows_; ++r) {
      words[r / kWordReads] |= std::uint32_t{chosen[r]} << r % kWordReads;
    }
    kernels_.keep(make_tile(), words, kept_.data());
  }

  void finish() override {
    // Some variables of all reads, so that the words stay in the cache.
    for (std::size_t first = 0; first < num_variables_; first += kBlock) {
      for (std::size_t r = 0; r < rows_; r += kWordReads) {
        unpack_states(&kept_[first * words_ + r / kWordReads], words_,
                      std::min(kWordReads, rows_ - r), std::min(kBlock, num_variables_ - first),
                      num_variables_, states_ + r * num_variables_ + first);
      }
    }
  }

 private:
  BitTile make_tile() {
    return {.offsets = terms_->offsets.data(),
            .edges = terms_->edges.data(),
            .starts = terms_->starts.data(),
            .is_odd = terms_->is_odd.data(),
            .pair_offsets = terms_->pair_offsets.data(),
            .pairs = terms_->pairs.data(),
            .spins = spins_.data(),
            .num_variables = num_variables_,
            .words = words_,
            .num_lists = terms_->num_lists,
            .num_planes = terms_->num_planes};
  }

  const BitKernels& kernels_;
  const AnnealOptions& options_;
  const std::size_t num_variables_;
  const double scale_;
  const std::shared_ptr<const BitTerms> terms_;
  const std::size_t words_;
  ChanceTable chances_;
  std::int8_t* states_ = nullptr;
  std::size_t rows_ = 0;
  std::uint32_t active_[kMaxBitWords] = {};  // the reads that exist
  Buffer<std::uint32_t> spins_;              // (n + 1, 2, words)
  Buffer<std::uint32_t> kept_;               // (n, words)
  Buffer<std::uint32_t> counts_;             // (32, words)
};

}  // namespace

RowsMaker bit_rows(const KernelTable& kernels, const Ising& problem, const AnnealOptions& options,
                   std::size_t most_reads) {
  const std::size_t words =
      std::bit_ceil(std::max<std::size_t>(4, divide_up(most_reads, kWordReads)));
  return [&, terms = std::make_shared<const BitTerms>(problem, words)] {
    return std::make_unique<BitRows>(kernels.bits, problem, options, terms);
  };
}

}  // namespace qpsbgd
