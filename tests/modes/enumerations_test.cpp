// Numbers that were cast to an enumeration and are none of its values, and options out of range:
// whoever takes one names itself, the number and the user's line.
#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <string>

#include <dualtape/core/pass.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/linalg_factor.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/reduce.hpp>
#include <tests/errors.hpp>

namespace dt = dualtape;
using dt::testing::error_of;
using dt::testing::has;

namespace {

void check_told(const std::string& function, const std::string& what,
                const std::function<void()>& act) {
  const std::string text = error_of<dt::ValueError>(act);
  CHECK(has(text, "[" + function));
  CHECK(has(text, what));
  CHECK(has(text, "enumerations_test.cpp:"));
  CHECK(has(text, "\n  try: "));
}

}  // namespace

TEST_CASE("losses name a number that is no reduction") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {2, 3});
  const dt::Var labels = graph.input("labels", {2}, dt::int64);
  const auto none = static_cast<dt::Reduction>(99);
  const std::string what = "there is no Reduction of the number 99";
  check_told("cross_entropy", what, [&] { dt::cross_entropy(x, labels, none); });
  check_told("cross_entropy", what, [&] { dt::cross_entropy(x, x, none); });
  check_told("cross_entropy", what,
             [&] { dt::cross_entropy(x, labels, {.reduction = none, .label_smoothing = 0.1}); });
  check_told("clamped_cross_entropy", what, [&] { dt::clamped_cross_entropy(x, labels, none); });
  check_told("nll", what, [&] { dt::nll(x, labels, none); });
  const auto of_two = [&](const std::string& name, auto loss) {
    check_told(name, what, [&] { loss(x, x); });
  };
  of_two("binary_cross_entropy", [&](dt::In a, dt::In b) { dt::binary_cross_entropy(a, b, none); });
  of_two("binary_cross_entropy_with_logits",
         [&](dt::In a, dt::In b) { dt::binary_cross_entropy_with_logits(a, b, none); });
  of_two("mse", [&](dt::In a, dt::In b) { dt::mse(a, b, none); });
  of_two("mae", [&](dt::In a, dt::In b) { dt::mae(a, b, none); });
  of_two("huber", [&](dt::In a, dt::In b) { dt::huber(a, b, 1, none); });
  of_two("smooth_l1", [&](dt::In a, dt::In b) { dt::smooth_l1(a, b, 1, none); });
  of_two("hinge", [&](dt::In a, dt::In b) { dt::hinge(a, b, none); });
  of_two("kl_divergence", [&](dt::In a, dt::In b) { dt::kl_divergence(a, b, none); });
}

TEST_CASE("norms and modes name a number that is none of their choices") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {2, 3});
  check_told("matrix_norm", "there is no MatrixNorm of the number 7",
             [&] { dt::matrix_norm(x, static_cast<dt::MatrixNorm>(7)); });
  const dt::Var loss = dt::sum(x);
  const auto unreachable = static_cast<dt::Unreachable>(7);
  const std::string what = "there is no Unreachable of the number 7";
  check_told("reverse", what, [&] { dt::reverse(loss, {x}, unreachable); });
  const dt::Var key = graph.input("key", {}, dt::int64);
  check_told("forward_gradient", "there is no Directions of the number 7", [&] {
    dt::forward_gradient(loss, {x}, key, {.directions = static_cast<dt::Directions>(7)});
  });
}

TEST_CASE("what takes compile options names a number that is none") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {2});
  const std::array<dt::Var, 1> outputs{x};
  const dt::CompileOptions threads{.threads = -5};
  const dt::CompileOptions precision{.precision = static_cast<dt::Precision>(7)};
  const auto plan = [&](const dt::CompileOptions& options) {
    return [&] { dt::optimised_plan(outputs, {}, options, dt::Location::current()); };
  };
  check_told("optimised_plan", "on -5 threads", plan(threads));
  check_told("optimised_plan", "there is no Precision of the number 7", plan(precision));
  check_told("compile", "on -5 threads", [&] { dt::compile({x}, {}, threads); });
  check_told("compile", "there is no Precision of the number 7",
             [&] { dt::compile({x}, {}, precision); });
}
