// Blocks of memory for programs and large tensors: aligned, and on huge pages where they fill some.
//
// With pages of 4 KiB a product of large matrices spends a tenth of its time on address
// translation. Any thread may call these functions; a Block belongs to one owner.
#pragma once

#include <cstddef>
#include <memory>

namespace dualtape::detail {

inline constexpr std::size_t block_alignment = 64;
inline constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

// Uninitialised; std::bad_alloc if there is no memory. From huge_page_bytes on, the block begins at
// a huge page and its whole pages are advised to be huge; a system that has none gives small ones.
void* allocate_block(std::size_t bytes);
// `bytes` as they were asked for.
void free_block(void* block, std::size_t bytes);

struct FreeBlock {
  std::size_t bytes = 0;
  void operator()(std::byte* block) const { free_block(block, bytes); }
};
using Block = std::unique_ptr<std::byte, FreeBlock>;
// Null for no bytes.
inline Block make_block(std::size_t bytes) {
  if (bytes == 0) return {};
  return Block(static_cast<std::byte*>(allocate_block(bytes)), FreeBlock{bytes});
}

}  // namespace dualtape::detail
