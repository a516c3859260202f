#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>

namespace dt = dualtape;
using dualtape::testing::error_of;

TEST_CASE("the operators of loops hold what check_op asks of any operator") {
  dt::Graph g;
  const dt::Var x = g.constant(1.0, dt::float64);
  const dt::Var y = dt::fori(0, 3, x, [](dt::Var, dt::Var s) { return dt::sin(s); }, {.states = 2});
  dt::compile({dt::reverse(y, {x})[x]});
  dt::cond(
      x > 0, [&] { return x * 2; }, [&] { return x; });
  for (const char* name : {"scan", "switch_case", "scan_vjp"}) {
    CAPTURE(name);
    const dt::CheckReport report = dt::check_entry(dt::entry_of(dt::require_op(name)));
    INFO(dt::to_string(report));
    CHECK(report.ok());
  }
}

TEST_CASE("errors of loops name the function, the line and a mend") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3});
  const dt::Var xs = g.input("xs", {4, 3});
  const dt::Var n = g.input("n", {}, dt::int64);
  const auto keep_it = [](dt::Var s, dt::Var) { return s; };
  const auto has = [](const std::string& text, const std::string& part) {
    INFO(text);
    return text.find(part) != std::string::npos &&
           text.find("loops_errors_test.cpp") != std::string::npos;
  };
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::scan([](dt::Var s, dt::Var v) { return dt::stack(std::vector{s, v}); }, x, xs);
            }),
            "carried value 0 is float32 (3,) before a step and float32 (2, 3) after it"));
  CHECK(has(error_of<dt::TypeError>([&] {
              dt::scan([](dt::Var s, dt::Var) { return dt::cast(s, dt::float64); }, x, xs);
            }),
            "float64 (3,) after it"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::scan(keep_it, x, n); }), "has no axis"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::scan(keep_it, x, xs, {.length = 5}); }),
            "has 4 slices for 5 steps"));
  CHECK(has(error_of<dt::ValueError>([&] {
              dt::scan([](std::span<const dt::Var> s,
                          std::span<const dt::Var>) -> dt::Step { return {{s[0]}}; },
                       {x}, {});
            }),
            "the number of steps is not known"));
  CHECK(has(error_of<dt::GraphError>([&] { dt::scan(keep_it, dt::Tensor(1.0), dt::Tensor{1.0}); }),
            "scan"));
  CHECK(has(error_of<dt::GraphError>([&] { dt::fori(0, 2, {x}, dt::ForBody()); }), "fori"));
  CHECK(has(error_of<dt::TypeError>([&] {
              dt::while_loop([](dt::Var s) { return dt::sum(s); }, [](dt::Var s) { return s; }, x);
            }),
            "its condition is float32 ()"));
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::while_loop([](dt::Var s) { return s < 1; }, [](dt::Var s) { return s; }, x);
            }),
            "its condition is bool (3,)"));
  CHECK(has(error_of<dt::ValueError>([&] {
              dt::while_loop([](dt::Var s) { return dt::all(s < 1); }, [](dt::Var s) { return s; },
                             x, {.most = -1});
            }),
            "the most steps are -1"));
  CHECK(has(error_of<dt::ValueError>([&] { dt::scan(keep_it, x, xs, {.keep = {.bytes = 10}}); }),
            "one state has 64 bytes"));
  CHECK(has(error_of<dt::ValueError>([&] { dt::scan(keep_it, x, xs, {.keep = {.states = -1}}); }),
            "-1 states"));
  CHECK(has(error_of<dt::ValueError>(
                [&] { dt::scan(keep_it, x, xs, {.keep = {.states = 2, .every = 2}}); }),
            "in two ways"));
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::cond(
                  dt::sum(x) > 0, [&] { return x; }, [&] { return xs; });
            }),
            "[cond] result 0 of `otherwise`"));
  CHECK(has(error_of<dt::TypeError>([&] {
              dt::cond(
                  n, [&] { return x; }, [&] { return x; });
            }),
            "its predicate is int64 ()"));
  CHECK(has(error_of<dt::TypeError>(
                [&] { dt::switch_case(dt::sum(x), {[&] { return std::vector{x}; }}); }),
            "the number of the branch is float32 ()"));
  CHECK(has(error_of<dt::ValueError>([&] { dt::switch_case(n, {}); }), "there are no branches"));
  dt::Graph other;
  const dt::Var foreign = other.input("foreign", {3});
  CHECK(has(
      error_of<dt::GraphError>([&] { dt::scan([&](dt::Var, dt::Var) { return foreign; }, x, xs); }),
      "does not belong to the graph"));
  dt::Var leaked;
  dt::scan([&](dt::Var s, dt::Var) { return leaked = s; }, x, xs);
  CHECK(error_of<dt::GraphError>([&] { dt::compile({leaked}); }).find("or a loop was building") !=
        std::string::npos);
}

TEST_CASE("a Parameter that a body reads is an operand, and is trained") {
  const dt::Parameter w("w", dt::Tensor{0.5, 0.25});
  dt::Graph g;
  const dt::Var x = g.input("x", {2});
  const dt::Var y = dt::sum(dt::fori(0, 3, x, [&](dt::Var, dt::Var s) { return s * w; }));
  const dt::Var slope = dt::reverse(y, {w})[w];
  // x w^3, so 3 x w^2.
  CHECK(dt::all_close(dt::eval(slope, {{x, dt::Tensor{1.0, 2.0}}}), dt::Tensor{0.75, 0.375}, 1e-6));
}
