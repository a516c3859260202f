#include <doctest/doctest.h>

#include <limits>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/math.hpp>

#include "known.hpp"

using namespace known;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

dt::Tensor truths(const Numbers& values) { return tensor(values, dt::boolean); }

TEST_CASE("comparisons, NaN included, in every dtype of numbers") {
  for (const dt::DType dtype : {dt::int32, dt::int64, dt::float32, dt::float64}) {
    dt::Graph graph;
    const dt::Var a = graph.constant(tensor({1, 2, 3}, dtype));
    const dt::Var b = graph.constant(tensor({2, 2, 2}, dtype));
    CHECK((a < b).dtype() == dt::boolean);
    CHECK(numbers(dt::eval(a < b)) == Numbers{1, 0, 0});
    CHECK(numbers(dt::eval(a <= b)) == Numbers{1, 1, 0});
    CHECK(numbers(dt::eval(a > b)) == Numbers{0, 0, 1});
    CHECK(numbers(dt::eval(a >= b)) == Numbers{0, 1, 1});
    CHECK(numbers(dt::eval(dt::equal(a, b))) == Numbers{0, 1, 0});
    CHECK(numbers(dt::eval(dt::not_equal(a, b))) == Numbers{1, 0, 1});
    CHECK(numbers(dt::eval(2 < a)) == Numbers{0, 0, 1});
  }
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({nan}));
  for (const dt::Var y : {x<0, x <= 0, x> 0, x >= 0, dt::equal(x, x)})
    CHECK(dt::eval(y).item() == 0);
  CHECK(dt::eval(dt::not_equal(x, x)).item() == 1);
}

TEST_CASE("long operands, whose tail is no full register") {
  Numbers values;
  Numbers below;
  for (int i = 0; i < 1027; ++i) {
    values.push_back(i % 7);
    below.push_back(i % 7 < 3 ? 1 : 0);
  }
  dt::Graph graph;
  CHECK(numbers(dt::eval(graph.constant(tensor(values, dt::float32)) < 3)) == below);
  CHECK(numbers(dt::eval(graph.constant(tensor(values, dt::int64)) < 3)) == below);
}

TEST_CASE("== compares handles, equal compares values") {
  dt::Graph graph;
  const dt::Var a = graph.constant(tensor({1}));
  const dt::Var b = graph.constant(tensor({1}));
  CHECK(a == a);
  CHECK_FALSE(a == b);
  CHECK(dt::eval(dt::equal(a, b)).item() == 1);
}

TEST_CASE("logic is that of its truth tables") {
  dt::Graph graph;
  const dt::Var a = graph.constant(truths({0, 0, 1, 1}));
  const dt::Var b = graph.constant(truths({0, 1, 0, 1}));
  CHECK(numbers(dt::eval(dt::logical_and(a, b))) == Numbers{0, 0, 0, 1});
  CHECK(numbers(dt::eval(dt::logical_or(a, b))) == Numbers{0, 1, 1, 1});
  CHECK(numbers(dt::eval(dt::logical_xor(a, b))) == Numbers{0, 1, 1, 0});
  CHECK(numbers(dt::eval(dt::logical_not(a))) == Numbers{1, 1, 0, 0});
  CHECK(numbers(dt::eval(dt::logical_and(a, true))) == Numbers{0, 0, 1, 1});
  CHECK(numbers(dt::eval(dt::equal(a, b))) == Numbers{1, 0, 0, 1});
  CHECK(numbers(dt::eval(dt::not_equal(a, b))) == Numbers{0, 1, 1, 0});
  const dt::Var x = graph.constant(tensor({1}));
  const std::string text = error_of<dt::TypeError>([&] { dt::logical_not(x); });
  CHECK(has(text, "must be bool"));
}

TEST_CASE("where chooses, broadcasts and promotes its branches") {
  dt::Graph graph;
  const dt::Var c = graph.constant(truths({1, 0, 1}));
  const dt::Var a = graph.constant(tensor({1, 2, 3}, dt::float32));
  CHECK(numbers(dt::eval(dt::where(c, a, -1))) == Numbers{1, -1, 3});
  CHECK(dt::where(c, a, -1).dtype() == dt::float32);
  CHECK(dt::where(c, dt::Tensor::of({1, 2, 3}), a).dtype() == dt::float32);
  CHECK(dt::where(c, a, graph.constant(0.0, dt::float64)).dtype() == dt::float64);
  CHECK(dt::where(c, dt::Tensor::of({1, 2, 3}), 7).dtype() == dt::int64);
  CHECK(numbers(dt::eval(dt::where(c, dt::Tensor::of({1, 2, 3}), 7))) == Numbers{1, 7, 3});
  CHECK(numbers(dt::eval(dt::where(c, truths({0, 0, 1}), true))) == Numbers{0, 1, 1});
  const dt::Var column = graph.constant(dt::Tensor{{1}, {2}});
  CHECK(dt::where(c, column, 0).shape() == dt::Shape{2, 3});
  CHECK(numbers(dt::eval(dt::where(c, column, 0))) == Numbers{1, 0, 1, 2, 0, 2});
  const std::string text = error_of<dt::TypeError>([&] { dt::where(a, a, a); });
  CHECK(has(text, "must be bool"));
}

TEST_CASE("where's derivative follows the choice, with a tangent in one branch or in both") {
  dt::Graph graph;
  const dt::Var c = graph.constant(truths({1, 0}));
  const dt::Var a = graph.constant(tensor({1, 2}));
  const dt::Var b = graph.constant(tensor({3, 4}));
  const dt::Var y = dt::where(c, a, b);
  CHECK(derivative(y, a) == Numbers{1, 0});
  CHECK(derivative(y, b) == Numbers{0, 1});
  CHECK(derivative(dt::where(c, a, 5), a) == Numbers{1, 0});
  CHECK(derivative(dt::where(c, a * a, 3 * a), a) == Numbers{2, 3});
  CHECK(derivative(dt::where(c, a, nan), a) == Numbers{1, 0});
  // Nested: d2/da2 of the chosen a^3 is 6a.
  const dt::Var once =
      dt::forward(dt::where(c, a * a * a, a), {a}, {graph.constant(tensor({1, 1}))});
  CHECK(derivative(once, a) == Numbers{6, 0});
}

TEST_CASE("cast converts as Tensor::to does") {
  const Numbers values{-1.75, 0, 0.5, 1.75, 300};
  const dt::DType all[] = {dt::boolean, dt::int32, dt::int64, dt::float32, dt::float64};
  for (const dt::DType from : all) {
    for (const dt::DType to : all) {
      dt::Graph graph;
      const dt::Tensor x = tensor(values, from);
      const dt::Var y = dt::cast(graph.constant(x), to);
      CHECK(y.dtype() == to);
      CHECK(dt::identical(dt::eval(y), x.to(to)));
    }
  }
}

TEST_CASE("cast to the same dtype is no node") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {2});
  CHECK(dt::cast(x, dt::float32) == x);
}

TEST_CASE("cast is differentiable between floats, and stops at integers") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1, 2}));
  const dt::Var y = dt::square(dt::cast(x, dt::float32));
  CHECK(y.dtype() == dt::float32);
  CHECK(derivative(y, x) == Numbers{2, 4});

  const dt::Var whole = 2 * dt::cast(dt::cast(x, dt::int64), dt::float64);
  const dt::Gradients gradients =
      dt::vjp({whole}, {x}, {graph.constant(tensor({1, 1}))}, dt::Unreachable::zero);
  CHECK(numbers(dt::eval(gradients[x])) == Numbers{0, 0});
}

}  // namespace
