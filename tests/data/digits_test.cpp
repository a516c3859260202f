// The digits against figures computed with NumPy from scikit-learn's own loader.
#include <array>
#include <string>

#include <doctest/doctest.h>
#include <dualtape/data/digits.hpp>

#include "temporary.hpp"

using namespace dualtape;
using namespace dualtape::testing;

TEST_CASE("the digits have scikit-learn's shape, classes and first image") {
  const Dataset digits = load_digits();
  CHECK(digits.count() == 1797);
  CHECK(digits.classes() == 10);
  CHECK(digits.feature_names.back() == "pixel_7_7");
  CHECK(digits.inputs.type() == Type{Shape{1797, 64}, float32});
  const auto labels = digits.labels.data<std::int64_t>();
  std::array<int, 10> counts{};
  for (const std::int64_t label : labels) ++counts[static_cast<std::size_t>(label)];
  CHECK(counts == std::array<int, 10>{178, 182, 177, 183, 181, 182, 181, 179, 174, 180});
  for (std::int64_t i = 0; i < 20; ++i) CHECK(labels[static_cast<std::size_t>(i)] == i % 10);
  constexpr std::array<float, 64> first = {0, 0, 5,  13, 9,  1,  0, 0, 0, 0, 13, 15, 10, 15, 5, 0,
                                           0, 3, 15, 2,  0,  11, 8, 0, 0, 4, 12, 0,  0,  8,  8, 0,
                                           0, 5, 8,  0,  0,  9,  8, 0, 0, 4, 11, 0,  1,  12, 7, 0,
                                           0, 2, 14, 5,  10, 12, 0, 0, 0, 0, 6,  13, 10, 0,  0, 0};
  const auto pixels = digits.inputs.data<float>();
  for (std::size_t i = 0; i < first.size(); ++i) CHECK(pixels[i] == first[i]);
}

TEST_CASE("the digits have the known sums") {
  const Dataset digits = load_digits();
  const auto labels = digits.labels.data<std::int64_t>();
  const auto pixels = digits.inputs.data<float>();
  std::array<double, 10> by_class{};
  double squares = 0.0;
  double by_pixel = 0.0;  // weighted with the pixel's number, so that shifted columns show
  double by_row = 0.0;    // and with the row's
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const double x = pixels[i];
    by_class[static_cast<std::size_t>(labels[i / 64])] += x;
    squares += x * x;
    by_pixel += x * static_cast<double>(i % 64);
    by_row += x * static_cast<double>(i / 64);
  }
  CHECK(by_class == std::array<double, 10>{56415, 57007, 55566, 56151, 56239, 55915, 56336, 54289,
                                           57408, 56392});  // 561718 together
  CHECK(squares == 6907012.0);
  CHECK(by_pixel == 17660653.0);
  CHECK(by_row == 503342547.0);
}

TEST_CASE("broken digits are refused with their place") {
  const TemporaryFolder folder;
  const DataFolder set(folder.path().string());
  std::string row(128, '0');  // 64 zeros, each with its comma, then the label
  for (std::size_t i = 1; i < row.size(); i += 2) row[i] = ',';
  const auto broken = [&](std::size_t line, std::string_view content) {
    std::string text;
    for (std::size_t i = 1; i <= 1797; ++i) text += i == line ? std::string(content) : row + "7\n";
    folder.write("digits/digits.csv", text);
    return text_thrown<DataError>([] { load_digits(); });
  };
  CHECK(broken(0, "").empty());  // all is well, so what follows fails for its own reason
  CHECK(contains(broken(5, row + "10\n"), "line 5, column 65: class 10 is not one of 0 to 9"));
  CHECK(contains(broken(5, "17" + row.substr(1) + "1\n"), "line 5, column 1: a pixel must be"));
  CHECK(contains(broken(5, "x" + row.substr(1) + "1\n"), "line 5, column 1: 'x' is not a number"));
  CHECK(contains(broken(5, "\n"), "1796 rows of 65 columns"));
}
