// Inverse trigonometric and hyperbolic functions and the remainder against <cmath> and Python.
#include <doctest/doctest.h>

#include <limits>
#include <numbers>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/trigonometry.hpp>

#include "known.hpp"

using namespace known;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double pi = std::numbers::pi;

TEST_CASE("inverse and hyperbolic functions and their derivatives are the textbook's") {
  const Numbers inside{-0.9, -0.5, 0, 0.25, 0.75};
  const Numbers any{-3, -1, -0.25, 0, 0.5, 2};
  check_unary(
      dt::asin, [](double x) { return std::asin(x); },
      [](double x) { return 1 / std::cos(std::asin(x)); }, inside);
  check_unary(
      dt::acos, [](double x) { return std::acos(x); },
      [](double x) { return -1 / std::sin(std::acos(x)); }, inside);
  check_unary(
      dt::atan, [](double x) { return std::atan(x); },
      [](double x) { return std::cos(std::atan(x)) * std::cos(std::atan(x)); }, any);
  check_unary(
      dt::sinh, [](double x) { return std::sinh(x); }, [](double x) { return std::cosh(x); }, any);
  check_unary(
      dt::cosh, [](double x) { return std::cosh(x); }, [](double x) { return std::sinh(x); }, any);
}

TEST_CASE("atan2 knows all four quadrants, and its derivative is the rotation's") {
  dt::Graph graph;
  const dt::Var y = graph.constant(tensor({0, 1, 1, 0, -1, -1, 2}));
  const dt::Var x = graph.constant(tensor({1, 1, -1, -1, -1, 1, 0}));
  const dt::Var angle = dt::atan2(y, x);
  check_close(numbers(dt::eval(angle)), {0, pi / 4, 3 * pi / 4, pi, -3 * pi / 4, -pi / 4, pi / 2},
              1e-15);
  check_close(derivative(angle, y), {1, 0.5, -0.5, -1, -0.5, 0.5, 0}, 1e-15);
  check_close(derivative(angle, x), {0, -0.5, -0.5, 0, 0.5, 0.5, -0.5}, 1e-15);
}

TEST_CASE("inverse hyperbolic functions undo the others, at both ends of their range") {
  const Numbers any{-3, -1, -0x1p-30, 0, 0x1p-30, 0.5, 2};
  check_unary(
      dt::asinh, [](double x) { return std::asinh(x); },
      [](double x) { return 1 / std::cosh(std::asinh(x)); }, any);
  check_unary(
      dt::acosh, [](double x) { return std::acosh(x); },
      [](double x) { return 1 / std::sinh(std::acosh(x)); }, {1.25, 2, 3, 1e3});
  check_unary(
      dt::atanh, [](double x) { return std::atanh(x); }, [](double x) { return 1 / (1 - x * x); },
      {-0.75, -0x1p-30, 0, 0.5});
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    CHECK(off(at(dt::acosh, 1 + 0x1p-20, dtype), 0.0013810678222475812, dtype) < 4);
    CHECK(off(slopes_at(dt::asinh, 0x1p100, dtype).first, 0x1p-100, dtype) < 4);
    CHECK(off(slopes_at(dt::acosh, 0x1p100, dtype).first, 0x1p-100, dtype) < 4);
  }
}

TEST_CASE("distance and angle neither over- nor underflow") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    dt::Graph graph;
    for (const double scale : {0x1p-100, 1.0, 0x1p100}) {
      const dt::Var y = graph.constant(tensor({3 * scale}, dtype));
      const dt::Var x = graph.constant(tensor({4 * scale}, dtype));
      const dt::Var length = dt::hypot(y, x);
      CHECK(off(numbers(dt::eval(length))[0], 5 * scale, dtype) < 2);
      CHECK(off(derivative(length, y)[0], 0.6, dtype) < 4);
      CHECK(off(derivative(length, x)[0], 0.8, dtype) < 4);
      const dt::Var angle = dt::atan2(y, x);
      CHECK(off(derivative(angle, y)[0], 0.16 / scale, dtype) < 4);
      CHECK(off(derivative(angle, x)[0], -0.12 / scale, dtype) < 4);
    }
    const dt::Var zero = graph.constant(tensor({0}, dtype));
    CHECK(derivative(dt::hypot(zero, 2.0 * zero), zero) == Numbers{0});
  }
}

TEST_CASE("special values are those of C") {
  CHECK(std::isnan(at(dt::asin, 1.5)));
  CHECK(std::isnan(at(dt::acos, -1.5)));
  CHECK(at(dt::acos, 1) == 0);
  CHECK(at(dt::atan, inf) == doctest::Approx(pi / 2).epsilon(1e-15));
  CHECK(at(dt::sinh, -inf) == -inf);
  CHECK(at(dt::cosh, -inf) == inf);
  CHECK(std::isfinite(at(dt::sinh, 89, dt::float32)));  // where e^x is infinite already
  for (const auto op :
       {dt::asin, dt::acos, dt::atan, dt::sinh, dt::cosh, dt::asinh, dt::acosh, dt::atanh}) {
    CHECK(std::isnan(at(op, nan)));
    CHECK(std::isnan(at(op, nan, dt::float32)));
  }
}

TEST_CASE("mod has the sign of the divisor, as Python's %") {
  for (const dt::DType dtype : {dt::float64, dt::float32}) {
    dt::Graph graph;
    const dt::Var a = graph.constant(tensor({7, -7, 7, -7, 5.5, -0.25, 0}, dtype));
    const dt::Var b = graph.constant(tensor({3, 3, -3, -3, 2, 1, 5}, dtype));
    const dt::Var y = dt::mod(a, b);
    CHECK(y.dtype() == dtype);
    CHECK(numbers(dt::eval(y)) == Numbers{1, 2, -2, -1, 1.5, 0.75, 0});
    CHECK(derivative(y, a) == Numbers{1, 1, 1, 1, 1, 1, 1});
    CHECK(derivative(y, b) == Numbers{-2, 3, 3, -2, -2, 1, 0});  // -floor(a / b)
  }
}

TEST_CASE("mod keeps integers and refuses truth values") {
  dt::Graph graph;
  const dt::Var y = dt::mod(graph.constant(dt::Tensor::of({7, -7, 9, 4})),
                            graph.constant(dt::Tensor::of({3, 3, -4, 0})));
  CHECK(y.dtype() == dt::int64);
  CHECK(numbers(dt::eval(y)) == Numbers{1, 2, -3, 0});
  const dt::Var truth = graph.constant(dt::Tensor(true));
  const std::string text = error_of<dt::TypeError>([&] { dt::mod(truth, truth); });
  CHECK(has(text, "mod"));
  CHECK(has(text, "bool"));
}

}  // namespace
