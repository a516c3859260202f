// linear_solve() of modes/implicit.hpp.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>
#include <tests/modes/alike.hpp>

namespace dt = dualtape;
using dt::testing::check_alike;
using dt::testing::check_batched;
using dt::testing::drawn;
using dt::testing::error_of;
using dt::testing::has;
using dt::testing::matrix;
using dt::testing::scalar;
using dt::testing::Spanned;
using dt::testing::symmetric;

namespace {

const Spanned by_factors = [](std::span<const dt::Var> in) { return dt::solve(in[0], in[1]); };
Spanned by_products(dt::LinearOptions options) {
  return [options](std::span<const dt::Var> in) {
    return dt::linear_solve([&](dt::Var v) { return dt::matmul(in[0], v); }, in[1], options);
  };
}

}  // namespace

TEST_CASE("linear_solve: every method, in every mode, against the factors of the matrix") {
  const std::vector<dt::Tensor> x{matrix(0, 6), drawn(1, {6})};
  SUBCASE("gmres") { check_alike(by_products({}), by_factors, x); }
  SUBCASE("gmres that starts anew") { check_alike(by_products({.restart = 3}), by_factors, x); }
  SUBCASE("bicgstab") {
    check_alike(by_products({.method = dt::LinearMethod::bicgstab}), by_factors, x);
  }
  SUBCASE("batches") { check_batched(by_products({}), by_factors, x); }
}

TEST_CASE("linear_solve: conjugate gradients of a symmetric map") {
  // By the symmetric part, so that both are functions of the same matrix.
  const auto half = [](dt::Var a) { return 0.5 * (a + dt::transpose(a)); };
  const Spanned wanted = [&](std::span<const dt::Var> in) { return dt::solve(half(in[0]), in[1]); };
  const Spanned by_cg = [&](std::span<const dt::Var> in) {
    const dt::Var a = half(in[0]);
    return dt::linear_solve([&](dt::Var v) { return dt::matmul(a, v); }, in[1],
                            {.method = dt::LinearMethod::cg});
  };
  const std::vector<dt::Tensor> x{symmetric(2, 5), drawn(3, {5})};
  check_alike(by_cg, wanted, x);
  check_batched(by_cg, wanted, x);
}

TEST_CASE("linear_solve: a preconditioner, and a solver of one's own") {
  const std::vector<dt::Tensor> x{matrix(4, 6), drawn(5, {6})};
  const Spanned near = [](std::span<const dt::Var> in) {
    const dt::Var diagonal = dt::sum(in[0] * dt::eye(6, 6, 0, dt::float64), {1});
    return dt::linear_solve([&](dt::Var v) { return dt::matmul(in[0], v); }, in[1],
                            {.preconditioner = [&](dt::Var r) { return r / diagonal; }});
  };
  check_alike(near, by_factors, x);
  const dt::Solver richardson = [](const dt::VarMap& map, dt::Var b) {
    return dt::fori(0, 300, b * 0.0, [&](dt::Var, dt::Var y) { return y + 0.4 * (b - map(y)); });
  };
  check_alike(by_products({.solver = richardson}), by_factors, x);
  check_batched(by_products({.solver = richardson}), by_factors, x);
}

TEST_CASE("linear_solve: maps made of derivatives and of loops") {
  const auto f = [](dt::Var x) { return dt::sin(x) + 0.1 * dt::sum(x); };
  const Spanned gauss_newton = [&](std::span<const dt::Var> in) {
    const dt::Var y = f(in[0]);
    const auto map = [&](dt::Var v) {
      return dt::vjp({y}, {in[0]}, {dt::forward(y, {in[0]}, {v})})[in[0]] + 0.1 * v;
    };
    return dt::linear_solve(map, in[1], {.method = dt::LinearMethod::cg});
  };
  const Spanned by_jacobian = [&](std::span<const dt::Var> in) {
    const dt::Var j = dt::jacobian(f)(in[0]);
    const dt::Tensor one = dt::eye(3, 3, 0, dt::float64);
    return dt::solve(dt::matmul(dt::transpose(j), j) + 0.1 * in[0].graph().constant(one), in[1]);
  };
  check_alike(gauss_newton, by_jacobian, {drawn(9, {3}), drawn(10, {3})});
  const Spanned twice = [](std::span<const dt::Var> in) {
    const auto map = [&](dt::Var v) {
      return dt::fori(0, 2, v, [&](dt::Var, dt::Var u) { return dt::matmul(in[0], u); });
    };
    return dt::linear_solve(map, in[1]);
  };
  const Spanned by_square = [](std::span<const dt::Var> in) {
    return dt::solve(dt::matmul(in[0], in[0]), in[1]);
  };
  check_alike(twice, by_square, {matrix(11, 4), drawn(12, {4})});
}

