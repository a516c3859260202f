// Derivatives of plain functions of Vars against closed forms.
#include <dualtape/modes/functional.hpp>
#include <dualtape/modes/value_and_grad.hpp>
#include <dualtape/ops/linalg.hpp>

#include <atomic>
#include <span>
#include <thread>
#include <vector>

#include "points.hpp"

using namespace points;

TEST_CASE("value, jvp, vjp, gradient and hessian product of Rosenbrock's function") {
  const double x = 0.4;
  const double y = -0.6;
  const dt::Tensor at = vector({x, y});
  const dt::Tensor v = vector({2, -0.5});
  const Numbers gradient = rosenbrock_gradient(x, y);
  const double value = (1 - x) * (1 - x) + 100 * (y - x * x) * (y - x * x);

  CHECK(dt::eval(rosenbrock, at).item() == doctest::Approx(value).epsilon(1e-15));
  const auto [z, slope] = dt::jvp(rosenbrock, at, v);
  CHECK(z.item() == doctest::Approx(value).epsilon(1e-15));
  CHECK(slope.item() == doctest::Approx(2 * gradient[0] - 0.5 * gradient[1]).epsilon(1e-13));
  check_near(dt::grad(rosenbrock)(at), gradient, 1e-13);
  check_near(dt::hvp(rosenbrock, at, v), rosenbrock_hessian_times(x, y, 2, -0.5), 1e-13);
}

TEST_CASE("a pullback may be called many times and is linear") {
  const auto f = [](dt::Var x) { return dt::square(x); };
  const auto [value, pullback] = dt::vjp(f, vector({3, -4}));
  check_near(value, {9, 16}, 0);
  check_near(pullback(vector({1, 0})), {6, 0}, 0);
  check_near(pullback(vector({0, 1})), {0, -8}, 0);
  check_near(pullback(vector({2, 5})), {12, -40}, 0);
  const std::string text = error_of<dt::ShapeError>([&, &pull = pullback] {
    static_cast<void>(pull(vector({1, 2, 3})));
  });
  CHECK(has(text, "[pullback] the cotangent is float64 (3,), the function's value float64 (2,)"));
  CHECK(has(text, "functional_test.cpp"));
  CHECK_THROWS_AS(static_cast<void>(pullback(dt::Tensor{1, 2})), dt::TypeError);
}

TEST_CASE("functions of two and three Vars, and of any number") {
  const std::vector<dt::Tensor> two = {vector({2, 3}), vector({5, 7})};
  const auto product = [](dt::Var a, dt::Var b) { return dt::sum(a * b); };
  CHECK(dt::eval(product, two).item() == 31);
  const std::vector<dt::Tensor> both =
      dt::vjp(product, two).pullback.all(dt::Tensor::scalar<double>(1));
  check_near(both[0], {5, 7}, 0);
  check_near(both[1], {2, 3}, 0);
  // d (a . b) = da . b + a . db
  CHECK(dt::jvp(product, two, {vector({1, 0}), vector({0, 10})}).tangent.item() == 5 + 30);

  const std::vector<dt::Tensor> three = {vector({2}), vector({3}), vector({4})};
  const auto triple = [](dt::Var a, dt::Var b, dt::Var c) { return a * b * c; };
  const auto any = [](std::span<const dt::Var> x) { return x[0] * x[1] * x[2]; };
  const dt::Tensor one = vector({1});
  for (const auto& all :
       {dt::vjp(triple, three).pullback.all(one), dt::vjp(any, three).pullback.all(one)}) {
    check_near(all[0], {12}, 0);
    check_near(all[1], {8}, 0);
    check_near(all[2], {6}, 0);
  }
}

TEST_CASE("gradients nest: derivatives of x^4") {
  const auto f = [](dt::Var x) { return dt::square(dt::square(x)); };
  const dt::Tensor x = dt::Tensor::scalar<double>(3);
  CHECK(dt::grad(f)(x).item() == 4 * 27);
  CHECK(dt::grad(dt::grad(f))(x).item() == 12 * 9);
  CHECK(dt::grad(dt::grad(dt::grad(f)))(x).item() == 24 * 3);
  CHECK(dt::grad(dt::grad(dt::grad(dt::grad(f))))(x).item() == 24);
}

TEST_CASE("a gradient is compiled once for each type of its argument") {
  int calls = 0;
  const dt::Parameter scale{"scale", dt::Tensor::scalar<double>(1)};
  const auto gradient = dt::grad([&](dt::Var x) {
    ++calls;
    return dt::sum(dt::square(x) * scale);
  });
  check_near(gradient(vector({1, 2})), {2, 4}, 0);
  check_near(gradient(vector({3, -1})), {6, -2}, 0);
  CHECK(calls == 1);
  check_near(gradient(vector({1, 2, 3})), {2, 4, 6}, 0);
  CHECK(calls == 2);
  const auto copy = gradient;
  check_near(copy(vector({5, 0})), {10, 0}, 0);
  CHECK(calls == 2);
  dt::Parameter(scale).set(dt::Tensor::scalar<double>(10));
  check_near(gradient(vector({1, 2})), {20, 40}, 0);
  CHECK(calls == 2);
  for (std::int64_t size = 4; size < 24; ++size)  // more types than are kept
    CHECK(gradient(dt::ones({size}, dt::float64)).shape() == dt::Shape{size});
  CHECK(calls == 22);
  check_near(gradient(vector({1, 2})), {20, 40}, 0);
  CHECK(calls == 23);
}

