#include <doctest/doctest.h>

#include <cstdint>
#include <random>

#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>

#include "known.hpp"

using namespace known;

namespace {

dt::Tensor random_tensor(const dt::Shape& shape, dt::DType dtype, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<double> draw(-4, 4);
  Numbers values(static_cast<std::size_t>(shape.count()));
  for (double& value : values) value = is_integer(dtype) ? std::round(draw(engine)) : draw(engine);
  return dt::Tensor::from(values, shape).to(dtype);
}

struct Naive {
  Numbers sum;
  Numbers largest;
};

// By the definition: every element is added to the result whose kept coordinates it shares.
Naive reduce_naively(const dt::Tensor& x, const std::vector<bool>& reduced) {
  const dt::Shape& shape = x.shape();
  std::int64_t outputs = 1;
  for (std::size_t d = 0; d < shape.rank(); ++d) outputs *= reduced[d] ? 1 : shape[d];
  Naive naive{Numbers(static_cast<std::size_t>(outputs), 0),
              Numbers(static_cast<std::size_t>(outputs), -1e300)};
  const Numbers values = numbers(x);
  for (std::size_t i = 0; i < values.size(); ++i) {
    auto rest = static_cast<std::int64_t>(i);
    std::int64_t place = 0;
    std::int64_t stride = 1;
    for (std::size_t d = shape.rank(); d-- > 0;) {
      if (!reduced[d]) {
        place += rest % shape[d] * stride;
        stride *= shape[d];
      }
      rest /= shape[d];
    }
    const auto k = static_cast<std::size_t>(place);
    naive.sum[k] += values[i];
    naive.largest[k] = std::max(naive.largest[k], values[i]);
  }
  return naive;
}

void check_all_axes(const dt::Shape& shape, dt::DType dtype) {
  const dt::Tensor values = random_tensor(shape, dtype, 7);
  for (unsigned subset = 1; subset < (1U << shape.rank()); ++subset) {
    std::vector<bool> reduced(shape.rank());
    std::vector<std::int64_t> axes;
    std::vector<std::int64_t> kept_sizes;
    double count = 1;
    for (std::size_t d = 0; d < shape.rank(); ++d) {
      reduced[d] = (subset >> d & 1U) != 0;
      kept_sizes.push_back(reduced[d] ? 1 : shape[d]);
      if (!reduced[d]) continue;
      count *= static_cast<double>(shape[d]);
      // Out of order and counted from either end.
      const auto axis = static_cast<std::int64_t>(d);
      axes.insert(axes.begin(), d % 2 == 0 ? axis : axis - static_cast<std::int64_t>(shape.rank()));
    }
    CAPTURE(shape);
    CAPTURE(subset);
    dt::Graph graph;
    const dt::Var x = graph.constant(values);
    const Naive wanted = reduce_naively(values, reduced);
    const double tolerance = dtype == dt::float32 ? 2e-5 : 1e-12;
    check_close(numbers(dt::eval(dt::sum(x, axes))), wanted.sum, tolerance);
    CHECK(dt::sum(x, axes, true).shape() == dt::Shape(kept_sizes));
    check_close(numbers(dt::eval(dt::max(x, axes))), wanted.largest, 0);
    if (!dt::is_floating(dtype)) continue;
    Numbers means = wanted.sum;
    for (double& mean : means) mean /= count;
    check_close(numbers(dt::eval(dt::mean(x, axes))), means, tolerance);
  }
}

TEST_CASE("every subset of axes gives what the definition says") {
  for (const dt::DType dtype : {dt::float32, dt::float64, dt::int32, dt::int64}) {
    check_all_axes({5}, dtype);
    check_all_axes({2000}, dtype);
    check_all_axes({7, 10}, dtype);
    check_all_axes({33, 3}, dtype);
    check_all_axes({40, 131}, dtype);  // several registers, a rest, more rows than one leaf
    check_all_axes({3, 1, 4}, dtype);
    check_all_axes({2, 3, 4, 5}, dtype);
    check_all_axes({3, 17, 2, 9, 2}, dtype);
  }
}

TEST_CASE("one axis needs no braces") {
  dt::Graph g;
  const dt::Var x = g.constant(dt::Tensor{{1, 2, 3}, {4, 5, 6}});
  CHECK(numbers(dt::eval(dt::sum(x, 0))) == Numbers{5, 7, 9});
  CHECK(numbers(dt::eval(dt::sum(x, -1))) == Numbers{6, 15});
  CHECK(dt::sum(x, 1, true).shape() == dt::Shape{2, 1});
  CHECK(dt::mean(x, {}).shape() == dt::Shape{});
  CHECK(dt::sum(x, {0, 1}).shape() == dt::Shape{});
  // keepdims in the place of the axes is no axis.
  CHECK(!std::is_convertible_v<bool, dt::Axes>);
}

TEST_CASE("the sum of many float32 numbers keeps its digits") {
  // 0.1f added one by one to a running float sum ends 1e-2 off at this count.
  constexpr std::int64_t count = 1 << 22;
  const dt::Tensor tenth = dt::full({count}, 0.1);
  const double wanted = static_cast<double>(count) * static_cast<double>(0.1F);
  dt::Graph graph;
  const dt::Var x = graph.constant(tenth);
  CHECK(std::abs(dt::eval(dt::sum(x)).item() / wanted - 1) < 1e-6);
  const dt::Var columns = graph.constant(tenth.reshape({count / 4, 4}));
  for (const double column : numbers(dt::eval(dt::sum(columns, {0}))))
    CHECK(std::abs(column / (wanted / 4) - 1) < 1e-6);
}

TEST_CASE("sums of nothing, of scalars, of integers and of bools") {
  dt::Graph graph;
  const dt::Var nothing = graph.constant(dt::zeros({0, 3}));
  CHECK(numbers(dt::eval(dt::sum(nothing, {0}))) == Numbers{0, 0, 0});
  CHECK(dt::eval(dt::sum(nothing)).item() == 0);
  CHECK(dt::eval(dt::sum(nothing, {1})).shape() == dt::Shape{0});
  CHECK(dt::eval(dt::sum(graph.constant(2.5, dt::float64))).item() == 2.5);
  const dt::Var large = graph.constant(dt::full({3}, 2e9, dt::int32));
  CHECK(dt::sum(large).dtype() == dt::int64);
  CHECK(dt::eval(dt::sum(large)).item() == 6e9);
  const dt::Var truths = graph.constant(tensor({1, 0, 1, 1}, dt::boolean));
  CHECK(dt::eval(dt::sum(truths)).item() == 3);
}

TEST_CASE("any and all") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1, 0, 1, 1, 0, 0}, dt::boolean).reshape({3, 2}));
  CHECK(numbers(dt::eval(dt::any(x, {1}))) == Numbers{1, 1, 0});
  CHECK(numbers(dt::eval(dt::all(x, {1}))) == Numbers{0, 1, 0});
  CHECK(numbers(dt::eval(dt::all(x, {0}))) == Numbers{0, 0});
  CHECK(numbers(dt::eval(dt::any(x, {0}))) == Numbers{1, 1});
  const dt::Var nothing = graph.constant(dt::zeros({0}, dt::boolean));
  CHECK(dt::eval(dt::any(nothing)).item() == 0);
  CHECK(dt::eval(dt::all(nothing)).item() == 1);
  // One false, or one true, among many, wherever it stands.
  for (const std::int64_t place : {0, 7, 8, 500, 999}) {
    dt::Tensor falses = dt::zeros({1000}, dt::boolean);
    falses.data<bool>()[static_cast<std::size_t>(place)] = true;
    dt::Tensor truths = dt::ones({1000}, dt::boolean);
    truths.data<bool>()[static_cast<std::size_t>(place)] = false;
    CHECK(dt::eval(dt::any(graph.constant(falses))).item() == 1);
    CHECK(dt::eval(dt::all(graph.constant(truths))).item() == 0);
  }
  CHECK_THROWS_AS(dt::any(graph.constant(dt::zeros({2}))), dt::TypeError);
}

TEST_CASE("the derivative of a sum is one everywhere") {
  dt::Graph graph;
  const dt::Var x = graph.constant(random_tensor({2, 3, 4}, dt::float64, 3));
  const dt::Var weight = graph.constant(random_tensor({2, 4}, dt::float64, 4));
  const dt::Tensor slope = dt::eval(dt::vjp({dt::sum(x, {1})}, {x}, {weight})[x]);
  const Numbers w = numbers(dt::eval(weight));
  const Numbers got = numbers(slope);
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == w[i / 12 * 4 + i % 4]);
}

TEST_CASE("wrong axes are refused with the user's line") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::zeros({2, 3}));
  const std::string range = error_of<dt::ShapeError>([&] { dt::sum(x, {2}); });
  CHECK(has(range, "[sum] axis 2 is out of range for rank 2"));
  CHECK(has(range, "reduce_test.cpp:" + std::to_string(__LINE__ - 2)));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::sum(x, {-3}); }), "axis -3"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::sum(x, {1, -1}); }), "axis 1 is named twice"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::sum(graph.constant(1.0, dt::float32), {0}); }),
            "a scalar has no axes"));
}

}  // namespace
