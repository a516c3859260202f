#include "allocations.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::uint64_t> counter{0};
std::atomic<std::uint64_t> largest{0};
std::atomic<bool> bounded{false};  // whether memory runs out at
std::atomic<std::uint64_t> bound{0};

// Of this thread: which of its allocations to come fails, 0 for none.
thread_local std::uint64_t failing = 0;

// Of this thread: how many bytes find no memory, 0 for any number that does.
thread_local std::size_t large = 0;

bool refuses(std::size_t bytes) {
  return (failing > 0 && --failing == 0) || (large > 0 && bytes >= large);
}

void note(std::size_t bytes) {
  ++counter;
  std::uint64_t before = largest;
  while (before < bytes && !largest.compare_exchange_weak(before, bytes)) {
  }
}

void* counted(void* memory, std::size_t bytes) {
  if (memory != nullptr && bounded && counter >= bound) {
    std::free(memory);
    memory = nullptr;
  }
  if (memory == nullptr) throw std::bad_alloc();
  note(bytes);
  return memory;
}

}  // namespace

std::uint64_t allocations_so_far() { return counter; }
std::uint64_t largest_allocation() { return largest; }
void forget_largest_allocation() { largest = 0; }
NoMemory::NoMemory(std::uint64_t number) {
  bound = counter + number;
  bounded = true;
}
NoMemory::~NoMemory() { bounded = false; }

FailingAllocation::FailingAllocation(std::uint64_t which) { failing = which; }
FailingAllocation::~FailingAllocation() { failing = 0; }
bool FailingAllocation::happened() const { return failing == 0; }

LargeAllocationsFail::LargeAllocationsFail(std::size_t bytes) { large = bytes; }
LargeAllocationsFail::~LargeAllocationsFail() { large = 0; }

void* operator new(std::size_t bytes) {
  if (refuses(bytes)) throw std::bad_alloc();
  return counted(std::malloc(bytes == 0 ? 1 : bytes), bytes);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  if (refuses(bytes)) throw std::bad_alloc();
  const auto step = static_cast<std::size_t>(alignment);
  return counted(std::aligned_alloc(step, (bytes + step) / step * step), bytes);
}
void* operator new(std::size_t bytes, const std::nothrow_t& /*tag*/) noexcept {
  if (bounded && counter >= bound) return nullptr;
  if (refuses(bytes)) return nullptr;
  note(bytes);
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void operator delete(void* memory, const std::nothrow_t& /*tag*/) noexcept { std::free(memory); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*bytes*/) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*bytes*/, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}
