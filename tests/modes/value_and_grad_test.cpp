#include <dualtape/modes/value_and_grad.hpp>

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/ops/compare.hpp>
#include <tests/errors.hpp>

#include "points.hpp"

using namespace points;

TEST_CASE("gradients by several arguments, with the value and without") {
  // f = a . b + |c|^2: b, a, 2 c
  const auto f = [](dt::Var a, dt::Var b, dt::Var c) {
    return dt::sum(a * b) + dt::sum(dt::square(c));
  };
  const dt::Tensor a = vector({1, 2});
  const dt::Tensor b = vector({3, 5});
  const dt::Tensor c = vector({7});
  const auto [da, db, dc] = dt::grad(f)(a, b, c);
  check_near(da, {3, 5}, 0);
  check_near(db, {1, 2}, 0);
  check_near(dc, {14}, 0);
  const auto [value, slopes] = dt::value_and_grad(f)(a, b, c);
  CHECK(value.item() == 13 + 49);
  check_near(slopes[0], {3, 5}, 0);
  check_near(slopes[2], {14}, 0);
  const std::vector<dt::Tensor> list = dt::grad(f)(std::vector<dt::Tensor>{a, b, c});
  REQUIRE(list.size() == 3);
  check_near(list[1], {1, 2}, 0);
  const auto any = [](std::span<const dt::Var> x) { return dt::sum(x[0] * x[1]); };
  const auto [dot, parts] = dt::value_and_grad(any)(std::vector<dt::Tensor>{a, b});
  CHECK(dot.item() == 13);
  check_near(parts[0], {3, 5}, 0);

  const auto [square, twice] =
      dt::value_and_grad([](dt::Var x) { return dt::sum(x * x); })(vector({3, -4}));
  CHECK(square.item() == 25);
  check_near(twice, {6, -8}, 0);

  // In a graph of one's own.
  dt::Graph g;
  const dt::Var x = g.constant(a);
  const dt::Var y = g.constant(b);
  const auto [dx, dy] = dt::grad([](dt::Var p, dt::Var q) { return dt::sum(p * q * q); })(x, y);
  check_near(dt::eval(dx), {9, 25}, 0);
  check_near(dt::eval(dy), {6, 20}, 0);
}

TEST_CASE("gradients by Parameters follow what they hold") {
  dt::Parameter w("w", vector({2, 3}));
  dt::Parameter b("b", dt::Tensor::scalar(1.0));
  const auto loss = [&](dt::Var x, dt::Var y) { return dt::sum(dt::square(x * w + b - y)); };
  const auto with_value = dt::value_and_grad(loss, {w, b});
  const auto slope = dt::grad(loss, std::vector<dt::Parameter>{b});
  const dt::Tensor x = vector({1, 2});
  const dt::Tensor y = vector({0, 0});
  for (const double bias : {1.0, -1.0}) {
    b.set(dt::Tensor::scalar(bias));
    const double first = 2 + bias;
    const double second = 6 + bias;
    const auto [value, gradients] = with_value(x, y);
    CHECK(value.item() == first * first + second * second);
    check_near(gradients[0], {2 * first, 4 * second}, 0);
    CHECK(gradients[1].item() == 2 * (first + second));
    CHECK(slope(x, y)[0].item() == 2 * (first + second));
  }
}

TEST_CASE(
    "functions that are null, return nothing or were moved from are errors at the user's line") {
  using Function = std::function<dt::Var(dt::Var)>;
  const dt::Tensor x = vector({1, 2});
  const auto check = [](const auto& call) {
    CHECK(dt::testing::has(dt::testing::error_of<dt::Error>(call), "value_and_grad_test.cpp:"));
  };
  const dt::Parameter p("p", x);
  check([&] { dt::value_and_grad(Function())(x); });
  check([&] { dt::value_and_grad(static_cast<dt::Var (*)(dt::Var)>(nullptr))(x); });
  check([&] { dt::value_and_grad(Function(), {p})(x); });
  check([&] { dt::grad(Function(), {p})(x); });
  check([&] { dt::value_and_grad([](dt::Var) { return dt::Var(); })(x); });
  check([&] { dt::value_and_grad([](dt::Var v) { return v * v; })(x); });  // not one number
  check([&] { dt::grad([](dt::Var v) { return dt::sum(v); }, {p})(x); });  // does not read p
  auto gone = dt::value_and_grad([](dt::Var v) { return dt::sum(v); });
  const auto kept = std::move(gone);
  check_near(kept(x).gradient, {1, 1}, 0);
  check([&] { gone(x); });
  auto lost = dt::grad([](dt::Var a, dt::Var b) { return dt::sum(a * b); });
  const auto found = std::move(lost);
  check_near(found(x, x)[0], {1, 2}, 0);
  check([&] { lost(x, x); });
}

