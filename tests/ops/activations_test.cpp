#include <doctest/doctest.h>

#include <limits>
#include <numbers>

#include <dualtape/ops/activations.hpp>

#include "known.hpp"

using namespace known;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

double logistic(double x) { return 1 / (1 + std::exp(-x)); }
double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }
double normal_pdf(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi); }

TEST_CASE("activations and their derivatives are the textbook's") {
  const Numbers any{-4, -2.5, -1, -0.25, 0.5, 1, 3};
  check_unary(
      dt::sigmoid, logistic, [](double x) { return logistic(x) * logistic(-x); }, any);
  check_unary(
      dt::logsigmoid, [](double x) { return std::log(logistic(x)); },
      [](double x) { return logistic(-x); }, any);
  check_unary(
      dt::softplus, [](double x) { return std::log(1 + std::exp(x)); }, logistic, any);
  check_unary(
      dt::relu, [](double x) { return x > 0 ? x : 0; }, [](double x) { return x > 0 ? 1 : 0; },
      any);
  check_unary([](dt::In x) { return dt::leaky_relu(x, 0.25); },
              [](double x) { return x > 0 ? x : 0.25 * x; },
              [](double x) { return x > 0 ? 1 : 0.25; }, any);
  check_unary([](dt::In x) { return dt::elu(x, 1.5); },
              [](double x) { return x > 0 ? x : 1.5 * std::expm1(x); },
              [](double x) { return x > 0 ? 1 : 1.5 * std::exp(x); }, any);
  check_unary(
      dt::gelu, [](double x) { return x * normal_cdf(x); },
      [](double x) { return normal_cdf(x) + x * normal_pdf(x); }, any);
  check_unary(
      dt::silu, [](double x) { return x * logistic(x); },
      [](double x) { return logistic(x) * (1 + x * logistic(-x)); }, any);
  const auto soft = [](double x) { return std::tanh(std::log1p(std::exp(x))); };
  check_unary(
      dt::mish, [=](double x) { return x * soft(x); },
      [=](double x) { return soft(x) + x * logistic(x) * (1 - soft(x) * soft(x)); }, any);
  check_unary(
      dt::selu,
      [](double x) {
        return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * std::expm1(x));
      },
      [](double x) { return 1.0507009873554805 * (x > 0 ? 1 : 1.6732632423543772 * std::exp(x)); },
      any);
  check_unary([](dt::In x) { return dt::celu(x, 0.5); },
              [](double x) { return x > 0 ? x : 0.5 * std::expm1(2 * x); },
              [](double x) { return x > 0 ? 1 : std::exp(2 * x); }, any);
  check_unary([](dt::In x) { return dt::hardtanh(x, -2, 0.75); },
              [](double x) { return std::min(std::max(x, -2.0), 0.75); },
              [](double x) { return x > -2 && x < 0.75 ? 1 : 0; }, any);
  check_unary(
      dt::hardsigmoid, [](double x) { return std::min(std::max(x / 6 + 0.5, 0.0), 1.0); },
      [](double x) { return std::abs(x) < 3 ? 1.0 / 6 : 0; }, any);
  check_unary(
      dt::hardswish, [](double x) { return x * std::min(std::max(x / 6 + 0.5, 0.0), 1.0); },
      [](double x) { return std::abs(x) < 3 ? x / 3 + 0.5
                            : x > 0         ? 1
                                            : 0; }, any);
}

TEST_CASE("selu keeps a standard normal's mean and variance") {
  // By the trapezium rule over -12 .. 12, where the density is below 1e-31.
  double mean = 0, square = 0;
  constexpr double step = 1.0 / 256;
  Numbers points;
  for (double x = -12; x <= 12; x += step) points.push_back(x);
  dt::Graph graph;
  const Numbers values = numbers(dt::eval(dt::selu(graph.constant(tensor(points)))));
  for (std::size_t i = 0; i < points.size(); ++i) {
    mean += values[i] * normal_pdf(points[i]) * step;
    square += values[i] * values[i] * normal_pdf(points[i]) * step;
  }
  CHECK(std::abs(mean) < 2e-6);
  CHECK(square == doctest::Approx(1).epsilon(2e-6));
}

TEST_CASE("slopes far below 0 keep their digits") {
  dt::Graph g;
  const dt::Var x = g.input("x", {}, dt::float64);
  const auto check_slope = [&](dt::Var y, double wanted) {
    const dt::Var dy = dt::reverse(y, {x})[x];
    const double slope = numbers(dt::compile({dy}).run({{x, dt::Tensor::scalar(-30.0)}})[dy])[0];
    CHECK(std::abs(slope / wanted - 1) < 1e-14);
  };
  check_slope(dt::elu(x, 1.5), 1.5 * std::exp(-30.0));
  check_slope(dt::selu(x), 1.0507009873554805 * 1.6732632423543772 * std::exp(-30.0));
  check_slope(dt::celu(x, 2), std::exp(-15.0));
}

