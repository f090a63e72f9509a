#include "core/tabu/tabu_search.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "core/tabu/tabu_walking.hpp"

namespace qpsbgd {
namespace {

// Search of a dense problem of small integers. Gains are int16 where that holds them, else int32,
// which takes longer. Both make the same moves, so that the result does not depend on the choice.
class IntegerSearch final : public Search {
 public:
  IntegerSearch(const KernelTable& kernels, const Ising& problem, std::size_t longest_tenure,
                const BlockedCouplings<std::int8_t>& couplings)
      : narrow_(kernels, problem, Precision::kInt16, longest_tenure, couplings),
        make_wide_([=, &kernels, &problem, &couplings] {
          return std::make_unique<Wide>(kernels, problem, Precision::kInt16, longest_tenure,
                                        couplings);
        }) {}

  void start(const std::int8_t* spins) override {
    is_narrow_ = narrow_.try_start(spins);
    if (!is_narrow_) wide().try_start(spins);
    start_now();
  }
  void start_between(const Snapshot& from, const std::vector<std::uint32_t>& differences,
                     RandomWords& random) override {
    const RandomWords same = random;
    is_narrow_ = narrow_.try_start_between(from, differences, random);
    if (!is_narrow_) {
      random = same;
      wide().try_start_between(from, differences, random);
    }
    start_now();
  }

  void run(std::size_t tenure, std::optional<std::size_t> moves, RandomWords& random,
           const ReadStop& stop, SearchResult& out) override {
    if (!is_narrow_) {
      wide().run(tenure, moves, random, stop, out);
      out.overflows = true;
      return;
    }
    const RandomWords same = random;
    narrow_.run(tenure, moves, random, stop, out);
    if (!out.overflows) {
      wide_searches_ = 0;
      return;
    }
    // Repeats the search from its start. A time limit may end it earlier than the first try, so the
    // better of both counts.
    wide_searches_ = std::min(2 * wide_searches_ + 1, kMostWideSearches);
    left_ = wide_searches_;
    Snapshot best = std::move(out.best);
    random = same;
    wide().load(start_);
    wide().run(tenure, moves, random, stop, out);
    out.overflows = true;
    if (best.energy < out.best.energy) out.best = std::move(best);
  }

  void renew(Snapshot&) override {}  // integers do not drift
  void spins(const Snapshot& snapshot, std::vector<std::int8_t>& out) override {
    narrow_.spins(snapshot, out);
  }

 private:
  using Wide = WalkingSearch<DenseWalker<std::int32_t>>;
  // After a search whose gains left int16, the next searches begin in int32: 1, then 3, 7 and so on
  // up to this number while every search in int16 ends so.
  static constexpr std::size_t kMostWideSearches = 63;

  Wide& wide() {
    if (!wide_) wide_ = make_wide_();
    return *wide_;
  }
  // Chooses the type of the search that starts.
  void start_now() {
    if (is_narrow_) {
      narrow_.save(start_);
    } else {
      wide().save(start_);
    }
    const bool was_narrow = is_narrow_;
    is_narrow_ = left_ == 0 && (was_narrow || narrow_.load(start_));
    left_ -= left_ > 0;
    if (was_narrow && !is_narrow_) wide().load(start_);
  }

  WalkingSearch<DenseWalker<std::int16_t>> narrow_;
  std::unique_ptr<Wide> wide_;
  const std::function<std::unique_ptr<Wide>()> make_wide_;
  Snapshot start_;
  bool is_narrow_ = true;                     // whether the search runs in int16
  std::size_t wide_searches_ = 0, left_ = 0;  // of the rule at kMostWideSearches
};

}  // namespace

SearchMaker::SearchMaker(const KernelTable& kernels, const Ising& problem,
                         const TabuOptions& options)
    : kernels_(kernels),
      problem_(problem),
      longest_tenure_(options.longest_tenure),
      precision_(options.precision) {
  if (problem.form() != Ising::Form::kDense) return;
  if (precision_ == Precision::kInt16) {
    bytes_ = int8_couplings(problem, options.num_threads);
  } else if (precision_ == Precision::kFloat64) {
    doubles_ = blocked_couplings<double>(problem, options.num_threads);
  } else {
    floats_ = blocked_couplings<float>(problem, options.num_threads);
  }
}

std::unique_ptr<Search> SearchMaker::make() const {
  const bool wide = precision_ == Precision::kFloat64;
  if (problem_.form() == Ising::Form::kSparse) {
    return wide ? make_search<SparseWalker<double>>() : make_search<SparseWalker<float>>();
  }
  if (precision_ == Precision::kInt16) {
    return std::make_unique<IntegerSearch>(kernels_, problem_, longest_tenure_, bytes_);
  }
  return wide ? make_search<DenseWalker<double>>(doubles_)
              : make_search<DenseWalker<float>>(floats_);
}

template <class Walker, class... Arguments>
std::unique_ptr<Search> SearchMaker::make_search(const Arguments&... arguments) const {
  return std::make_unique<WalkingSearch<Walker>>(kernels_, problem_, precision_, longest_tenure_,
                                                 arguments...);
}

}  // namespace qpsbgd
