// IDX files: every type and rank, plain and packed, and broken ones of every sort.
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <dualtape/data/idx.hpp>

#include "packed.hpp"

using namespace dualtape;
using namespace dualtape::testing;
using namespace std::string_literals;

namespace {

Tensor loaded(const std::string& bytes) {
  const TemporaryFolder folder;
  return load_idx(folder.write("x", bytes));
}

std::string refused(const std::string& bytes, std::uint64_t most = 100000) {
  const TemporaryFolder folder;
  const auto file = folder.write("x-ubyte", bytes);
  return refusal(
      file, [&] { load_idx(file); }, most);
}

// 2 images of 2 x 3 pixels and their labels.
const std::string two_images = idx(8, {2, 2, 3}, "\0\x33\x66\x99\xcc\xff\1\2\3\4\5\6"s);
const std::string two_labels = idx(8, {2}, "\2\0"s);

struct Pair {
  TemporaryFolder folder;
  std::filesystem::path images, labels;
  Pair(const std::string& i, const std::string& l)
      : images(folder.write("images", i)), labels(folder.write("labels", l)) {}
  Dataset load() const { return load_idx_images(images, labels, {"a", "b", "c"}, "pair"); }
};

}  // namespace

TEST_CASE("every type comes as the dtype that holds it") {
  CHECK(identical(loaded(idx(0x08, {3}, "\0\x7f\xff"s)), Tensor{0, 127, 255}.to(int32)));
  CHECK(identical(loaded(idx(0x09, {3}, "\0\x7f\xff"s)), Tensor{0, 127, -1}.to(int32)));
  CHECK(
      identical(loaded(idx(0x0B, {3}, "\0\1\x7f\xff\x80\0"s)), Tensor{1, 32767, -32768}.to(int32)));
  CHECK(identical(loaded(idx(0x0C, {2}, "\1\2\3\4\xff\xff\xff\xfe"s)),
                  Tensor{0x01020304, -2}.to(int32)));
  // 1.5 and -2 as IEEE 754 has them.
  CHECK(
      identical(loaded(idx(0x0D, {2}, "\x3f\xc0\0\0\xc0\0\0\0"s)), Tensor{1.5, -2.0}.to(float32)));
  CHECK(identical(loaded(idx(0x0E, {1}, "\x3f\xf8\0\0\0\0\0\0"s)), Tensor{1.5}.to(float64)));
}

TEST_CASE("every rank, sizes of zero, and another dtype where one is asked for") {
  CHECK(identical(loaded(idx(8, {}, "\7"s)), full({}, 7, int32)));
  CHECK(identical(loaded(idx(8, {2, 3}, "\1\2\3\4\5\6"s)), Tensor{{1, 2, 3}, {4, 5, 6}}.to(int32)));
  CHECK(loaded(idx(8, {2, 0, 3}, "")).shape() == Shape{2, 0, 3});
  CHECK(loaded(idx(8, std::vector<std::uint32_t>(255, 1), "\7"s)).rank() == 255);
  const TemporaryFolder folder;
  const auto file = folder.write("x", two_labels);
  CHECK(identical(load_idx(file, float64), Tensor{2, 0}.to(float64)));
  const IdxHeader header = read_idx_header(file);
  CHECK(header.type == IdxType::u8);
  CHECK(header.shape == Shape{2});
}

TEST_CASE("plain files that are not what they say") {
  CHECK(has(refused(""),
            "offset 0: the file ends too early: the magic number of an IDX file takes 4 "
            "bytes, 0 are there"));
  CHECK(has(refused("\0\0\10"s), "3 are there"));
  CHECK(has(refused("a,b\n1,2\n"),
            "offset 0: expected two zero bytes, a type and a rank, as IDX "
            "files begin, found 0x612c620a"));
  CHECK(has(refused("\0\0\x0a\1\0\0\0\1x"s), "offset 2: expected a type of 0x08"));
  CHECK(has(refused("\0\0\x0a\1\0\0\0\1x"s), "found 10 in 0x00000a01"));
  CHECK(has(refused(idx(8, {2, 3}, "").substr(0, 10)),
            "offset 10: the file ends too early: size 2 of "
            "2 takes 4 bytes, 2 are there"));
  CHECK(has(refused(idx(8, {2, 3}, "12345")),
            "offset 12: the file ends too early: uint8 (2, 3) "
            "after the header takes 6 bytes, 5 are left"));
  CHECK(has(refused(idx(8, {2, 3}, "1234567")),
            "offset 18: trailing data: uint8 (2, 3) after the "
            "header ends here, and the file goes on"));
}

TEST_CASE("a header that claims what no file holds costs nothing") {
  const std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
  CHECK(has(refused(idx(8, {most}, "12345")), "takes 4294967295 bytes, 5 are left"));
  CHECK(has(refused(idx(0x0E, {most, 65536}, "12345")), "takes 2251799813160960 bytes"));
  CHECK(has(refused(idx(0x0E, {most, most, most}, "12345")), "offset 4: "));
  CHECK(has(refused(idx(0x0E, {most, most, most}, "12345")), "too many elements"));
  if (without_zlib()) return;
  CHECK(has(refused(gzipped(idx(8, {most}, "12345"))),
            "offset 8 of the unpacked data: the file ends too early: uint8 (4294967295,) after the "
            "header takes 4294967295 bytes, gzip of this size holds at most "));
  // Where the packed bytes could reach so far, memory grows with what comes, from pieces of 64 KiB.
  CHECK(has(refused(gzipped(idx(8, {20000}, std::string(3000, 'x')))),
            "takes 20000 bytes, 3000 are there"));
  std::string noise;
  std::uint32_t state = 1;
  for (int i = 0; i < 100000; ++i)
    noise += static_cast<char>((state = state * 1664525U + 1013904223U) >> 24U);
  CHECK(has(refused(gzipped(idx(8, {10000000}, noise)), 300000),
            "takes 10000000 bytes, 100000 are there"));
}