TEST_CASE("wrong numbers of arguments name what was called, its line and the mend") {
  const auto two = [](dt::Var x, dt::Var y) { return dt::sum(x * y); };
  const dt::Tensor x = vector({1, 2});
  const auto refused = [&](const std::string& name, const auto& call) {
    const std::string text = error_of<dt::ValueError>(call);
    CHECK(has(text, "[" + name + "] the function takes 2 arguments, got "));
    CHECK(has(text, "value_and_grad_test.cpp:"));
    CHECK(has(text, "call it with 2; a lambda captures"));
  };
  refused("jit", [&] { dt::jit(two)(x); });
  refused("jit", [&] { dt::jit(two)(x, x, x); });
  refused("grad", [&] { dt::grad(two)(x); });
  refused("grad", [&] { dt::grad(two)(x, x, x); });
  refused("value_and_grad", [&] { dt::value_and_grad(two)(x); });
  refused("grad", [&] { dt::grad(two, {dt::Parameter("w", x)})(x); });
  refused("eval", [&] { dt::eval(two, x); });
  refused("jvp", [&] { dt::jvp(two, x, x); });
  refused("vjp", [&] { dt::vjp(two, x); });
  refused("hvp", [&] { dt::hvp(two, x, x); });
}

TEST_CASE("arguments without a gradient are named, with a mend that can be followed") {
  const auto first = [](dt::Var x, dt::Var) { return dt::sum(dt::square(x)); };
  const dt::Tensor x = vector({1, 2});
  const auto unused = [&](const std::string& name, const auto& call) {
    const std::string text = error_of<dt::DerivativeError>(call);
    CHECK(has(text, "[" + name + " "));
    CHECK(has(text, "does not depend on argument 1 (from 0)"));
    CHECK(has(text, "value_and_grad_test.cpp:"));
    CHECK(has(text, "capture it in the lambda"));
  };
  unused("grad", [&] { dt::grad(first)(x, x); });
  unused("value_and_grad", [&] { dt::value_and_grad(first)(x, x); });
  // The mends.
  check_near(dt::grad([&](dt::Var v) { return first(v, v.graph().constant(x)); })(x), {2, 4}, 0);
  const auto used = [&](dt::Var v, dt::Var y) { return first(v, y) + 0.0 * dt::sum(y); };
  const auto [by_x, by_y] = dt::grad(used)(x, x);
  check_near(by_x, {2, 4}, 0);
  check_near(by_y, {0, 0}, 0);
  // Whole numbers.
  const auto product = [](dt::Var v, dt::Var n) { return dt::sum(v * dt::cast(n, dt::float64)); };
  const auto whole = [&](const std::string& name, const std::string& number, const auto& call) {
    const std::string text = error_of<dt::TypeError>(call);
    CHECK(has(text, "[" + name + " "));
    CHECK(has(text, "argument " + number + " (from 0) is int"));
    CHECK(has(text, "value_and_grad_test.cpp:"));
    CHECK(has(text, "capture data in the lambda"));
    return text;
  };
  const dt::Tensor n = dt::Tensor::of({3, 4});
  whole("grad", "1", [&] { dt::grad(product)(x, n); });
  whole("value_and_grad", "1", [&] { dt::value_and_grad(product)(x, n); });
  const auto square = [](dt::Var v) { return v * v; };
  CHECK(has(whole("grad", "0", [&] { dt::grad(square)(dt::Tensor(3)); }), "write 3.0 for 3"));
  check_near(dt::grad([&](dt::Var v) { return product(v, v.graph().constant(n)); })(x), {3, 4}, 0);
}
