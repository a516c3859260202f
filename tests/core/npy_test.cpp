#include <doctest/doctest.h>

#include <cstdint>
#include <dualtape/core/tensor.hpp>
#include <filesystem>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "tests/data/temporary.hpp"

using namespace dualtape;
using dualtape::testing::bytes_of_file;
using dualtape::testing::has;
using dualtape::testing::TemporaryFolder;
namespace fs = std::filesystem;
using namespace std::string_literals;

namespace {

// A version 1.0 file around a header and its elements.
std::string npy(const std::string& dict, const std::string& elements) {
  const auto size = dict.size();
  return "\x93NUMPY\x01"s + '\0' + static_cast<char>(size & 0xff) + static_cast<char>(size >> 8) +
         dict + elements;
}

std::string dict_of(const std::string& descr, const std::string& shape,
                    const std::string& fortran = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }";
}

Tensor loaded(const std::string& bytes) {
  const TemporaryFolder folder;
  return load_npy(folder.write("x.npy", bytes));
}

// The text of the DataError that `bytes` lead to; it must name the file.
std::string refusal(const std::string& bytes) {
  try {
    loaded(bytes);
  } catch (const DataError& error) {
    const std::string text = error.what();
    CHECK(text.find("x.npy") != std::string::npos);
    CHECK(text.find("offset") != std::string::npos);
    return text;
  }
  return "loaded";
}

}  // namespace

TEST_CASE("a file that NumPy wrote") {
  // np.save of np.array([[1, 2, 3], [4, 5, 6]], dtype=np.int32), byte by byte.
  const std::string header = "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }";
  const std::string file = "\x93NUMPY\x01\x00v\x00"s + header + std::string(58, ' ') + "\n" +
                           "\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5\0\0\0\6\0\0\0"s;
  REQUIRE(file.size() == 128 + 24);
  const Tensor t = loaded(file);
  CHECK(identical(t, Tensor{{1, 2, 3}, {4, 5, 6}}.to(int32)));
  // And ours is the same, byte by byte.
  const TemporaryFolder folder;
  save_npy(folder.path() / "out.npy", t);
  CHECK(bytes_of_file(folder.path() / "out.npy") == file);
}

TEST_CASE("every dtype and rank goes out and comes back the same") {
  const TemporaryFolder folder;
  for (const DType dtype : {boolean, int32, int64, float32, float64}) {
    for (const Shape& shape :
         {Shape{}, Shape{5}, Shape{2, 3}, Shape{0}, Shape{3, 0, 2}, Shape{2, 1, 3, 1, 2, 2}}) {
      Tensor t = zeros({shape.count()}, float64);
      double value = -2.5;
      for (double& element : t.data<double>()) element = value++;
      const Tensor sent = t.to(dtype).reshape(shape);
      const fs::path path = folder.path() / "t.npy";
      save_npy(path, sent);
      CHECK(identical(load_npy(path), sent));
      CHECK((fs::file_size(path) - sent.bytes()) % 64 == 0);  // as the format asks for
    }
  }
  const Tensor special{std::numeric_limits<double>::quiet_NaN(), -0.0, 1e-45};
  save_npy(folder.path() / "special.npy", special);
  CHECK(identical(load_npy(folder.path() / "special.npy"), special));
}

TEST_CASE("columns first becomes rows first") {
  const std::string elements = "\1\0\0\0\4\0\0\0\2\0\0\0\5\0\0\0\3\0\0\0\6\0\0\0"s;
  const Tensor t = loaded(npy(dict_of("<i4", "(2, 3)", "True"), elements));
  CHECK(identical(t, Tensor{{1, 2, 3}, {4, 5, 6}}.to(int32)));
  // Rank 3, sizes 2 x 3 x 2: element (i, j, k) lies at i + 2 j + 6 k.
  std::string bytes;
  for (char value = 0; value < 12; ++value) bytes += value + "\0\0\0"s;
  const Tensor cube = loaded(npy(dict_of("<i4", "(2, 3, 2)", "True"), bytes));
  for (std::int64_t i = 0; i < 2; ++i) {
    for (std::int64_t j = 0; j < 3; ++j) {
      for (std::int64_t k = 0; k < 2; ++k) {
        CHECK(cube.at({i, j, k}) == static_cast<double>(i + 2 * j + 6 * k));
      }
    }
  }
  CHECK(loaded(npy(dict_of("<i4", "(0, 3)", "True"), "")).shape() == Shape{0, 3});
}

TEST_CASE("other spellings of the header, and versions 2 and 3") {
  const std::string four = "\4\0\0\0"s;
  const Tensor wanted = Tensor::of({4}).to(int32);
  CHECK(identical(loaded(npy("{\"shape\":(1,),\"fortran_order\":False,\"descr\":\"<i4\"}", four)),
                  wanted));
  CHECK(identical(loaded(npy(dict_of("<i4", "(1L,)") + "   \n", four)), wanted));
  const std::string dict = dict_of("<i4", "(1,)");
  const std::string size{static_cast<char>(dict.size()), 0, 0, 0};
  CHECK(identical(loaded("\x93NUMPY\x02\0"s + size + dict + four), wanted));
  CHECK(identical(loaded("\x93NUMPY\x03\0"s + size + dict + four), wanted));
}

