// Functions with rules of their author's, in every mode.
#include <dualtape/modes/custom.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>

namespace dt = dualtape;
using dualtape::testing::error_of;
using dualtape::testing::has;

namespace {

const auto cube = [](dt::Var x) { return x * x * x; };
const auto cube_jvp = [](dt::Var x, dt::Var, dt::Var dx) { return 3 * x * x * dx; };
const auto cube_vjp = [](dt::Var x, dt::Var, dt::Var c) { return 3 * x * x * c; };

dt::CheckReport check(const std::function<dt::Var(dt::Var)>& f) {
  return dt::check_gradients(
      [&](std::span<const dt::Var> in) -> std::vector<dt::Var> { return {f(in[0])}; },
      {dt::Arg{{2, 3}}});
}

}  // namespace

TEST_CASE("a jvp rule serves both modes, their nestings and batches") {
  const auto f = dt::custom_jvp(cube, cube_jvp);
  const dt::CheckReport report = check([&](dt::Var x) { return f(x); });
  CHECK_MESSAGE(report.ok(), dt::to_string(report));
  // A rule that is not the derivative shows that it is the rule which is asked.
  const auto seven = dt::custom_jvp(cube, [](dt::Var, dt::Var, dt::Var dx) { return 7 * dx; });
  const dt::Tensor x{1, 2};
  CHECK(dt::identical(dt::jvp(seven, x, dt::ones({2})).tangent, dt::Tensor{7, 7}));
  const auto total = [&](dt::Var v) { return dt::sum(seven(v)); };
  CHECK(dt::identical(dt::grad(total)(x), dt::Tensor{7, 7}));
  const auto rows = dt::vmap(dt::grad(total))(dt::Tensor{{1, 2}, {3, 4}});
  CHECK(dt::identical(rows, dt::Tensor{{7, 7}, {7, 7}}));
  const auto batch = [&](dt::Var v) { return dt::sum(dt::vmap(seven)(v)); };
  CHECK(dt::identical(dt::grad(batch)(x), dt::Tensor{7, 7}));
  CHECK(dt::identical(dt::eval(seven, x), dt::Tensor{1, 8}));
}

TEST_CASE("a vjp rule serves reverse mode, and says that forward mode lacks one") {
  const auto clipped =
      dt::custom_vjp([](dt::Var x) { return 2 * x; },
                     [](dt::Var, dt::Var, dt::Var c) { return dt::clamp(c, -1, 1); });
  const auto loss = [&](dt::Var x) { return dt::sum(dt::square(clipped(x))); };
  CHECK(dt::identical(dt::grad(loss)(dt::Tensor{0.125F, 3, -3}), dt::Tensor{0.5F, 1, -1}));
  const std::string text =
      error_of<dt::DerivativeError>([&] { dt::jvp(clipped, dt::Tensor{1}, dt::Tensor{1}); });
  CHECK(has(text, "no jvp rule"));
  CHECK(has(text, "custom_test.cpp"));
  const dt::Tensor rows = dt::vmap(dt::grad(loss))(dt::Tensor{{0.125F, 3}, {-3, 0}});
  CHECK(dt::identical(rows, dt::Tensor{{0.5F, 1}, {-1, 0}}));
  const auto batched = [&](dt::Var x) { return dt::sum(dt::square(dt::vmap(clipped)(x))); };
  CHECK(dt::identical(dt::grad(batched)(dt::Tensor{0.125F, 3}), dt::Tensor{0.5F, 1}));
}

TEST_CASE("both rules on one function are held to each other") {
  const auto right = dt::custom_jvp(cube, cube_jvp).with_vjp(cube_vjp);
  const dt::CheckReport good = check([&](dt::Var x) { return right(x); });
  CHECK_MESSAGE(good.ok(), dt::to_string(good));
  const auto wrong = dt::custom_jvp(cube, cube_jvp).with_vjp([](dt::Var x, dt::Var, dt::Var c) {
    return 2 * x * x * c;
  });
  CHECK(!check([&](dt::Var x) { return wrong(x); }).ok());
  const auto turned = dt::custom_vjp(cube, cube_vjp).with_jvp(cube_jvp);
  CHECK(check([&](dt::Var x) { return turned(x); }).ok());
}

