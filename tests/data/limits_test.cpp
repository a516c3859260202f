// What a reader makes of a file is bounded, and no kind of file makes it wait.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/read_limits.hpp>
#include <dualtape/data/cifar.hpp>
#include <dualtape/data/csv.hpp>
#include <dualtape/data/idx.hpp>
#include <dualtape/data/npz.hpp>

#include "packed.hpp"
#include "temporary.hpp"
#include "tests/allocations.hpp"

using namespace dualtape;
using namespace dualtape::testing;
namespace fs = std::filesystem;

namespace {

// An IDX file of `count` zeros of type uint8.
std::string zeros_of(std::uint32_t count) { return idx(0x08, {count}, std::string(count, '\0')); }

using Read = std::function<void(const fs::path&)>;
const std::vector<std::pair<std::string, Read>>& readers() {
  static const std::vector<std::pair<std::string, Read>> all = {
      {"load_npy", [](const fs::path& path) { load_npy(path); }},
      {"load_npz", [](const fs::path& path) { load_npz(path); }},
      {"load_idx", [](const fs::path& path) { load_idx(path); }},
      {"read_idx_header", [](const fs::path& path) { read_idx_header(path); }},
      {"load_cifar10",
       [](const fs::path& path) {
         const std::vector<fs::path> files{path};
         load_cifar10(files);
       }},
      {"read_csv", [](const fs::path& path) { read_csv(path); }}};
  return all;
}

}  // namespace

TEST_CASE("the limit grows with the file, and has a floor and no end") {
  CHECK(ReadLimits{}.bytes_for(0) == std::uint64_t{64} << 20U);
  CHECK(ReadLimits{}.bytes_for(10'000'000) == 640'000'000);
  CHECK(ReadLimits{.growth = 2, .always = 0}.bytes_for(5) == 10);
  CHECK(ReadLimits::none().bytes_for(2) == ~std::uint64_t{0});
  CHECK(ReadLimits{}.bytes_for(~std::uint64_t{0}) == ~std::uint64_t{0});
}

TEST_CASE("packed zeros do not take memory beyond the limit unless that is raised") {
  if (without_zlib()) return;
  const TemporaryFolder folder;
  constexpr std::uint32_t count = 30'000'000;
  const fs::path path = folder.write("bomb.gz", gzipped(zeros_of(count)));
  REQUIRE(fs::file_size(path) < 40'000);
  std::string text;
  const std::uint64_t most =
      largest_allocation_in([&] { text = error_of<DataError>([&] { load_idx(path); }); });
  CHECK(most < 1'000'000);
  CHECK(has(text, path.string()));
  CHECK(has(text, "ReadLimits"));
  CHECK(has(text, "limits_test.cpp"));
  CHECK(has(text, "150000000 bytes"));  // a byte and an int32 of each
  CHECK(load_idx(path, {.always = 150'000'000}).count() == count);
  CHECK(load_idx(path, ReadLimits::none()).count() == count);
  CHECK_THROWS_AS(load_idx(path, {.always = 149'999'999}), DataError);
  CHECK_THROWS_AS(load_idx(path, float64), DataError);
  // A plain file is as large as it says.
  const fs::path plain = folder.write("plain", zeros_of(20'000'000));
  CHECK(load_idx(plain).count() == 20'000'000);
}

TEST_CASE("the members of an archive are bounded together") {
  if (without_libzip()) return;
  const TemporaryFolder folder;
  const std::vector<NamedTensor> two{{"a", zeros({10'000'000})}, {"b", zeros({10'000'000})}};
  const fs::path path = folder / "bomb.npz";
  save_npz(path, two, Compression::deflate);
  REQUIRE(fs::file_size(path) < 200'000);
  const std::string text = error_of<DataError>([&] { load_npz(path); });
  CHECK(has(text, "member 'b.npy'"));
  CHECK(has(text, "ReadLimits"));
  CHECK(load_npz(path, "b").count() == 10'000'000);
  CHECK(load_npz(path, ReadLimits::none()).size() == 2);
  // Stored, the file is as large as what it holds.
  save_npz(path, two);
  CHECK(load_npz(path).size() == 2);
}

TEST_CASE("no reader waits for a FIFO, or reads a device, a folder or half of a path") {
  const TemporaryFolder folder;
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  fs::create_symlink(folder / "fifo", folder / "link");
  for (const auto& reader : readers()) {
    const std::string& name = reader.first;
    const Read& read = reader.second;
    CAPTURE(name);
    for (const fs::path& path :
         {folder / "fifo", folder / "link", fs::path("/dev/zero"), folder.path()}) {
      const std::string text = error_of<DataError>([&] { read(path); });
      CHECK(has(text, path.string()));
      CHECK(has(text, "not a regular file"));
      CHECK(has(text, "[" + name + "]"));
      CHECK(has(text, "limits_test.cpp:"));
    }
    CHECK(has(error_of<DataError>([&] { read(folder / "none"); }), "No such file"));
    const std::string cut = folder.write("cut", "x").string() + std::string("\0.csv", 5);
    CHECK(has(error_of<DataError>([&] { read(cut); }), "holds a zero byte"));
  }
}

TEST_CASE("no file is written under half of its name") {
  const TemporaryFolder folder;
  const fs::path cut = (folder / "cut").string() + std::string("\0.npy", 5);
  const std::string text = error_of<DataError>([&] { save_npy(cut, Tensor{1}); });
  CHECK(has(text, "holds a zero byte"));
  CHECK(has(text, "limits_test.cpp:"));
  CHECK(fs::is_empty(folder.path()));
}