TEST_CASE("large arguments neither overflow nor lose their digits") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    CHECK(at(dt::softplus, 1000, dtype) == 1000);
    CHECK(at(dt::softplus, -1000, dtype) == 0);
    CHECK(at(dt::logsigmoid, -1000, dtype) == -1000);
    CHECK(at(dt::logsigmoid, 1000, dtype) == 0);
    CHECK(at(dt::sigmoid, 1000, dtype) == 1);
    CHECK(at(dt::sigmoid, -1000, dtype) == 0);
    CHECK(at(dt::silu, 1000, dtype) == 1000);
    CHECK(at(dt::silu, -1000, dtype) == 0);
    CHECK(at(dt::gelu, 1000, dtype) == 1000);
    CHECK(at(dt::gelu, -1000, dtype) == 0);
    CHECK(at([](dt::In x) { return dt::elu(x); }, -1000, dtype) == -1);
    CHECK(at([](dt::In x) { return dt::elu(x); }, 1000, dtype) == 1000);
    CHECK(at(dt::mish, 1000, dtype) == 1000);
    CHECK(at(dt::mish, -1000, dtype) == 0);
    CHECK(at([](dt::In x) { return dt::celu(x, 3); }, -1000, dtype) == -3);
    CHECK(at(dt::selu, 1000, dtype) == doctest::Approx(1050.7009873554805).epsilon(1e-7));
    CHECK(at(dt::hardswish, -1000, dtype) == 0);
  }
  // Small results are right to float32's digits relative to themselves.
  CHECK(std::abs(at(dt::sigmoid, -50, dt::float32) / std::exp(-50.0) - 1) < 1e-6);
  CHECK(std::abs(at(dt::softplus, -50, dt::float32) / std::exp(-50.0) - 1) < 1e-6);
  CHECK(at(dt::logsigmoid, 50, dt::float32) == doctest::Approx(-std::exp(-50.0)).epsilon(1e-6));
}

TEST_CASE("derivatives far out are finite") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({-1000, 1000}));
  check_close(derivative(dt::sigmoid(x), x), {0, 0}, 0);
  check_close(derivative(dt::softplus(x), x), {0, 1}, 0);
  check_close(derivative(dt::logsigmoid(x), x), {1, 0}, 0);
  check_close(derivative(dt::elu(x), x), {0, 1}, 0);
  check_close(derivative(dt::gelu(x), x), {0, 1}, 0);
  check_close(derivative(dt::silu(x), x), {0, 1}, 0);
  check_close(derivative(dt::mish(x), x), {0, 1}, 0);
  check_close(derivative(dt::celu(x), x), {0, 1}, 0);
  // Where functions level off or go straight, so they do at infinity.
  const dt::Var ends = graph.constant(tensor({-inf, inf}));
  for (const auto op : {dt::sigmoid, dt::hardsigmoid, +[](dt::In y) { return dt::hardtanh(y); }})
    check_close(derivative(op(ends), ends), {0, 0}, 0);
  for (const auto op :
       {dt::relu, dt::softplus, dt::hardswish, +[](dt::In y) { return dt::elu(y); }})
    check_close(derivative(op(ends), ends), {0, 1}, 0);
}

TEST_CASE("a tail that cancels keeps its digits, value and first two slopes") {
  const auto f32 = dt::float32;
  CHECK(off(at(dt::gelu, -5, f32), -1.4332578593959696e-6, f32) < 4);
  CHECK(off(at(dt::gelu, -5.5, f32), -1.0444259356238246e-7, f32) < 4);
  CHECK(off(at(dt::gelu, -6, f32), -5.9195258702261888e-9, f32) < 4);
  CHECK(off(slopes_at(dt::sigmoid, 20).first, 2.0611536139418493e-9) < 8);
  CHECK(off(slopes_at(dt::sigmoid, 20).second, -2.0611536054451411e-9) < 16);
  CHECK(off(slopes_at(dt::softplus, 20).second, 2.0611536139418493e-9) < 8);
  CHECK(off(slopes_at(dt::logsigmoid, -30).second, -9.3576229688384233e-14) < 8);
}