TEST_CASE("what is no .npy file") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(load_npy(folder.path() / "none.npy"), DataError);
  CHECK_THROWS_WITH(load_npy(folder.path() / "none.npy"), doctest::Contains("none.npy"));
  CHECK_THROWS_AS(load_npy(folder.path()), DataError);
  CHECK(has(refusal(""), "ends too early"));
  CHECK(has(refusal("\x93NUM"), "ends too early"));
  CHECK(has(refusal("PK\3\4 a zip archive"), "offset 0: expected the magic string"));
  CHECK(has(refusal("\x93NUMPY\x04\0\0\0\0\0"s), "version 1.0, 2.0 or 3.0, found 4.0"));
  CHECK(has(refusal("\x93NUMPY\x01\x01\0\0"s), "found 1.1"));
  CHECK(has(refusal("\x93NUMPY\x01\0\x76"s), "offset 8"));
}

TEST_CASE("dtypes that are not supported are named") {
  CHECK(has(refusal(npy(dict_of("<u8", "(1,)"), "\0\0\0\0\0\0\0\0"s)), "uint64 ('<u8')"));
  CHECK(has(refusal(npy(dict_of("<f16", "(1,)"), "\0"s)), "long double ('<f16')"));
  CHECK(has(refusal(npy(dict_of("<c8", "(1,)"), "")), "complex64"));
  CHECK(has(refusal(npy(dict_of("|f4", "(1,)"), "\0\0\0\0"s)), "'|f4'"));
  CHECK(has(refusal(npy(dict_of("|O", "(1,)"), "")), "'|O'"));
  CHECK(has(refusal(npy(dict_of("", "(1,)"), "")), "not supported"));
  CHECK(has(refusal(npy("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1,), }", "")),
            "structured"));
}

TEST_CASE("other dtypes and byte orders are read into what holds their values") {
  const auto read = [](const char* descr, const std::string& elements, std::size_t width) {
    const std::string shape = "(" + std::to_string(elements.size() / width) + ",)";
    return loaded(npy(dict_of(descr, shape), elements));
  };
  const auto ints = [](std::initializer_list<std::int64_t> values) {
    return Tensor::of(values).to(int32);
  };
  CHECK(identical(read("|u1", "\0\x7f\x80\xff"s, 1), ints({0, 127, 128, 255})));
  CHECK(identical(read("|i1", "\0\x7f\x80\xff"s, 1), ints({0, 127, -128, -1})));
  CHECK(identical(read("<u2", "\xff\xff\2\1"s, 2), ints({65535, 258})));
  CHECK(identical(read(">i2", "\x80\0\2\1"s, 2), ints({-32768, 513})));
  CHECK(identical(read("<u4", "\xff\xff\xff\xff"s, 4), Tensor::of({4294967295})));
  CHECK(identical(read(">i4", "\xff\xff\xff\xfe\0\0\1\0"s, 4), ints({-2, 256})));
  CHECK(identical(read(">i8", "\x7f\xff\xff\xff\xff\xff\xff\xff"s, 8),
                  Tensor::of({std::numeric_limits<std::int64_t>::max()})));
  CHECK(identical(read("<f2", "\0\x3c\xff\x7b\1\0"s, 2), Tensor{1, 65504, 0x1p-24}));
  CHECK(identical(read(">f4", "\x3f\xc0\0\0"s, 4), Tensor{1.5}));
  CHECK(identical(read("=f4", "\0\0\xc0\x3f"s, 4), Tensor{1.5}));
  CHECK(identical(read(">f8", "\xbf\xe0\0\0\0\0\0\0"s, 8), Tensor{-0.5}.to(float64)));
  CHECK(identical(read(">b1", "\0\1"s, 1), Tensor::of({0, 1}).to(boolean)));
  // More than what is converted at once, by columns.
  std::string bytes(200'000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i % 251);
  const Tensor wide = loaded(npy(dict_of("|u1", "(100000, 2)", "True"), bytes));
  for (const std::int64_t row : {0, 1, 65535, 65536, 99999}) {
    CHECK(wide.at({row, 0}) == static_cast<double>(row % 251));
    CHECK(wide.at({row, 1}) == static_cast<double>((row + 100000) % 251));
  }
}

TEST_CASE("files cut short or with more than they say") {
  const std::string whole = npy(dict_of("<i4", "(2, 3)"), std::string(24, '\1'));
  REQUIRE(loaded(whole).count() == 6);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CHECK_MESSAGE(has(refusal(whole.substr(0, size)), "ends too early"), size);
  }
  CHECK(has(refusal(whole.substr(0, whole.size() - 1)),
            "takes 24 bytes after the header, the file has 23"));
  const std::string more = refusal(whole + "x");
  CHECK(has(more, "trailing data"));
  CHECK(has(more, "offset " + std::to_string(whole.size())));
}

