// Counts what this test program allocates with operator new, of any alignment, on any thread.
#pragma once

#include <cstdint>

std::uint64_t allocations_so_far();

template <class F>
std::uint64_t allocations_in(F&& f) {
  const std::uint64_t before = allocations_so_far();
  f();
  return allocations_so_far() - before;
}
