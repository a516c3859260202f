#include <doctest/doctest.h>

#include <limits>
#include <numbers>

#include <dualtape/ops/arithmetic.hpp>
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

TEST_CASE("complements and powers of products keep the digits of their tails") {
  const Numbers any{-2.5, -1, -0.25, 0, 0.5, 1, 3};
  const double root = std::sqrt(std::numbers::pi);
  check_unary(
      dt::erfc, [](double x) { return std::erfc(x); },
      [=](double x) { return -2 / root * std::exp(-x * x); }, any);
  check_unary(
      dt::normal_cdf, [](double x) { return std::erfc(-x / std::numbers::sqrt2) / 2; },
      [=](double x) { return std::exp(-x * x / 2) / (root * std::numbers::sqrt2); }, any);
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    CHECK(off(at(dt::erfc, 5.5, dtype), 7.357847917974398e-15, dtype) < 4);
    CHECK(off(at(dt::normal_cdf, -9, dtype), 1.1285884059538405e-19, dtype) < 4);
    // e^(-x^2) of an x whose square has twice the digits
    const auto bell = [](dt::In x) { return dt::exp_product(-x.var(), x); };
    CHECK(off(at(bell, 9.00048828125, dtype), 6.5815747924839554e-36, dtype) < 4);
    CHECK(off(slopes_at(dt::erf, 5.5, dtype).first, 8.2233160452629220e-14, dtype) < 16);
    CHECK(off(slopes_at(dt::tanh, 9, dtype).first, 6.0919917123232292e-8, dtype) < 16);
    CHECK(off(slopes_at(dt::expm1, -20, dtype).first, 2.0611536224385578e-9, dtype) < 16);
  }
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
  for (const auto op :
       {dt::exp, dt::expm1, dt::log, dt::log1p, dt::sin, dt::cos, dt::tan, dt::tanh, dt::erf,
        dt::erfc, dt::normal_cdf, dt::floor, dt::ceil, dt::round, dt::trunc}) {
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
