// A function at a point as a linear map: against jvp and vjp, transposed, and as it was.
#include <dualtape/modes/linearize.hpp>

#include <doctest/doctest.h>

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
double dot(const dt::Tensor& a, const dt::Tensor& b) {
  return dt::eval([](dt::Var x, dt::Var y) { return dt::sum(x * y); }, {a, b}).item();
}
}  // namespace

TEST_CASE("a linearized function gives the value, J v and J^T c") {
  const dt::Tensor w = numbers({4, 3}, 1);
  const auto f = [&](dt::Var x) { return dt::softmax(dt::tanh(dt::matmul(x, w)), 1) * dt::sum(x); };
  const dt::Tensor x = numbers({2, 4}, 2);
  const auto [value, linear] = dt::linearize(f, x);
  CHECK(dt::identical(value, dt::eval(f, x)));
  const auto pullback = dt::vjp(f, x).pullback;
  for (std::uint64_t i = 0; i < 3; ++i) {
    const dt::Tensor v = numbers({2, 4}, 10 + i);
    const dt::Tensor c = numbers({2, 3}, 20 + i);
    CHECK(dt::all_close(linear(v), dt::jvp(f, x, v).tangent, 1e-13, 1e-14));
    CHECK(dt::all_close(linear.transpose(c), pullback(c), 1e-13, 1e-14));
    CHECK(dot(c, linear(v)) == doctest::Approx(dot(linear.transpose(c), v)).epsilon(1e-12));
  }
}

TEST_CASE("the Hessian as a map is symmetric and is hvp") {
  const auto f = [](dt::Var x) { return dt::sum(dt::exp(x) * dt::roll(x, 1, 0)); };
  const dt::Tensor x = numbers({5}, 3);
  const dt::LinearMap h = dt::linearize(dt::grad(f), x).linear;
  const dt::Tensor v = numbers({5}, 4);
  CHECK(dt::all_close(h(v), dt::hvp(f, x, v), 1e-13, 1e-13));
  CHECK(dt::all_close(h.transpose(v), h(v), 1e-12, 1e-13));
}

TEST_CASE("several inputs, Parameters as they were, and functions without a derivative") {
  dt::Parameter w{"w", numbers({3}, 5)};
  const auto f = [&](dt::Var a, dt::Var b) { return a * w + dt::sum(b); };
  const dt::Tensor a = numbers({3}, 6), b = numbers({2}, 7);
  const dt::LinearMap linear = dt::linearize(f, {a, b}).linear;
  const dt::Tensor before = linear({a, b});
  w.set(dt::zeros({3}, dt::float64));
  CHECK(dt::identical(linear({a, b}), before));
  const std::vector<dt::Tensor> both = linear.transpose_all(dt::ones({3}, dt::float64));
  CHECK(both[1].at({1}) == 3);
  const auto flat = [](dt::Var x) { return dt::floor(x); };
  const dt::LinearMap none = dt::linearize(flat, a).linear;
  CHECK(dt::identical(none(a), dt::zeros({3}, dt::float64)));
  CHECK(dt::identical(none.transpose(a), dt::zeros({3}, dt::float64)));
}

TEST_CASE("a linearized checkpoint applies and transposes") {
  const auto f = [](dt::Var x) {
    return dt::checkpoint(
        [](std::span<const dt::Var> in) -> std::vector<dt::Var> {
          return {dt::exp(in[0]) * dt::sum(in[0])};
        },
        {x})[0];
  };
  const dt::Tensor x = numbers({3}, 30), v = numbers({3}, 31);
  const dt::LinearMap linear = dt::linearize(f, x).linear;
  CHECK(dt::all_close(linear(v), dt::jvp(f, x, v).tangent, 1e-13, 1e-14));
  CHECK(dt::all_close(linear.transpose(v), dt::vjp(f, x).pullback(v), 1e-13, 1e-14));
}

