#include "core/ising/reduction.hpp"

#include <algorithm>
#include <cmath>

namespace qpsbgd {
namespace {

// Lists of at most this many entries are searched for entries of the same variable.
constexpr std::size_t kShortList = 16;
// Variables between two polls of Stop.
constexpr std::size_t kRun = std::size_t{1} << 14;

}  // namespace

Reduction::Reduction(const Ising& problem, Stop& stop)
    : linear_(problem.linear64()),
      lists_(problem.num_variables()),
      counts_(problem.num_variables()),
      is_gone_(problem.num_variables()) {
  const std::size_t n = problem.num_variables();
  for (std::size_t i = 0; i < n; ++i) {
    if (i % kRun == 0 && stop.poll()) throw Stopped();
    for (std::size_t e = problem.offsets()[i]; e < problem.offsets()[i + 1]; ++e) {
      lists_[i].push_back({problem.neighbours()[e], problem.sparse_couplings64()[e]});
    }
    counts_[i] = static_cast<std::uint32_t>(lists_[i].size());
  }
  for (std::size_t i = n; i-- > 0;) queue_.push_back(static_cast<std::uint32_t>(i));
  for (std::size_t visit = 0; !queue_.empty(); ++visit) {
    if (visit % kRun == 0 && stop.poll()) throw Stopped();
    const std::uint32_t variable = queue_.back();
    queue_.pop_back();
    if (is_gone_[variable] != 0 || counts_[variable] > kShortList) continue;
    compact(variable);
    if (lists_[variable].size() <= 2) eliminate(variable);
  }
  collect();
}

// Removes entries of eliminated variables and of couplings 0, and joins entries of one variable.
void Reduction::compact(std::uint32_t variable) {
  std::vector<Neighbour>& list = lists_[variable];
  std::size_t size = 0;
  for (const Neighbour& entry : list) {
    if (is_gone_[entry.variable] != 0) continue;
    const auto end = list.begin() + static_cast<std::ptrdiff_t>(size);
    const auto same = std::find_if(list.begin(), end, [&](const Neighbour& other) {
      return other.variable == entry.variable;
    });
    if (same == end) {
      list[size++] = entry;
    } else {
      same->coupling += entry.coupling;
    }
  }
  list.resize(size);
  std::erase_if(list, [](const Neighbour& entry) { return entry.coupling == 0.0; });
  counts_[variable] = static_cast<std::uint32_t>(list.size());
}

void Reduction::eliminate(std::uint32_t variable) {
  const std::vector<Neighbour>& list = lists_[variable];
  Step step{variable, linear_[variable], {variable, 0.0}, {variable, 0.0}};
  if (!list.empty()) step.first = list[0];
  if (list.size() > 1) step.second = list[1];
  is_gone_[variable] = 1;
  // What the variable adds for the spins a and b of its neighbours, as a polynomial of a and b.
  double constant = 0.0, of_first = 0.0, of_second = 0.0, of_both = 0.0;
  for (const double a : {-1.0, 1.0}) {
    for (const double b : {-1.0, 1.0}) {
      const double lowest =
          -0.25 * std::fabs(step.bias + step.first.coupling * a + step.second.coupling * b);
      constant += lowest;
      of_first += a * lowest;
      of_second += b * lowest;
      of_both += a * b * lowest;
    }
  }
  offset_ += constant;
  if (!list.empty()) {
    linear_[step.first.variable] += of_first;
    --counts_[step.first.variable];
  }
  if (list.size() > 1) {
    linear_[step.second.variable] += of_second;
    --counts_[step.second.variable];
    if (of_both != 0.0) {
      lists_[step.first.variable].push_back({step.second.variable, of_both});
      lists_[step.second.variable].push_back({step.first.variable, of_both});
      ++counts_[step.first.variable];
      ++counts_[step.second.variable];
    }
  }
  for (const Neighbour& neighbour : list) queue_.push_back(neighbour.variable);
  steps_.push_back(step);
  lists_[variable] = {};
}

// Sets the problem of the variables that remain.
void Reduction::collect() {
  const std::size_t n = lists_.size();
  std::vector<std::uint32_t> number(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    if (is_gone_[i] != 0) continue;
    number[i] = static_cast<std::uint32_t>(kept_.size());
    kept_.push_back(i);
    kept_linear_.push_back(linear_[i]);
  }
  for (const std::uint32_t i : kept_) {
    std::vector<Neighbour>& list = lists_[i];
    std::stable_sort(list.begin(), list.end(), [](const Neighbour& a, const Neighbour& b) {
      return a.variable < b.variable;
    });
    for (std::size_t k = 0; k < list.size();) {
      const std::uint32_t j = list[k].variable;
      double sum = 0.0;
      for (; k < list.size() && list[k].variable == j; ++k) sum += list[k].coupling;
      if (j < i || is_gone_[j] != 0 || sum == 0.0) continue;
      rows_.push_back(number[i]);
      columns_.push_back(number[j]);
      values_.push_back(sum);
    }
  }
  lists_ = {};
}

void Reduction::restore(const std::int8_t* kept, std::int8_t* state) const {
  for (std::size_t k = 0; k < kept_.size(); ++k) state[kept_[k]] = kept[k];
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
    // A neighbour that does not exist is the variable itself, whose value does not matter.
    state[step->variable] = 1;
    const double field = step->bias + step->first.coupling * state[step->first.variable] +
                         step->second.coupling * state[step->second.variable];
    state[step->variable] = field > 0.0 ? -1 : 1;
  }
}

}  // namespace qpsbgd
