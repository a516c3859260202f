// .npz archives: those NumPy wrote, there and back, and broken ones of every sort.
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <dualtape/data/npz.hpp>

#include "packed.hpp"

using namespace dualtape;
using namespace dualtape::testing;
namespace fs = std::filesystem;

namespace {

// Made by tests/fuzz/make_corpus.py.
fs::path from_numpy(const std::string& name) {
  return fs::path(DUALTAPE_SOURCE) / "tests/fuzz/corpus/npz" / name;
}

// The refusal of a file of the corpus, which names the file.
std::string refused(const std::string& name) {
  const fs::path file = from_numpy(name);
  std::string text;
  CHECK(largest_allocation_in([&] { text = text_thrown<DataError>([&] { load_npz(file); }); }) <
        200000);
  CHECK(contains(text, file.string()));
  return text;
}

std::vector<NamedTensor> some_tensors() {
  return {{"w", Tensor{{1, 2, 3}, {4, 5, 6}}.to(float32)},
          {"layer/b", Tensor{-1, 2}.to(int64)},
          {"scalar", full({}, 0.1, float64)},
          {"empty", zeros({2, 0})},
          {"mask", Tensor{1, 0, 1}.to(boolean)},
          {"many", zeros({100, 100})}};
}

// CRC-32 as zip files have it, least significant byte first.
std::string crc32(std::string_view bytes) {
  std::uint32_t sum = ~0U;
  for (const char c : bytes) {
    sum ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1U ^ ((sum & 1U) != 0 ? 0xEDB88320U : 0U);
  }
  const std::string reversed = big_endian(~sum);
  return {reversed.rbegin(), reversed.rend()};
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + 1))
    text.replace(at, from.size(), to);
  return text;
}

}  // namespace