TEST_CASE("functions of several arguments have rules of spans") {
  using Span = std::span<const dt::Var>;
  const auto f = [](dt::Var a, dt::Var b) { return a * dt::exp(b); };
  const auto by_jvp = dt::custom_jvp(
      f, [](Span x, dt::Var y, Span dx) { return dt::exp(x[1]) * dx[0] + y * dx[1]; });
  const auto by_vjp = dt::custom_vjp(f, [](Span x, dt::Var y, dt::Var c) -> std::vector<dt::Var> {
    return {dt::exp(x[1]) * c, y * c};
  });
  const auto both = by_jvp.with_vjp([](Span x, dt::Var y, dt::Var c) -> std::vector<dt::Var> {
    return {dt::exp(x[1]) * c, y * c};
  });
  for (const auto& one : {std::function<dt::Var(dt::Var, dt::Var)>(by_jvp),
                          std::function<dt::Var(dt::Var, dt::Var)>(both)}) {
    const dt::CheckReport report =
        dt::check_gradients([&](Span in) -> std::vector<dt::Var> { return {one(in[0], in[1])}; },
                            {dt::Arg{{3}}, dt::Arg{{3}}});
    CHECK_MESSAGE(report.ok(), dt::to_string(report));
  }
  const auto [ga, gb] = dt::grad([&](dt::Var a, dt::Var b) { return dt::sum(by_vjp(a, b)); })(
      dt::Tensor{2}, dt::Tensor{0});
  CHECK(ga.item() == 1);
  CHECK(gb.item() == 2);
  // One argument batched, the other the same for all: its cotangents are added up.
  const auto over_a = [&](dt::Var a, dt::Var b) {
    return dt::sum(dt::vmap(by_vjp, {.in = {0, std::nullopt}})(a, b));
  };
  const auto [va, vb] = dt::grad(over_a)(dt::Tensor{{2}, {3}}, dt::Tensor{0});
  CHECK(dt::identical(va, dt::Tensor{{1}, {1}}));
  CHECK(vb.item() == 5);
}

TEST_CASE("rules hold in batches of batches and within gradients of batches of gradients") {
  const auto f = dt::custom_jvp(cube, cube_jvp);
  const auto twice = dt::vmap(dt::vmap(f));
  const dt::CheckReport report = dt::check_gradients(
      [&](std::span<const dt::Var> in) -> std::vector<dt::Var> { return {twice(in[0])}; },
      {dt::Arg{{2, 3, 2}}});
  CHECK_MESSAGE(report.ok(), dt::to_string(report));
  const auto inner = dt::vmap(dt::grad([&](dt::Var x) { return dt::sum(dt::vmap(f)(x)); }));
  const dt::CheckReport nested = dt::check_gradients(
      [&](std::span<const dt::Var> in) -> std::vector<dt::Var> { return {inner(in[0])}; },
      {dt::Arg{{2, 3}}});
  CHECK_MESSAGE(nested.ok(), dt::to_string(nested));
}

TEST_CASE("misuse of rules names the user's line") {
  const auto refused = [](auto&& act, const char* part) {
    const std::string text = error_of<dt::Error>(act);
    CHECK(has(text, part));
    CHECK(has(text, "custom_test.cpp"));
  };
  const dt::Tensor x{1, 2};
  const auto scalar = [](dt::Var, dt::Var, dt::Var dx) { return dt::sum(dx); };
  refused([&] { dt::jvp(dt::custom_jvp(cube, scalar), x, x); }, "its jvp rule returned");
  const auto loss = [&](dt::Var v) { return dt::sum(dt::custom_vjp(cube, scalar)(v)); };
  refused([&] { dt::grad(loss)(x); }, "its vjp rule returned");
  const auto none = [](std::span<const dt::Var>, dt::Var, dt::Var) {
    return std::vector<dt::Var>{};
  };
  refused([&] { dt::grad([&](dt::Var v) { return dt::sum(dt::custom_vjp(cube, none)(v)); })(x); },
          "0 Vars for 1");
  const auto squared = [](dt::Var, dt::Var, dt::Var dx) { return dx * dx; };
  refused(
      [&] { dt::grad([&](dt::Var v) { return dt::sum(dt::custom_jvp(cube, squared)(v)); })(x); },
      "linear");
  const auto of_two = dt::custom_jvp([](dt::Var a, dt::Var b) { return a * b; }, cube_jvp);
  refused([&] { dt::grad([&](dt::Var v) { return dt::sum(of_two(v, v)); })(x); }, "of one Var");
  refused([&] { dt::custom_jvp(cube, cube_jvp)(std::span<const dt::Var>()); }, "1 argument");
  dt::Var (*null)(dt::Var) = nullptr;
  CHECK_THROWS_AS(dt::custom_jvp(null, cube_jvp), dt::GraphError);
  dt::Var (*null_rule)(dt::Var, dt::Var, dt::Var) = nullptr;
  CHECK_THROWS_AS(dt::custom_vjp(cube, null_rule), dt::GraphError);
  CHECK_THROWS_AS(dt::custom_jvp(cube, cube_jvp)(dt::Var{}), dt::GraphError);
}
