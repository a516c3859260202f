#include <dualtape/modes/value_and_grad.hpp>

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

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
