// odeint_event() where events jump, are flat, or do not come, and clocks far from zero.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>

namespace dt = dualtape;

namespace {

dt::Tensor number(double x) { return dt::Tensor::scalar(x); }
using Scalar = dt::Var (*)(dt::Var t, dt::Var y);

// When g changes its sign along y' = f from y0, up to `to`.
double crossing(Scalar f, Scalar g, double y0, double to, const dt::OdeOptions& options = {}) {
  dt::Graph graph;
  const dt::Var start = graph.constant(number(y0));
  const auto hit = dt::odeint_event(f, g, start, 0.0, to, options);
  CHECK(dt::eval(hit.crossed).item<bool>());
  return dt::eval(hit.t).item();
}

dt::Var one(dt::Var, dt::Var y) { return dt::ones_like(y); }
dt::Var falls(dt::Var, dt::Var y) { return -y; }

}  // namespace

TEST_CASE("a time at which g jumps or has no slope is the one that was found") {
  CHECK(crossing(
            one,
            [](dt::Var, dt::Var y) { return dt::where(y > 1.0, 5.0 * (y - 1.0) + 1.0, y - 1.5); },
            0, 2) == doctest::Approx(1).epsilon(1e-6));
  CHECK(crossing(
            falls, [](dt::Var t, dt::Var y) { return dt::where(t > 0.7, y, -y); }, 1, 2) ==
        doctest::Approx(0.7).epsilon(1e-6));
  CHECK(crossing(
            falls, [](dt::Var, dt::Var y) { return dt::where(y > 0.5, y, y - 2.0); }, 1, 3) ==
        doctest::Approx(std::log(2.0)).epsilon(1e-4));
  CHECK(crossing(falls, [](dt::Var, dt::Var y) { return dt::tanh(1e4 * (y - 0.5)); }, 1, 3,
                 {.rtol = 1e-3}) == doctest::Approx(std::log(2.0)).epsilon(2e-2));
  CHECK(crossing(
            one, [](dt::Var, dt::Var y) { return dt::pow(y - 1.0, 3.0); }, 0, 2) ==
        doctest::Approx(1).epsilon(1e-4));
  CHECK(crossing(
            one, [](dt::Var, dt::Var y) { return dt::sign(y - 1.0); }, 0, 2) ==
        doctest::Approx(1).epsilon(1e-6));
}

TEST_CASE("the slope of a time of crossing is as exact as the steps are") {
  const auto quarter = [](dt::Var w) {
    const dt::Var y0 = w.graph().constant(dt::Tensor::of({1.0, 0.0}, dt::float64));
    return dt::odeint_event(
               [&](dt::Var, dt::Var y) {
                 return dt::stack({w * y[1], -(w * y[0])});
               },
               [](dt::Var, dt::Var y) { return y[0]; }, y0, 0.0, 10.0,
               {.rtol = 1e-10, .atol = 1e-12})
        .t;
  };
  const double w = 1.25, half_pi = std::acos(0.0);
  CHECK(std::abs(dt::grad(quarter)(number(w)).item() * w * w / half_pi + 1) < 1e-9);
  CHECK(std::abs(dt::grad(dt::grad(quarter))(number(w)).item() * w * w * w / 2 / half_pi - 1) <
        1e-9);
}

TEST_CASE("an event that does not come spoils nothing that does not read it") {
  // y = e^(-k t) from the start s comes down to 1 at log(s) / k, and from below it never does.
  const auto loss = [](dt::Var k) {
    const auto time = [&](dt::Var s) {
      const auto hit = dt::odeint_event([&](dt::Var, dt::Var y) { return -k * y; },
                                        [](dt::Var, dt::Var y) { return y - 1.0; }, s, 0.0, 3.0);
      return dt::where(hit.crossed, hit.t, 0.0);
    };
    return dt::sum(dt::vmap(time)(k.graph().constant(dt::Tensor::of({2.0, 0.5}, dt::float64))));
  };
  CHECK(dt::grad(loss)(number(1)).item() == doctest::Approx(-std::log(2.0)).epsilon(1e-5));
  CHECK(dt::jvp(loss, number(1), number(1)).tangent.item() ==
        doctest::Approx(-std::log(2.0)).epsilon(1e-5));
  const auto never = [](dt::Var k) {
    const dt::Var half = k.graph().constant(number(0.5));
    return dt::odeint_event([&](dt::Var, dt::Var y) { return -k * y; },
                            [](dt::Var, dt::Var y) { return y - 1.0; }, half, 0.0, 3.0)
        .t;
  };
  CHECK(std::isnan(dt::eval(never, number(1)).item()));
  CHECK(std::isnan(dt::grad(never)(number(1)).item()));
}

TEST_CASE("a clock far from zero loses no more than its own rounding") {
  // y'' = -w^2 y over one unit of time.
  const auto end = [](double from, double rtol) {
    dt::Graph g;
    const dt::Var y0 = g.constant(dt::Tensor::of({1.0, 0.0}, dt::float64));
    const auto f = [](dt::Var, dt::Var y) { return dt::stack({y[1], -2500.0 * y[0]}); };
    return dt::eval(dt::odeint(f, y0, dt::Tensor::of({from, from + 1}, dt::float64),
                               {.rtol = rtol, .atol = rtol, .most = 100000})
                        .y[1][0])
        .item();
  };
  CHECK(std::abs(end(0, 1e-9) - std::cos(50.0)) < 1e-6);
  CHECK(std::abs(end(1.7e9, 1e-9) - std::cos(50.0)) < 1e-6);
  CHECK(std::abs(end(1e12, 1e-9) - std::cos(50.0)) < 1e-5);
}

TEST_CASE("times that are fed out of order are told, and equal ones have slopes") {
  dt::Graph g;
  const dt::Var times = g.input("times", {3}, dt::float64);
  const dt::Var y0 = g.constant(number(1));
  const auto solved = dt::odeint([](dt::Var, dt::Var y) { return -y; }, y0, times);
  const auto reached = [&](double a, double b, double c) {
    return dt::compile({solved.reached})
        .run({{times, dt::Tensor::of({a, b, c}, dt::float64)}})[solved.reached]
        .item<bool>();
  };
  CHECK(reached(0, 1, 2));
  CHECK(reached(2, 1, 0));
  CHECK(reached(0, 0, 0));
  CHECK(!reached(0, 2, 1));
  CHECK(!reached(0, 1, std::nan("")));
}
