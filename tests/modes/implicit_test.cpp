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

TEST_CASE("a derivative takes one linear solve a sweep, and the solver runs once") {
  dt::Graph g;
  const dt::Var a = g.input("a", {4}, dt::float64), v = g.input("v", {4}, dt::float64);
  const dt::Var x = dt::fixed_point([&](dt::Var y) { return dt::sin(a * y) * 0.5 + a; }, a);
  const dt::Var loss = dt::sum(dt::square(x));
  const auto counts = [](const dt::Program& program) {
    return std::array{count_of(program, "root"), count_of(program, "linear_solve")};
  };
  CHECK(counts(dt::compile({loss})) == std::array<std::size_t, 2>{1, 0});
  CHECK(counts(dt::compile({loss, dt::forward(loss, {a}, {v})})) ==
        std::array<std::size_t, 2>{1, 1});
  CHECK(counts(dt::compile({loss, dt::reverse(loss, {a})[a]})) == std::array<std::size_t, 2>{1, 1});
  const dt::Var y = dt::linear_solve([&](dt::Var u) { return u + dt::sum(u * a) * a; }, v);
  const dt::Var total = dt::sum(y * y);
  CHECK(count_of(dt::compile({total, dt::reverse(total, {a})[a]}), "linear_solve") == 2);
  CHECK(count_of(dt::compile({total, dt::forward(total, {a}, {v})}), "linear_solve") == 2);
  CHECK(has(dt::compile({loss}).explain(), "fixed_point by iteration, up to 1000 times"));
}

TEST_CASE("memory does not grow with the steps") {
  const auto bytes = [](std::int64_t most, bool derive) {
    dt::Graph g;
    const dt::Var a = g.input("a", {64}, dt::float64);
    const dt::Var x = dt::fixed_point([&](dt::Var y) { return 0.99 * y + 0.01 * a; }, a,
                                      {.most = most, .linear = {.most = most}});
    const dt::Var loss = dt::sum(x * x);
    if (!derive) return dt::compile({loss}).memory();
    return dt::compile({loss, dt::reverse(loss, {a})[a], dt::forward(loss, {a}, {a})}).memory();
  };
  for (const bool derive : {false, true}) {
    const auto few = bytes(10, derive), many = bytes(10000, derive);
    CHECK(few.arena_bytes == many.arena_bytes);
    CHECK(few.workspace_bytes == many.workspace_bytes);
  }
}

TEST_CASE("what converges slowly converges, and takes no more memory or other derivatives") {
  const Spanned slow = [](std::span<const dt::Var> in) {
    return dt::fixed_point([&](dt::Var x) { return 0.998 * x + 0.002 * dt::exp(in[0]); }, in[0],
                           {.tolerance = 1e-14, .most = 100000});
  };
  const Spanned closed = [](std::span<const dt::Var> in) { return dt::exp(in[0]); };
  check_alike(slow, closed, {dt::Tensor::of({0.5, -1.0}, dt::float64)});
}

TEST_CASE(
    "Parameters and Vars that are captured have derivatives; so has what a solver captures none") {
  const dt::Parameter w("w", dt::Tensor::of({0.25, 0.5}, dt::float64));
  dt::Graph g;
  const dt::Var b = g.constant(dt::Tensor::of({1.0, 2.0}, dt::float64));
  const dt::Var rate = g.constant(dt::Tensor::of({0.9}, dt::float64).reshape({}));
  const dt::Solver damped = [&](const dt::VarMap& f, dt::Var x) {
    return dt::fori(0, 400, x, [&](dt::Var, dt::Var y) { return y + rate * (f(y) - y); });
  };
  const dt::Var x = dt::fixed_point([&](dt::Var y) { return w * y + b; }, b, {.solver = damped});
  const dt::Var loss = dt::sum(x);  // b / (1 - w)
  const auto slopes =
      dt::reverse(loss, {dt::Wrt(w), dt::Wrt(b), dt::Wrt(rate)}, dt::Unreachable::zero);
  CHECK(dt::all_close(dt::eval(x), dt::Tensor::of({4.0 / 3, 4.0}, dt::float64), 1e-12));
  CHECK(dt::all_close(dt::eval(slopes[w]), dt::Tensor::of({16.0 / 9, 8.0}, dt::float64), 1e-10));
  CHECK(dt::all_close(dt::eval(slopes[b]), dt::Tensor::of({4.0 / 3, 2.0}, dt::float64), 1e-10));
  CHECK(dt::eval(slopes[rate]).item() == 0);
}