TEST_CASE("the transpose of a linear function of Vars is its matrix transposed, and twice itself") {
  const dt::Tensor w = numbers({4, 3}, 40);
  const auto f = [&](dt::Var x) { return dt::matmul(x, w) - 2 * dt::sum(x) * dt::ones({3}); };
  const dt::Tensor x = numbers({4}, 41), c = numbers({3}, 42);
  const auto back = dt::transpose(f, {x.type()});
  CHECK(dt::all_close(back(c), dt::vjp(f, x).pullback(c), 1e-14, 1e-14));
  CHECK(dot(back(c), x) == doctest::Approx(dot(c, dt::eval(f, x))).epsilon(1e-12));
  const auto again = dt::transpose([&](dt::Var v) { return back(v); }, {c.type()});
  CHECK(dt::all_close(again(x), dt::eval(f, x), 1e-13, 1e-13));
}

TEST_CASE("transposes of functions of several arguments, of none that moves, and of batches") {
  const auto f = [](dt::Var a, dt::Var b) { return dt::sum(a) + 3 * b; };
  const dt::Type three{{3}, dt::float64}, two{{2}, dt::float64};
  const std::vector<dt::Tensor> both =
      dt::transpose(f, {three, two}).all(dt::Tensor{1.0, 2.0}.to(dt::float64));
  REQUIRE(both.size() == 2);
  CHECK(both[0].shape() == dt::Shape{3});
  CHECK(both[0].at({2}) == 3);
  CHECK(both[1].at({1}) == 6);
  const auto none = [](dt::Var x) { return 0 * x; };
  CHECK(dt::identical(dt::transpose(none, {three})(dt::ones({3}, dt::float64)),
                      dt::zeros({3}, dt::float64)));
  const auto roll = [](dt::Var x) { return dt::roll(x, 1, 0); };
  const auto back = dt::transpose(roll, {three});
  const dt::Tensor rows = numbers({2, 3}, 43);
  const dt::Tensor all = dt::vmap([&](dt::Var row) { return back(row); })(rows);
  CHECK(dt::identical(all.row(1), back(rows.row(1))));
  CHECK(
      dt::identical(dt::eval([&](dt::Var c) { return roll(back(c)); }, rows.row(0)), rows.row(0)));
}

TEST_CASE("loops, branches and calls of linear functions have a transpose") {
  const dt::Tensor w = numbers({3, 3}, 44), x = numbers({3}, 45), c = numbers({3}, 46);
  const auto twice = dt::Function::make("twice", {x.type()}, [&](std::span<const dt::Var> in) {
    return std::vector<dt::Var>{in[0] * 2, dt::matmul(in[0], w)};
  });
  const std::vector<std::pair<const char*, dt::VarFunction>> linear{
      {"fori with a coefficient of its own",
       [&](std::span<const dt::Var> in) {
         return dt::fori(0, 4, {in[0]}, [&](dt::Var i, std::span<const dt::Var> s) {
           return std::vector<dt::Var>{dt::matmul(s[0], w) * dt::sin(dt::cast(i, dt::float64))};
         })[0];
       }},
      {"a sum that starts at zero, of a captured argument",
       [&](std::span<const dt::Var> in) {
         const dt::Var zero = in[0].graph().constant(dt::zeros({3}, dt::float64));
         return dt::fori(0, 4, {zero}, [&](dt::Var, std::span<const dt::Var> s) {
           return std::vector<dt::Var>{0.5 * s[0] + in[0]};
         })[0];
       }},
      {"a branch by a number that is fixed",
       [&](std::span<const dt::Var> in) {
         return dt::switch_case(in[0].graph().constant(1, dt::int64),
                                {[&] { return std::vector<dt::Var>{in[0]}; },
                                 [&] { return std::vector<dt::Var>{dt::matmul(w, in[0])}; }})[0];
       }},
      {"a call", [&](std::span<const dt::Var> in) { return dt::call(twice, {dt::In(in[0])})[1]; }},
  };
  for (const auto& named : linear) {
    CAPTURE(std::string(named.first));
    const dt::Tensor back = dt::transpose(named.second, {x.type()}).all(c)[0];
    const auto one = [&](dt::Var v) { return named.second(std::span(&v, 1)); };
    CHECK(dot(back, x) == doctest::Approx(dot(c, dt::eval(one, x))).epsilon(1e-12));
  }
}

