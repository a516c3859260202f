// Where place() puts values: pairs next to each other, and nothing over what is still read.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include <dualtape/core/plan.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/passes/planned_products.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

using namespace dualtape;

namespace {

// The value of a plan that a Var became.
ValueId value_of(const Plan& plan, Var var) {
  const auto it = std::ranges::find(plan.nodes, var.id(), &PlanNode::source);
  REQUIRE(it != plan.nodes.end());
  return it->first_value + var.output();
}

struct Life {
  std::size_t begin;
  std::size_t end;  // the step that reads it last
};
std::vector<Life> lives(const Plan& plan, const Placement& placement) {
  std::vector<Life> all(plan.values.size(), {plan.nodes.size(), 0});
  const auto live_at = [&](ValueId v, std::size_t step) {
    Life& life = all[placement.values[v].root];
    life = {std::min(life.begin, step), std::max(life.end, step)};
  };
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    const PlanNode& node = plan.nodes[n];
    for (std::uint32_t i = 0; i < node.value_count; ++i) live_at(node.first_value + i, n);
    for (const ValueId v : plan.operands_of(node)) live_at(v, n);
  }
  for (const ValueId v : plan.outputs) live_at(v, plan.nodes.size());
  return all;
}

// No two values of the arena overlap while both are alive; at the one step where one dies and the
// other begins, the operator must have allowed it.
void check_apart(const Plan& plan, const Placement& placement) {
  const std::vector<Life> life = lives(plan, placement);
  const auto end = [&](ValueId v) { return placement.values[v].offset + bytes_of(plan.values[v]); };
  for (ValueId a = 0; a < plan.values.size(); ++a)
    for (ValueId b = 0; b < plan.values.size(); ++b) {
      const Placement::Value& x = placement.values[a];
      const Placement::Value& y = placement.values[b];
      if (a == b || x.storage != Storage::arena || y.storage != Storage::arena || x.root != a ||
          y.root != b || life[a].begin > life[a].end || life[b].begin > life[b].end)
        continue;
      if (x.offset >= end(b) || y.offset >= end(a)) continue;  // apart in memory
      if (life[a].end < life[b].begin || life[b].end < life[a].begin) continue;
      CAPTURE(to_string(plan));
      CAPTURE(a);
      CAPTURE(b);
      const bool a_first = life[a].end == life[b].begin && life[a].begin < life[b].begin;
      const bool b_first = life[b].end == life[a].begin && life[b].begin < life[a].begin;
      REQUIRE((a_first || b_first));
      const ValueId dying = a_first ? a : b;
      const ValueId born = a_first ? b : a;
      const PlanNode& node = plan.nodes[life[born].begin];
      const auto operands = plan.operands_of(node);
      for (std::size_t i = 0; i < operands.size(); ++i)
        if (placement.values[operands[i]].root == dying)
          CHECK(node.op->in_place(i, born - node.first_value));
    }
}

bool lie_together(const Placement& placement, ValueId first, ValueId second, std::size_t bytes) {
  return placement.values[second].offset == placement.values[first].offset + bytes;
}

constexpr std::size_t bytes = 16 * 4 * sizeof(float);

}  // namespace

TEST_CASE("the values of a pair lie one behind the other, whichever is computed first") {
  for (const bool swapped : {false, true}) {
    Graph g;
    const Var x = g.input("x", {16, 4});
    const Var a = exp(x);
    const Var between = sin(x) + cos(x);
    const Var b = tanh(between);
    const Var out = a * b + between;
    Plan plan = make_plan(std::vector<Var>{out}, {});
    const ValueId first = value_of(plan, swapped ? b : a);
    const ValueId second = value_of(plan, swapped ? a : b);
    plan.adjacent.emplace_back(first, second);
    const Placement placement = place(plan);
    CHECK(lie_together(placement, first, second, bytes));
    check_apart(plan, placement);
  }
}

TEST_CASE("a chain of pairs takes the memory of two pairs, however long it is") {
  const auto arena = [](int depth) {
    Graph g;
    Var a = exp(g.input("x", {16, 4}));
    Var b = sin(a);
    std::vector<std::pair<Var, Var>> pairs;
    for (int i = 0; i < depth; ++i) {
      const Var next = cos(a);
      b = a * b;
      a = next;
      pairs.emplace_back(a, b);
    }
    Plan plan = make_plan(std::vector<Var>{a + b}, {});
    for (const auto& [first, second] : pairs)
      plan.adjacent.emplace_back(value_of(plan, first), value_of(plan, second));
    const Placement placement = place(plan);
    for (const auto& [first, second] : plan.adjacent)
      CHECK(lie_together(placement, first, second, bytes));
    check_apart(plan, placement);
    return placement.arena_bytes;
  };
  CHECK(arena(4) <= 5 * bytes);
  CHECK(arena(64) == arena(4));
}

TEST_CASE("a pair with a value that is no memory of its own is passed over") {
  Graph g;
  const Var x = g.input("x", {16, 4});
  const Var a = exp(x);
  const Var b = reshape(a, {4, 16});
  const Var c = sin(b);
  Plan plan = make_plan(std::vector<Var>{c}, {});
  plan.adjacent.emplace_back(value_of(plan, a), value_of(plan, b));
  plan.adjacent.emplace_back(value_of(plan, x), value_of(plan, c));
  const Placement placement = place(plan);
  CHECK(placement.values[value_of(plan, b)].root == value_of(plan, a));
  CHECK(placement.values[value_of(plan, x)].storage == Storage::input);
  check_apart(plan, placement);
}

TEST_CASE("a product added to C takes C's memory unless C is its factor, too") {
  for (const bool own_factor : {false, true}) {
    Graph g;
    const Var x = g.input("x", {16, 16});
    const Var c = exp(x);
    const Var a = own_factor ? c : sin(x);
    const Var sum = c + matmul(a, x);
    Plan plan = make_plan(std::vector<Var>{sum * 2.0}, {});
    // As the pass "accumulate" would leave it, by hand.
    PlanNode& add = *std::ranges::find(plan.nodes, sum.id(), &PlanNode::source);
    const PlanNode& product = *std::ranges::find(plan.nodes, std::string_view("matmul"),
                                                 [](const PlanNode& n) { return n.op->name(); });
    const ValueId addend = plan.operands_of(add)[0];
    const ValueId left = plan.operands_of(product)[0];
    const ValueId right = plan.operands_of(product)[1];
    add.op = &detail::matmul_add_op();
    add.attributes = {{"transpose_a", false}, {"transpose_b", false}, {"subtract", false}};
    add.first_operand = static_cast<std::uint32_t>(plan.operands.size());
    add.operand_count = 3;
    plan.operands.insert(plan.operands.end(), {addend, left, right});
    eliminate_dead(plan);
    const Placement placement = place(plan);
    const bool same =
        placement.values[value_of(plan, sum)].offset == placement.values[value_of(plan, c)].offset;
    CHECK(same == !own_factor);
    check_apart(plan, placement);
  }
}