TEST_CASE("elements that widen, or are turned, count against the limits as they will be") {
  if (without_libzip()) return;
  const TemporaryFolder folder;
  const fs::path path = folder / "a.npz";
  const std::vector<NamedTensor> bools{{"a", zeros({1000, 100}, boolean)}};
  save_npz(path, bools);
  save_npy(folder / "a.npy", bools.front().tensor);
  const std::string member = bytes_of_file(folder / "a.npy");
  const std::string bytes = bytes_of_file(path);
  const auto changed = [&](std::string_view from, std::string_view to) {
    const std::string content = replaced(member, from, to);
    const std::string file = replaced(bytes, from, to);
    return folder.write("changed.npz", replaced(file, crc32(member), crc32(content)));
  };
  // uint8 becomes int32.
  const fs::path narrow = changed("|b1", "|u1");
  CHECK(load_npz(narrow).front().tensor.type() == Type{Shape{1000, 100}, int32});
  CHECK(load_npz(narrow, {.growth = 0, .always = 400'000}).size() == 1);
  const ReadLimits less{.growth = 0, .always = 399'999};
  CHECK(has(error_of<DataError>([&] { load_npz(narrow, less); }), "400000 bytes"));
  const fs::path turned = changed("False", "True ");
  CHECK(load_npz(turned, {.growth = 0, .always = 200'000}).size() == 1);
  CHECK_THROWS_AS(load_npz(turned, {.growth = 0, .always = 199'999}), DataError);
}

TEST_CASE("archives that NumPy wrote, stored and deflated") {
  if (without_libzip()) return;
  for (const char* name : {"stored.npz", "deflated.npz"}) {
    const std::vector<NamedTensor> all = load_npz(from_numpy(name));
    REQUIRE(all.size() == 5);
    CHECK(all[0].name == "b1");
    CHECK(identical(all[0].tensor, Tensor{1, 0, 1}.to(boolean)));
    CHECK(all[1].name == "i4");
    CHECK(identical(all[1].tensor, Tensor{{1, 2, 3}, {4, 5, 6}}.to(int32)));
    CHECK(identical(all[2].tensor, full({}, -7, int64)));
    CHECK(identical(all[3].tensor, Tensor{{0, 1, 2}, {3, 4, 5}}.to(float32)));  // Fortran order
    CHECK(all[4].tensor.type() == Type{Shape{2, 0}, float64});
    CHECK(identical(load_npz(from_numpy(name), "f4"), all[3].tensor));
  }
  const fs::path stored = from_numpy("stored.npz");
  const std::string text = text_thrown<DataError>([&] { load_npz(stored, "f5"); });
  CHECK(has(text, "no array 'f5' in it"));
  CHECK(has(text, "it holds 'b1', 'i4', 'i8', 'f4', 'f8'"));
}

TEST_CASE("what is saved comes back the same, and the bytes are those of the tensors alone") {
  if (without_libzip()) return;
  const TemporaryFolder folder;
  const std::vector<NamedTensor> tensors = some_tensors();
  std::size_t sizes[2] = {0, 0};
  for (const Compression compression : {Compression::none, Compression::deflate}) {
    const fs::path file = folder.path() / "x.npz";
    save_npz(file, tensors, compression);
    const std::vector<NamedTensor> back = load_npz(file);
    REQUIRE(back.size() == tensors.size());
    for (std::size_t i = 0; i < back.size(); ++i) {
      CHECK(back[i].name == tensors[i].name);
      CHECK(identical(back[i].tensor, tensors[i].tensor));
    }
    const std::string bytes = bytes_of_file(file);
    sizes[compression == Compression::deflate ? 1 : 0] = bytes.size();
    save_npz(file, tensors, compression);  // over the file that is there
    CHECK(bytes_of_file(file) == bytes);
    // No other file is left in the folder.
    CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}) == 1);
  }
  CHECK(sizes[0] > 40000);
  CHECK(sizes[1] < 2000);
}

TEST_CASE("archives that are broken or no archives") {
  if (without_libzip()) return;
  CHECK(has(refused("nothing.npz"), "offset 0: the file ends too early"));
  CHECK(has(refused("cut.npz"), "offset 816: expected the archive's directory before the end"));
  CHECK(has(refused("not_npy.npz"), "member 'a.txt': expected a name that ends in .npy"));
  CHECK(has(refused("broken_member.npz"), "member 'a.npy', offset 151: the file ends too early"));
  CHECK(has(refused("bzip2.npz"), "expected method 0 (stored) or 8 (deflated), found 12"));
  CHECK(has(refused("checksum.npz"), "member 'i4.npy', offset 152: CRC error"));
  CHECK(
      has(refused("absurd.npz"), "claims 4294967280 bytes packed into 152, expected at most 152"));
  CHECK(has(refused("claims.npz"), "expected 65520 bytes, found 152"));
  CHECK(has(refused("twice.npz"), "member 'aa.npy': the name is there twice"));
  const TemporaryFolder folder;
  const fs::path single = folder.write("x.npz", "\x93NUMPY\1");
  CHECK(has(refusal(single, [&] { load_npz(single); }), "is it a single .npy?"));
  const fs::path missing = folder.path() / "no.npz";
  CHECK(has(refusal(missing, [&] { load_npz(missing); }), "cannot be opened: No such file"));
}

TEST_CASE("what cannot be saved") {
  if (without_libzip()) return;
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "x.npz";
  const Tensor one = ones({1});
  const auto refusal_of = [&](const std::vector<NamedTensor>& tensors, const fs::path& path) {
    return text_thrown<DataError>([&] { save_npz(path, tensors); });
  };
  CHECK(has(refusal_of({}, file), "no tensors to save"));
  CHECK(has(refusal_of({{"", one}}, file), "a name is empty"));
  CHECK(has(refusal_of({{"a", one}, {"a", one}}, file), "the name 'a' is there twice"));
  CHECK_FALSE(fs::exists(file));
  CHECK(has(refusal_of({{"a", one}}, folder.path() / "no/x.npz"), "cannot be written"));
}