TEST_CASE("what is not linear has no transpose, and the error names operator and line") {
  const dt::Type three{{3}, dt::float64};
  const auto refused = [&](const dt::VarFunction& f, const char* part) {
    const std::string text = error_of<dt::DerivativeError>([&] {
      dt::transpose(f, {three, three}).all(dt::ones({3}, dt::float64));
    });
    CHECK_MESSAGE(has(text, part), text);
    CHECK(has(text, "linearize_test.cpp"));
  };
  refused([](std::span<const dt::Var> x) { return x[0] * x[1]; }, "'mul'");
  refused([](std::span<const dt::Var> x) { return dt::exp(x[0]) + x[1]; }, "'exp'");
  refused([](std::span<const dt::Var> x) { return x[0] + x[1] + 1; }, "'add'");
  // Within loops and branches, too: a product, a start that is not zero, a constant branch.
  const auto loop = [](dt::Var start, auto body) {
    return dt::fori(0, 3, {start}, [&](dt::Var, std::span<const dt::Var> s) {
      return std::vector<dt::Var>{body(s[0])};
    })[0];
  };
  refused(
      [&](std::span<const dt::Var> x) {
        return loop(x[0], [](dt::Var s) { return s * s; }) + x[1];
      },
      "'scan'");
  refused(
      [&](std::span<const dt::Var> x) {
        const dt::Var one = x[0].graph().constant(dt::ones({3}, dt::float64));
        return loop(one, [&](dt::Var s) { return s + x[0]; }) + x[1];
      },
      "'scan'");
  refused(
      [&](std::span<const dt::Var> x) {
        const dt::Var one = x[0].graph().constant(dt::ones({3}, dt::float64));
        return dt::cond(
                   dt::sum(one) > 1, [&] { return std::vector<dt::Var>{one}; },
                   [&] { return std::vector<dt::Var>{x[0]}; })[0] +
               x[1];
      },
      "'switch_case'");
  refused([](std::span<const dt::Var> x) { return dt::where(x[0] > 0, x[1], 0); }, "'greater'");
  refused(
      [](std::span<const dt::Var> x) { return x[0].graph().constant(dt::ones({3}, dt::float64)); },
      "does not depend on them");
  const auto same = [](dt::Var x) { return x; };
  const auto misused = [](auto&& act, const char* part) {
    const std::string text = error_of<dt::Error>(act);
    CHECK_MESSAGE(has(text, part), text);
    CHECK(has(text, "linearize_test.cpp"));
  };
  misused([&] { dt::transpose(same, {}); }, "no arguments");
  misused([&] { dt::transpose(same, {{{3}, dt::int64}}); }, "int64");
  misused([&] { dt::transpose(same, {three})(dt::ones({2}, dt::float64)); }, "its cotangent is");
  misused([&] { dt::transpose(same, {three, three})(dt::ones({3}, dt::float64)); }, "2 arguments");
}

TEST_CASE("misuse of linearize names the user's line") {
  const auto same = [](dt::Var x) { return 2 * x; };
  const auto refused = [](auto&& act, const char* part) {
    const std::string text = error_of<dt::Error>(act);
    CHECK(has(text, part));
    CHECK(has(text, "linearize_test.cpp"));
  };
  const dt::LinearMap linear = dt::linearize(same, dt::zeros({2})).linear;
  refused([&] { linear(dt::zeros({3})); }, "float32 (3,)");
  refused([&] { linear.transpose(dt::zeros({2}, dt::float64)); }, "float64");
  refused([&] { linear({dt::zeros({2}), dt::zeros({2})}); }, "2 directions for 1 inputs");
  refused([&] { dt::LinearMap{}(dt::zeros({2})); }, "belongs to no function");
  refused([&] { dt::linearize(same, dt::zeros({2}, dt::int64)); }, "int64");
  refused([&] { dt::linearize([](dt::Var) { return dt::Var{}; }, dt::zeros({2})); }, "returns");
}
