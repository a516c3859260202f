// Algebra on plans: fewer nodes, equal results.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/models/optimisers.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/passes/passes.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

using namespace dualtape;

namespace {

Plan simplified(const std::vector<Var>& outputs, const std::vector<Assign>& assigns = {},
                bool reassociate = false) {
  Plan plan = make_plan(outputs, assigns);
  plan.options.reassociate = reassociate;
  detail::simplify(plan);
  return plan;
}
// Nodes of the operator; with `large`, only those whose result has axes.
std::ptrdiff_t count_of(const Plan& plan, std::string_view op, bool large = false) {
  return std::ranges::count_if(plan.nodes, [&](const PlanNode& node) {
    return node.op->name() == op && (!large || plan.values[node.first_value].shape.rank() > 0);
  });
}
// What the program computes with the pass and without it.
void check_same(Var y, Var x, const Tensor& at, double tolerance) {
  Program with = compile({y}, {}, {.reassociate = true});
  Program without = compile({y}, {}, CompileOptions{{"simplify"}});
  const Tensor a = with.run({{x, at}})[y].to(float64);
  const Tensor b = without.run({{x, at}})[y].to(float64);
  REQUIRE(a.type() == b.type());
  for (std::size_t i = 0; i < a.data<double>().size(); ++i) {
    const double wanted = b.data<double>()[i];
    CHECK(std::abs(a.data<double>()[i] - wanted) <= tolerance * std::abs(wanted));
  }
}

const Tensor point{1.25, -0.5, 3.0};

}  // namespace

TEST_CASE("a product with one and a quotient by one are the operand") {
  Graph g;
  const Var x = g.input("x", {3}, float64);
  const Var ones = g.constant(Tensor{1.0, 1.0, 1.0}.to(float64));
  for (const Var& y : {x * 1.0, 1.0 * x, x / 1.0, x * ones, x / ones}) {
    const Var out = exp(y);
    const Plan plan = simplified({out});
    CHECK(count_of(plan, "mul") + count_of(plan, "div") == 0);
    CHECK(plan.nodes.size() == 2);
    check_same(out, x, point.to(float64), 0);
  }
}

TEST_CASE("what looks neutral and is not stays") {
  Graph g;
  const Var x = g.input("x", {3}, float64);
  const Var number = g.input("number", {}, float64);
  const Var ones = g.constant(Tensor{1.0, 1.0, 1.0}.to(float64));
  CHECK(count_of(simplified({1.0 / x}), "div") == 1);
  CHECK(count_of(simplified({number * ones}), "mul") == 1);  // it broadcasts
  CHECK(count_of(simplified({x * 1.5}), "mul") == 1);
  CHECK(count_of(simplified({x * 0.0}), "mul") == 1);  // NaN for an infinite x
  CHECK(count_of(simplified({x + 0.0}), "add") == 1);  // 0 for -0
  const Var sum = x + 0.0;
  const Tensor negative_zero = full({3}, -0.0, float64);
  CHECK(!std::signbit(compile({sum}).run({{x, negative_zero}})[sum].at({0})));
  const Var product = x * 0.0;
  const Tensor infinite = full({3}, std::numeric_limits<double>::infinity(), float64);
  CHECK(std::isnan(compile({product}).run({{x, infinite}})[product].at({0})));
}

TEST_CASE("two minus signs go, one stays") {
  Graph g;
  const Var x = g.input("x", {3}, float64);
  const Var twice = exp(-(-x));
  const Var thrice = exp(-(-(-x)));
  CHECK(count_of(simplified({twice}), "neg") == 0);
  CHECK(count_of(simplified({thrice}), "neg") == 1);
  check_same(twice, x, point.to(float64), 0);
  check_same(thrice, x, point.to(float64), 0);
}

TEST_CASE("chains of reshapes are one, or none") {
  Graph g;
  const Var x = g.input("x", {2, 6}, float64);
  const Var chain = exp(reshape(reshape(reshape(x, {12}), {3, 4}), {4, 3}));
  const Var back = exp(reshape(reshape(x, {12}), {2, 6}));
  CHECK(count_of(simplified({chain}), "reshape") == 1);
  CHECK(count_of(simplified({back}), "reshape") == 0);
  const Tensor at = normal(Key{1}, {2, 6}, 0, 1, float64);
  check_same(chain, x, at, 0);
  check_same(back, x, at, 0);
}

