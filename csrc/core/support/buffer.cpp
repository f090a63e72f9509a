#include "core/support/buffer.hpp"

#include <algorithm>
#include <vector>

namespace qpsbgd {
namespace {

constexpr std::align_val_t kAlignment{64};

#if !defined(__has_feature)
#define __has_feature(feature) 0  // GCC has the macro below instead
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
constexpr bool kRecycle = false;  // it would hide reads past the end
#else
constexpr bool kRecycle = true;
#endif

struct Block {
  void* data;
  std::size_t bytes;
};

class Recycler {
 public:
  ~Recycler() {
    for (const Block& block : blocks_) ::operator delete(block.data, kAlignment);
  }

  // The block of this size kept last, or null.
  void* take(std::size_t bytes) {
    const auto found = std::find_if(blocks_.rbegin(), blocks_.rend(),
                                    [&](const Block& block) { return block.bytes == bytes; });
    if (found == blocks_.rend()) return nullptr;
    void* data = found->data;
    blocks_.erase(std::next(found).base());
    total_ -= bytes;
    return data;
  }

  // Whether the block was kept, at the cost of the oldest ones if need be.
  bool keep(void* data, std::size_t bytes) noexcept {
    if (bytes > kRecycledBytes) return false;
    while (total_ + bytes > kRecycledBytes) {
      ::operator delete(blocks_.front().data, kAlignment);
      total_ -= blocks_.front().bytes;
      blocks_.erase(blocks_.begin());
    }
    try {
      blocks_.push_back({data, bytes});
    } catch (const std::bad_alloc&) {
      return false;
    }
    total_ += bytes;
    return true;
  }

 private:
  std::vector<Block> blocks_;  // oldest first
  std::size_t total_ = 0;
};

// Not shared between threads: a buffer is made and freed by the thread that calls the core.
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
