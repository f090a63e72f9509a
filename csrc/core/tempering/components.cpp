#include "core/tempering/components.hpp"

#include <algorithm>

#include "core/support/streams.hpp"

namespace qpsbgd {

Components::Components(const Ising& problem)
    : problem_(problem),
      is_symmetric_(std::all_of(problem.linear64().begin(), problem.linear64().end(),
                                [](double bias) { return bias == 0.0; })),
      marks_(problem.num_variables()),
      queue_(problem.num_variables()) {}

template <class Visit>
void Components::visit_each(const Visit& visit) {
  const std::size_t n = marks_.size();
  if (is_symmetric_) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < n; ++i) count += marks_[i];
    if (2 * count > n) {
      for (std::size_t i = 0; i < n; ++i) marks_[i] ^= 1;
    }
  }
  const std::size_t* offsets = problem_.offsets();
  const std::uint32_t* neighbours = problem_.neighbours();
  for (std::size_t start = 0; start < n; ++start) {
    if (marks_[start] != 1) continue;
    marks_[start] = 2;
    queue_[0] = static_cast<std::uint32_t>(start);
    std::size_t count = 1;
    for (std::size_t k = 0; k < count; ++k) {
      const std::size_t i = queue_[k];
      for (std::size_t e = offsets[i]; e < offsets[i + 1]; ++e) {
        const std::uint32_t j = neighbours[e];
        if (marks_[j] != 1) continue;
        marks_[j] = 2;
        queue_[count++] = j;
      }
    }
    visit(queue_.data(), count);
  }
}

void Components::exchange(const BitState& a, const BitState& b, std::uint64_t word) {
  for (std::size_t i = 0; i < marks_.size(); ++i) {
    marks_[i] = static_cast<std::uint8_t>((a.spins[i] >> a.row ^ b.spins[i] >> b.row) & 1);
  }
  const auto bit_a = static_cast<std::uint16_t>(1u << a.row);
  const auto bit_b = static_cast<std::uint16_t>(1u << b.row);
  visit_each([&](const std::uint32_t* members, std::size_t count) {
    // The first member names the component.
    if ((splitmix64(word ^ splitmix64(members[0])) & 1) == 0) return;
    for (std::size_t k = 0; k < count; ++k) {
      a.spins[members[k]] ^= bit_a;
      b.spins[members[k]] ^= bit_b;
    }
  });
}

double Components::field(std::size_t i, const std::int8_t* state) const {
  double sum = problem_.linear64()[i];
  for (std::size_t e = problem_.offsets()[i]; e < problem_.offsets()[i + 1]; ++e) {
    sum += problem_.sparse_couplings64()[e] * state[problem_.neighbours()[e]];
  }
  return sum;
}

void Components::approach(const std::int8_t* state, std::int8_t* other) {
  const std::size_t n = marks_.size();
  // A variable is in the queue, a ring, if its mark is 1: it differs and is to be visited.
  std::size_t count = 0, next = 0;
  for (std::size_t i = 0; i < n; ++i) {
    marks_[i] = state[i] != other[i];
    if (marks_[i] != 0) queue_[count++] = static_cast<std::uint32_t>(i);
  }
  while (count > 0) {
    const std::size_t i = queue_[next];
    next = next + 1 < n ? next + 1 : 0;
    --count;
    marks_[i] = 0;
    if (other[i] * field(i, other) < 0.0) continue;
    other[i] = state[i];
    for (std::size_t e = problem_.offsets()[i]; e < problem_.offsets()[i + 1]; ++e) {
      const std::uint32_t j = problem_.neighbours()[e];
      if (state[j] == other[j] || marks_[j] != 0) continue;
      marks_[j] = 1;
      queue_[next + count < n ? next + count : next + count - n] = j;
      ++count;
    }
  }
}

double Components::improve(std::int8_t* state, std::int8_t* other) {
  const std::size_t n = marks_.size();
  if (is_symmetric_) {
    std::size_t differing = 0;
    for (std::size_t i = 0; i < n; ++i) differing += state[i] != other[i];
    if (2 * differing > n) {
      for (std::size_t i = 0; i < n; ++i) other[i] = static_cast<std::int8_t>(-other[i]);
    }
  }
  approach(state, other);
  for (std::size_t i = 0; i < n; ++i) marks_[i] = state[i] != other[i];
  double change = 0.0;
  visit_each([&](const std::uint32_t* members, std::size_t count) {
    double gain = 0.0;  // half of the energy that flipping the component gains
    for (std::size_t k = 0; k < count; ++k) {
      const std::size_t i = members[k];
      gain += state[i] * problem_.linear64()[i];
      for (std::size_t e = problem_.offsets()[i]; e < problem_.offsets()[i + 1]; ++e) {
        // Marked neighbours belong to the component.
        const std::uint32_t j = problem_.neighbours()[e];
        if (marks_[j] == 0) gain += problem_.sparse_couplings64()[e] * (state[i] * state[j]);
      }
    }
    if (!(gain > 0.0)) return;
    change -= 2.0 * gain;
    for (std::size_t k = 0; k < count; ++k) {
      state[members[k]] = static_cast<std::int8_t>(-state[members[k]]);
    }
  });
  return change;
}

}  // namespace qpsbgd
