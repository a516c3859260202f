#include <doctest/doctest.h>

#include <limits>
#include <string>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/shapes.hpp>

#include "known.hpp"

using namespace known;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

// Both partial derivatives of a binary operator at (a, b).
std::pair<double, double> partials(dt::Var (*op)(dt::In, dt::In), double a, double b) {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {}, dt::float64);
  const dt::Var y = graph.input("y", {}, dt::float64);
  const dt::Gradients gradients = dt::reverse(op(x, y), {x, y}, dt::Unreachable::zero);
  dt::Program program = dt::compile(gradients.all());
  const dt::Outputs out = program.run({{x, dt::Tensor::scalar(a)}, {y, dt::Tensor::scalar(b)}});
  return {out[gradients[x]].item(), out[gradients[y]].item()};
}

TEST_CASE("one-number arithmetic and its derivatives are the textbook's") {
  const Numbers any{-2.5, -1, -0.25, 0.5, 1, 3};
  const Numbers positive{0.25, 0.5, 1, 3, 9};
  check_unary(
      dt::neg, [](double x) { return -x; }, [](double) { return -1; }, any);
  check_unary(
      dt::abs, [](double x) { return std::abs(x); }, [](double x) { return x < 0 ? -1 : 1; }, any);
  check_unary(
      dt::square, [](double x) { return x * x; }, [](double x) { return 2 * x; }, any);
  check_unary(
      dt::sqrt, [](double x) { return std::sqrt(x); }, [](double x) { return 0.5 / std::sqrt(x); },
      positive);
  check_unary(
      dt::rsqrt, [](double x) { return 1 / std::sqrt(x); },
      [](double x) { return -0.5 * std::pow(x, -1.5); }, positive);
  check_unary(
      dt::reciprocal, [](double x) { return 1 / x; }, [](double x) { return -1 / (x * x); }, any);
}

TEST_CASE("operators of Var do what they say, with literals on either side") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::Tensor{1, 2, 4});
  const dt::Var y = graph.constant(dt::Tensor{2, 2, 2});
  CHECK(numbers(dt::eval(x + y)) == Numbers{3, 4, 6});
  CHECK(numbers(dt::eval(x - y)) == Numbers{-1, 0, 2});
  CHECK(numbers(dt::eval(x * y)) == Numbers{2, 4, 8});
  CHECK(numbers(dt::eval(x / y)) == Numbers{0.5, 1, 2});
  CHECK(numbers(dt::eval(-x)) == Numbers{-1, -2, -4});
  CHECK(numbers(dt::eval(1 - x)) == Numbers{0, -1, -3});
  CHECK(numbers(dt::eval(4 / x)) == Numbers{4, 2, 1});
  CHECK(numbers(dt::eval(0.5 * x)) == Numbers{0.5, 1, 2});
  CHECK(numbers(dt::eval(x + dt::Tensor{10, 20, 30})) == Numbers{11, 22, 34});
  const dt::Parameter p("p", dt::Tensor{1, 1, 1});
  CHECK(numbers(dt::eval(x * p + p)) == Numbers{2, 3, 5});
}

TEST_CASE("integers stay integers and wrap around; division makes floats") {
  dt::Graph graph;
  const dt::Var a = graph.constant(dt::Tensor::of({7, -3, 0}));
  const dt::Var b = graph.constant(dt::Tensor::of({2, 5, -4}));
  CHECK((a + b).dtype() == dt::int64);
  CHECK(numbers(dt::eval(a + b)) == Numbers{9, 2, -4});
  CHECK(numbers(dt::eval(a - b)) == Numbers{5, -8, 4});
  CHECK(numbers(dt::eval(a * b)) == Numbers{14, -15, 0});
  CHECK(numbers(dt::eval(-a)) == Numbers{-7, 3, 0});
  CHECK(numbers(dt::eval(dt::abs(a))) == Numbers{7, 3, 0});
  CHECK(numbers(dt::eval(dt::sign(a))) == Numbers{1, -1, 0});
  CHECK(numbers(dt::eval(dt::square(a))) == Numbers{49, 9, 0});
  CHECK(numbers(dt::eval(dt::maximum(a, b))) == Numbers{7, 5, 0});
  CHECK(numbers(dt::eval(dt::minimum(a, b))) == Numbers{2, -3, -4});
  CHECK(numbers(dt::eval(dt::clamp(a, -1, 3))) == Numbers{3, -1, 0});
  CHECK((a / b).dtype() == dt::float32);
  CHECK(numbers(dt::eval(a / 2)) == Numbers{3.5, -1.5, 0});

  const std::int32_t most = std::numeric_limits<std::int32_t>::max();
  const dt::Var top = graph.constant(dt::Tensor::scalar(most));
  CHECK(dt::eval(top + 1).item<std::int64_t>() == std::numeric_limits<std::int32_t>::min());
}

