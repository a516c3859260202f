// Functions with rules of their own where the tape's entries are copied or run: in linear maps, in
// loops, in implicit functions; and what has no value, whose derivative is no number either.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <dualtape/dualtape.hpp>

namespace dt = dualtape;

namespace {

// sin(a) b, by both rules.
const auto product =
    dt::custom_jvp([](dt::Var a, dt::Var b) { return dt::sin(a) * b; },
                   [](std::span<const dt::Var> x, dt::Var, std::span<const dt::Var> v) {
                     return dt::cos(x[0]) * x[1] * v[0] + dt::sin(x[0]) * v[1];
                   })
        .with_vjp([](std::span<const dt::Var> x, dt::Var, dt::Var c) {
          return std::vector<dt::Var>{dt::cos(x[0]) * x[1] * c, dt::sin(x[0]) * c};
        });

dt::Tensor number(double x) { return dt::Tensor::of({x}, dt::float64).reshape({}); }

}  // namespace

TEST_CASE("what has two rules is linearized, applied and transposed") {
  const auto f = [](dt::Var x) {
    return dt::fori(0, 3, x, [&](dt::Var, dt::Var s) { return product(s, s * 0.5) + x; });
  };
  const auto plain = [](dt::Var x) {
    dt::Var s = x;
    for (int i = 0; i < 3; ++i) s = dt::sin(s) * s * 0.5 + x;
    return s;
  };
  const auto linear = dt::linearize(f, number(0.7));
  const double slope = dt::grad(plain)(number(0.7)).item();
  CHECK(linear.linear(number(1)).item() == doctest::Approx(slope).epsilon(1e-13));
  CHECK(linear.linear.transpose(number(1)).item() == doctest::Approx(slope).epsilon(1e-13));
  const auto twice = dt::linearize(dt::grad(f), number(0.7));
  CHECK(twice.linear(number(1)).item() ==
        doctest::Approx(dt::grad(dt::grad(plain))(number(0.7)).item()).epsilon(1e-12));
  const auto once = dt::linearize([](dt::Var x) { return product(x, x); }, number(0.7));
  CHECK(once.linear(number(1)).item() ==
        doctest::Approx(std::cos(0.7) * 0.7 + std::sin(0.7)).epsilon(1e-14));
}

TEST_CASE("an implicit function of what has rules has right second derivatives") {
  const auto by_rule = [](dt::Var a) {
    return dt::root([&](dt::Var x) { return x + 0.5 * product(x, a) - a; }, a);
  };
  const auto plain = [](dt::Var a) {
    return dt::root([&](dt::Var x) { return x + 0.5 * dt::sin(x) * a - a; }, a);
  };
  const dt::Tensor at = number(0.8);
  CHECK(dt::grad(by_rule)(at).item() == doctest::Approx(dt::grad(plain)(at).item()).epsilon(1e-11));
  const double second = dt::grad(dt::grad(plain))(at).item();
  CHECK(dt::grad(dt::grad(by_rule))(at).item() == doctest::Approx(second).epsilon(1e-9));
  CHECK(dt::jvp(dt::grad(by_rule), at, number(1)).tangent.item() ==
        doctest::Approx(second).epsilon(1e-9));
  const auto along = [&](dt::Var x) {
    return dt::forward(by_rule(x), {x}, {x.graph().constant(1.0, dt::float64)});
  };
  CHECK(dt::grad(along)(at).item() == doctest::Approx(second).epsilon(1e-9));
}

TEST_CASE("an equation is linearized through the steps that solved it") {
  const auto f = [](dt::Var x) {
    const auto decays = [&](dt::Var, dt::Var y) { return -x * y; };
    return dt::sum(dt::odeint(decays, x, dt::Tensor::of({0, 1}, dt::float64)).y);
  };
  const auto linear = dt::linearize(f, number(1));
  CHECK(linear.linear(number(1)).item() ==
        doctest::Approx(dt::jvp(f, number(1), number(1)).tangent.item()).epsilon(1e-12));
  const auto slope = dt::linearize(dt::grad(f), number(1));
  CHECK(slope.linear(number(1)).item() ==
        doctest::Approx(dt::grad(dt::grad(f))(number(1)).item()).epsilon(1e-9));
}

TEST_CASE("a crossing that is not there has no derivative") {
  const auto decays = [](dt::Var, dt::Var y) { return -y; };
  const auto time = [&](dt::Var x) {
    return dt::odeint_event(
               decays, [](dt::Var, dt::Var y) { return y - 0.5; }, x, 0.0, 5.0)
        .t;
  };
  CHECK(std::isnan(dt::eval(time, number(0.1)).item()));
  CHECK(std::isnan(dt::grad(time)(number(0.1)).item()));
  CHECK(std::isnan(dt::jvp(time, number(0.1), number(1)).tangent.item()));
  const double slope = dt::grad(time)(number(1)).item();  // of log(2 x)
  // As exact as the slope of the interpolant, of order 4, between the ends of steps.
  CHECK(slope == doctest::Approx(1.0).epsilon(1e-5));
  const dt::Tensor both = dt::vmap(dt::grad(time))(dt::Tensor::of({0.1, 1}, dt::float64));
  CHECK(std::isnan(both.at({0})));
  CHECK(both.at({1}) == doctest::Approx(slope).epsilon(1e-12));
}
