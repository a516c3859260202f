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
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/detail/rewrites.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

using namespace dualtape;

namespace {

Plan simplified(const std::vector<Var>& outputs, const std::vector<Assign>& assigns = {}) {
  Plan plan = make_plan(outputs, assigns);
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
  Program with = compile({y});
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
  CHECK(!std::signbit(compile({sum}).run({{x, negative_zero}})[sum].data<double>()[0]));
  const Var product = x * 0.0;
  const Tensor infinite = full({3}, std::numeric_limits<double>::infinity(), float64);
  CHECK(std::isnan(compile({product}).run({{x, infinite}})[product].data<double>()[0]));
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

TEST_CASE("numbers before a tensor are multiplied first") {
  Graph g;
  const Var x = g.input("x", {3}, float64);
  const Var s = g.constant(Tensor::scalar(0.3));
  const Var a = sum(x);
  const Var b = sum(square(x));
  const Tensor at = point.to(float64);
  for (const Var& y : {s * (a * x), (a * x) * s, s * (x * a), (x * a) * s}) {
    const Plan plan = simplified({y});
    CHECK(count_of(plan, "mul") == 2);
    CHECK(count_of(plan, "mul", true) == 1);
    check_same(y, x, at, 1e-15);
  }
  const Var long_chain = s * (b * (a * (s * x)));
  CHECK(count_of(simplified({long_chain}), "mul", true) == 1);
  check_same(long_chain, x, at, 1e-15);

  // Not where the inner product is wanted too, nor where there is no tensor, nor for integers.
  const Var inner = a * x;
  CHECK(count_of(simplified({s * inner, inner}), "mul", true) == 2);
  CHECK(count_of(simplified({s * inner, exp(inner)}), "mul", true) == 2);
  CHECK(count_of(simplified({s * (a * b)}), "mul") == 2);
  const Var whole = g.input("whole", {3}, int64);
  const Var n = g.input("n", {}, int64);
  CHECK(count_of(simplified({n * (n * whole)}), "mul", true) == 2);
}

TEST_CASE("float32 sees the same numbers, to rounding") {
  Graph g;
  const Var x = g.input("x", {1000});
  const Var y = mean(x) * (0.7 * (sum(square(x)) * -(-(x * 1.0))));
  CHECK(count_of(simplified({y}), "mul", true) == 1);
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
