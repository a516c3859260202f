#include <dualtape/core/tensor/arena.hpp>

#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace dualtape::detail {
namespace {

std::align_val_t alignment_of(std::size_t bytes) {
  return std::align_val_t{bytes >= huge_page_bytes ? huge_page_bytes : block_alignment};
}

// A last page that is more than half full is rounded up, so that it may be huge as well.
std::size_t rounded(std::size_t bytes) {
  const std::size_t tail = bytes % huge_page_bytes;
  if (bytes < huge_page_bytes || tail <= huge_page_bytes / 2) return bytes;
  return bytes - tail + huge_page_bytes;
}

}  // namespace

void* allocate_block(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  void* const block = ::operator new(size, alignment_of(bytes));
#if defined(MADV_HUGEPAGE)
  // Only advice: where it is refused, the pages are small and everything else is the same.
  if (size >= huge_page_bytes)
    static_cast<void>(madvise(block, size - size % huge_page_bytes, MADV_HUGEPAGE));
#endif
  return block;
}

void free_block(void* block, std::size_t bytes) { ::operator delete(block, alignment_of(bytes)); }

}  // namespace dualtape::detail
