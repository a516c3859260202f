// CIFAR-10: records as the format has them, several files in a row, broken ones.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <dualtape/data/cifar.hpp>

#include "packed.hpp"

using namespace dualtape;
using namespace dualtape::testing;
using namespace std::string_literals;
using Files = std::vector<std::filesystem::path>;

namespace {

// A label; red pixels are all `red`, green ones 0, blue ones count up from 0.
std::string record(int label, int red) {
  std::string bytes(1, static_cast<char>(label));
  bytes += std::string(1024, static_cast<char>(red)) + std::string(1024, '\0');
  for (int i = 0; i < 1024; ++i) bytes += static_cast<char>(i % 256);
  return bytes;
}

std::string refused(const std::string& bytes) {
  const TemporaryFolder folder;
  const Files files = {folder.write("x.bin", bytes)};
  return refusal(files[0], [&] { load_cifar10(files); });
}

}  // namespace

TEST_CASE("planes, labels and the order of files") {
  const TemporaryFolder folder;
  const Files files = {folder.write("b.bin", record(9, 255) + record(0, 51)),
                       folder.write("a.bin", record(3, 102))};
  const Dataset set = load_cifar10(files);
  CHECK(set.inputs.type() == Type{Shape{3, 3, 32, 32}, float32});
  CHECK(identical(set.labels, Tensor::from(std::vector<std::int64_t>{9, 0, 3}, Shape{3})));
  CHECK(set.inputs.at({0, 0, 31, 31}) == 1.0);
  CHECK(set.inputs.at({1, 0, 0, 0}) == doctest::Approx(0.2));
  CHECK(set.inputs.at({2, 0, 0, 5}) == doctest::Approx(0.4));
  CHECK(set.inputs.at({2, 1, 7, 7}) == 0.0);
  CHECK(set.inputs.at({2, 2, 1, 3}) == doctest::Approx(35.0 / 255.0));
  CHECK(set.class_names[3] == "cat");
}

TEST_CASE("files that are not of the format") {
  CHECK(has(refused(""), "offset 0: expected whole records of 3073 bytes, found an empty file"));
  CHECK(has(refused(record(1, 1).substr(1)),
            "offset 0: expected whole records of 3073 bytes, found "
            "3072 bytes over"));
  CHECK(has(refused(record(1, 1) + "more"),
            "offset 3073: expected whole records of 3073 bytes, "
            "found 4 bytes over"));
  CHECK(has(refused(record(1, 1) + record(10, 1)),
            "offset 3073: expected a label below 10, found 10"));
  // CIFAR-100's records are one byte longer: not whole ones here, or labels out of range.
  CHECK(has(refused("\1"s + record(1, 1)), "offset 3073: expected whole records"));
  const TemporaryFolder folder;
  const Files missing = {folder.path() / "no.bin"};
  CHECK(has(refusal(missing[0], [&] { load_cifar10(missing); }), "cannot be opened"));
  CHECK_THROWS_AS(load_cifar10(Files{}), ValueError);
}

TEST_CASE("the parts are found by their names and held to 10000 images") {
  const TemporaryFolder folder;
  const DataFolder set(folder.path().string());
  const auto file = folder.write("cifar-10-batches-bin/test_batch.bin", record(1, 2));
  CHECK(has(refusal(file, [] { load_cifar10(Part::test); }), "expected 10000 images, found 1"));
}