// Forward mode over reverse mode. Reverse mode over either multiplies by e^-x before it adds what
// is x times that, and loses that part where e^-x itself is no number.
TEST_CASE("second slopes far out are there for as long as floats reach") {
  struct Known {
    dt::Var (*op)(dt::In);
    double x;
    double slope;
    dt::DType dtype;
  };
  for (const auto& [op, x, slope, dtype] :
       {Known{dt::silu, 85, -1.0093624183798452e-35, dt::float32},
        Known{dt::silu, 90, -7.2107311091116536e-38, dt::float32},
        Known{dt::silu, -90, -7.2107311091116536e-38, dt::float32},
        Known{dt::silu, 712, -4.3011761958192312e-307, dt::float64},
        Known{dt::silu, -712, -4.3011761958192312e-307, dt::float64},
        Known{dt::mish, 43, -1.5031898468768567e-35, dt::float32},
        Known{dt::mish, 45, -2.8842924436446614e-37, dt::float32},
        Known{dt::mish, -90, -7.2107311091116536e-38, dt::float32},
        Known{dt::mish, -712, -4.3011761958192312e-307, dt::float64}}) {
    const double point = x;  // for CAPTURE, which takes no structured binding
    CAPTURE(point);
    dt::Graph graph;
    const dt::Var at = graph.constant(tensor({point}, dtype));
    const dt::Var one = graph.constant(dt::ones({1}, dtype));
    const dt::Var first = dt::vjp({op(at)}, {at}, {one})[at];
    const dt::Var second = dt::forward_all({first}, {at}, {one})[0].value();
    CHECK(off(numbers(dt::eval(second))[0], slope, dtype) < 16);
  }
}

TEST_CASE("where one factor vanishes faster than the other grows, the limit is taken") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    for (const auto op : {dt::silu, dt::mish, dt::gelu, dt::hardswish}) {
      CHECK(at(op, -inf, dtype) == 0);
      CHECK(at(op, inf, dtype) == inf);
      CHECK(slopes_at(op, -inf, dtype) == std::pair{0.0, 0.0});
      CHECK(slopes_at(op, inf, dtype) == std::pair{1.0, 0.0});
    }
  }
}

TEST_CASE("a slope chosen by comparing is NaN where the operand is") {
  for (const auto op :
       {dt::hardsigmoid, dt::hardswish, +[](dt::In x) { return dt::hardtanh(x); },
        +[](dt::In x) { return dt::leaky_relu(x); }, +[](dt::In x) { return dt::elu(x); }})
    CHECK(std::isnan(slopes_at(op, nan).first));
}

TEST_CASE("at 0 the slopes of the branch taken, at second order too") {
  CHECK(slopes_at([](dt::In x) { return dt::elu(x, 1.5); }, 0) == std::pair{1.5, 1.5});
  CHECK(slopes_at([](dt::In x) { return dt::celu(x, 2); }, 0) == std::pair{1.0, 0.5});
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({0}));
  const dt::Var s = graph.constant(tensor({0.25}));
  const dt::Var y = dt::leaky_relu(x, s);
  const dt::Var one = graph.constant(tensor({1}));
  CHECK(derivative(dt::vjp({y}, {x}, {one})[x], s) == Numbers{1});
  CHECK(derivative(dt::vjp({y}, {s}, {one})[s], x) == Numbers{1});
}

TEST_CASE("celu's slope by a large alpha does not cancel") {
  dt::Graph graph;
  const dt::Var alpha = graph.constant(tensor({0x1p20}));
  const dt::Var y = dt::celu(graph.constant(tensor({-1})), alpha);
  // -u^2/2 - u^3/3 - u^4/8 - ... with u = -2^-20
  CHECK(off(derivative(y, alpha)[0], -0x1p-41 + 0x1p-60 / 3 - 0x1p-83) < 4);
}

TEST_CASE("NaN stays NaN") {
  for (const auto op :
       {dt::sigmoid, dt::logsigmoid, dt::softplus, dt::relu, dt::gelu, dt::silu, dt::mish, dt::selu,
        dt::hardsigmoid, dt::hardswish, +[](dt::In x) { return dt::celu(x); },
        +[](dt::In x) { return dt::hardtanh(x); }, +[](dt::In x) { return dt::leaky_relu(x); },
        +[](dt::In x) { return dt::elu(x); }}) {
    CHECK(std::isnan(at(op, nan)));
    CHECK(std::isnan(at(op, nan, dt::float32)));
  }
}

TEST_CASE("the kink at zero has the documented derivative") {
  dt::Graph graph;
  const dt::Var zero = graph.constant(dt::zeros({1}, dt::float64));
  CHECK(derivative(dt::relu(zero), zero) == Numbers{0});
  const dt::Var ends = graph.constant(tensor({-1, 1}));
  CHECK(derivative(dt::hardtanh(ends), ends) == Numbers{0, 0});
  CHECK(derivative(dt::leaky_relu(zero, 0.25), zero) == Numbers{0.25});
  CHECK(derivative(dt::elu(zero, 1.5), zero) == Numbers{1.5});
}

TEST_CASE("slope and alpha can be learned") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({-2, 0.5, 1000}));
  const dt::Var slope = graph.constant(tensor({0.25, 0.25, 0.25}));
  CHECK(derivative(dt::leaky_relu(x, slope), slope) == Numbers{-2, 0, 0});
  check_close(derivative(dt::elu(x, slope), slope), {std::expm1(-2), 0, 0}, 1e-15);
}

}  // namespace
