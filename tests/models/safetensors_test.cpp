#include <dualtape/models/safetensors.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <dualtape/core/random.hpp>
#include <tests/models/files.hpp>

using namespace dualtape;

namespace {

// A file of this header and these many bytes of elements.
std::string file_of(const std::string& header, std::size_t data) {
  const std::uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data, '\0');
}

std::string error_of(const std::filesystem::path& path) {
  try {
    load_safetensors(path);
    return "";
  } catch (const DataError& error) {
    return error.what();
  }
}

TensorFile some_tensors() {
  return {{{"w", normal(Key{1}, {3, 5})},
           {"deep", normal(Key{2}, {2, 1, 2}, 0, 1, float64)},
           {"steps", Tensor(std::int64_t{42})},
           {"mask", Tensor::of({1, 0, 1, 1, 0}).to(boolean)},
           {"nothing", Tensor(Shape{0, 4})},
           {"small", Tensor::of({-7, 7}).to(int32)},
           {"odd", Tensor{NAN, -INFINITY, -0.0}}},
          {{"step", "12"}, {"note", "line\n\"quoted\""}}};
}

}  // namespace

TEST_CASE("tensors come back bit for bit, with the metadata") {
  if (!built_with_json()) return;
  const Folder folder;
  const TensorFile saved = some_tensors();
  save_safetensors(folder / "a.safetensors", saved);
  const TensorFile loaded = load_safetensors(folder / "a.safetensors");
  check_same(loaded, saved);
  CHECK(loaded.find("none") == nullptr);
  CHECK(!std::filesystem::exists(folder / "a.safetensors.part"));
  // The elements begin at a multiple of 64 bytes and lie as the header says.
  const std::string bytes = bytes_of_file(folder / "a.safetensors");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  CHECK((8 + length) % 64 == 0);
  CHECK(bytes.find("\"F64\"") < bytes.find("\"F32\""));
}

TEST_CASE("a file that Python wrote is read") {
  if (!built_with_json()) return;
  const TensorFile file =
      load_safetensors(DUALTAPE_SOURCE "/tests/fixtures/safetensors.safetensors");
  CHECK(file.metadata == std::vector<std::pair<std::string, std::string>>{{"format", "pt"},
                                                                          {"n\xc3\xb6te", "a\nb"}});
  REQUIRE(file.tensors.size() == 6);
  CHECK(identical(*file.find("weight"), Tensor{{0, 0.25, 0.5}, {0.75, 1, 1.25}}));
  CHECK(identical(*file.find("wide"), Tensor::scalar(0.1)));
  CHECK(identical(*file.find("mask"), Tensor::of({1, 0, 1}).to(boolean)));
  CHECK(identical(*file.find("none"), Tensor(Shape{0, 4})));
  CHECK(identical(*file.find("numbers"), Tensor::of({-1, std::int64_t{1} << 40})));
  CHECK(identical(*file.find("\xc3\xa9\"tude"), Tensor::of({7}).to(int32).reshape({1, 1})));
}

TEST_CASE("broken files are refused with the file, the offset and what was expected") {
  if (!built_with_json()) return;
  const Folder folder;
  const auto path = folder / "broken.safetensors";
  const auto check = [&](const std::string& bytes, const std::string& offset,
                         const std::string& expected) {
    write_bytes(path, bytes);
    const std::string error = error_of(path);
    CAPTURE(error);
    CHECK(error.find(path.string() + ", offset " + offset + ":") != std::string::npos);
    CHECK(error.find(expected) != std::string::npos);
  };
  const auto one = [](const std::string& dtype, const std::string& shape,
                      const std::string& offsets) {
    return R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
           offsets + "}}";
  };
  check("1234567", "0", "8 bytes");
  check(std::string(8, '\xff') + "{}", "0", "at most 100000000");
  check(std::string("\x00\x00\x00\x05\x00\x00\x00\x00", 8) + "{}", "8", "ends too early");
  check(file_of("[]", 0), "8", "an object");
  check(file_of("{\"a\"", 0), "12", "JSON");
  check(file_of("{\"\xff\":1}", 0), "10", "JSON");
  check(file_of("{} x", 0), "11", "JSON");
  check(file_of("{\"a\":1}", 0), "9", "dtype, shape and data_offsets");
  check(file_of(one("F8_E5M2", "[2]", "[0,2]"), 2), "8", "F8_E5M2, which is not supported");
  check(file_of(one("F32", "[2]", "[0,4]"), 4),
        std::to_string(8 + one("F32", "[2]", "[0,4]").size()), "expected 8 bytes for");
  check(file_of(one("F32", "[1]", "[4,8]"), 8),
        std::to_string(8 + one("F32", "[1]", "[4,8]").size()), "to begin here");
  check(file_of(one("F32", "[1]", "[4,0]"), 8),
        std::to_string(8 + one("F32", "[1]", "[4,0]").size()), "to begin here");
  check(file_of(one("F32", "[-1]", "[0,4]"), 4), "9", "no count");
  check(file_of(one("F32", "[1.5]", "[0,4]"), 4), "9", "no count");
  check(file_of(one("F32", "[99999999999999999999]", "[0,4]"), 4), "9", "no count");
  check(file_of(one("F32", "3", "[0,4]"), 4), "9", "no list of at most 64");
  check(file_of(one("F32", "[1]", "[0,4,8]"), 4), "9", "no list of two");
  check(file_of(one("F32", "[[1]]", "[0,4]"), 4), "8", "nested");
  // 2^58 elements of 4 bytes: the claim alone must not take memory.
  const std::string huge = one("F32", "[288230376151711744]", "[0,1152921504606846976]");
  check(file_of(huge, 16), std::to_string(8 + huge.size() + 16), "ends too early");
  check(file_of(one("F32", "[4294967296,4294967296]", "[0,4]"), 4),
        std::to_string(8 + one("F32", "[4294967296,4294967296]", "[0,4]").size()), "no shape");
  const std::string fine = one("F32", "[1]", "[0,4]");
  check(file_of(fine, 7), std::to_string(8 + fine.size() + 4), "3 bytes more");
  check(file_of(fine, 3), std::to_string(8 + fine.size() + 3), "ends too early");
  const std::string truth = one("BOOL", "[2]", "[0,2]");
  check(file_of(truth, 0) + std::string("\1\2"), std::to_string(8 + truth.size() + 1), "found 2");
  check(file_of(R"({"__metadata__":{"a":1}})", 0), "8", "hold strings");
  const std::string twice = R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)"
                            R"("a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})";
  check(file_of(twice, 0), "9", "twice");
  // Overlapping tensors.
  check(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                4),
        std::to_string(8 + 54 + 53 + 4), "begin here");
  check(file_of("{\"a\":" + std::string(100000, '['), 0), "8", "nested");
  CHECK(error_of(folder / "missing").find("cannot be opened") != std::string::npos);
  CHECK(error_of(folder.path()).find("not a regular file") != std::string::npos);
}

