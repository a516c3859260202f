#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/softmax.hpp>

#include "known.hpp"

using namespace known;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

// `count` numbers without order, within -4 .. 4.
Numbers scattered(std::int64_t count) {
  Numbers values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(4 * std::sin(1.7 * static_cast<double>(i)));
  return values;
}

// By the definition, along the middle one of three axes.
Numbers softmax_naively(const Numbers& x, std::size_t size, std::size_t inner) {
  Numbers y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t first = i / (size * inner) * size * inner + i % inner;
    double total = 0;
    for (std::size_t k = 0; k < size; ++k) total += std::exp(x[first + k * inner]);
    y[i] = std::exp(x[i]) / total;
  }
  return y;
}

TEST_CASE("softmax and its logarithm along any axis, for rows and columns of any length") {
  struct Sizes {
    std::int64_t outer, size, inner;
  };
  const std::vector<Sizes> all{{3, 5, 1}, {150, 10, 1}, {2, 64, 1}, {3, 65, 1},  {2, 5000, 1},
                               {1, 1, 1}, {2, 3, 4},    {3, 10, 7}, {1, 4, 300}, {2, 90, 11}};
  for (const Sizes& sizes : all) {
    const std::int64_t outer = sizes.outer;
    const std::int64_t size = sizes.size;
    const std::int64_t inner = sizes.inner;
    CAPTURE(size);
    CAPTURE(inner);
    const Numbers values = scattered(outer * size * inner);
    const Numbers wanted =
        softmax_naively(values, static_cast<std::size_t>(size), static_cast<std::size_t>(inner));
    Numbers logs;
    for (const double y : wanted) logs.push_back(std::log(y));
    for (const dt::DType dtype : {dt::float64, dt::float32}) {
      const double tolerance = dtype == dt::float32 ? 3e-6 : 1e-14;
      dt::Graph graph;
      const dt::Var x = graph.constant(tensor(values, dtype).reshape({outer, size, inner}));
      check_close(numbers(dt::eval(dt::softmax(x, 1))), wanted, tolerance);
      check_close(numbers(dt::eval(dt::log_softmax(x, -2))), logs, tolerance);
    }
  }
}

TEST_CASE("large elements neither overflow nor lose their logarithm") {
  for (const std::int64_t axis : {0, 1}) {
    dt::Graph graph;
    const dt::Var x = graph.constant(
        tensor({1000, 1000, -1000}, dt::float32).reshape({axis == 0 ? 3 : 1, axis == 0 ? 1 : 3}));
    CHECK(numbers(dt::eval(dt::softmax(x, axis))) == Numbers{0.5, 0.5, 0});
    check_close(numbers(dt::eval(dt::log_softmax(x, axis))),
                {-std::log(2.0), -std::log(2.0), -2000 - std::log(2.0)}, 1e-7);
  }
}

TEST_CASE("special values") {
  dt::Graph graph;
  const auto row = [&](const Numbers& values) {
    return numbers(dt::eval(dt::softmax(graph.constant(tensor(values)))));
  };
  CHECK(row({-inf, 0, 0}) == Numbers{0, 0.5, 0.5});
  for (const Numbers& bad : {Numbers{nan, 1, 2}, {1, 2, nan}, {inf, 1, 2}, {-inf, -inf, -inf}})
    for (const double y : row(bad)) CHECK(std::isnan(y));
  Numbers wide(100, 1.0);
  wide[71] = nan;
  for (const double y : row(wide)) CHECK(std::isnan(y));
  // The rows beside a bad one are untouched.
  const dt::Var table = graph.constant(tensor({0, 0, nan, 0, 0, 0}).reshape({3, 2}));
  check_close(numbers(dt::eval(dt::softmax(table))), {0.5, 0.5, nan, nan, 0.5, 0.5}, 0);
  const dt::Var ints = dt::softmax(graph.constant(tensor({4, 4}, dt::int64)));
  CHECK(ints.dtype() == dt::float32);
  CHECK(numbers(dt::eval(ints)) == Numbers{0.5, 0.5});
}

TEST_CASE("the Jacobian of softmax is diag(y) - y y^T") {
  const Numbers values{0.5, -1, 2};
  const Numbers y = softmax_naively(values, 3, 1);
  for (std::size_t i = 0; i < 3; ++i) {
    dt::Graph graph;
    const dt::Var x = graph.constant(tensor(values));
    Numbers unit(3, 0);
    unit[i] = 1;
    const dt::Var c = graph.constant(tensor(unit));
    Numbers row;
    Numbers log_row;
    for (std::size_t j = 0; j < 3; ++j) {
      row.push_back(y[i] * (unit[j] - y[j]));
      log_row.push_back(unit[j] - y[j]);
    }
    check_close(numbers(dt::eval(dt::vjp({dt::softmax(x)}, {x}, {c})[x])), row, 1e-15);
    check_close(numbers(dt::eval(dt::forward(dt::softmax(x), {x}, {c}))), row, 1e-15);
    check_close(numbers(dt::eval(dt::vjp({dt::log_softmax(x)}, {x}, {c})[x])), log_row, 1e-15);
  }
}

TEST_CASE("slopes of long rows in float32 keep their digits: 16 of the largest's") {
  for (const std::int64_t size : {1024, 32000}) {
    const auto slopes = [size](dt::DType dtype) {
      dt::Graph graph;
      dt::Tensor cotangent({1, size}, dt::float64);
      dt::Tensor shares({1, size}, dt::float64);
      for (std::int64_t i = 0; i < size; ++i)
        cotangent.data<double>()[static_cast<std::size_t>(i)] =
            static_cast<double>(i % 7 + 1) * (i % 2 == 0 ? 1 : -1);
      shares.data<double>()[1] = 1;
      const dt::Var x = graph.constant(dt::zeros({1, size}, dtype));
      const dt::Var c = graph.constant(cotangent.to(dtype));
      const dt::Tensor label = dt::Tensor::of({1});
      const dt::Var smoothed =
          dt::cross_entropy(x, label, {.reduction = dt::Reduction::sum, .label_smoothing = 0.125});
      return std::vector<Numbers>{
          numbers(dt::eval(dt::vjp({dt::softmax(x)}, {x}, {c})[x])),
          numbers(dt::eval(dt::vjp({dt::log_softmax(x)}, {x}, {c})[x])),
          numbers(dt::eval(dt::reverse(smoothed, {x})[x])),
          numbers(dt::eval(dt::reverse(dt::cross_entropy(x, shares.to(dtype)), {x})[x])),
      };
    };
    const auto found = slopes(dt::float32);
    const auto right = slopes(dt::float64);
    for (std::size_t k = 0; k < right.size(); ++k) {
      CAPTURE(k);
      double worst = 0;
      for (std::size_t i = 0; i < right[k].size(); ++i)
        worst = std::max(worst, std::abs(found[k][i] - right[k][i]) / std::abs(right[k][i]));
      CHECK(worst < 16 * 0x1p-23);
    }
  }
}

TEST_CASE("an axis that does not exist is refused with the user's line") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::zeros({2, 3}));
  const std::string text = error_of<dt::ShapeError>([&] { dt::softmax(x, 2); });
  CHECK(has(text, "[softmax] axis 2 is out of range for rank 2"));
  CHECK(has(text, "softmax_test.cpp:" + std::to_string(__LINE__ - 2)));
  CHECK_THROWS_AS(dt::log_softmax(graph.constant(1.0, dt::float32)), dt::ShapeError);
}

}  // namespace