TEST_CASE("packed files") {
  if (!detail::has_zlib()) {
    CHECK(has(refused(gzipped(two_images)),
              "offset 0: is a gzip file, and dualtape was built without zlib"));
  }
  if (without_zlib()) return;
  const Tensor expected = loaded(two_images);
  const std::string packed = gzipped(two_images);
  CHECK(identical(loaded(packed), expected));
  // RFC 1952: members one after the other are one file.
  CHECK(identical(loaded(gzipped(two_images.substr(0, 7)) + gzipped(two_images.substr(7))),
                  expected));
  const std::string cut = refused(packed.substr(0, packed.size() - 3), 200000);
  CHECK(has(cut, "offset " + std::to_string(packed.size() - 3) +
                     " of the packed file: the file ends "
                     "too early: within its gzip data"));
  CHECK(has(refused(packed + "more", 200000), "offset " + std::to_string(packed.size()) +
                                                  " of the packed file: trailing data after"));
  std::string broken = packed;
  broken[broken.size() - 6] = static_cast<char>(broken[broken.size() - 6] ^ 1);  // of the checksum
  CHECK(has(refused(broken, 200000), "broken gzip data: incorrect data check"));
  CHECK(
      has(refused(gzipped(two_images + "x"), 200000), "offset 28 of the unpacked data: trailing"));
  CHECK(has(refused(gzipped("hello, world")), "expected two zero bytes"));
  CHECK(has(refused(gzipped("")), "0 are there"));
  CHECK(has(refused("\x1f\x8b"), "ends too early: within its gzip data"));
  CHECK(has(refused("\x1f\x8b rubbish, rubbish"), "broken gzip data: "));
}

TEST_CASE("missing files and folders") {
  const TemporaryFolder folder;
  CHECK(has(refusal(folder.path() / "no", [&] { load_idx(folder.path() / "no"); }),
            "cannot be opened: No such file"));
  CHECK(has(refusal(folder.path(), [&] { load_idx(folder.path()); }), "is not a regular file"));
}

TEST_CASE("images with labels") {
  const Dataset set = Pair(two_images, two_labels).load();
  CHECK(set.inputs.shape() == Shape{2, 1, 2, 3});
  CHECK(identical(set.inputs.row(0).reshape({6}),
                  Tensor::from(std::vector<float>{0.0F, 51.0F / 255.0F, 102.0F / 255.0F,
                                                  153.0F / 255.0F, 204.0F / 255.0F, 1.0F},
                               Shape{6})));
  CHECK(identical(set.labels, Tensor::from(std::vector<std::int64_t>{2, 0}, Shape{2})));
  CHECK(set.classes() == 3);
  CHECK(set.name == "pair");
}

TEST_CASE("images and labels that do not belong together") {
  const auto refused_by = [](const Pair& pair, bool labels_at_fault) {
    return refusal(labels_at_fault ? pair.labels : pair.images, [&] { pair.load(); });
  };
  CHECK(has(refused_by(Pair(two_labels, two_images), false),
            "offset 2: expected images, which are uint8 of rank 3, found uint8 of rank 1"));
  CHECK(has(refused_by(Pair(two_images, two_images), true),
            "offset 2: expected labels, which are uint8 of rank 1, found uint8 of rank 3"));
  CHECK(has(refused_by(Pair(idx(9, {2, 2, 3}, std::string(12, 'x')), two_labels), false),
            "found int8 of rank 3"));
  const Pair more(two_images, idx(8, {3}, "\0\1\2"s));
  CHECK(has(refused_by(more, true), "offset 4: expected 2 labels, one for each image of " +
                                        more.images.string() + ", found 3"));
  CHECK(has(refused_by(Pair(two_images, idx(8, {2}, "\2\3"s)), true),
            "offset 9: expected a label below 3, found 3"));
  CHECK(has(refused_by(Pair(two_images.substr(0, 27), two_labels), false),
            "offset 16: the file ends"));
}

TEST_CASE("the dtype asked for counts against the limits") {
  if (without_zlib()) return;
  const TemporaryFolder folder;
  const std::string zeros(100'000, '\0');
  const auto file = folder.write("a.gz", gzipped(idx(0x08, {100'000}, zeros)));
  const ReadLimits as_int32{.growth = 0, .always = 500'000};  // a byte and four of each
  CHECK(load_idx(file, as_int32).count() == 100'000);
  CHECK(load_idx(file, int32, as_int32).count() == 100'000);
  CHECK_THROWS_AS(load_idx(file, float64, as_int32), DataError);
  CHECK(load_idx(file, float64, {.growth = 0, .always = 1'300'000}).count() == 100'000);
}
