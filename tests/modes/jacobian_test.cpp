// Jacobians and Hessians, held to closed forms, to each other and to chunks of any size.
#include <dualtape/modes/jacobian.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>
#include <tests/modes/drawn.hpp>

namespace dt = dualtape;
using dualtape::testing::error_of;
using dualtape::testing::has;
using dualtape::testing::numbers;

namespace {

dt::Var rosenbrock(dt::Var x) {
  const dt::Var a = dt::slice(x, 0, 0, -1), b = dt::slice(x, 0, 1, x.shape()[0]);
  return dt::sum(100 * dt::square(b - a * a) + dt::square(1 - a));
}

}  // namespace

TEST_CASE("the Jacobian of a linear map is its matrix, by either mode") {
  const dt::Tensor w = numbers({4, 3}, 1);
  const auto f = [&](dt::Var x) { return dt::reshape(dt::matmul(w, dt::reshape(x, {3, 1})), {4}); };
  const dt::Tensor x = numbers({3}, 2);
  for (const dt::Tensor& j : {dt::jacfwd(f)(x), dt::jacrev(f)(x), dt::jacobian(f)(x)}) {
    REQUIRE(j.shape() == dt::Shape{4, 3});
    CHECK(dt::all_close(j, w, 1e-14, 1e-14));
  }
}

TEST_CASE("shapes are the value's, then the input's") {
  const auto f = [](dt::Var x) { return dt::exp(dt::sum(x, {1})); };
  const dt::Tensor x = numbers({2, 3}, 3);
  const dt::Tensor forward = dt::jacfwd(f)(x);
  const dt::Tensor reverse = dt::jacrev(f)(x);
  REQUIRE(forward.shape() == dt::Shape{2, 2, 3});
  REQUIRE(reverse.shape() == dt::Shape{2, 2, 3});
  CHECK(dt::all_close(forward, reverse, 1e-14, 1e-14));
  CHECK(forward.at({0, 1, 2}) == 0);
  CHECK(forward.at({1, 1, 2}) == doctest::Approx(dt::eval(f, x).at({1})));
  const auto scalar = [](dt::Var y) { return dt::sin(y); };
  CHECK(dt::jacobian(scalar)(dt::full({}, 0.5, dt::float64)).item() ==
        doctest::Approx(std::cos(0.5)));
}

TEST_CASE("Rosenbrock's Hessian is its closed form") {
  const dt::Tensor x = numbers({5}, 4);
  const dt::Tensor h = dt::hessian(rosenbrock)(x);
  for (std::int64_t i = 0; i < 5; ++i)
    for (std::int64_t j = 0; j < 5; ++j) {
      const auto at = [&](std::int64_t k) { return x.at({k}); };
      double wanted = 0;
      if (i == j && i < 4) wanted += 1200 * at(i) * at(i) - 400 * at(i + 1) + 2;
      if (i == j && i > 0) wanted += 200;
      if (j == i + 1) wanted = -400 * at(i);
      if (i == j + 1) wanted = -400 * at(j);
      CHECK(h.at({i, j}) == doctest::Approx(wanted).epsilon(1e-12));
    }
  const dt::Tensor v = numbers({5}, 5);
  const dt::Tensor left = dt::vhp(rosenbrock, x, v);
  const dt::Tensor right = dt::hvp(rosenbrock, x, v);
  CHECK(dt::all_close(left, right, 1e-12, 1e-12));
}

TEST_CASE("a derivative by one number has the value's shape, to any order") {
  const auto curve = [](dt::Var t) { return dt::stack({dt::sin(t), dt::cos(t), t * t}); };
  const dt::Tensor t = dt::Tensor::scalar(0.5);
  const dt::Tensor first = dt::derivative(curve)(t);
  REQUIRE(first.shape() == dt::Shape{3});
  CHECK(first.at({0}) == doctest::Approx(std::cos(0.5)));
  CHECK(first.at({2}) == doctest::Approx(1.0));
  const dt::Tensor third = dt::derivative(dt::derivative(dt::derivative(curve)))(t);
  CHECK(third.at({0}) == doctest::Approx(-std::cos(0.5)));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::derivative(curve)(dt::zeros({2})); }),
            "jacobian_test.cpp"));
}

TEST_CASE("a limit of bytes changes the count of sweeps and no bit") {
  const dt::Tensor w = numbers({6, 7}, 6);
  const auto f = [&](dt::Var x) { return dt::tanh(dt::matmul(x, w)); };
  const dt::Tensor x = numbers({2, 6}, 7);
  const dt::Tensor forward = dt::jacfwd(f)(x);
  const dt::Tensor reverse = dt::jacrev(f)(x);
  for (const std::int64_t bytes : {1, 500, 1000, 100000}) {
    CAPTURE(bytes);
    CHECK(dt::identical(dt::jacfwd(f, {.bytes = bytes})(x), forward));
    CHECK(dt::identical(dt::jacrev(f, {.bytes = bytes})(x), reverse));
  }
}