TEST_CASE("two-number derivatives are the textbook's") {
  CHECK(partials(dt::add, 3, 5) == std::pair{1.0, 1.0});
  CHECK(partials(dt::sub, 3, 5) == std::pair{1.0, -1.0});
  CHECK(partials(dt::mul, 3, 5) == std::pair{5.0, 3.0});
  CHECK(partials(dt::div, 3, 4) == std::pair{0.25, -0.1875});
  CHECK(partials(dt::maximum, 3, 5) == std::pair{0.0, 1.0});
  CHECK(partials(dt::minimum, 3, 5) == std::pair{1.0, 0.0});
  const auto [base, exponent] = partials(dt::pow, 3, 2.5);
  CHECK(base == doctest::Approx(2.5 * std::pow(3, 1.5)).epsilon(1e-14));
  CHECK(exponent == doctest::Approx(std::log(3) * std::pow(3, 2.5)).epsilon(1e-14));
}

TEST_CASE("at a kink the derivative is the documented choice") {
  CHECK(partials(dt::maximum, 2, 2) == std::pair{0.5, 0.5});
  CHECK(partials(dt::minimum, 2, 2) == std::pair{0.5, 0.5});
  dt::Graph graph;
  const dt::Var zero = graph.constant(dt::zeros({1}, dt::float64));
  CHECK(derivative(dt::abs(zero), zero) == Numbers{0});
  const dt::Var x = graph.constant(tensor({-2, -1, 0, 1, 2}));
  CHECK(derivative(dt::clamp(x, -1, 1), x) == Numbers{0, 1, 1, 1, 0});
}

TEST_CASE("clamp's bounds have derivatives where they are reached") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({-2, 0, 2}));
  const dt::Var low = graph.constant(tensor({-1, -1, -1}));
  const dt::Var high = graph.constant(tensor({1, 1, 1}));
  CHECK(derivative(dt::clamp(x, low, high), low) == Numbers{1, 0, 0});
  CHECK(derivative(dt::clamp(x, low, high), high) == Numbers{0, 0, 1});
  // Crossed bounds give `high` everywhere, and all of the derivative goes there.
  CHECK(numbers(dt::eval(dt::clamp(x, high, low))) == Numbers{-1, -1, -1});
  CHECK(derivative(dt::clamp(x, high, low), low) == Numbers{1, 1, 1});
  CHECK(derivative(dt::clamp(x, high, low), x) == Numbers{0, 0, 0});
  CHECK(derivative(dt::clamp(x, high, low), high) == Numbers{0, 0, 0});
}

TEST_CASE("powers with a literal exponent, and at zero") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({-2, 0, 3}));
  CHECK(derivative(dt::pow(x, 0), x) == Numbers{0, 0, 0});
  CHECK(derivative(dt::pow(x, 1), x) == Numbers{1, 1, 1});
  CHECK(derivative(dt::pow(x, 2), x) == Numbers{-4, 0, 6});
  CHECK(derivative(dt::pow(x, 3), x) == Numbers{12, 0, 27});
  CHECK(partials(dt::pow, 0, 0).first == 0);
  CHECK(partials(dt::pow, 0, 3).second == 0);
  CHECK(partials(dt::pow, 0, 1).first == 1);
  CHECK(std::isnan(at([](dt::In v) { return dt::pow(v, 0.5); }, -1)));
}