TEST_CASE("numbers before a tensor are multiplied first, if the user lets them") {
  Graph g;
  const Var x = g.input("x", {3}, float64);
  const Var s = g.constant(Tensor::scalar(0.3));
  const Var a = sum(x);
  const Var b = sum(square(x));
  const Tensor at = point.to(float64);
  for (const Var& y : {s * (a * x), (a * x) * s, s * (x * a), (x * a) * s}) {
    CHECK(count_of(simplified({y}), "mul", true) == 2);
    const Plan plan = simplified({y}, {}, true);
    CHECK(count_of(plan, "mul") == 2);
    CHECK(count_of(plan, "mul", true) == 1);
    check_same(y, x, at, 1e-15);
  }
  const Var long_chain = s * (b * (a * (s * x)));
  CHECK(count_of(simplified({long_chain}, {}, true), "mul", true) == 1);
  check_same(long_chain, x, at, 1e-15);

  // Not where the inner product is wanted too, nor where there is no tensor, nor for integers.
  const Var inner = a * x;
  CHECK(count_of(simplified({s * inner, inner}, {}, true), "mul", true) == 2);
  CHECK(count_of(simplified({s * inner, exp(inner)}, {}, true), "mul", true) == 2);
  CHECK(count_of(simplified({s * (a * b)}, {}, true), "mul") == 2);
  const Var whole = g.input("whole", {3}, int64);
  const Var n = g.input("n", {}, int64);
  CHECK(count_of(simplified({n * (n * whole)}, {}, true), "mul", true) == 2);
}

TEST_CASE("float32 sees the same numbers, to rounding") {
  Graph g;
  const Var x = g.input("x", {1000});
  const Var y = mean(x) * (0.7 * (sum(square(x)) * -(-(x * 1.0))));
  CHECK(count_of(simplified({y}, {}, true), "mul", true) == 1);
  check_same(y, x, normal(Key{3}, {1000}), 4e-7);  // four products, half an epsilon each
}

TEST_CASE("an update along a direction never forms the gradient") {
  Graph g;
  const Parameter w("w", normal(Key{1}, {6, 4}));
  const Var rate = g.input("lr", {});
  const Var key = g.input("key", {}, int64);
  const Var loss = sum(square(g.read(w)));
  for (const std::int64_t rank : {0, 1}) {
    const ForwardGradient estimate = forward_gradient(
        loss, {w}, key, {.perturbation = Perturbation::rademacher, .rank = rank, .replay = true});
    Sgd sgd;
    const std::vector<Assign> update = sgd.update({w}, estimate.gradients, rate);
    CHECK(count_of(make_plan({}, update), "mul", true) ==
          count_of(simplified({}, update), "mul", true) + 1);
  }
}

TEST_CASE("a user's numbers are multiplied in the user's order, at every magnitude") {
  constexpr float large = 1e20F;
  constexpr float tiny = 1e-30F;
  Graph g;
  const Var a = g.input("a", {});
  const Var b = g.input("b", {});
  const Var x = g.input("x", {2});
  const std::vector<Feed> feeds{{a, large}, {b, large}, {x, Tensor{0.0, 1e-30}}};
  const Var y = b * (a * x);
  const auto check = [](const Tensor& got) {
    CHECK(got.at({0}) == 0);
    CHECK(got.at({1}) == static_cast<double>(large * (large * tiny)));
  };
  check(eval(y, {feeds[0], feeds[1], feeds[2]}));
  // As constants, parameters, and in derivatives.
  check(eval(large * (large * x), {feeds[2]}));
  check(eval(large * (g.constant(Tensor(large)) * g.constant(Tensor{0.0, 1e-30}))));
  const Parameter held("held", Tensor(large));
  check(eval(held * (held * x), {feeds[2]}));
  const Var dx = g.input("dx", {2});
  const Var tangent = *forward_all({y}, {x}, {dx})[0];
  check(eval(tangent, {feeds[0], feeds[1], {dx, Tensor{0.0, 1e-30}}}));
  const Var cotangent = vjp({y}, {x}, {dx})[x];
  check(eval(cotangent, {feeds[0], feeds[1], {dx, Tensor{0.0, 1e-30}}}));
  // And where the numbers are small and the tensor large.
  const Tensor small = eval(a * (b * x), {{a, tiny}, {b, tiny}, {x, Tensor{1e38, 0.0}}});
  CHECK(small.at({0}) == static_cast<double>(tiny * (tiny * 1e38F)));
  Program gathered = compile({y}, {}, {.reassociate = true});
  CHECK(std::isinf(gathered.run(feeds)[y].at({1})));
}

TEST_CASE("numbers before the library's own draws are multiplied first") {
  Graph g;
  const Var key = g.input("key", {}, int64);
  const Var a = g.input("a", {});
  const Var b = g.input("b", {});
  for (const Var& x : {random_rademacher(key, {4}), random_normal(key, {4}),
                       reshape(random_uniform(key, {2, 2}, -1, 1), {4}),
                       -broadcast_to(random_rademacher(key, {1}), {4})})
    CHECK(count_of(simplified({b * (a * x)}), "mul", true) == 1);
  for (const Var& x : {random_normal(key, {4}, 0, 1e30), random_uniform(key, {4}, 0, 1e-30),
                       exp(random_normal(key, {4}))})
    CHECK(count_of(simplified({b * (a * x)}), "mul", true) == 2);
}
