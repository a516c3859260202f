// Memory on huge pages, zeroed: what a program written by hand would use. One owner.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>

namespace dualtape::bench {

class HugeArena {
 public:
  explicit HugeArena(std::size_t bytes) : bytes_((bytes / page + 2) * page) {
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
    const auto start = reinterpret_cast<std::uintptr_t>(memory_);
    used_ = (page - start % page) % page;
    madvise(memory_, bytes_, MADV_HUGEPAGE);
  }
  HugeArena(const HugeArena&) = delete;
  HugeArena& operator=(const HugeArena&) = delete;
  ~HugeArena() { munmap(memory_, bytes_); }

  // Aligned to 64 bytes; throws std::bad_alloc when full.
  template <class T>
  T* take(std::size_t count) {
    const std::size_t start = used_;
    used_ += (count * sizeof(T) + 63) / 64 * 64;
    if (used_ > bytes_) throw std::bad_alloc();
    return reinterpret_cast<T*>(static_cast<std::byte*>(memory_) + start);
  }

 private:
  static constexpr std::size_t page = std::size_t{1} << 21;
  std::size_t bytes_;
  std::size_t used_ = 0;
  void* memory_ = nullptr;
};

}  // namespace dualtape::bench
