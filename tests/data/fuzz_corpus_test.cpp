// The fuzzers' starting files, and what fuzzing found: each is read, or refused with a DataError.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <dualtape/data/readers/gunzip.hpp>

#include "temporary.hpp"
#include "tests/allocations.hpp"
#include "tests/fuzz/readers.hpp"

using namespace dualtape;
namespace fs = std::filesystem;

namespace {

struct Whole {
  std::string_view corpus;
  std::vector<std::string> files;  // those that must be read
};

const std::vector<Whole> whole = {
    {"idx",
     {"images", "labels", "int8", "int16", "int32", "float32", "float64", "rank0", "empty_axis"}},
    {"idx_gz",
     {"images.gz", "labels.gz", "int8.gz", "int16.gz", "int32.gz", "float32.gz", "float64.gz",
      "rank0.gz", "empty_axis.gz", "two_members.gz"}},
    {"cifar", {"one.bin", "two.bin"}},
    {"csv", {"plain.csv", "quoted.csv", "bom.csv", "words.csv", "huge.csv", "hex.csv"}},
    {"npy", {"b1.npy", "u1.npy", "i4.npy", "i8.npy", "f4.npy", "f8.npy"}},
    {"npz", {"stored.npz", "deflated.npz", "none.npz"}}};

bool has_libzip() {
  const fs::path nowhere = "/no/such/file.npz";
  return !testing::contains(testing::text_thrown<DataError>([&] { load_npz(nowhere); }), "libzip");
}

bool can_read(std::string_view corpus) {
  if (corpus == "idx_gz") return detail::has_zlib();
  return corpus != "npz" || has_libzip();
}

}  // namespace

TEST_CASE("every file of the corpora is read or refused, without much memory") {
  for (const fuzz::Reader& reader : fuzz::readers) {
    CAPTURE(reader.corpus);
    const auto expected = std::find_if(whole.begin(), whole.end(),
                                       [&](const Whole& w) { return w.corpus == reader.corpus; });
    REQUIRE(expected != whole.end());
    const fs::path folder = fs::path(DUALTAPE_SOURCE) / "tests/fuzz/corpus" / reader.corpus;
    std::size_t read = 0;
    std::size_t found = 0;
    for (const auto& entry : fs::directory_iterator(folder)) {
      const fs::path& file = entry.path();
      CAPTURE(file);
      ++found;
      bool accepted = false;
      CHECK(largest_allocation_in([&] { accepted = reader.read(file); }) < 1000000);
      const bool is_whole =
          std::count(expected->files.begin(), expected->files.end(), file.filename().string()) > 0;
      // Names that are hashes are fuzzing's own finds, which may be either.
      if (file.stem().string().size() < 40)
        CHECK(accepted == (is_whole && can_read(reader.corpus)));
      read += accepted && is_whole ? 1 : 0;
    }
    CHECK(found > expected->files.size());
    CHECK(read == (can_read(reader.corpus) ? expected->files.size() : 0));
  }
}