TEST_CASE("absurd claims are held against the size of the file, not allocated") {
  CHECK(has(refusal(npy(dict_of("<f8", "(100000000000000,)"), "12345678")),
            "takes 800000000000000 bytes after the header, the file has 8"));
  CHECK(has(refusal(npy(dict_of("<f8", "(4294967296, 4294967296, 4)"), "")), "too many elements"));
  CHECK(has(refusal(npy(dict_of("<f8", "(99999999999999999999,)"), "")), "digits"));
  std::string ones = "(";
  for (int i = 0; i < 65; ++i) ones += "1,";
  CHECK(has(refusal(npy(dict_of("<f8", ones + ")"), "12345678")), "at most 64 sizes"));
  CHECK(has(refusal("\x93NUMPY\x02\0\xff\xff\xff\xff{"s), "at most 65535 bytes"));
  CHECK(has(refusal("\x93NUMPY\x02\0\0\x10\0\0{"s), "the header takes 4096 bytes"));
}

TEST_CASE("broken headers say what was expected where") {
  const std::string good = dict_of("<i4", "(1,)");
  REQUIRE(has(refusal(npy(good, "\1\0\0\0"s)), "loaded"));
  CHECK(has(refusal(npy("", "")), "expected '{'"));
  CHECK(has(refusal(npy("\x01", "")), "found '?'"));
  CHECK(has(refusal(npy("{}", "")), "expected a key 'descr'"));
  CHECK(has(refusal(npy("{'descr': '<i4'}", "")), "expected a key 'fortran_order'"));
  CHECK(
      has(refusal(npy("{'descr': '<i4', 'fortran_order': False}", "")), "expected a key 'shape'"));
  CHECK(has(refusal(npy("{'descr': '<i4', 'descr': '<i4'}", "")), "once each"));
  CHECK(has(refusal(npy("{'color': 'red'}", "")), "offset 11: expected 'descr'"));
  CHECK(has(refusal(npy("{'descr", "")), "a string in quotes"));
  CHECK(has(refusal(npy(dict_of("<i4", "(1,)", "Maybe"), "")), "True or False"));
  CHECK(has(refusal(npy(dict_of("<i4", "(-1,)"), "")), "expected a size"));
  CHECK(has(refusal(npy(dict_of("<i4", "3"), "")), "expected '('"));
  CHECK(has(refusal(npy(dict_of("<i4", "(1 1)"), "")), "expected ')'"));
  CHECK(has(refusal(npy(good + "x", "")), "the end of the header"));
  // No single byte of a header may crash the reader; most changes must be noticed.
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const char other : {'\0', '\'', '(', ')', '{', '}', '9', ',', '\xff'}) {
      std::string changed = good;
      changed[i] = other;
      const std::string text = refusal(npy(changed, "\1\0\0\0"s));
      const bool harmless = text == "loaded";  // a blank replaced by nothing of weight
      if (harmless)
        CHECK(identical(loaded(npy(changed, "\1\0\0\0"s)).reshape({1}), Tensor::of({1}).to(int32)));
    }
  }
}

TEST_CASE("a byte that is no bool") {
  CHECK(loaded(npy(dict_of("|b1", "(2,)"), "\0\1"s)).at({1}) == 1.0);
  const std::string text = refusal(npy(dict_of("|b1", "(2,)"), "\0\2"s));
  CHECK(has(text, "0 or 1"));
  const std::size_t at = 10 + dict_of("|b1", "(2,)").size() + 1;
  CHECK(has(text, "offset " + std::to_string(at)));
}

TEST_CASE("saving replaces a file whole and leaves no others") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "t.npy";
  save_npy(path, zeros({1000}));
  save_npy(path, Tensor{1, 2});
  CHECK(identical(load_npy(path), Tensor{1, 2}));
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}) == 1);
}

TEST_CASE("a save that fails names the file and leaves nothing") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(save_npy(folder.path() / "none" / "t.npy", Tensor{1}), DataError);
  CHECK_THROWS_WITH(save_npy(folder.path() / "none" / "t.npy", Tensor{1}),
                    doctest::Contains("t.npy"));
  fs::create_directories(folder.path() / "t.npy" / "inside");  // a folder cannot be replaced
  CHECK_THROWS_AS(save_npy(folder.path() / "t.npy", Tensor{1}), DataError);
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}) == 1);
  CHECK_THROWS_AS(
      save_npy(folder.path() / "deep.npy", ones(Shape(std::vector<std::int64_t>(65, 1)))),
      DataError);
}
