// Algebra on plans: identities that leave the result as it is, and numbers before a direction.
#include <array>
#include <optional>
#include <utility>

#include <dualtape/core/pass.hpp>
#include <dualtape/ops/passes/own_draws.hpp>
#include <dualtape/ops/passes/passes.hpp>

namespace dualtape::detail {
namespace {

// The operand that stays when `node` is `name` with the number `neutral` as its other operand.
bool drop_neutral(Rewriter& plan, const PlanNode& node, std::string_view name, double neutral,
                  bool either_side) {
  if (node.op->name() != name) return false;
  const auto in = plan.operands(node);
  const Type& type = plan.type(node.first_value);
  for (const std::size_t i : {std::size_t{1}, std::size_t{0}}) {
    if (i == 0 && !either_side) break;
    const ValueId kept = in[1 - i];
    if (!plan.is_constant(in[i], neutral) || plan.type(kept) != type) continue;
    plan.replace_by(kept);
    return true;
  }
  return false;
}

// x * 1 and x / 1. Not x + 0, which turns -0 into 0, nor x * 0, which is NaN for an infinite x.
bool neutral_elements(Rewriter& plan, const PlanNode& node) {
  return drop_neutral(plan, node, "mul", 1.0, true) || drop_neutral(plan, node, "div", 1.0, false);
}

// -(-x)
bool double_negation(Rewriter& plan, const PlanNode& node) {
  if (node.op->name() != "neg") return false;
  const PlanNode* const inner = plan.producer(plan.operands(node)[0], "neg");
  if (inner == nullptr) return false;
  plan.replace_by(plan.operands(*inner)[0]);
  return true;
}

// reshape(reshape(x)), and a reshape to the shape there is.
bool chained_reshapes(Rewriter& plan, const PlanNode& node) {
  if (node.op->name() != "reshape") return false;
  const ValueId x = plan.operands(node)[0];
  const Type type = plan.type(node.first_value);
  if (plan.type(x) == type) {
    plan.replace_by(x);
    return true;
  }
  const PlanNode* const inner = plan.producer(x, "reshape");
  if (inner == nullptr) return false;
  plan.replace_by(plan.add(*node.op, node.attributes, {plan.operands(*inner)[0]}));
  return true;
}

// s (t x) with numbers s and t as (s t) x: one pass over x instead of two. Only where nobody else
// reads t x, which would be computed all the same. Unlike t x, s t may overflow or underflow on the
// way where x is very small or very large, so only where x is a draw or t x is one times its slope.
bool gathered_factors(const OwnDraws& draws, Rewriter& plan, const PlanNode& node) {
  if (node.op->name() != "mul") return false;
  const auto is_number = [&](ValueId v) { return plan.type(v).shape.rank() == 0; };
  // The number and the other operand of a product that is no number itself.
  const auto parts = [&](const PlanNode& mul) -> std::optional<std::pair<ValueId, ValueId>> {
    const auto in = plan.operands(mul);
    if (is_number(mul.first_value) || is_number(in[0]) == is_number(in[1])) return std::nullopt;
    return is_number(in[0]) ? std::pair{in[0], in[1]} : std::pair{in[1], in[0]};
  };
  const Type type = plan.type(node.first_value);
  const auto outer = parts(node);
  if (!outer || !is_floating(type.dtype)) return false;
  const PlanNode* const inner_node = plan.producer(outer->second, "mul");
  if (inner_node == nullptr || plan.uses(outer->second) > 1) return false;
  const auto inner = parts(*inner_node);
  if (!inner) return false;
  const PlanNode* const product = plan.producer(inner->second, "matmul");
  if (!plan.may_reassociate() && !is_direction(*inner_node) && !draws.contains(inner->second) &&
      (product == nullptr || !draws.made_of_draws(plan, *product)))
    return false;
  const Type number{Shape{}, type.dtype};
  const ValueId factor = plan.add(*node.op, node.attributes, {outer->first, inner->first});
  plan.replace_by(plan.add(*node.op, node.attributes, {factor, inner->second}));
  return true;
}

}  // namespace

void simplify(Plan& plan) {
  const OwnDraws draws(plan);
  const std::array<Rewriter::Rule, 4> rules{
      neutral_elements, double_negation, chained_reshapes,
      [&](Rewriter& sweep, const PlanNode& node) { return gathered_factors(draws, sweep, node); }};
  rewrite(plan, rules);
}

}  // namespace dualtape::detail