TEST_CASE("powers at the corners of their domain") {
  CHECK(partials(dt::pow, 0, -1).second == 0);
  CHECK(partials(dt::pow, 0, 0) == std::pair{0.0, 0.0});
  CHECK(partials(dt::pow, 0, 0.5) == std::pair{inf, 0.0});
  CHECK(partials(dt::pow, nan, 0).first == 0);
  CHECK(partials(dt::pow, 1, nan).second == 0);
  CHECK(partials(dt::pow, inf, -1) == std::pair{0.0, 0.0});
  CHECK(partials(dt::pow, 0.5, inf) == std::pair{0.0, 0.0});
  const auto [base, exponent] = partials(dt::pow, -2, 3);
  CHECK(base == 12);
  CHECK(std::isnan(exponent));
}

TEST_CASE("a slope chosen by comparing is NaN where an operand is") {
  for (const auto op : {dt::maximum, dt::minimum}) {
    for (const auto& [a, b] : {std::pair{nan, 1.0}, std::pair{1.0, nan}}) {
      CHECK(std::isnan(partials(op, a, b).first));
      CHECK(std::isnan(partials(op, a, b).second));
    }
  }
  CHECK(std::isnan(slopes_at(dt::abs, nan).first));
  CHECK(std::isnan(slopes_at([](dt::In v) { return dt::clamp(v, -1, 1); }, nan).first));
}

TEST_CASE("NaN stays NaN and infinities go where they should") {
  CHECK(std::isnan(at([](dt::In v) { return dt::maximum(v, 0); }, nan)));
  CHECK(std::isnan(at([](dt::In v) { return dt::maximum(0, v); }, nan)));
  CHECK(std::isnan(at([](dt::In v) { return dt::minimum(v, 0); }, nan)));
  CHECK(std::isnan(at([](dt::In v) { return dt::clamp(v, -1, 1); }, nan)));
  CHECK(std::isnan(at(dt::sign, nan)));
  CHECK(std::isnan(at(dt::sqrt, -1)));
  CHECK(at(dt::reciprocal, 0) == inf);
  CHECK(at(dt::reciprocal, -0.0) == -inf);
  CHECK(at(dt::sign, -inf) == -1);
  CHECK(std::signbit(at(dt::neg, 0.0)));
}

TEST_CASE("the second derivative of x^3 is 6x in either nesting") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({-1, 0.5, 2}));
  const dt::Var ones = graph.constant(tensor({1, 1, 1}));
  const dt::Var y = x * x * x;
  const dt::Var tangent = dt::forward(y, {x}, {ones});
  CHECK(derivative(tangent, x) == Numbers{-6, 3, 12});
  const dt::Var cotangent = dt::vjp({y}, {x}, {ones})[x];
  CHECK(derivative(cotangent, x) == Numbers{-6, 3, 12});
}

TEST_CASE("a broadcast operand's gradient is summed to its shape") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::Tensor{{1, 2, 3}, {4, 5, 6}});
  const dt::Var b = graph.constant(dt::Tensor{10, 20, 30});
  const dt::Var ones = graph.constant(dt::ones({2, 3}));
  const dt::Gradients gradients = dt::vjp({x * b}, {x, b}, {ones});
  CHECK(numbers(dt::eval(gradients[b])) == Numbers{5, 7, 9});
  CHECK(numbers(dt::eval(gradients[x])) == Numbers{10, 20, 30, 10, 20, 30});
}

TEST_CASE("shapes that do not broadcast are named, with the line and a mend") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {64, 10});
  const dt::Var y = graph.input("y", {64});
  const int line = __LINE__ + 1;
  const std::string text = error_of<dt::ShapeError>([&] { x + y; });
  CAPTURE(text);
  CHECK(has(text, "[add"));
  CHECK(has(text, "(64, 10)"));
  CHECK(has(text, "(64,)"));
  CHECK(has(text, "arithmetic_test.cpp:" + std::to_string(line)));
  CHECK(has(text, "unsqueeze"));
}

TEST_CASE("truth values are no numbers") {
  dt::Graph graph;
  const dt::Var mask = graph.input("mask", {3}, dt::boolean);
  const std::string text = error_of<dt::TypeError>([&] { mask + mask; });
  CAPTURE(text);
  CHECK(has(text, "bool (3,)"));
  CHECK(has(text, "cast"));
}

