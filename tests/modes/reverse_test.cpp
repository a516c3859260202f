// Reverse mode against closed forms, forward mode and nesting.
#include <dualtape/modes/reverse.hpp>

#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/softmax.hpp>

#include "points.hpp"

using namespace points;

TEST_CASE("the gradient of mse(x, relu(x)) is 2 x / n below zero and nothing above") {
  // Values of a published run of PyTorch, printed to four decimals; n = 15.
  const Numbers x = {-1.5237, -0.3973, -1.2430, -0.5563, -2.6606, -0.2563, -0.3247, -0.7983,
                     -0.0370, -2.5105, 0.5,     1.25,    0.01,    2.0,     3.5};
  const Numbers printed = {-0.2032, -0.0530, -0.1657, -0.0742, -0.3547, -0.0342, -0.0433, -0.1064,
                           -0.0049, -0.3347, 0,       0,       0,       0,       0};
  const auto f = [](dt::Var v) { return dt::mse(v, dt::relu(v)); };
  const Numbers got = numbers(dt::grad(f)(vector(x).reshape({3, 5})));
  REQUIRE(got.size() == x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(got[i] - printed[i]) <= 0.5001e-4);
    CHECK(got[i] == doctest::Approx(x[i] < 0 ? 2 * x[i] / 15 : 0.0).epsilon(1e-14));
  }
}

TEST_CASE("the gradient of Beale's function") {
  check_near(dt::grad(beale)(vector({1.5, -0.1})), {-3.433947, -0.807885}, 1e-6);
  check_near(dt::grad(beale)(vector({3, 0.5})), {0, 0}, 1e-14);  // its minimum
}

TEST_CASE("the gradient of logsumexp is softmax") {
  const dt::Tensor x = vector({0.5, -1, 3, 2});
  const dt::Tensor gradient = dt::grad([](dt::Var v) { return dt::logsumexp(v); })(x);
  check_near(gradient, numbers(dt::eval([](dt::Var v) { return dt::softmax(v); }, x)), 1e-15);
}

TEST_CASE("hessian times vector by every nesting") {
  const double x = -1.2;
  const double y = 0.7;
  const double v = 0.3;
  const double w = -2;
  dt::Graph g;
  const dt::Var p = g.input("p", {2}, dt::float64);
  const dt::Var d = g.constant(vector({v, w}));
  const dt::Var f = rosenbrock(p);
  const dt::Var gradient = dt::reverse(f, {p})[p];
  const dt::Var slope = dt::forward(f, {p}, {d});
  const dt::Var forward_over_reverse = dt::forward(gradient, {p}, {d});
  const dt::Var reverse_over_forward = dt::reverse(slope, {p})[p];
  const dt::Var reverse_over_reverse = dt::reverse(dt::sum(gradient * d), {p})[p];
  const Numbers wanted = rosenbrock_hessian_times(x, y, v, w);
  const dt::Tensor at = vector({x, y});
  check_near(dt::eval(gradient, {{p, at}}), rosenbrock_gradient(x, y), 1e-13);
  check_near(dt::eval(forward_over_reverse, {{p, at}}), wanted, 1e-13);
  check_near(dt::eval(reverse_over_forward, {{p, at}}), wanted, 1e-13);
  check_near(dt::eval(reverse_over_reverse, {{p, at}}), wanted, 1e-13);
  // v^T H v, by forward mode alone
  const double curvature = dt::eval(dt::forward(slope, {p}, {d}), {{p, at}}).item();
  CHECK(curvature == doctest::Approx(wanted[0] * v + wanted[1] * w).epsilon(1e-12));
}

TEST_CASE("derivatives of third order agree in every nesting") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3}, dt::float64);
  const dt::Var v = g.constant(vector({1, -2, 0.5}));
  const dt::Var f = tangled(x);
  const auto forward = [&](dt::Var y) { return dt::forward(y, {x}, {v}); };
  const auto reverse = [&](dt::Var y) { return dt::sum(dt::reverse(y, {x})[x] * v); };
  std::vector<dt::Var> thirds;
  for (int mask = 0; mask < 8; ++mask) {
    dt::Var y = f;
    for (int level = 0; level < 3; ++level) y = (mask >> level) & 1 ? reverse(y) : forward(y);
    thirds.push_back(y);
  }
  dt::Program program = dt::compile(thirds);
  const dt::Outputs out = program.run({{x, vector({0.3, -0.7, 1.1})}});
  for (const dt::Var& third : thirds)
    CHECK(out[third].item() == doctest::Approx(out[thirds[0]].item()).epsilon(1e-11));
  CHECK(std::abs(out[thirds[0]].item()) > 1e-3);
}

