// Iris against Fisher's figures as scikit-learn's description and NumPy give them.
#include <array>
#include <cmath>
#include <string>

#include <doctest/doctest.h>
#include <dualtape/data/iris.hpp>

#include "temporary.hpp"

using namespace dualtape;
using namespace dualtape::testing;

namespace {

void check_row(const Tensor& inputs, std::int64_t row, const std::array<float, 4>& expected) {
  for (std::int64_t i = 0; i < 4; ++i) {
    CHECK(static_cast<float>(inputs.at({row, i})) == expected[static_cast<std::size_t>(i)]);
  }
}

}  // namespace

TEST_CASE("iris has scikit-learn's rows") {
  const Dataset iris = load_iris();
  CHECK(iris.count() == 150);
  CHECK(iris.classes() == 3);
  CHECK(iris.class_names[2] == "virginica");
  CHECK(iris.feature_names.size() == 4);
  CHECK(iris.inputs.type() == Type{Shape{150, 4}, float32});
  CHECK(iris.labels.type() == Type{Shape{150}, int64});
  check_row(iris.inputs, 34, {4.9F, 3.1F, 1.5F, 0.2F});  // the two that UCI's copy has wrong
  check_row(iris.inputs, 37, {4.9F, 3.6F, 1.4F, 0.1F});
  for (std::int64_t row = 0; row < 150; ++row) CHECK(iris.labels.at({row}) == row / 50);
}

TEST_CASE("iris has the known sums, extremes and deviations") {
  const Dataset iris = load_iris();
  constexpr std::array<double, 4> sums = {876.5, 458.6, 563.7, 179.9};
  constexpr std::array<double, 4> least = {4.3, 2.0, 1.0, 0.1};
  constexpr std::array<double, 4> most = {7.9, 4.4, 6.9, 2.5};
  constexpr std::array<double, 4> deviations = {0.82530129, 0.43441097, 1.75940407, 0.75969263};
  for (std::int64_t column = 0; column < 4; ++column) {
    const auto c = static_cast<std::size_t>(column);
    double sum = 0.0;
    double squares = 0.0;
    double low = 1e9;
    double high = -1e9;
    for (std::int64_t row = 0; row < 150; ++row) {
      const double x = iris.inputs.at({row, column});
      sum += x;
      squares += (x - sums[c] / 150.0) * (x - sums[c] / 150.0);
      low = std::min(low, x);
      high = std::max(high, x);
    }
    CHECK(std::abs(sum - sums[c]) < 1e-4);
    CHECK(std::abs(low - least[c]) < 1e-6);
    CHECK(std::abs(high - most[c]) < 1e-6);
    CHECK(std::abs(std::sqrt(squares / 150.0) - deviations[c]) < 1e-6);
  }
}

TEST_CASE("a file that is not Iris is refused by name") {
  const TemporaryFolder folder;
  const DataFolder set(folder.path().string());
  const auto file = folder.write("iris/iris.csv", "a,b,c,d,e\n1,2,3,4,0\n");
  const std::string text = text_thrown<DataError>([] { load_iris(); });
  CHECK(contains(text, file.string()));
  CHECK(contains(text, "not the Iris file"));
}
