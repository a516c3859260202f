// The passes, one at a time: each must leave a plan that computes the same.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <dualtape/core/plan.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

using namespace dualtape;

namespace {

std::ptrdiff_t count_of(const Plan& plan, std::string_view op) {
  return std::ranges::count_if(plan.nodes, [&](const PlanNode& n) { return n.op->name() == op; });
}
std::size_t place_of(const Plan& plan, NodeId source) {
  const auto it = std::ranges::find(plan.nodes, source, &PlanNode::source);
  REQUIRE(it != plan.nodes.end());
  return static_cast<std::size_t>(it - plan.nodes.begin());
}
// Operands must come from earlier nodes, whatever order a pass leaves.
bool is_ordered(const Plan& plan) {
  std::vector<bool> known(plan.values.size());
  for (const PlanNode& node : plan.nodes) {
    for (const ValueId v : plan.operands_of(node))
      if (!known[v]) return false;
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v)
      known[v] = true;
  }
  return true;
}

}  // namespace

TEST_CASE("a plan holds only what its outputs need") {
  Graph g;
  const Var x = g.input("x", {3});
  const Var wanted = exp(x);
  const Var unwanted = sin(x);
  const Plan plan = make_plan(std::vector<Var>{wanted}, {});
  CHECK(count_of(plan, "exp") == 1);
  CHECK(count_of(plan, unwanted.node().op->name()) == 0);
  CHECK(is_ordered(plan));
}

TEST_CASE("equal computations become one, different attributes stay apart") {
  Graph g;
  const Var x = g.input("x", {3, 4});
  const std::vector<Var> outputs{sum(x, {0}), sum(x, {0}), sum(x, {1}), exp(sin(x)), exp(sin(x))};
  Plan plan = make_plan(outputs, {});
  merge(plan);
  CHECK(count_of(plan, "sum") == 2);
  CHECK(count_of(plan, "sin") == 1);
  CHECK(count_of(plan, "exp") == 1);
  CHECK(plan.outputs[0] == plan.outputs[1]);
  CHECK(plan.outputs[3] == plan.outputs[4]);
  CHECK(is_ordered(plan));
}

TEST_CASE("two random draws are one only under the same key") {
  Graph g;
  const Var key = g.input("key", {}, int64);
  const std::vector<Var> outputs{random_normal(key, {4}), random_normal(key, {4}),
                                 random_normal(fold_key(key, 1), {4})};
  Plan plan = make_plan(outputs, {});
  merge(plan);
  CHECK(count_of(plan, "random_normal") == 2);
}

TEST_CASE("what depends on constants alone is computed once, unless it would grow") {
  Graph g;
  const Var c = g.constant(Tensor{1.0, 2.0});
  const Var x = g.input("x", {2});
  const Var small = exp(c) * 2.0 + x;
  const Var large = broadcast_to(g.constant(0.5, float32), {1000, 1000});
  Plan plan = make_plan(std::vector<Var>{small, large}, {});
  precompute(plan);
  CHECK(count_of(plan, "exp") == 0);
  CHECK(count_of(plan, "mul") == 0);
  CHECK(count_of(plan, "add") == 1);
  CHECK(count_of(plan, "broadcast_to") == 1);
  const Tensor value = eval(small, {{x, Tensor{0.0, 0.0}}});
  CHECK(value.at({0}) == doctest::Approx(2 * std::exp(1.0)));
  CHECK(value.at({1}) == doctest::Approx(2 * std::exp(2.0)));
}

TEST_CASE("a tangent runs right behind its primal") {
  Graph g;
  const Var x = g.input("x", {3});
  const Var v = g.input("v", {3});
  std::vector<Var> layers{x};
  for (int i = 0; i < 10; ++i) layers.push_back(sin(layers.back()));
  const Var tangent = forward(layers.back(), {x}, std::vector<Var>{v});
  Plan plan = make_plan(std::vector<Var>{layers.back(), tangent}, {});
  merge(plan);
  schedule(plan);
  CHECK(is_ordered(plan));
  // In creation order every primal would come before the first tangent.
  std::size_t tangents_before_last_primal = 0;
  for (std::size_t n = 0; n < place_of(plan, layers.back().id()); ++n)
    if (plan.nodes[n].role == Role::tangent) ++tangents_before_last_primal;
  CHECK(tangents_before_last_primal >= 9);
}

TEST_CASE("a random direction is drawn right before its first reader") {
  Graph g;
  Var h = g.input("x", {3});
  std::vector<Wrt> weights;
  std::vector<Var> directions;
  std::vector<Var> primals;
  for (int i = 0; i < 6; ++i) {
    const Var w = g.input("w" + std::to_string(i), {3});
    h = sin(h * w);
    weights.emplace_back(w);
    primals.push_back(h);
  }
  const Var key = g.input("key", {}, int64);
  for (int i = 0; i < 6; ++i) directions.push_back(random_normal(fold_key(key, i), {3}));
  Plan plan = make_plan(std::vector<Var>{forward(h, weights, directions)}, {});
  schedule(plan);
  CHECK(is_ordered(plan));
  for (std::size_t i = 1; i < 6; ++i)
    CHECK(place_of(plan, directions[i].id()) > place_of(plan, primals[i - 1].id()));
}

TEST_CASE("values alive together never overlap in the arena") {
  Graph g;
  const Var x = g.input("x", {64});
  Var h = x;
  for (int i = 0; i < 20; ++i) h = tanh(h) * sin(h) + reshape(reshape(h, {8, 8}), {64});
  const Var loss = sum(h);
  const Var gradient = reverse(loss, {x})[x];
  Plan plan = make_plan(std::vector<Var>{loss, gradient}, {});
  merge(plan);
  precompute(plan);
  unshare(plan);
  schedule(plan);
  const Placement placement = place(plan);
  // Each value's last reader; outputs live on.
  std::vector<std::size_t> born(plan.values.size(), SIZE_MAX);
  std::vector<std::size_t> dies(plan.values.size(), 0);
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    const PlanNode& node = plan.nodes[n];
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v)
      born[placement.values[v].root] = std::min(born[placement.values[v].root], n);
    for (const ValueId v : plan.operands_of(node))
      dies[placement.values[v].root] = std::max(dies[placement.values[v].root], n);
  }
  for (const ValueId v : plan.outputs) dies[placement.values[v].root] = plan.nodes.size();
  std::size_t compared = 0;
  for (ValueId a = 0; a < plan.values.size(); ++a)
    for (ValueId b = 0; b < a; ++b) {
      const auto& pa = placement.values[a];
      const auto& pb = placement.values[b];
      if (pa.root != a || pb.root != b || pa.storage != Storage::arena ||
          pb.storage != Storage::arena || born[a] == SIZE_MAX || born[b] == SIZE_MAX)
        continue;
      // One may begin in the very step in which the other is read for the last time (in place).
      const bool together = born[a] < dies[b] && born[b] < dies[a];
      const std::size_t end_a = pa.offset + bytes_of(plan.values[a]);
      const std::size_t end_b = pb.offset + bytes_of(plan.values[b]);
      const bool overlap = pa.offset < end_b && pb.offset < end_a;
      ++compared;
      CHECK_FALSE((together && overlap));
    }
  CHECK(compared > 1000);
}