TEST_CASE("cotangents of several outputs add up, those not given are zero") {
  dt::Graph g;
  const dt::Var x = g.input("x", {4}, dt::float64);
  const std::vector<dt::Var> parts = dt::split(x, {1, 3});
  const dt::Var ones = g.constant(dt::ones({3}, dt::float64));
  const dt::Var two = g.constant(vector({2}));
  const dt::Tensor at = vector({1, 2, 3, 4});
  const dt::Var both = dt::vjp({parts[0], dt::square(parts[1])}, {x}, {two, ones})[x];
  check_near(dt::eval(both, {{x, at}}), {2, 4, 6, 8}, 0);
  const dt::Var one = dt::vjp({parts[0]}, {x}, {two})[x];
  check_near(dt::eval(one, {{x, at}}), {2, 0, 0, 0}, 0);
  // A value used twice receives both cotangents.
  const dt::Var twice = dt::reverse(dt::sum(parts[1] * parts[1]), {x})[x];
  check_near(dt::eval(twice, {{x, at}}), {0, 4, 6, 8}, 0);
}

TEST_CASE("a linearization can be played back many times") {
  dt::Graph g;
  const dt::Var x = g.input("x", {2}, dt::float64);
  const dt::Linearized linear({dt::square(x)}, {x});
  const dt::Tensor at = vector({3, -5});
  for (const Numbers& c : {Numbers{1, 0}, Numbers{0, 1}, Numbers{2, 7}}) {
    const dt::MaybeVar seed = g.constant(vector(c));
    const std::vector<dt::MaybeVar> found = linear.transpose(std::span(&seed, 1));
    REQUIRE(found[0]);
    check_near(dt::eval(*found[0], {{x, at}}), {6 * c[0], -10 * c[1]}, 0);
  }
  CHECK(linear.tape().size() > 0);
}

TEST_CASE("what the loss does not depend on is an error, or zero where asked for") {
  dt::Graph g;
  const dt::Var x = g.input("x", {2}, dt::float64);
  const dt::Var y = g.input("y", {3}, dt::float64);
  const dt::Var loss = dt::sum(dt::square(x)) + dt::sum(dt::stop_gradient(y));
  const std::string text = error_of<dt::DerivativeError>([&] {
    static_cast<void>(dt::reverse(loss, {x, y}));
  });
  CHECK(has(text, "'y'"));
  CHECK(has(text, "Unreachable::zero"));
  CHECK(has(text, "'stop_gradient', made at "));
  const dt::Var best = dt::argmax(dt::square(x)).named("best");
  const std::string cut = error_of<dt::DerivativeError>(
      [&] { static_cast<void>(dt::reverse(dt::sum(dt::one_hot(best, 2, dt::float64)), {x})); });
  CHECK(has(cut, "only through 'argmax' 'best', made at "));
  const std::string apart =
      error_of<dt::DerivativeError>([&] { static_cast<void>(dt::reverse(dt::sum(x), {y})); });
  CHECK(has(apart, "does not depend on it, so its gradient is zero"));
  const dt::Gradients gradients = dt::reverse(loss, {x, y}, dt::Unreachable::zero);
  const dt::Tensor at_x = vector({1, 2});
  const dt::Tensor at_y = vector({1, 2, 3});
  check_near(dt::eval(gradients[x], {{x, at_x}}), {2, 4}, 0);
  check_near(dt::eval(gradients[y], {{x, at_x}, {y, at_y}}), {0, 0, 0}, 0);
  CHECK(has(error_of<dt::GraphError>([&] { static_cast<void>(gradients[loss]); }), "not among"));
}

TEST_CASE("the derivative at a kink is the same in both modes") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3}, dt::float64);
  const dt::Tensor at = vector({0, 0, 0});
  const dt::Var ones = g.constant(dt::ones({3}, dt::float64));
  for (const dt::Var& y : {dt::relu(x), dt::abs(x), dt::maximum(x, 0.0), dt::clamp(x, 0.0, 1.0)}) {
    const dt::MaybeVar forward = dt::forward_all({y}, {x}, {ones})[0];
    REQUIRE(forward);
    const dt::Var reverse = dt::vjp({y}, {x}, {ones})[x];
    CHECK(numbers(dt::eval(*forward, {{x, at}})) == numbers(dt::eval(reverse, {{x, at}})));
  }
}

TEST_CASE("a loss of one element may have any rank; others are refused") {
  dt::Graph g;
  const dt::Var x = g.input("x", {1, 2}, dt::float64);
  const dt::Var loss = dt::sum(dt::square(x), {1}, true);
  CHECK(loss.rank() == 2);
  check_near(dt::eval(dt::reverse(loss, {x})[x], {{x, vector({3, 4}).reshape({1, 2})}}), {6, 8}, 0);
  CHECK(has(error_of<dt::ShapeError>([&] { static_cast<void>(dt::reverse(x, {x})); }), "(1, 2)"));
  CHECK_THROWS_AS(static_cast<void>(dt::reverse(dt::cast(loss, dt::int64), {x})), dt::TypeError);
  CHECK_THROWS_AS(static_cast<void>(dt::reverse(dt::Var(), {x})), dt::GraphError);
  dt::Graph other;
  const dt::Var foreign = other.input("x", {2}, dt::float64);
  CHECK_THROWS_AS(static_cast<void>(dt::reverse(loss, {foreign})), dt::GraphError);
}