TEST_CASE("reverse mode through gmres inside an implicit function, jax issue 33872") {
  // The derivative of a root solves by gmres, and so does the function itself.
  const dt::Tensor a = matrix(30, 4);
  const Spanned by_root = [](std::span<const dt::Var> in) {
    const auto f = [&](dt::Var x) {
      return dt::linear_solve([&](dt::Var v) { return dt::matmul(in[0], v); }, x - in[1],
                              {.method = dt::LinearMethod::gmres}) +
             0.25 * (x - in[1]);
    };
    return dt::root(f, in[1] * 0.0, {.linear = {.method = dt::LinearMethod::gmres}}) * in[1];
  };
  const Spanned closed = [](std::span<const dt::Var> in) { return in[1] * in[1]; };
  const dt::Tensor b = drawn(31, {4});
  const auto by_b = [&](const Spanned& f) -> Spanned {
    return [&a, f](std::span<const dt::Var> in) {
      return f(std::array{in[0].graph().constant(a), in[0]});
    };
  };
  check_alike(by_b(by_root), by_b(closed), {b});
}

TEST_CASE("an implicit function inside a loop, in another one, and in a call") {
  const auto cube = [](dt::Var a) {
    return dt::root([&](dt::Var x) { return x * x * x - a; }, dt::ones_like(a));
  };
  const Spanned looped = [&](std::span<const dt::Var> in) {
    return dt::fori(0, 2, in[0], [&](dt::Var, dt::Var x) { return cube(x); });
  };
  const Spanned nested = [&](std::span<const dt::Var> in) {  // y^3 = a / cbrt(y^2), y = a^(3/11)
    return dt::root([&](dt::Var y) { return y * y * y * cube(y * y) - in[0]; },
                    dt::ones_like(in[0]));
  };
  const auto power = [](double p) -> Spanned {
    return [p](std::span<const dt::Var> in) { return dt::exp(p * dt::log(in[0])); };
  };
  const std::vector<dt::Tensor> x{dt::Tensor::of({2.0, 0.7}, dt::float64)};
  check_alike(looped, power(1.0 / 9), x);
  check_alike(nested, power(3.0 / 11), x);
  const Spanned called = [&](std::span<const dt::Var> in) {
    return dt::checkpoint([&](std::span<const dt::Var> y) { return std::vector{cube(y[0])}; },
                          {dt::In(in[0])})[0];
  };
  check_alike(called, power(1.0 / 3), x);
}

TEST_CASE("root and argmin go where a full step would not") {
  // Newton's full steps for atan leave from 2 on.
  const auto flat = [](dt::Var a) {
    return dt::root([&](dt::Var x) { return x / dt::sqrt(1.0 + x * x) - a; }, 0.0 * a + 3.0);
  };
  CHECK(dt::eval(flat, scalar(0.5)).item() == doctest::Approx(1 / std::sqrt(3.0)).epsilon(1e-10));
  const auto valley = [](dt::Var a) {  // Rosenbrock's, whose least value is at (a, a^2)
    const auto f = [&](dt::Var x) {
      return dt::square(a - x[0]) + 100.0 * dt::square(x[1] - dt::square(x[0]));
    };
    return dt::argmin(f, a * dt::Tensor::of({-1.2, 1.0}, dt::float64));
  };
  const dt::Tensor at = dt::eval(valley, scalar(1.0));
  CHECK(dt::all_close(at, dt::Tensor::of({1.0, 1.0}, dt::float64), 1e-10));
  const auto slope = dt::jvp(valley, scalar(1.0), scalar(1.0)).tangent;
  CHECK(dt::all_close(slope, dt::Tensor::of({1.0, 2.0}, dt::float64), 1e-9));
}

TEST_CASE("float32, and nothing at all") {
  const auto f = [](dt::Var b) {
    return dt::sum(dt::fixed_point([&](dt::Var x) { return 0.5 * dt::cos(x) + b; }, b));
  };
  const dt::Tensor b{0.1, 0.7, -2};
  const dt::Tensor exact =
      dt::grad(f)(dt::eval([](dt::Var x) { return dt::cast(x, dt::float64); }, b));
  CHECK(dt::all_close(dt::eval([](dt::Var x) { return dt::cast(x, dt::float64); }, dt::grad(f)(b)),
                      exact, 1e-4, 1e-4));
  CHECK(dt::grad(f)(dt::zeros({0}, dt::float64)).shape() == dt::Shape{0});
  const auto least = [](dt::Var a) {
    return dt::argmin([&](dt::Var x) { return dt::sum(dt::square(x - a)); }, a);
  };
  CHECK(dt::eval(least, dt::zeros({0, 2}, dt::float64)).shape() == dt::Shape{0, 2});
}

