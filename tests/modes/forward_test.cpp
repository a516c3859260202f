// Forward mode against closed forms, reverse mode and the laws of a differential.
#include <dualtape/modes/forward.hpp>

#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/shapes.hpp>

#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/compare.hpp>

#include "points.hpp"

using namespace points;

TEST_CASE("the tangent of x^2 is 2 x v") {
  const auto [value, tangent] =
      dt::jvp([](dt::Var x) { return dt::square(x); }, vector({5, 10}), vector({0.6185, -1.1474}));
  check_near(value, {25, 100}, 0);
  check_near(tangent, {6.185, -22.948}, 1e-15);
}

TEST_CASE("the tangent is linear in its direction") {
  const dt::Tensor x = vector({0.3, -0.7, 1.1});
  const Numbers v = {1, -2, 0.5};
  const Numbers w = {0.25, 3, -1};
  Numbers both;
  for (std::size_t i = 0; i < v.size(); ++i) both.push_back(2 * v[i] - 3 * w[i]);
  const auto slope = [&](const Numbers& direction) {
    return dt::jvp(tangled, x, vector(direction)).tangent.item();
  };
  CHECK(slope(both) == doctest::Approx(2 * slope(v) - 3 * slope(w)).epsilon(1e-13));
  CHECK(slope({0, 0, 0}) == 0.0);
}

TEST_CASE("the tangent is the product of gradient and direction") {
  const dt::Tensor x = vector({0.3, -0.7, 1.1});
  const dt::Tensor v = vector({1, -2, 0.5});
  const double slope = dt::jvp(tangled, x, v).tangent.item();
  CHECK(slope == doctest::Approx(inner(dt::grad(tangled)(x), v)).epsilon(1e-13));
  // Central difference, error O(h^2).
  const auto at = [&](double h) {
    Numbers moved = numbers(x);
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += h * numbers(v)[i];
    return dt::eval(tangled, vector(moved)).item();
  };
  CHECK(slope == doctest::Approx((at(1e-5) - at(-1e-5)) / 2e-5).epsilon(1e-8));
}

TEST_CASE("tangents of tangents: the second derivative of x^3 is 6 x") {
  dt::Graph g;
  const dt::Var x = g.input("x", {2}, dt::float64);
  const dt::Var one = g.constant(dt::ones({2}, dt::float64));
  const dt::Var first = dt::forward(x * x * x, {x}, {one});
  const dt::Var second = dt::forward(first, {x}, {one});
  const dt::Var third = dt::forward(second, {x}, {one});
  check_near(dt::eval(first, {{x, vector({2, -3})}}), {12, 27}, 0);
  check_near(dt::eval(second, {{x, vector({2, -3})}}), {12, -18}, 0);
  check_near(dt::eval(third, {{x, vector({2, -3})}}), {6, 6}, 0);
}

TEST_CASE("every output of an operator with several outputs has its tangent") {
  dt::Graph g;
  const dt::Var x = g.input("x", {5}, dt::float64);
  const dt::Var v = g.input("v", {5}, dt::float64);
  const std::vector<dt::Var> parts = dt::split(x, {2, 3});
  const std::vector<dt::MaybeVar> tangents =
      dt::forward_all({dt::square(parts[0]), parts[1]}, {x}, {v});
  REQUIRE(tangents[0]);
  REQUIRE(tangents[1]);
  const std::vector<dt::Var> wanted = {*tangents[0], *tangents[1]};
  dt::Program program = dt::compile(wanted);
  const dt::Outputs out =
      program.run({{x, vector({1, 2, 3, 4, 5})}, {v, vector({1, -1, 2, 7, 9})}});
  check_near(out[wanted[0]], {2, -4}, 0);
  check_near(out[wanted[1]], {2, 7, 9}, 0);
}

