#include <dualtape/modes/implicit.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>

namespace dt = dualtape;
using dt::testing::error_of;
using dt::testing::has;

namespace {

using Spanned = std::function<dt::Var(std::span<const dt::Var>)>;

dt::Tensor drawn(std::uint64_t number, dt::Shape shape, dt::DType dtype = dt::float64) {
  return dt::normal(dt::Key{11}.fold(number), std::move(shape), 0.0, 1.0, dtype);
}
dt::Tensor scalar(double x) { return dt::Tensor::of({x}, dt::float64).reshape({}); }
// A matrix with its eigenvalues around 2, not symmetric.
dt::Tensor matrix(std::uint64_t number, std::int64_t n, dt::DType dtype = dt::float64) {
  return dt::eval(
      [](dt::Var a) { return 0.3 * a + 2.0 * dt::eye(a.shape()[0], a.shape()[0], 0, a.dtype()); },
      drawn(number, {n, n}, dtype));
}
dt::Tensor symmetric(std::uint64_t number, std::int64_t n) {
  return dt::eval(
      [n](dt::Var a) {
        return dt::matmul(a, dt::transpose(a)) + 0.5 * dt::eye(n, n, 0, dt::float64);
      },
      drawn(number, {n, n}));
}

// What a function's value does under both modes and their nestings, beside another that is equal.
void check_alike(const Spanned& f, const Spanned& wanted, const std::vector<dt::Tensor>& x,
                 double tolerance = 1e-10) {
  std::vector<dt::Tensor> v;
  for (const dt::Tensor& t : x) v.push_back(drawn(50 + v.size(), t.shape(), t.dtype()));
  const auto scalar = [](const Spanned& g) -> Spanned {
    return [g](std::span<const dt::Var> in) {
      const dt::Var y = g(in);
      return dt::sum(dt::sin(y) + y * y);
    };
  };
  const auto along = [&](const Spanned& g) -> Spanned {
    return [g, &v](std::span<const dt::Var> in) {
      std::vector<dt::Var> tangents;
      for (const dt::Tensor& t : v) tangents.push_back(in[0].graph().constant(t));
      return dt::forward(g(in), {in.begin(), in.end()}, tangents);
    };
  };
  const auto slope = [&](const Spanned& g) -> Spanned {
    return [g, &v](std::span<const dt::Var> in) {
      const dt::Var y = g(in);
      const auto gradients = dt::reverse(y, {in.begin(), in.end()}).all();
      dt::Var total;
      for (std::size_t i = 0; i < in.size(); ++i) {
        const dt::Var part = dt::sum(gradients[i] * in[0].graph().constant(v[i]));
        total = i == 0 ? part : total + part;
      }
      return total;
    };
  };
  const auto close = [&](const dt::Tensor& a, const dt::Tensor& b) {
    const bool alike = dt::all_close(a, b, tolerance, tolerance);
    if (!alike) MESSAGE(a << " beside " << b);
    CHECK(alike);
  };
  const Spanned one = scalar(f), other = scalar(wanted);
  close(dt::eval(f, x), dt::eval(wanted, x));
  close(dt::jvp(f, x, v).tangent, dt::jvp(wanted, x, v).tangent);
  const auto a = dt::grad(one)(x), b = dt::grad(other)(x);
  for (std::size_t i = 0; i < x.size(); ++i) close(a[i], b[i]);
  const dt::Tensor second = dt::eval(along(along(other)), x);
  close(dt::eval(along(along(one)), x), second);
  close(dt::eval(along(slope(one)), x), second);
  close(dt::eval(slope(along(one)), x), second);
  close(dt::eval(slope(slope(one)), x), second);
}

// The same in batches, over all arguments and over each alone.
void check_batched(const Spanned& f, const Spanned& wanted, const std::vector<dt::Tensor>& x,
                   double tolerance = 1e-10) {
  const auto many = [](const dt::Tensor& t) {
    return dt::eval([](dt::Var y) { return dt::stack(std::vector{y, y * 0.75, y * 1.125}); }, t);
  };
  for (std::size_t only = 0; only <= x.size(); ++only) {
    std::vector<dt::BatchAxis> axes;
    std::vector<dt::Tensor> given;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const bool batched = only == x.size() || only == i;
      axes.push_back(batched ? dt::BatchAxis(0) : dt::BatchAxis());
      given.push_back(batched ? many(x[i]) : x[i]);
    }
    const auto slopes = [](const Spanned& g) {
      return [g](std::span<const dt::Var> in) {
        return dt::reverse(dt::sum(dt::sin(g(in))), {in.begin(), in.end()}).all();
      };
    };
    CHECK(dt::all_close(dt::vmap(f, {.in = axes})(given), dt::vmap(wanted, {.in = axes})(given),
                        tolerance, tolerance));
    const std::vector<dt::Tensor> a = dt::vmap(slopes(f), {.in = axes})(given);
    const std::vector<dt::Tensor> b = dt::vmap(slopes(wanted), {.in = axes})(given);
    for (std::size_t i = 0; i < a.size(); ++i)
      CHECK(dt::all_close(a[i], b[i], tolerance, tolerance));
  }
}

