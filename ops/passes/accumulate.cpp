// The pass that has sums with a product written by the product itself.
#include <array>
#include <utility>
#include <vector>

#include <dualtape/core/pass.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/ops/passes/factors.hpp>
#include <dualtape/ops/passes/own_draws.hpp>
#include <dualtape/ops/passes/passes.hpp>
#include <dualtape/ops/passes/planned_products.hpp>

namespace dualtape::detail {
namespace {

// `x` as a product with factors of rank 0 in front, none of which anybody else reads. Factors only
// where they may move: a library's product may take one into a factor.
struct ScaledProduct {
  const PlanNode* node;  // null if x is something else
  std::vector<ValueId> scalars;
  bool negative = false;
};
ScaledProduct scaled_product(const OwnDraws& draws, const Rewriter& plan, ValueId x) {
  ScaledProduct result{};
  bool movable = true;  // the factors, as far as their own nodes tell
  while (plan.uses(x) == 1) {
    const PlanNode* const node = plan.producer(x);
    if (node == nullptr) break;
    if (product_of(plan, node)) {
      movable = result.scalars.empty() || draws.made_of_draws(plan, *node) ||
                (movable && draws.movable(plan, *node));
      if (movable) result.node = node;
      break;
    }
    if (const auto inner = scaled(plan, x)) {
      // The outermost one stays in front of the product itself, as in a rate times a gradient.
      movable = movable && (result.scalars.empty() || plan.may_reassociate() || is_emitted(*node));
      result.scalars.push_back(inner->scalar);
      x = inner->rest;
    } else if (node->op->name() == "neg") {
      result.negative = !result.negative;
      x = plan.operands(*node)[0];
    } else {
      break;
    }
  }
  return result;
}

// Whether several columns are added up to a vector. Libraries add each of them to what is there,
// and so round every one at the size of C: a small update of a large C would suffer.
bool sums_to_vector(const Rewriter& plan, const Factors& product) {
  return columns(plan, product.left) > 1 &&
         (rows(plan, product.left) == 1 || columns(plan, product.right) == 1);
}

// C + s A B and C - s A B as one node.
bool accumulated(const OwnDraws& draws, Rewriter& plan, const PlanNode& node) {
  const bool subtract = node.op->name() == "sub";
  if (!subtract && node.op->name() != "add") return false;
  const Type type = plan.type(node.first_value);
  const auto in = plan.operands(node);
  if (plan.type(in[0]) != type || plan.type(in[1]) != type || in[0] == in[1]) return false;
  ScaledProduct product = scaled_product(draws, plan, in[1]);
  ValueId addend = in[0];
  if (!subtract) {
    // Of two products the one that runs later is added to the other.
    const ScaledProduct other = scaled_product(draws, plan, in[0]);
    if (other.node != nullptr && (product.node == nullptr || other.node > product.node)) {
      product = other;
      addend = in[1];
    }
  }
  if (product.node == nullptr) return false;
  const auto factors = *product_of(plan, product.node);  // before nodes are added
  if (sums_to_vector(plan, factors)) return false;
  Scale scale;
  for (const ValueId scalar : product.scalars) scale = times(plan, scale, scalar);
  Attributes attributes{{"transpose_a", factors.left.transposed},
                        {"transpose_b", factors.right.transposed},
                        {"subtract", product.negative != subtract}};
  const Op& op = matmul_add_op();
  const ValueId a = factors.left.value;
  const ValueId b = factors.right.value;
  plan.replace_by(scale.scalar ? plan.add(op, std::move(attributes), {addend, a, b, *scale.scalar})
                               : plan.add(op, std::move(attributes), {addend, a, b}));
  return true;
}

}  // namespace

void accumulate(Plan& plan) {
  const OwnDraws draws(plan);
  const std::array<Rewriter::Rule, 1> rules{
      [&](Rewriter& sweep, const PlanNode& node) { return accumulated(draws, sweep, node); }};
  rewrite(plan, rules, 1);
}

}  // namespace dualtape::detail