// d/da of a power whose exponent is an operand, and of one that is a literal.
Numbers slopes_by_base(double a, double b, dt::DType dtype) {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({a}, dtype));
  const dt::Var y = graph.constant(tensor({b}, dtype));
  return {derivative(dt::pow(x, y), x)[0], derivative(dt::pow(x, b), x)[0]};
}

TEST_CASE("slopes of powers whose exponent has no float next to it") {
  for (const double b : {16777216.0, 16777218.0, 33554432.0, 0x1p60, -16777216.0, -0x1p40}) {
    CAPTURE(b);
    CHECK(slopes_by_base(-1, b, dt::float32) == Numbers{-b, -b});
    CHECK(slopes_by_base(1, b, dt::float32) == Numbers{b, b});
    CHECK(slopes_by_base(-1, b, dt::float64) == Numbers{-b, -b});
  }
  CHECK(slopes_by_base(-1, 0x1p54, dt::float64) == Numbers{-0x1p54, -0x1p54});
  CHECK(slopes_by_base(0, 0x1p54, dt::float64) == Numbers{0, 0});
  CHECK(slopes_by_base(0.5, 0x1p25, dt::float32) == Numbers{0, 0});
}

TEST_CASE("second slopes of powers next to 0 of tiny bases") {
  const auto second = [](double a, double b) {
    dt::Graph graph;
    const dt::Var x = graph.constant(tensor({a}, dt::float32));
    const dt::Var y = graph.constant(tensor({b}, dt::float32));
    const dt::Var v = graph.constant(tensor({1}, dt::float32));
    const dt::Var slope = dt::forward(dt::pow(x, y), {x}, {v});
    return derivative(slope, x)[0];
  };
  CHECK(second(1e-20, 0) == 0);
  CHECK(second(3e-25, -3e-25) == doctest::Approx(1 / 3e-25).epsilon(1e-6));
  CHECK(second(2, 0) == 0);
}

}  // namespace

TEST_CASE("a Var is added to, subtracted from, multiplied and divided in place") {
  using namespace dt;
  Graph g;
  const Var x = g.constant(Tensor{2, 4});
  Var y = x;
  const Var before = y;
  y += x;
  y -= 1;
  y *= Tensor{2, 3};
  y /= 2.0;
  CHECK(identical(eval(y), Tensor{3, 10.5}));
  CHECK(before == x);  // which other Vars are unaffected by
  (y += 1) *= 2;
  CHECK(identical(eval(y), Tensor{8, 23}));
  try {
    y += Tensor{1, 2, 3};
    FAIL("no error");
  } catch (const ShapeError& error) {
    CHECK(std::string(error.what()).find("arithmetic_test.cpp:") != std::string::npos);
  }
}

double value_of(const dt::MaybeVar& x) { return x ? numbers(dt::eval(*x))[0] : 0; }

// d2/da db of a power in each nesting that takes one operand after the other.
Numbers mixed_slopes_of_power(double a, double b, dt::DType dtype) {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({a}, dtype));
  const dt::Var y = graph.constant(tensor({b}, dtype));
  const dt::Var one = graph.constant(tensor({1}, dtype));
  const dt::Var z = dt::pow(x, y);
  Numbers slopes;
  for (const auto& [first, second] : {std::pair{x, y}, std::pair{y, x}})
    for (const dt::Var slope :
         {dt::forward(z, {first}, {one}), dt::reverse(dt::reshape(z, {}), {first})[first]}) {
      slopes.push_back(value_of(dt::forward_all({slope}, {second}, {one})[0]));
      const dt::Var whole = dt::reshape(slope, {});
      slopes.push_back(value_of(dt::reverse(whole, {second}, dt::Unreachable::zero)[second]));
    }
  return slopes;
}

TEST_CASE("at base 0 the exponent of a power counts as a constant, in every nesting") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const double exponent : {-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0}) {
      CAPTURE(exponent);
      check_close(mixed_slopes_of_power(0, exponent, dtype), Numbers(8, 0), 0);
    }
}

TEST_CASE("the mixed slope of a power whose base has a denormal reciprocal") {
  const double wanted = 2.3144827856505154e-34;
  const double a = static_cast<double>(3e38F);
  for (const double slope : mixed_slopes_of_power(a, static_cast<double>(0.1F), dt::float32))
    CHECK(slope == doctest::Approx(wanted).epsilon(2e-5).scale(0));
}