TEST_CASE("linear_solve: float32, any shape, large and small numbers, and none") {
  const std::vector<dt::Tensor> x{matrix(6, 5, dt::float32), drawn(7, {5}, dt::float32)};
  CHECK(dt::all_close(dt::eval(by_products({}), x), dt::eval(by_factors, x), 1e-4, 1e-4));
  const auto plane = [](dt::Var b) {
    return dt::linear_solve([](dt::Var v) { return 3.0 * v + dt::transpose(v); }, b);
  };
  const dt::Tensor b = drawn(8, {4, 4});
  const auto back = [&](dt::Var y) { return 3.0 * y + dt::transpose(y); };
  CHECK(dt::all_close(dt::eval([&](dt::Var y) { return back(plane(y)); }, b), b, 1e-11, 1e-11));
  for (const double size : {1e-200, 1e200}) {
    const dt::Tensor big = dt::eval([size](dt::Var y) { return y * size; }, b);
    const dt::Tensor found = dt::eval([&](dt::Var y) { return back(plane(y)); }, big);
    CHECK(dt::all_close(found, big, 1e-11, 0.0));
  }
  const auto number = [](dt::Var y) {
    return dt::linear_solve([](dt::Var v) { return 4.0 * v; }, y);
  };
  CHECK(dt::eval(number, scalar(3.0)).item() == doctest::Approx(0.75));
  CHECK(dt::eval(plane, dt::zeros({0, 0}, dt::float64)).shape() == dt::Shape{0, 0});
  CHECK(dt::eval(plane, dt::zeros({4, 4}, dt::float64)).at({1, 2}) == 0.0);
}

TEST_CASE("linear_solve: what has no solution is an error or a flag") {
  const dt::Tensor a = dt::Tensor::of({1.0, 2.0, 2.0, 4.0}, dt::float64).reshape({2, 2});
  const dt::Tensor b = dt::Tensor::of({1.0, 1.0}, dt::float64);
  for (const auto method :
       {dt::LinearMethod::gmres, dt::LinearMethod::cg, dt::LinearMethod::bicgstab}) {
    const std::string text = error_of<dt::ValueError>([&] {
      dt::eval(by_products({.method = method}), {a, b});
    });
    CHECK(has(text, "[linear_solve] did not converge: the residual is "));
    CHECK(has(text, "the tolerance 1e-12"));
    CHECK(has(text, "linear_solve_test.cpp"));
    const auto told = [&](std::span<const dt::Var> in) {
      const dt::Solution found = dt::try_linear_solve(
          [&](dt::Var v) { return dt::matmul(in[0], v); }, in[1], {.method = method});
      return dt::cast(found.converged, dt::float64) + 0.0 * found.residual;
    };
    CHECK(dt::eval(told, {a, b}).item() == 0);
    CHECK(dt::eval(told, {symmetric(1, 2), b}).item() == 1);
  }
}

TEST_CASE("linear_solve: a map is linear in its loops and calls, too, or refused") {
  const dt::Tensor b = drawn(7, {3});
  const auto solved = [&](auto step) {
    return [step](dt::Var x) {
      const auto map = [&](dt::Var v) {
        return dt::fori(0, 2, {v}, [&](dt::Var, std::span<const dt::Var> s) {
          return std::vector<dt::Var>{step(s[0], x)};
        })[0];
      };
      return dt::linear_solve(map, x);
    };
  };
  // (D (D x)) v = x, where D is diag(2 + sin x).
  const auto diagonal = [](dt::Var v, dt::Var x) { return v * (2.0 + dt::sin(x)); };
  const auto closed = [](dt::Var x) { return x / dt::square(2.0 + dt::sin(x)); };
  CHECK(dt::all_close(dt::eval(solved(diagonal), b), dt::eval(closed, b), 1e-11, 1e-12));
  CHECK(dt::all_close(dt::jacrev(solved(diagonal))(b), dt::jacrev(closed)(b), 1e-9, 1e-10));
  CHECK(dt::all_close(dt::jacfwd(solved(diagonal))(b), dt::jacrev(closed)(b), 1e-9, 1e-10));
  const std::string text = error_of<dt::DerivativeError>(
      [&] { dt::eval(solved([](dt::Var v, dt::Var x) { return v + 0.1 * v * v * x; }), b); });
  CHECK_MESSAGE(has(text, "'scan'"), text);
  CHECK_MESSAGE(has(text, "'mul' at"), text);
  CHECK(has(text, "linear_solve_test.cpp"));
}
