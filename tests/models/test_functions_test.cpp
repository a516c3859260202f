// The test functions at their minima and at points worked out by hand.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include <dualtape/core/program.hpp>
#include <dualtape/models/test_functions.hpp>
#include <dualtape/modes/functional.hpp>

namespace dt = dualtape;

namespace {

double at(dt::Var (*of)(dt::In), const std::vector<double>& x) {
  dt::Graph graph;
  const dt::Tensor point = dt::Tensor::from(x, dt::Shape{static_cast<std::int64_t>(x.size())});
  return dt::eval(of(graph.constant(point))).item();
}

}  // namespace

TEST_CASE("values worked out by hand") {
  CHECK(at(dt::beale, {0, 0}) == 14.203125);
  CHECK(at(dt::beale, {1.5, -0.1}) == doctest::Approx(1.869977).epsilon(1e-6));
  CHECK(at(dt::rosenbrock, {-1, 0}) == 104);
  CHECK(at(dt::rosenbrock, {0, 0, 2}) == 1 + 1 + 100 * 4);
  CHECK(at(dt::sphere, {1, -2, 3}) == 14);
  CHECK(at(dt::styblinski_tang, {1, 2}) == 0.5 * (1 - 16 + 5 + 16 - 64 + 10));
}

TEST_CASE("at the minimiser the value is the minimum, the slope zero, and all around is higher") {
  REQUIRE(dt::test_functions().size() == 4);
  for (const dt::TestFunction& function : dt::test_functions()) {
    for (const std::int64_t n : {std::int64_t{2}, std::int64_t{5}}) {
      if (!function.any_size && n != function.least_size) continue;
      CAPTURE(function.name);
      CAPTURE(n);
      const std::vector<double> least = function.minimiser(n);
      REQUIRE(least.size() == static_cast<std::size_t>(n));
      const double value = at(function.of, least);
      CHECK(std::abs(value - function.minimum(n)) <= 1e-12 * std::max(1.0, std::abs(value)));
      const auto f = [&](dt::Var x) { return function.of(x); };
      const dt::Tensor slope = dt::grad(f)(dt::Tensor::from(least, dt::Shape{n}));
      for (std::size_t i = 0; i < least.size(); ++i) {
        CHECK(std::abs(slope.data<double>()[i]) < 1e-12);
        CHECK(least[i] > function.low);
        CHECK(least[i] < function.high);
        for (const double step : {-0.01, 0.01}) {
          std::vector<double> moved = least;
          moved[i] += step;
          CHECK(at(function.of, moved) > value);
        }
      }
    }
  }
}

TEST_CASE("points along the last axis are taken together") {
  dt::Graph graph;
  const dt::Tensor grid{{0, 0}, {3, 0.5}, {1, 1}};
  const dt::Tensor values = dt::eval(dt::beale(graph.constant(grid)));
  CHECK(values.type() == dt::Type{dt::Shape{3}, dt::float32});
  CHECK(values.at({0}) == 14.203125);
  CHECK(values.at({1}) == 0);
  CHECK(values.at({2}) == doctest::Approx(at(dt::beale, {1, 1})));
  const dt::Tensor stack = dt::eval(dt::rosenbrock(graph.constant(dt::ones({2, 3, 4}))));
  CHECK(stack.shape() == dt::Shape{2, 3});
}

TEST_CASE("points of the wrong size are refused") {
  dt::Graph graph;
  CHECK_THROWS_AS(dt::beale(graph.constant(dt::zeros({3}))), dt::ShapeError);
  CHECK_THROWS_AS(dt::rosenbrock(graph.constant(dt::zeros({1}))), dt::ShapeError);
  CHECK_THROWS_AS(dt::sphere(graph.constant(dt::zeros({}))), dt::ShapeError);
}