TEST_CASE(
    "a value between input and output may be differentiated by, and cuts the way through it") {
  dt::Graph g;
  const dt::Var x = g.input("x", {4}, dt::float64);
  const std::vector<dt::Var> parts = dt::split(x, {2, 2});
  const dt::Var loss = dt::sum(parts[0]) + 3 * dt::sum(parts[1]);
  const dt::Var unit = g.constant(dt::ones({4}, dt::float64));
  const dt::Var none = g.constant(dt::zeros({2}, dt::float64));
  const dt::Tensor at = vector({1, 2, 3, 4});
  // With one part held, x moves the loss through the other part only.
  for (const std::size_t held : {std::size_t{0}, std::size_t{1}}) {
    CAPTURE(held);
    const dt::Var slope = dt::forward(loss, {x, parts[held]}, {unit, none});
    CHECK(dt::eval(slope, {{x, at}}).item() == (held == 0 ? 6.0 : 2.0));
    const dt::Gradients gradients = dt::reverse(loss, {x, parts[held]});
    check_near(dt::eval(gradients[x], {{x, at}}),
               held == 0 ? Numbers{0, 0, 3, 3} : Numbers{1, 1, 0, 0}, 0);
    check_near(dt::eval(gradients[parts[held]], {{x, at}}),
               held == 0 ? Numbers{1, 1} : Numbers{3, 3}, 0);
  }
}

TEST_CASE("nothing passes stop_gradient, and zeros are absent") {
  dt::Graph g;
  const dt::Var x = g.input("x", {2}, dt::float64);
  const dt::Var y = g.input("y", {2}, dt::float64);
  const dt::Var v = g.constant(vector({1, 2}));
  const dt::Var stopped = dt::stop_gradient(dt::square(x));
  CHECK(!dt::forward_all({stopped}, {x}, {v})[0]);
  CHECK(!dt::forward_all({dt::square(y)}, {x}, {v})[0]);
  CHECK(!dt::forward_all({dt::floor(x)}, {x}, {v})[0]);
  const std::string text =
      error_of<dt::DerivativeError>([&] { static_cast<void>(dt::forward(stopped, {x}, {v})); });
  CHECK(has(text, "depends on the inputs to differentiate by only through"));
  CHECK(has(text, "'stop_gradient', made at "));
  // d (stop(x^2) x) = stop(x^2) dx
  const dt::Var slope = dt::forward(stopped * x, {x}, {v});
  check_near(dt::eval(slope, {{x, vector({3, 5})}}), {9, 50}, 0);
}

TEST_CASE("a parameter is differentiated by like an input") {
  const dt::Parameter w("w", vector({2, -1}));
  dt::Graph g;
  const dt::Var x = g.input("x", {2}, dt::float64);
  const dt::Var slope =
      dt::forward(dt::sum(dt::square(g.read(w)) * x), {w}, {g.constant(vector({1, 10}))});
  CHECK(dt::eval(slope, {{x, vector({3, 4})}}).item() == 2 * 2 * 3 * 1 + 2 * -1 * 4 * 10);
}

TEST_CASE("tangents that do not fit are refused by name") {
  dt::Graph g;
  const dt::Var x = g.input("x", {2}, dt::float64);
  const dt::Var y = dt::square(x);
  const dt::Var wide = g.constant(dt::ones({3}, dt::float64));
  const dt::Var narrow = g.constant(dt::ones({2}, dt::float32));
  for (const dt::Var& v : {wide, narrow}) {
    const std::string text =
        error_of<dt::Error>([&] { static_cast<void>(dt::forward(y, {x}, {v})); });
    CHECK(has(text, "[forward 'x']"));
    CHECK(has(text, "forward_test.cpp:"));
  }
  CHECK(has(error_of<dt::GraphError>([&] { static_cast<void>(dt::forward(y, {x}, {})); }),
            "1 inputs but 0 tangents"));
}

TEST_CASE("an index cast from what moves is held constant in both modes") {
  const auto f = [](dt::Var x) { return x * dt::take(x, dt::cast(x, dt::int64)); };
  const dt::Tensor x = dt::Tensor::of({0.5, 1.5, 2.5}, dt::float64);
  const dt::Tensor along = dt::jvp(f, x, dt::ones({3}, dt::float64)).tangent;
  const dt::Tensor back = dt::grad([&](dt::Var v) { return dt::sum(f(v)); })(x);
  CHECK(dt::all_close(along, dt::Tensor::of({1.0, 3.0, 5.0}, dt::float64)));
  CHECK(dt::all_close(back, dt::Tensor::of({1.0, 3.0, 5.0}, dt::float64)));
}
