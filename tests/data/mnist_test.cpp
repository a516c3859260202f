// MNIST and its relatives: the real files where they are found, and foreign ones refused.
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <dualtape/data/idx.hpp>
#include <dualtape/data/mnist.hpp>
#include <dualtape/data/paths.hpp>

#include "packed.hpp"

using namespace dualtape;
using namespace dualtape::testing;
using namespace std::string_literals;

namespace {

// The data set, or nothing, said so, where its files are not on this machine.
std::optional<Dataset> load_if_there(const std::string& folder, Part part,
                                     Dataset (*load)(Part, Location)) {
  const std::string prefix = folder + (part == Part::train ? "/train" : "/t10k");
  const std::string images = prefix + "-images-idx3-ubyte";
  const std::string labels = prefix + "-labels-idx1-ubyte";
  try {
    find_data({images + ".gz", images});
    find_data({labels + ".gz", labels});
  } catch (const DataError&) {
    // ctest calls the whole skipped only where MNIST itself is not here.
    MESSAGE(std::string(folder == "mnist" ? "[skipped] " : "") << images << ".gz is not here");
    return std::nullopt;
  }
  if (without_zlib()) return std::nullopt;
  return load(part, Location::current());
}

void check_shape(const Dataset& set, std::int64_t count) {
  CHECK(set.inputs.type() == Type{Shape{count, 1, 28, 28}, float32});
  CHECK(set.labels.type() == Type{Shape{count}, int64});
  CHECK(set.classes() == 10);
}

std::vector<std::int64_t> class_counts(const Dataset& set) {
  std::vector<std::int64_t> counts(10, 0);
  for (const std::int64_t label : set.labels.data<std::int64_t>()) {
    ++counts[static_cast<std::size_t>(label)];
  }
  return counts;
}

struct Moments {
  double mean, deviation;
};
Moments moments(const Tensor& inputs) {
  double sum = 0, squares = 0;
  for (const float value : inputs.data<float>()) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const auto n = static_cast<double>(inputs.count());
  return {sum / n, std::sqrt(squares / n - sum / n * (sum / n))};
}

}  // namespace

TEST_CASE("MNIST as it is known") {
  if (const auto train = load_if_there("mnist", Part::train, load_mnist)) {
    check_shape(*train, 60000);
    // Class counts as published with the set; mean and deviation as everyone normalises by.
    CHECK(class_counts(*train) ==
          std::vector<std::int64_t>{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949});
    const Moments m = moments(train->inputs);
    CHECK(std::abs(m.mean - 0.1307) < 5e-5);
    CHECK(std::abs(m.deviation - 0.3081) < 5e-5);
  }
  if (const auto test = load_if_there("mnist", Part::test, load_mnist)) {
    check_shape(*test, 10000);
    // The first test image is the well-known seven.
    CHECK(test->labels.at({0}) == 7);
  }
}

TEST_CASE("KMNIST as it is known") {
  if (const auto test = load_if_there("kmnist", Part::test, load_kmnist)) {
    check_shape(*test, 10000);
    CHECK(class_counts(*test) == std::vector<std::int64_t>(10, 1000));
    CHECK(test->class_names[9] == "wo");
  }
  if (const auto train = load_if_there("kmnist", Part::train, load_kmnist)) {
    check_shape(*train, 60000);
    CHECK(class_counts(*train) == std::vector<std::int64_t>(10, 6000));
  }
}

TEST_CASE("a part of KMNIST, by the names of its files") {
  const std::string prefix = "kmnist/train-first7000-";
  std::filesystem::path images;
  std::filesystem::path labels;
  try {
    images = find_data(prefix + "images-idx3-ubyte.gz");
    labels = find_data(prefix + "labels-idx1-ubyte.gz");
  } catch (const DataError&) {
    MESSAGE(prefix << "images-idx3-ubyte.gz is not here");
    return;
  }
  if (without_zlib()) return;
  const Dataset part = load_idx_images(images, labels, std::vector<std::string>(10), "part");
  check_shape(part, 7000);
  CHECK(class_counts(part) ==
        std::vector<std::int64_t>{690, 689, 695, 698, 755, 707, 688, 707, 672, 699});
  const Moments m = moments(part.inputs);
  CHECK(std::abs(m.mean - 0.1919) < 5e-5);
  CHECK(std::abs(m.deviation - 0.3486) < 5e-5);
  // All 60000 labels beside 7000 images are an error, not cut to fit.
  const auto all = find_data("kmnist/train-labels-idx1-ubyte.gz");
  CHECK(has(text_thrown<DataError>(
                [&] { load_idx_images(images, all, std::vector<std::string>(10), "part"); }),
            "expected 7000 labels, one for each image of " + images.string() + ", found 60000"));
}

TEST_CASE("Fashion-MNIST as it is known") {
  if (const auto train = load_if_there("fashion-mnist", Part::train, load_fashion_mnist)) {
    check_shape(*train, 60000);
    CHECK(class_counts(*train) == std::vector<std::int64_t>(10, 6000));
    const Moments m = moments(train->inputs);
    CHECK(std::abs(m.mean - 0.2860) < 5e-5);
    CHECK(std::abs(m.deviation - 0.3530) < 5e-5);
  }
}

TEST_CASE("the files lie where they were put, packed or not; a part is no whole") {
  const TemporaryFolder folder;
  const DataFolder set(folder.path().string());
  const std::string few(2 * 28 * 28, 'x');
  const auto images = folder.write("mnist/t10k-images-idx3-ubyte", idx(8, {2, 28, 28}, few));
  const auto labels = folder.write("mnist/t10k-labels-idx1-ubyte", idx(8, {2}, "\1\2"s));
  CHECK(has(refusal(images, [] { load_mnist(Part::test); }),
            "offset 4: expected the sizes (10000, 28, 28), found (2, 28, 28)"));
  CHECK(has(text_thrown<DataError>([] { load_mnist(Part::test); }), "load_idx_images"));
  // By name the part is welcome.
  CHECK(load_idx_images(images, labels, std::vector<std::string>(10), "part").count() == 2);
}

TEST_CASE("files that are not there: what to do") {
  const TemporaryFolder folder;
  const DataFolder set(folder.path().string());
  const std::string text = text_thrown<DataError>([] {
    find_data({"mnist/no-such.gz", "mnist/no-such"});
  });
  CHECK(has(text, "no data file 'mnist/no-such.gz' or 'mnist/no-such'; looked at"));
  CHECK(has(text, (folder.path() / "mnist/no-such").string() + " (DUALTAPE_DATA)"));
  CHECK(has(text, (data_cache() / "mnist/no-such.gz").string() + " (downloaded)"));
  CHECK(has(text, "/usr/share/datasets/mnist/no-such.gz (Debian's data sets)"));
  CHECK(has(text, "./run fetch"));
}
