// What the tests of published runs share. The figures are those printed by the programs named in
// each file; where one of them is wrong, the test says how.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/core/torch_random.hpp>
#include <dualtape/data/iris.hpp>
#include <dualtape/data/scale.hpp>
#include <dualtape/models/optimisers.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

namespace seeds {

namespace dt = dualtape;
using Numbers = std::vector<double>;

inline Numbers numbers(const dt::Tensor& tensor) {
  const dt::Tensor wide = tensor.to(dt::float64);
  const auto data = wide.data<double>();
  return {data.begin(), data.end()};
}
inline dt::Tensor scalar(double value, dt::DType dtype = dt::float32) {
  return dt::full(dt::Shape{}, value, dtype);
}
inline double median(Numbers values) {
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Sepal length and width of the first `rows` iris flowers, each row scaled to unit length; the
// class numbers as floating targets (rows, 1).
struct Flowers {
  dt::Tensor inputs;
  dt::Tensor targets;
};
inline Flowers flowers(std::int64_t rows, dt::DType dtype = dt::float32) {
  const dt::Dataset iris = dt::load_iris();
  dt::Tensor sepals(dt::Shape{rows, 2}, dt::float64);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < 2; ++j) {
      // The file has one decimal; back to the nearest double of it.
      const double tenths = std::round(iris.inputs.at({i, j}) * 10);
      sepals.data<double>()[static_cast<std::size_t>(2 * i + j)] = tenths / 10;
    }
  const dt::Tensor labels = iris.labels.rows(0, rows).to(dtype);
  return {dt::normalise_rows(sepals).to(dtype), labels.reshape({rows, 1})};
}

}  // namespace seeds