TEST_CASE("whatever is cut off or changed, a file is read or refused") {
  if (!built_with_json()) return;
  const Folder folder;
  save_safetensors(folder / "whole", some_tensors());
  const std::string whole = bytes_of_file(folder / "whole");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write_bytes(folder / "cut", whole.substr(0, size));
    CHECK(!error_of(folder / "cut").empty());
  }
  std::size_t refused = 0;
  for (std::uint64_t n = 0; n < 3000; ++n) {
    std::string changed = whole;
    const std::uint64_t draw = Key(3).fold(n).value();
    changed[draw % whole.size()] = static_cast<char>(draw >> 32);
    write_bytes(folder / "changed", changed);
    if (!error_of(folder / "changed").empty()) ++refused;
  }
  CHECK(refused > 1000);
}

TEST_CASE("saving replaces a file whole, and says where it cannot") {
  if (!built_with_json()) return;
  const Folder folder;
  const auto path = folder / "a.safetensors";
  save_safetensors(path, {{{"w", Tensor{1, 2}}}, {}});
  write_bytes(folder / "a.safetensors.part", std::string(100000, 'x'));
  save_safetensors(path, {{{"w", Tensor{3}}}, {}});
  CHECK(identical(*load_safetensors(path).find("w"), Tensor{3}));
  CHECK(bytes_of_file(folder / "a.safetensors.part") == std::string(100000, 'x'));  // a user's own
  CHECK_THROWS_AS(save_safetensors(folder / "no" / "such.safetensors", {}), DataError);
  CHECK_THROWS_AS(save_safetensors(path, {{{"w", Tensor{1}}, {"w", Tensor{2}}}, {}}), ValueError);
  CHECK_THROWS_AS(save_safetensors(path, {{{"__metadata__", Tensor{1}}}, {}}), ValueError);
  CHECK_THROWS_AS(save_safetensors(path, {{{"\xff", Tensor{1}}}, {}}), ValueError);
  CHECK(identical(*load_safetensors(path).find("w"), Tensor{3}));
}

TEST_CASE("errors quote the beginning of a name, however long it is") {
  if (!built_with_json()) return;
  const Folder folder;
  const std::string name(100'000, 'n');
  const std::string dtype(100'000, 'D');
  const auto header = [&](const std::string& code, const std::string& rest) {
    return "{\"" + name + R"(":{"dtype":")" + code + R"(","shape":[1],)" + rest + "}}";
  };
  for (const std::string& text :
       {header("F32", R"("data_offsets":[4,8])"), header("F32", R"("data_offsets":[0,8])"),
        header(dtype, R"("data_offsets":[0,4])"), header("F32", R"("data_offsets":[0])"),
        header("F32", R"("data_offsets":[0,4],"more":[])"), "{\"" + name, "{" + name}) {
    write_bytes(folder / "a", file_of(text, 8));
    const std::string error = error_of(folder / "a");
    CHECK(error.find("offset") != std::string::npos);
    CHECK(error.size() < 1500);
  }
  TensorFile file;
  for (int i = 0; i < 1000; ++i)
    file.tensors.push_back({std::string(50, 'x') + std::to_string(i), Tensor(1.0)});
  save_safetensors(folder / "b", file);
  const std::string error =
      testing::error_of<DataError>([&] { load_safetensors(folder / "b", {.names = {"other"}}); });
  CHECK(error.size() < 1500);
  CHECK(error.find("it holds 'xxx") != std::string::npos);
}

TEST_CASE("a name that is not UTF-8 is refused at the user's line") {
  if (!built_with_json()) return;
  const Folder folder;
  const std::string text = testing::error_of<ValueError>([&] {
    save_safetensors(folder / "a", {{{"weight \xff", Tensor(1.0)}}, {}});
  });
  CHECK(testing::has(text, "[save_safetensors] a name or text of the file is not UTF-8"));
  CHECK(testing::has(text, "weight"));
  CHECK(testing::has(text, "safetensors_test.cpp:"));
  CHECK(!std::filesystem::exists(folder / "a"));
}