TEST_CASE("jit compiles any mode once for each combination of types") {
  int calls = 0;
  const auto slope = dt::jit([&](dt::Var x, dt::Var v) {
    ++calls;
    const dt::Var y = dt::sum(x * x * x);
    return std::vector<dt::Var>{y, *dt::forward_all({y}, {x}, {v})[0]};
  });
  const std::vector<dt::Tensor> at_one = slope(vector({1, 2}), vector({1, 1}));
  CHECK(at_one[0].item() == 9);
  CHECK(at_one[1].item() == 3 + 12);
  const std::vector<dt::Tensor> elsewhere = slope(vector({2, 0}), vector({1, 5}));
  CHECK(elsewhere[1].item() == 12);
  CHECK(at_one[1].item() == 15);  // its results are the caller's
  CHECK(calls == 1);
  CHECK(slope(dt::Tensor{1, 2}, dt::Tensor{1, 1})[1].dtype() == dt::float32);
  CHECK(calls == 2);
  CHECK_THROWS_AS(slope(vector({1, 2})), dt::ValueError);  // takes two
  const auto square = dt::jit([](dt::Var x) { return dt::square(x); }, {.without = {"fuse"}});
  check_near(dt::grad([&](dt::Var x) { return dt::sum(square(x)); })(vector({3, 4})), {6, 8}, 0);
}

TEST_CASE("a gradient that throws may be called again") {
  bool wrong = true;
  const auto gradient = dt::grad([&](dt::Var x) { return wrong ? x : dt::sum(x); });
  CHECK_THROWS_AS(gradient(vector({1, 2})), dt::Error);  // not a scalar
  wrong = false;
  check_near(gradient(vector({1, 2})), {1, 1}, 0);
}

TEST_CASE("threads may share a gradient") {
  const auto gradient = dt::grad([](dt::Var x) { return dt::sum(dt::square(x)); });
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 1; t <= 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i)
        if (gradient(vector({double(t), double(i)})).at({1}) != 2.0 * i) ++wrong;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("a function that does not depend on its input has derivative zero") {
  const auto f = [](dt::Var x) { return dt::floor(x); };
  const dt::Tensor x = vector({1.5, -2.5});
  check_near(dt::jvp(f, x, vector({1, 1})).tangent, {0, 0}, 0);
  check_near(dt::vjp(f, x).pullback(vector({1, 1})), {0, 0}, 0);
}

TEST_CASE("the result has the dtype of the point") {
  const auto f = [](dt::Var x) { return dt::sum(dt::exp(x)); };
  const dt::Tensor x{0.5, 1};
  CHECK(dt::grad(f)(x).dtype() == dt::float32);
  CHECK(dt::jvp(f, x, x).tangent.dtype() == dt::float32);
  CHECK(dt::hvp(f, x, x).dtype() == dt::float32);
  check_near(dt::grad(f)(x), {std::exp(0.5), std::exp(1.0)}, 1e-6);
}

TEST_CASE("errors name the line of the call, and never an unknown place") {
  dt::Graph other;
  const dt::Var foreign = other.input("foreign", {2});
  const dt::Tensor t = vector({1, 2}).to(dt::float32);
  const auto mixes = [&](dt::Var x) { return dt::sum(x * foreign); };
  const auto strays = [&](dt::Var) { return dt::sum(foreign); };
  const auto named = [](const auto& act) {
    const std::string text = error_of<dt::GraphError>(act);
    CHECK(has(text, "functional_test.cpp:"));
    CHECK(!contains(text, "unknown place"));
    CHECK(!contains(text, ".hpp:"));
    return text;
  };
  named([&] { dt::eval(mixes, t); });
  named([&] { dt::jvp(mixes, t, t); });
  named([&] { dt::vjp(mixes, t); });
  named([&] { dt::hvp(mixes, t, t); });
  named([&] { dt::grad(mixes)(t); });
  named([&] { dt::jit(mixes)(t); });
  named([&] { dt::value_and_grad(mixes)(t); });
  named([&] { dt::eval(strays, t); });
  named([&] { dt::jvp(strays, t, t); });
  named([&] { dt::hvp(strays, t, t); });
  named([&] { dt::grad(strays)(t); });
  named([&] { dt::jit(strays)(t); });
  CHECK(has(named([&] { dt::vjp(strays, t); }), "[vjp] what the function returns, made at "));
}

TEST_CASE("a function of the library's that is handed over tells the line of the call") {
  const dt::Tensor t{1, 2, 3};
  const auto named = [](auto act) {
    const std::string text = error_of<dt::ShapeError>(act);
    CHECK(has(text, "functional_test.cpp:"));
  };
  named([&] { dt::eval(dt::cholesky, t); });
  named([&] { dt::jvp(dt::cholesky, t, t); });
  named([&] { dt::grad(dt::cholesky)(t); });
}