TEST_CASE("a Jacobian works in the bytes it is given, from one direction's to all of them") {
  const dt::Tensor into = numbers({12, 300}, 30), out = numbers({300, 40}, 31);
  const dt::Tensor x = numbers({1, 12}, 32);
  using By = dt::Var (*)(dt::Var, dt::Var, const dt::JacobianOptions&, dt::Location);
  for (const By by : {static_cast<By>(&dt::jacfwd), static_cast<By>(&dt::jacrev)}) {
    const auto taken = [&](std::int64_t bytes, dt::Tensor& value) {
      dt::Graph g;
      const dt::Var at = g.input("x", x.shape(), x.dtype());
      const dt::Var wide = dt::sin(dt::matmul(at, into));
      const dt::Var h = dt::tanh(dt::matmul(wide, into, {.transpose_b = true}));
      const dt::Var y = dt::matmul(dt::tanh(dt::matmul(h, into)), out);
      const dt::Var j = by(y, at, {.bytes = bytes}, dt::Location::current());
      dt::Program program = dt::compile({j});
      value = program.run({{at, x}})[j].copy();
      const dt::MemoryUse use = program.memory();
      return static_cast<std::int64_t>(use.arena_bytes + use.workspace_bytes);
    };
    dt::Tensor together, apart, within;
    const std::int64_t most = taken(0, together);
    const std::int64_t least = taken(1, apart);
    REQUIRE(least < most);
    // Not to the bit: a product of another count of rows may add up in another order.
    CHECK(dt::all_close(apart, together, 1e-12, 1e-12));
    for (std::int64_t bytes = least; bytes < most; bytes += (most - least + 6) / 7) {
      CAPTURE(bytes);
      CHECK(static_cast<double>(taken(bytes, within)) <= 1.05 * static_cast<double>(bytes));
      CHECK(dt::all_close(within, together, 1e-12, 1e-12));
    }
  }
}

TEST_CASE("functions of several arguments have a Jacobian by each") {
  const auto f = [](dt::Var x, dt::Var y) { return x * dt::sum(y); };
  const dt::Tensor x = numbers({3}, 8), y = numbers({2}, 9);
  const auto [by_x, by_y] = dt::jacrev(f)(x, y);
  CHECK(by_x.shape() == dt::Shape{3, 3});
  CHECK(by_y.shape() == dt::Shape{3, 2});
  CHECK(by_y.at({1, 0}) == doctest::Approx(x.at({1})));
  CHECK(by_x.at({0, 1}) == 0);
}

TEST_CASE("Jacobians nest with everything else") {
  const auto f = [](dt::Var x) { return dt::exp(x) * dt::sum(x); };
  const dt::CheckReport report = dt::check_gradients(
      [&](std::span<const dt::Var> in) -> std::vector<dt::Var> {
        return {dt::jacfwd(f)(in[0]), dt::jacrev(f)(in[0])};
      },
      {dt::Arg{{3}}});
  CHECK_MESSAGE(report.ok(), dt::to_string(report));
  const dt::Tensor rows = numbers({4, 3}, 10);
  const dt::Tensor all = dt::vmap(dt::jacobian(f))(rows);
  REQUIRE(all.shape() == dt::Shape{4, 3, 3});
  for (std::int64_t i = 0; i < 4; ++i)
    CHECK(dt::all_close(all.row(i), dt::jacobian(f)(rows.row(i)), 1e-12, 1e-12));
  // The derivative of a Jacobian is a third axis of the second derivative.
  const auto quadratic = [](dt::Var x) { return dt::square(x); };
  const dt::Tensor second = dt::jacfwd(dt::jacrev(quadratic))(numbers({2}, 11));
  CHECK(second.at({0, 0, 0}) == 2);
  CHECK(second.at({0, 1, 0}) == 0);
}

TEST_CASE("what does not depend has a Jacobian of zeros, and empty ones have their shapes") {
  const auto constant = [](dt::Var x) {
    return x.graph().constant(dt::ones({2}, dt::float64)) + 0 * dt::sum(dt::stop_gradient(x));
  };
  for (const dt::Tensor& j :
       {dt::jacfwd(constant)(numbers({3}, 12)), dt::jacrev(constant)(numbers({3}, 12))})
    CHECK(dt::identical(j, dt::zeros({2, 3}, dt::float64)));
  const auto same = [](dt::Var x) { return 2 * x; };
  for (const dt::Tensor& j : {dt::jacfwd(same)(dt::zeros({0}, dt::float64)),
                              dt::jacrev(same)(dt::zeros({0}, dt::float64))})
    CHECK(j.shape() == dt::Shape{0, 0});
}

TEST_CASE("misuse of Jacobians names the user's line") {
  const auto same = [](dt::Var x) { return x; };
  const auto refused = [](auto&& act, const char* part) {
    const std::string text = error_of<dt::Error>(act);
    CHECK(has(text, part));
    CHECK(has(text, "jacobian_test.cpp"));
  };
  refused([&] { dt::jacfwd(same, {.bytes = -1})(dt::zeros({2})); }, "-1 bytes");
  refused([&] { dt::jacrev(same)(dt::zeros({2}, dt::int64)); }, "only float32 and float64");
  refused([&] { dt::hessian(same)(dt::zeros({2})); }, "not one number");
  refused([&] { dt::jacobian([](dt::Var) { return dt::Var{}; })(dt::zeros({2})); },
          "what the function returns");
  dt::Graph large;
  const dt::Var many = large.input("many", {1L << 31});
  refused([&] { dt::jacfwd(many * many, many); }, "too many elements");
  const dt::Var some = large.input("some", {200'000});
  refused([&] { dt::jacrev(some * some, some, {.bytes = 1}); }, "more than 100000 sweeps");
  dt::Graph g, other;
  const dt::Var x = g.input("x", {2}), y = other.input("y", {2});
  refused([&] { dt::jacfwd(y, x); }, "graph");
  refused([&] { dt::jacrev(dt::Var{}, x); }, "the value");
}
