#include "core/support/buffer.hpp"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <vector>

namespace qpsbgd {
namespace {

constexpr std::align_val_t kAlignment{64};

#if !defined(__has_feature)
#define __has_feature(feature) 0  // GCC has the macro below instead
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
constexpr bool kRecycle = false;  // recycling would hide reads past the end
#else
constexpr bool kRecycle = true;
#endif

struct Block {
  void* data;
  std::size_t bytes;
};

// Bytes in the recyclers of all threads.
std::atomic<std::size_t> recycled_bytes{0};

class Recycler {
 public:
  ~Recycler() {
    while (!blocks_.empty()) drop_oldest();
  }

  // Returns the block of this size that was kept last, or null.
  void* take(std::size_t bytes) {
    const auto block = std::find_if(blocks_.rbegin(), blocks_.rend(),
                                    [&](const Block& kept) { return kept.bytes == bytes; });
    if (block == blocks_.rend()) return nullptr;
    void* data = block->data;
    blocks_.erase(std::next(block).base());
    release(bytes);
    return data;
  }

  // Keeps the block, if need be in the place of older ones of this thread. Returns false if there
  // is no room for it.
  bool keep(void* data, std::size_t bytes) noexcept {
    if (bytes > kRecycledBytes) return false;
    while (!reserve(bytes)) {
      if (blocks_.empty()) return false;
      drop_oldest();
    }
    try {
      blocks_.push_back({data, bytes});
    } catch (const std::bad_alloc&) {
      release(bytes);
      return false;
    }
    return true;
  }

 private:
  static bool reserve(std::size_t bytes) {
    std::size_t total = recycled_bytes;
    do {
      if (total + bytes > kRecycledBytes) return false;
    } while (!recycled_bytes.compare_exchange_weak(total, total + bytes));
    return true;
  }
  static void release(std::size_t bytes) { recycled_bytes -= bytes; }

  void drop_oldest() {
    ::operator delete(blocks_.front().data, kAlignment);
    release(blocks_.front().bytes);
    blocks_.erase(blocks_.begin());
  }

  std::vector<Block> blocks_;  // oldest first
};

// One for each thread: the thread that calls the core makes and frees its buffers.
thread_local Recycler recycler;

}  // namespace

void* allocate_bytes(std::size_t bytes) {
  if (kRecycle) {
    if (void* kept = recycler.take(bytes)) return kept;
  }
  return ::operator new(bytes, kAlignment);
}

void free_bytes(void* p, std::size_t bytes) noexcept {
  if (kRecycle && recycler.keep(p, bytes)) return;
  ::operator delete(p, kAlignment);
}

}  // namespace qpsbgd
