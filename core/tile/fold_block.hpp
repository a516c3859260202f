// How long runs of numbers are folded (summed, say): in blocks, whose results are folded in turn.
// Kernels of reductions and loops that fold as they compute cut runs alike, and so get the same
// bits. Private. Pure functions; any thread.
#pragma once

#include <algorithm>
#include <cstddef>

namespace dualtape::detail {

inline constexpr std::size_t least_fold_block = 2048;  // elements, of which some arrays stay in L1
inline constexpr std::size_t most_fold_blocks = 4096;

// The elements of each block but the last of a run of n; runs no longer than that are one block.
constexpr std::size_t fold_block(std::size_t n) {
  const std::size_t share = (n + most_fold_blocks - 1) / most_fold_blocks;
  const std::size_t blocks = (share + least_fold_block - 1) / least_fold_block;
  return std::max<std::size_t>(blocks, 1) * least_fold_block;
}

}  // namespace dualtape::detail