std::size_t count_of(const dt::Program& program, std::string_view op) {
  std::size_t count = 0;
  for (const dt::PlanNode& node : program.plan().nodes) count += node.op->name() == op;
  return count;
}

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
    CHECK(has(text, "linear_solve did not converge: the residual is "));
    CHECK(has(text, "the tolerance 1e-12"));
    CHECK(has(text, "implicit_test.cpp"));
    const auto told = [&](std::span<const dt::Var> in) {
      const dt::Solution found = dt::try_linear_solve(
          [&](dt::Var v) { return dt::matmul(in[0], v); }, in[1], {.method = method});
      return dt::cast(found.converged, dt::float64) + 0.0 * found.residual;
    };
    CHECK(dt::eval(told, {a, b}).item() == 0);
    CHECK(dt::eval(told, {symmetric(1, 2), b}).item() == 1);
  }
}

TEST_CASE("fixed_point: in every mode, against the equation solved by hand") {
  // x = a x / (2 + a) + b has x = b (2 + a) / 2.
  const Spanned by_loop = [](std::span<const dt::Var> in) {
    return dt::fixed_point([&](dt::Var x) { return in[0] * x / (2.0 + in[0]) + in[1]; }, in[1]);
  };
  const Spanned closed = [](std::span<const dt::Var> in) { return in[1] * (2.0 + in[0]) / 2.0; };
  const std::vector<dt::Tensor> x{dt::Tensor::of({0.5, 1.0, 2.0}, dt::float64),
                                  dt::Tensor::of({1.0, -2.0, 0.25}, dt::float64)};
  check_alike(by_loop, closed, x);
  check_batched(by_loop, closed, x);
}

TEST_CASE("root: in every mode, against closed forms") {
  const Spanned by_newton = [](std::span<const dt::Var> in) {
    return dt::root([&](dt::Var x) { return x * x - in[0] * in[1]; }, in[0]);
  };
  const Spanned closed = [](std::span<const dt::Var> in) { return dt::sqrt(in[0] * in[1]); };
  const std::vector<dt::Tensor> x{dt::Tensor::of({2.0, 5.0}, dt::float64),
                                  dt::Tensor::of({3.0, 0.5}, dt::float64)};
  check_alike(by_newton, closed, x);
  check_batched(by_newton, closed, x);
}

TEST_CASE("argmin: in every mode, against ridge regression") {
  const dt::Tensor data = drawn(20, {8, 3});
  const Spanned by_newton = [&](std::span<const dt::Var> in) {
    const auto loss = [&](dt::Var w) {
      return dt::sum(dt::square(dt::matmul(data, w) - in[0])) + in[1] * dt::sum(dt::square(w));
    };
    return dt::argmin(loss, dt::matmul(dt::transpose(in[0].graph().constant(data)), in[0]) * 0.0);
  };
  const Spanned closed = [&](std::span<const dt::Var> in) {
    const dt::Var a = in[0].graph().constant(data);
    const dt::Var at = dt::transpose(a);
    return dt::solve(dt::matmul(at, a) + in[1] * dt::eye(3, 3, 0, dt::float64),
                     dt::matmul(at, in[0]));
  };
  const std::vector<dt::Tensor> x{drawn(21, {8}), scalar(0.5)};
  check_alike(by_newton, closed, x);
  check_batched(by_newton, closed, x);
}
