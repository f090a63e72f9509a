// Heap of the variables of positive gain.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace qpsbgd {

// The variable with the largest gain is on top, and of equal gains the first variable. The gain of
// any variable can change.
template <class Value>
class GainHeap {
 public:
  explicit GainHeap(std::size_t num_variables) : places_(num_variables) {}

  // Builds the heap from the gains of all variables, in linear time.
  void assign(const Value* fields, const std::int8_t* spins) {
    entries_.clear();
    for (std::uint32_t i = 0; i < places_.size(); ++i) {
      const Value gain = static_cast<Value>(spins[i]) * fields[i];
      places_[i] = kAbsent;
      if (!(gain > 0)) continue;
      places_[i] = static_cast<std::uint32_t>(entries_.size());
      entries_.push_back(entry(gain, i));
    }
    for (std::size_t place = entries_.size() / kArity + 1; place-- > 0;) {
      if (place < entries_.size()) sink(place, entries_[place]);
    }
  }

  bool empty() const { return entries_.empty(); }
  std::uint32_t top() const { return variable(entries_[0]); }

  void change(std::uint32_t i, Value gain) {
    const std::size_t place = places_[i];
    if (gain > 0) {
      const Entry changed = entry(gain, i);
      if (place == kAbsent) {
        entries_.push_back(changed);
        rise(entries_.size() - 1, changed);
      } else if (changed > entries_[place]) {
        rise(place, changed);
      } else {
        sink(place, changed);
      }
    } else if (place != kAbsent) {
      places_[i] = kAbsent;
      const Entry last = entries_.back();
      entries_.pop_back();
      if (place == entries_.size()) return;
      if (last > entries_[place]) {
        rise(place, last);
      } else {
        sink(place, last);
      }
    }
  }

 private:
  using Bits = std::conditional_t<std::is_same_v<Value, float>, std::uint32_t, std::uint64_t>;
  __extension__ typedef unsigned __int128 Long;
  using Entry = std::conditional_t<std::is_same_v<Value, float>, std::uint64_t, Long>;
  static constexpr std::size_t kArity = 4;  // four entries are half a cache line, or one
  static constexpr std::uint32_t kAbsent = ~std::uint32_t{0};

  // Entries are ordered by gain, because the bits of positive floats have the order of the floats,
  // and then by variable.
  static Entry entry(Value gain, std::uint32_t i) {
    return Entry{std::bit_cast<Bits>(gain)} << 32 | static_cast<std::uint32_t>(~i);
  }
  static std::uint32_t variable(Entry entry) { return ~static_cast<std::uint32_t>(entry); }

  void put(std::size_t place, Entry entry) {
    entries_[place] = entry;
    places_[variable(entry)] = static_cast<std::uint32_t>(place);
  }
  void rise(std::size_t place, Entry entry) {
    while (place > 0) {
      const std::size_t parent = (place - 1) / kArity;
      if (entries_[parent] > entry) break;
      put(place, entries_[parent]);
      place = parent;
    }
    put(place, entry);
  }
  void sink(std::size_t place, Entry entry) {
    for (;;) {
      const std::size_t first = kArity * place + 1;
      if (first >= entries_.size()) break;
      const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(first);
      const auto end =
          begin + static_cast<std::ptrdiff_t>(std::min(kArity, entries_.size() - first));
      const auto child = std::max_element(begin, end);
      if (*child < entry) break;
      put(place, *child);
      place = static_cast<std::size_t>(child - entries_.begin());
    }
    put(place, entry);
  }

  std::vector<Entry> entries_;
  std::vector<std::uint32_t> places_;  // (n)
};

}  // namespace qpsbgd