TEST_CASE("what does not converge is told, member by member, and NaN under a flag") {
  const auto away = [](dt::Var x) { return 2.0 * x + 1.0; };
  const std::string text = error_of<dt::ValueError>([&] {
    dt::eval([&](dt::Var x) { return dt::fixed_point(away, x, {.most = 20}); }, scalar(1));
  });
  CHECK(has(text, "fixed_point did not converge: the residual is 0.99"));
  CHECK(has(text, "after 20 steps, the tolerance 1e-12"));
  CHECK(has(text, "implicit_test.cpp"));
  const auto no_root = [](dt::Var x) { return dt::root([](dt::Var y) { return y * y + 1.0; }, x); };
  CHECK(has(error_of<dt::ValueError>([&] { dt::eval(no_root, scalar(1)); }),
            "root did not converge"));
  const auto no_least = [](dt::Var x) { return dt::argmin([](dt::Var y) { return -y * y; }, x); };
  CHECK(has(error_of<dt::ValueError>([&] { dt::eval(no_least, scalar(1)); }),
            "argmin did not converge"));
  // A root of x^2 = a where a is below 0 has none; a solver that says what it likes is not
  // believed.
  const auto roots = [](dt::Var a) {
    return dt::root([&](dt::Var x) { return x * x - a; }, a * 0.0 + 1.0);
  };
  const dt::Tensor some = dt::Tensor::of({4.0, -1.0, 9.0}, dt::float64);
  CHECK(has(error_of<dt::ValueError>([&] { dt::vmap(roots)(some); }), "root of member 1 did not"));
  const auto flags = [](dt::Var a) {
    return dt::cast(dt::try_root([&](dt::Var x) { return x * x - a; }, a * 0.0 + 1.0).converged,
                    dt::float64);
  };
  CHECK(dt::identical(dt::vmap(flags)(some), dt::Tensor::of({1.0, 0.0, 1.0}, dt::float64)));
  const dt::Solver liar = [](const dt::VarMap&, dt::Var x) { return x + 0.5; };
  const auto believed = [&](dt::Var x) {
    return dt::fixed_point([](dt::Var y) { return dt::cos(y); }, x, {.solver = liar});
  };
  CHECK(has(error_of<dt::ValueError>([&] { dt::eval(believed, scalar(1)); }), "did not converge"));
  // At a double root the derivative has no solution.
  const auto twice = [](dt::Var a) {
    return dt::try_root([&](dt::Var x) { return x * x * dt::exp(x) - a; }, a * 0.0,
                        {.tolerance = 1e-6})
        .x;
  };
  CHECK(std::isnan(dt::grad(twice)(scalar(0)).item()));
}

TEST_CASE("what does not fit is refused where the user's line is") {
  dt::Graph g;
  const dt::Var b = g.input("b", {3}, dt::float64);
  const dt::Var whole = g.input("n", {3}, dt::int64);
  const auto told = [&](const std::string& text, std::string_view part) {
    CHECK(has(text, part));
    CHECK(has(text, "implicit_test.cpp"));
  };
  told(error_of<dt::ShapeError>([&] { dt::root([](dt::Var x) { return dt::sum(x); }, b); }),
       "the function returns float64 () for float64 (3,)");
  told(error_of<dt::ShapeError>([&] { dt::argmin([](dt::Var x) { return x; }, b); }),
       "the function returns float64 (3,)");
  told(error_of<dt::ShapeError>([&] { dt::linear_solve([](dt::Var x) { return dt::sum(x); }, b); }),
       "what the map returns is float64 ()");
  told(error_of<dt::TypeError>([&] { dt::fixed_point([](dt::Var x) { return x; }, whole); }),
       "solvers want floats");
  told(error_of<dt::DerivativeError>(
           [&] { dt::linear_solve([](dt::Var x) { return 2.0 * x + 1.0; }, b); }),
       "the map is not linear: 'add'");
  told(error_of<dt::DerivativeError>([&] { dt::linear_solve([](dt::Var x) { return x * x; }, b); }),
       "the map is not linear: 'mul'");
  told(error_of<dt::DerivativeError>([&] { dt::linear_solve([&](dt::Var) { return b; }, b); }),
       "does not depend on its argument");
  told(error_of<dt::ValueError>(
           [&] { dt::fixed_point([](dt::Var x) { return x; }, b, {.tolerance = -1}); }),
       "the tolerance is -1");
  told(error_of<dt::ValueError>(
           [&] { dt::fixed_point([](dt::Var x) { return x; }, b, {.most = -3}); }),
       "most is -3");
  told(error_of<dt::ValueError>(
           [&] { dt::linear_solve([](dt::Var x) { return x; }, b, {.restart = 0}); }),
       "restart is 0");
  told(error_of<dt::GraphError>([&] { dt::root(dt::VarMap(), b); }), "root");
  told(error_of<dt::ShapeError>([&] {
         dt::root([](dt::Var x) { return x; }, b,
                  {.solver = [](const dt::VarMap&, dt::Var x) { return dt::sum(x); }});
       }),
       "what the solver returns is float64 ()");
}

TEST_CASE("the operators pass their own checks") {
  for (const char* name : {"linear_solve", "root"}) {
    const dt::Op* const op = dt::find_op(name);
    REQUIRE(op != nullptr);
    dt::require(dt::check_entry(dt::entry_of(*op)));
  }
}
