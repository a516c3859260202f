// Counts what this test program allocates with operator new, of any alignment, on any thread, and
// lets one of its allocations fail.
#pragma once

#include <cstddef>
#include <cstdint>

std::uint64_t allocations_so_far();
// The most bytes that one allocation asked for since the last call of forget_largest_allocation().
std::uint64_t largest_allocation();
void forget_largest_allocation();

// While it lives, allocation number `number` (from 0) finds no memory, as does every one behind it.
class NoMemory {
 public:
  explicit NoMemory(std::uint64_t number);
  ~NoMemory();
  NoMemory(const NoMemory&) = delete;
  NoMemory& operator=(const NoMemory&) = delete;
};

template <class F>
std::uint64_t allocations_in(F&& f) {
  const std::uint64_t before = allocations_so_far();
  f();
  return allocations_so_far() - before;
}

template <class F>
std::uint64_t largest_allocation_in(F&& f) {
  forget_largest_allocation();
  f();
  return largest_allocation();
}

// While it lives, allocation number `which` of this thread, counted from 1, fails.
class FailingAllocation {
 public:
  explicit FailingAllocation(std::uint64_t which);
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;
  ~FailingAllocation();
  bool happened() const;
};

// While it lives, allocations of this thread of so many bytes and more fail.
class LargeAllocationsFail {
 public:
  explicit LargeAllocationsFail(std::size_t bytes);
  LargeAllocationsFail(const LargeAllocationsFail&) = delete;
  LargeAllocationsFail& operator=(const LargeAllocationsFail&) = delete;
  ~LargeAllocationsFail();
};
