// The starting files of the fuzzer of tensor files, and what it found: each is read, or refused
// with a DataError, and what was read survives being saved.
#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <string_view>

#include <doctest/doctest.h>
#include <dualtape/models/safetensors.hpp>

#include "tests/allocations.hpp"
#include "tests/fuzz/model_readers.hpp"
#include "tests/models/files.hpp"

using namespace dualtape;
namespace fs = std::filesystem;

namespace {

constexpr std::array<std::string_view, 6> whole{"all", "half", "metadata", "none", "one", "padded"};

void check_saved(const fs::path& file) {
  const Folder folder;
  const TensorFile read = load_safetensors(file);
  save_safetensors(folder / "saved", read);
  check_same(load_safetensors(folder / "saved"), read);
}

}  // namespace

TEST_CASE("every tensor file of the corpus is read or refused, without much memory") {
  const bool json = built_with_json();
  for (const fuzz::Reader& reader : fuzz::model_readers) {
    CAPTURE(reader.corpus);
    std::size_t read = 0;
    std::size_t found = 0;
    for (const auto& entry :
         fs::directory_iterator(fs::path(DUALTAPE_SOURCE) / "tests/fuzz/corpus" / reader.corpus)) {
      const fs::path& file = entry.path();
      CAPTURE(file);
      ++found;
      bool accepted = false;
      CHECK(largest_allocation_in([&] { accepted = reader.read(file); }) < 1000000);
      if (accepted) check_saved(file);
      const bool is_whole = std::ranges::count(whole, file.stem().string()) > 0;
      // Names that are hashes are fuzzing's own finds, which may be either.
      if (file.stem().string().size() < 40) CHECK(accepted == (is_whole && json));
      read += accepted && is_whole ? 1 : 0;
    }
    CHECK(found > whole.size());
    CHECK(read == (json ? whole.size() : 0));
  }
}
