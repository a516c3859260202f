#include <doctest/doctest.h>

#include <limits>

#include <dualtape/ops/extremes.hpp>

#include "gradient.hpp"

using namespace known;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

TEST_CASE("extremes and their places") {
  for (const dt::DType dtype : {dt::float32, dt::float64, dt::int32, dt::int64}) {
    dt::Graph graph;
    const dt::Var x = graph.constant(tensor({3, -1, 4, 1, 5, -9}, dtype).reshape({2, 3}));
    CHECK(dt::max(x).dtype() == dtype);
    CHECK(dt::eval(dt::max(x)).item() == 5);
    CHECK(dt::eval(dt::min(x)).item() == -9);
    CHECK(numbers(dt::eval(dt::max(x, {0}))) == Numbers{3, 5, 4});
    CHECK(numbers(dt::eval(dt::min(x, {-1}))) == Numbers{-1, -9});
    CHECK(dt::max(x, {1}, true).shape() == dt::Shape{2, 1});
    CHECK(dt::argmax(x).dtype() == dt::int64);
    CHECK(numbers(dt::eval(dt::argmax(x))) == Numbers{2, 1});
    CHECK(numbers(dt::eval(dt::argmin(x, 0))) == Numbers{1, 0, 1});
    CHECK(dt::argmin(x, 0, true).shape() == dt::Shape{1, 3});
  }
}

TEST_CASE("the extreme is found wherever it stands in rows of any length") {
  for (const std::int64_t length : {1, 2, 7, 8, 9, 31, 32, 33, 100, 513, 1200}) {
    for (std::int64_t place = 0; place < length; place += 1 + length / 9) {
      dt::Tensor row = dt::zeros({length});
      row.data<float>()[static_cast<std::size_t>(place)] = 2;
      dt::Graph graph;
      const dt::Var x = graph.constant(row);
      CAPTURE(length);
      CHECK(dt::eval(dt::argmax(x)).item() == static_cast<double>(place));
      CHECK(dt::eval(dt::max(x)).item() == 2);
      CHECK(dt::eval(dt::min(x)).item() == (length == 1 ? 2 : 0));
      row.data<float>()[static_cast<std::size_t>(place)] = std::numeric_limits<float>::quiet_NaN();
      const dt::Var broken = graph.constant(row);
      CHECK(std::isnan(dt::eval(dt::max(broken)).item()));
      CHECK(std::isnan(dt::eval(dt::min(broken)).item()));
      CHECK(dt::eval(dt::argmin(broken)).item() == static_cast<double>(place));
      const dt::Var column = graph.constant(row.reshape({length, 1, 1}));
      CHECK(std::isnan(dt::eval(dt::max(column, {0})).item()));
    }
  }
}

TEST_CASE("the first of several places is given, and the first NaN") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({2, 7, 7, 1, 1, 7}));
  CHECK(dt::eval(dt::argmax(x)).item() == 1);
  CHECK(dt::eval(dt::argmin(x)).item() == 3);
  const dt::Var broken = graph.constant(tensor({2, nan, 9, nan}));
  CHECK(dt::eval(dt::argmax(broken)).item() == 1);
  CHECK(dt::eval(dt::argmin(broken)).item() == 1);
  const dt::Var table = graph.constant(tensor({2, 5, nan, 5, 9, nan}).reshape({3, 2}));
  CHECK(numbers(dt::eval(dt::argmax(table, 0))) == Numbers{1, 2});
  CHECK(numbers(dt::eval(dt::argmin(table, 0))) == Numbers{1, 2});
  const dt::Var ties = graph.constant(tensor({5, 5, 5, 5}).reshape({2, 2}));
  CHECK(numbers(dt::eval(dt::argmax(ties, 0))) == Numbers{0, 0});
}

TEST_CASE("infinities are numbers like others") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({-inf, -inf}));
  CHECK(dt::eval(dt::max(x)).item() == -inf);
  CHECK(dt::eval(dt::argmax(x)).item() == 0);
}

TEST_CASE("the derivative goes to the extreme and is shared by ties") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1, 6, 3, 4, 4, 2}).reshape({2, 3}));
  CHECK(gradient(dt::max(x), x) == Numbers{0, 1, 0, 0, 0, 0});
  CHECK(gradient(dt::min(x, {1}, true), x) == Numbers{1, 0, 0, 0, 0, 1});
  const dt::Var ones = graph.constant(dt::ones({2}, dt::float64));
  const dt::Tensor shared = dt::eval(dt::vjp({dt::max(x, {1})}, {x}, {ones})[x]);
  CHECK(numbers(shared) == Numbers{0, 1, 0, 0.5, 0.5, 0});
}

TEST_CASE("choosing from nothing and from bools is refused") {
  dt::Graph graph;
  const dt::Var nothing = graph.constant(dt::zeros({0, 3}));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::max(nothing); }), "no element to choose"));
  CHECK_THROWS_AS(dt::min(nothing, {0}), dt::ShapeError);
  CHECK_THROWS_AS(dt::argmax(nothing, 0), dt::ShapeError);
  CHECK(dt::eval(dt::max(nothing, {1})).shape() == dt::Shape{0});
  CHECK_THROWS_AS(dt::max(graph.constant(dt::zeros({2}, dt::boolean))), dt::TypeError);
  CHECK_THROWS_AS(dt::argmax(graph.constant(1.0, dt::float32)), dt::ShapeError);
}

}  // namespace
