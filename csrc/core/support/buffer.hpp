// Memory for kernels: 64-byte aligned, not initialised, of fixed size.
//
// A thread keeps freed memory for its next buffer of the same size. A training step asks for the
// same megabytes again and again; to have the system clear them each time costs 11 % of a
// projection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>

namespace qpsbgd {

constexpr std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
constexpr std::size_t divide_up(std::size_t value, std::size_t divisor) {
  return (value + divisor - 1) / divisor;
}

// The largest number of bytes that all threads together keep. A thread drops its oldest blocks
// first. The end of a thread frees its blocks.
inline constexpr std::size_t kRecycledBytes = std::size_t{64} << 20;

void* allocate_bytes(std::size_t bytes);
void free_bytes(void* p, std::size_t bytes) noexcept;

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) : size_(size), data_(allocate(size), Free{size * sizeof(T)}) {}

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return data_.get()[i]; }
  const T& operator[](std::size_t i) const { return data_.get()[i]; }

 private:
  struct Free {
    std::size_t bytes = 0;
    void operator()(T* p) const noexcept { free_bytes(p, bytes); }
  };
  static T* allocate(std::size_t size) {
    if (size > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_alloc();
    return static_cast<T*>(allocate_bytes(size * sizeof(T)));
  }
  std::size_t size_ = 0;
  std::unique_ptr<T, Free> data_;
};

}  // namespace qpsbgd
