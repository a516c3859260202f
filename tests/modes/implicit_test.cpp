#include <dualtape/modes/implicit.hpp>

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
using dt::testing::count_of;
using dt::testing::drawn;
using dt::testing::error_of;
using dt::testing::has;
using dt::testing::matrix;
using dt::testing::scalar;
using dt::testing::Spanned;

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

TEST_CASE("fixed_point: Anderson's mixing takes fewer steps, and finds what is no contraction") {
  // A linear map of slopes 0.99 and -1.5: two directions, which two steps know all of.
  const auto f = [](dt::Var x) { return x * dt::Tensor::of({0.99, -1.5}, dt::float64) + 1.0; };
  const auto mixed = [&](dt::Var x) { return dt::try_fixed_point(f, x, {.memory = 2}); };
  const dt::Tensor start = dt::zeros({2}, dt::float64);
  CHECK(dt::all_close(dt::eval([&](dt::Var x) { return mixed(x).x; }, start),
                      dt::Tensor::of({100.0, 0.4}, dt::float64), 1e-9, 1e-9));
  CHECK(dt::eval([&](dt::Var x) { return mixed(x).steps; }, start).item<std::int64_t>() < 8);
  const Spanned by_mixing = [](std::span<const dt::Var> in) {
    return dt::fixed_point([&](dt::Var x) { return dt::sin(x) * 0.5 + in[0]; }, in[0],
                           {.memory = 3});
  };
  const Spanned by_steps = [](std::span<const dt::Var> in) {
    return dt::fixed_point([&](dt::Var x) { return dt::sin(x) * 0.5 + in[0]; }, in[0]);
  };
  check_alike(by_mixing, by_steps, {drawn(40, {2, 2})});
  check_batched(by_mixing, by_steps, {drawn(41, {3})});
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
  const dt::Parameter b("b", dt::Tensor::of({1.0, 2.0}, dt::float64));
  const dt::Parameter rate("rate", scalar(0.9));
  dt::Graph g;
  const dt::Solver damped = [&](const dt::VarMap& f, dt::Var x) {
    return dt::fori(0, 400, x, [&](dt::Var, dt::Var y) { return y + rate * (f(y) - y); });
  };
  const dt::Var x =
      dt::fixed_point([&](dt::Var y) { return w * y + b; }, g.read(b), {.solver = damped});
  const auto slopes = dt::reverse(dt::sum(x), {w, b, rate}, dt::Unreachable::zero);
  CHECK(dt::all_close(dt::eval(x), dt::Tensor::of({4.0 / 3, 4.0}, dt::float64), 1e-12));  // b/(1-w)
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

TEST_CASE("loops, branches and rules of one's own inside the function") {
  const dt::Tensor a = dt::Tensor::of({0.3, 0.5, 0.8}, dt::float64);
  const auto step = [](dt::Var x, dt::Var b) { return 0.5 * dt::sin(x) + b; };
  const Spanned wanted = [&](std::span<const dt::Var> in) {
    dt::Var x = in[0];
    for (int i = 0; i < 60; ++i) x = step(x, in[0]);
    return x;
  };
  const Spanned looped = [&](std::span<const dt::Var> in) {
    const auto three = [&](dt::Var x) {
      return dt::fori(0, 3, x, [&](dt::Var, dt::Var y) { return step(y, in[0]); });
    };
    return dt::fixed_point(three, in[0]);
  };
  const Spanned branched = [&](std::span<const dt::Var> in) {
    const auto either = [&](dt::Var x) {
      return dt::cond(
          dt::sum(x) > 0.0, [&] { return step(x, in[0]); }, [&] { return 0.1 * x + in[0]; });
    };
    return dt::fixed_point(either, in[0]);
  };
  check_alike(looped, wanted, {a});
  check_alike(branched, wanted, {a});
  check_batched(looped, wanted, {a});
  const auto sine = dt::custom_vjp([](dt::Var x) { return dt::sin(x); },
                                   [](dt::Var x, dt::Var, dt::Var c) { return c * dt::cos(x); });
  const auto ruled = [&](std::span<const dt::Var> in) {
    return dt::sum(dt::fixed_point([&](dt::Var x) { return 0.5 * sine(x) + in[0]; }, in[0]));
  };
  const auto plain = [&](std::span<const dt::Var> in) { return dt::sum(wanted(in)); };
  CHECK(dt::all_close(dt::grad(ruled)(a), dt::grad(plain)(a), 1e-10));
  CHECK(has(error_of<dt::DerivativeError>([&] { dt::jvp(ruled, a, a); }), "no jvp rule"));
}

TEST_CASE("Jacobians, Hessians, batches of batches, and a minimum inside a minimum") {
  const auto found = [](dt::Var a) {
    return dt::fixed_point([&](dt::Var x) { return 0.4 * dt::sin(x + dt::sum(a)) + a; }, a);
  };
  const auto steps = [](dt::Var a) {
    dt::Var x = a;
    for (int i = 0; i < 50; ++i) x = 0.4 * dt::sin(x + dt::sum(a)) + a;
    return x;
  };
  const auto sum_of = [](auto f) { return [f](dt::Var a) { return dt::sum(dt::exp(f(a))); }; };
  const dt::Tensor a = drawn(60, {3}), many = drawn(61, {2, 2, 3});
  CHECK(dt::all_close(dt::jacfwd(found)(a), dt::jacfwd(steps)(a), 1e-10, 1e-10));
  CHECK(dt::all_close(dt::jacrev(found)(a), dt::jacrev(steps)(a), 1e-10, 1e-10));
  CHECK(dt::all_close(dt::hessian(sum_of(found))(a), dt::hessian(sum_of(steps))(a), 1e-10, 1e-10));
  CHECK(dt::all_close(dt::vmap(dt::vmap(dt::grad(sum_of(found))))(many),
                      dt::vmap(dt::vmap(dt::grad(sum_of(steps))))(many), 1e-10, 1e-10));
  CHECK(dt::all_close(dt::linearize(found, a).linear(a), dt::jvp(steps, a, a).tangent, 1e-10));
  const auto outer = [](dt::Var b) {  // y is x / 1.5 at the inner minimum, so that x = 1.5 b
    const auto miss = [&](dt::Var x) {
      const auto inner = [&](dt::Var y) {
        return dt::sum(dt::square(y - x)) + 0.5 * dt::sum(dt::square(y));
      };
      return dt::sum(dt::square(dt::argmin(inner, x) - b));
    };
    return dt::sum(dt::argmin(miss, b));
  };
  CHECK(dt::all_close(dt::grad(outer)(a), dt::Tensor::of({1.5, 1.5, 1.5}, dt::float64), 1e-10));
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
  CHECK(has(text,
            "fixed_point did not converge: the residual is 1 after 20 steps, the tolerance 1e-12"));
  CHECK(has(text, "implicit_test.cpp"));
  const auto no_root = [](dt::Var x) { return dt::root([](dt::Var y) { return y * y + 1.0; }, x); };
  CHECK(has(error_of<dt::ValueError>([&] { dt::eval(no_root, scalar(1)); }),
            "[root] did not converge"));
  const auto no_least = [](dt::Var x) { return dt::argmin([](dt::Var y) { return -y * y; }, x); };
  CHECK(has(error_of<dt::ValueError>([&] { dt::eval(no_least, scalar(1)); }),
            "argmin did not converge"));
  // A root of x^2 = a where a is below 0 has none; a solver that says what it likes is not
  // believed.
  const auto roots = [](dt::Var a) {
    return dt::root([&](dt::Var x) { return x * x - a; }, a * 0.0 + 1.0);
  };
  const dt::Tensor some = dt::Tensor::of({4.0, -1.0, 9.0}, dt::float64);
  CHECK(has(error_of<dt::ValueError>([&] { dt::vmap(roots)(some); }),
            "did not converge for member 1: the residual is "));
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
  const auto strict = [](dt::Var a) {
    return dt::root([&](dt::Var x) { return x * x * dt::exp(x) - a; }, a * 0.0);
  };
  CHECK(has(error_of<dt::ValueError>([&] { dt::grad(strict)(scalar(0)); }),
            "[linear_solve] the derivative of root did not converge: the residual is "));
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
  told(error_of<dt::DerivativeError>([&] {
         dt::linear_solve([](dt::Var x) { return 2.0 * x; }, b,
                          {.preconditioner = [](dt::Var r) { return dt::tanh(r); }});
       }),
       "the preconditioner is not linear: 'tanh'");
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
