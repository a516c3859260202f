#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include <dualtape/core/tensor.hpp>
#include <dualtape/core/tensor/arena.hpp>

using namespace dualtape;
using namespace dualtape::detail;

namespace {

std::uintptr_t place_of(const void* memory) { return reinterpret_cast<std::uintptr_t>(memory); }

// What the kernel notes of the mapping that holds the address ("hg": huge pages are advised), or ""
// where it does not tell.
std::string flags_of(const void* memory) {
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    const std::size_t dash = line.find('-');
    if (dash != std::string::npos && dash < 17 &&
        line.find_first_not_of("0123456789abcdef") == dash)
      inside = std::stoull(line, nullptr, 16) <= place_of(memory) &&
               place_of(memory) < std::stoull(line.substr(dash + 1), nullptr, 16);
    if (inside && line.starts_with("VmFlags:")) return line + " ";
  }
  return "";
}

}  // namespace

TEST_CASE("blocks are aligned, large ones to huge pages") {
  for (const std::size_t bytes :
       {std::size_t{1}, std::size_t{63}, std::size_t{100'000}, huge_page_bytes - 1, huge_page_bytes,
        huge_page_bytes + 1, 2 * huge_page_bytes - 1, 5 * huge_page_bytes / 2 + 1}) {
    const Block block = make_block(bytes);
    REQUIRE(block != nullptr);
    CHECK(place_of(block.get()) % (bytes < huge_page_bytes ? 64 : huge_page_bytes) == 0);
    std::memset(block.get(), 1, bytes);  // all of it is there
    CHECK(static_cast<int>(block.get()[bytes - 1]) == 1);
  }
  CHECK(make_block(0) == nullptr);
}

TEST_CASE("a block's owner may change") {
  Block first = make_block(128);
  std::byte* const memory = first.get();
  Block second = make_block(3 * huge_page_bytes);
  second = std::move(first);
  CHECK(second.get() == memory);
  CHECK(first == nullptr);
}

TEST_CASE("large blocks and tensors are advised to lie on huge pages") {
  if (!std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled")) {
    MESSAGE("[skipped] this system has no transparent huge pages");
    return;
  }
  const Block block = make_block(4 * huge_page_bytes);
  std::memset(block.get(), 0, 4 * huge_page_bytes);
  const std::string flags = flags_of(block.get());
  REQUIRE(!flags.empty());
  CHECK(flags.find(" hg ") != std::string::npos);
  const Tensor tensor = zeros({1024, 1024});
  CHECK(flags_of(tensor.raw()).find(" hg ") != std::string::npos);
  CHECK(place_of(tensor.raw()) % 64 == 0);
}
