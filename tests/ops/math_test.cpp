#include <doctest/doctest.h>

#include <limits>
#include <numbers>

#include <dualtape/ops/math.hpp>

#include "known.hpp"

using namespace known;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

TEST_CASE("elementary functions and their derivatives are the textbook's") {
  const Numbers any{-2.5, -1, -0.25, 0, 0.5, 1, 3};
  const Numbers positive{0.125, 0.5, 1, 3, 20};
  check_unary(
      dt::exp, [](double x) { return std::exp(x); }, [](double x) { return std::exp(x); }, any);
  check_unary(
      dt::expm1, [](double x) { return std::expm1(x); }, [](double x) { return std::exp(x); }, any);
  check_unary(
      dt::log, [](double x) { return std::log(x); }, [](double x) { return 1 / x; }, positive);
  check_unary(
      dt::log1p, [](double x) { return std::log1p(x); }, [](double x) { return 1 / (1 + x); },
      {-0.5, 0, 0.25, 4});
  check_unary(
      dt::sin, [](double x) { return std::sin(x); }, [](double x) { return std::cos(x); }, any);
  check_unary(
      dt::cos, [](double x) { return std::cos(x); }, [](double x) { return -std::sin(x); }, any);
  check_unary(
      dt::tan, [](double x) { return std::tan(x); },
      [](double x) { return 1 / (std::cos(x) * std::cos(x)); }, {-1.25, -0.5, 0, 0.75, 1});
  check_unary(
      dt::tanh, [](double x) { return std::tanh(x); },
      [](double x) { return 1 / (std::cosh(x) * std::cosh(x)); }, any);
  check_unary(
      dt::erf, [](double x) { return std::erf(x); },
      [](double x) { return 2 / std::sqrt(std::numbers::pi) * std::exp(-x * x); }, any);
}

TEST_CASE("roundings") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.75}));
  CHECK(numbers(dt::eval(dt::floor(x))) == Numbers{-3, -2, -1, 0, 1, 2, 2});
  CHECK(numbers(dt::eval(dt::ceil(x))) == Numbers{-2, -1, 0, 1, 2, 3, 3});
  CHECK(numbers(dt::eval(dt::round(x))) == Numbers{-2, -2, 0, 0, 2, 2, 3});
  CHECK(numbers(dt::eval(dt::trunc(x))) == Numbers{-2, -1, 0, 0, 1, 2, 2});
}

TEST_CASE("a function of a rounding has derivative zero") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({0.25, 1.75}));
  const dt::Gradients gradients = dt::vjp({dt::exp(dt::floor(x))}, {x},
                                          {graph.constant(tensor({1, 1}))}, dt::Unreachable::zero);
  CHECK(numbers(dt::eval(gradients[x])) == Numbers{0, 0});
}

TEST_CASE("special values are those of C") {
  CHECK(at(dt::exp, -inf) == 0);
  CHECK(at(dt::exp, 1000) == inf);
  CHECK(at(dt::log, 0) == -inf);
  CHECK(std::isnan(at(dt::log, -1)));
  CHECK(at(dt::log1p, -1) == -inf);
  CHECK(at(dt::expm1, -inf) == -1);
  CHECK(at(dt::tanh, inf) == 1);
  CHECK(at(dt::erf, -inf) == -1);
  CHECK(std::isnan(at(dt::sin, inf)));
  CHECK(at(dt::expm1, 1e-12) == doctest::Approx(1e-12 + 5e-25).epsilon(1e-15).scale(0));
  CHECK(at(dt::log1p, 1e-12) == doctest::Approx(1e-12 - 5e-25).epsilon(1e-15).scale(0));
  for (const auto op : {dt::exp, dt::expm1, dt::log, dt::log1p, dt::sin, dt::cos, dt::tan, dt::tanh,
                        dt::erf, dt::floor, dt::ceil, dt::round, dt::trunc}) {
    CHECK(std::isnan(at(op, nan)));
    CHECK(std::isnan(at(op, nan, dt::float32)));
  }
}

TEST_CASE("isnan and isfinite give truth values") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({0, nan, inf, -inf, 1e308}));
  CHECK(dt::isnan(x).dtype() == dt::boolean);
  CHECK(numbers(dt::eval(dt::isnan(x))) == Numbers{0, 1, 0, 0, 0});
  CHECK(numbers(dt::eval(dt::isfinite(x))) == Numbers{1, 0, 0, 0, 1});
}

TEST_CASE("integers become float32") {
  dt::Graph graph;
  const dt::Var y = dt::exp(graph.constant(dt::Tensor::of({0, 1})));
  CHECK(y.dtype() == dt::float32);
  check_close(numbers(dt::eval(y)), {1, std::numbers::e}, 1e-6);
}

}  // namespace
