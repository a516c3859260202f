// The pass that puts chains of products into the cheaper order, and transposes into their flags.
#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include <dualtape/core/pass.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/ops/passes/factors.hpp>
#include <dualtape/ops/passes/own_draws.hpp>
#include <dualtape/ops/passes/passes.hpp>

namespace dualtape::detail {
namespace {

// x^T as an operand of a product is x with the other flag.
bool absorbed_transpose(Rewriter& plan, const PlanNode& node) {
  if (node.op->name() != "matmul") return false;
  std::array<ValueId, 2> in{plan.operands(node)[0], plan.operands(node)[1]};
  std::array<bool, 2> flags{node.attributes.get<bool>("transpose_a"),
                            node.attributes.get<bool>("transpose_b")};
  bool found = false;
  for (std::size_t i = 0; i < 2; ++i) {
    const PlanNode* const inner = plan.producer(in[i], "permute");
    if (inner == nullptr) continue;
    const Ints& axes = inner->attributes.get<Ints>("axes");
    Ints swapped(axes.size());
    for (std::size_t axis = 0; axis < swapped.size(); ++axis)
      swapped[axis] = static_cast<std::int64_t>(axis);
    std::swap(swapped[swapped.size() - 1], swapped[swapped.size() - 2]);
    if (axes != swapped) continue;
    in[i] = plan.operands(*inner)[0];
    flags[i] = !flags[i];
    found = true;
  }
  if (!found) return false;
  plan.replace_by(
      plan.add(*node.op, {{"transpose_a", flags[0]}, {"transpose_b", flags[1]}}, {in[0], in[1]}));
  return true;
}

// One product in a sum, with the factors of rank 0 in front of it.
struct Term {
  Factors factors;
  std::vector<ValueId> scalars;
  bool negative = false;
};
constexpr std::size_t most_terms = 8;

// Appends what op(x) is the sum of, each a product that may be taken apart; false where it is no
// such sum. `exclusive` becomes false if someone else reads a part of it.
bool split_sum(const OwnDraws& draws, const Rewriter& plan, Factor2d x, Term so_far,
               std::vector<Term>& terms, bool& exclusive) {
  const PlanNode* const node = plan.producer(x.value);
  if (node == nullptr || plan.type(x.value).shape.rank() != 2) return false;
  exclusive = exclusive && plan.uses(x.value) == 1;
  if (const auto inner = product_of(plan, node)) {
    if (!draws.movable(plan, *node)) return false;
    so_far.factors = x.transposed ? Factors{{inner->right.value, !inner->right.transposed},
                                            {inner->left.value, !inner->left.transposed}}
                                  : *inner;
    terms.push_back(std::move(so_far));
    return terms.size() <= most_terms;
  }
  if (const auto inner = scaled(plan, x.value)) {
    if (!plan.may_reassociate() && !is_emitted(*node)) return false;
    so_far.scalars.push_back(inner->scalar);
    return split_sum(draws, plan, {inner->rest, x.transposed}, std::move(so_far), terms, exclusive);
  }
  const auto in = plan.operands(*node);
  const auto name = node->op->name();
  if (name == "neg") {
    so_far.negative = !so_far.negative;
    return split_sum(draws, plan, {in[0], x.transposed}, std::move(so_far), terms, exclusive);
  }
  if (name != "add" && name != "sub") return false;
  for (const ValueId operand : in)
    if (plan.type(operand) != plan.type(x.value)) return false;
  if (!split_sum(draws, plan, {in[0], x.transposed}, so_far, terms, exclusive)) return false;
  so_far.negative = so_far.negative != (name == "sub");
  return split_sum(draws, plan, {in[1], x.transposed}, std::move(so_far), terms, exclusive);
}

ValueId add_sum(Rewriter& plan, const std::vector<Term>& terms,
                const std::vector<ValueId>& values) {
  std::optional<ValueId> sum;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    Scale scale;
    for (const ValueId scalar : terms[i].scalars) scale = times(plan, scale, scalar);
    ValueId value = values[i];
    if (scale.scalar) value = plan.add(require_op("mul"), {}, {*scale.scalar, value});
    if (sum)
      sum = plan.add(require_op(terms[i].negative ? "sub" : "add"), {}, {*sum, value});
    else
      sum = terms[i].negative ? plan.add(require_op("neg"), {}, {value}) : value;
  }
  return *sum;
}

// x (a b) as (x a) b, and (a b) y as a (b y), where that takes fewer operations; also where the
// thin product stands in a sum of such or after factors of rank 0. What a b itself costs counts
// only if nobody else reads it.
bool association(const OwnDraws& draws, Rewriter& plan, const PlanNode& node) {
  const auto outer = product_of(plan, &node);
  if (!outer) return false;
  const auto m = static_cast<double>(rows(plan, outer->left));
  const auto k = static_cast<double>(columns(plan, outer->left));
  const auto n = static_cast<double>(columns(plan, outer->right));
  double best = 0;
  std::vector<Term> terms;
  bool on_right = false;
  for (const bool right : {true, false}) {
    std::vector<Term> found;
    bool exclusive = true;
    if (!split_sum(draws, plan, right ? outer->right : outer->left, {}, found, exclusive)) continue;
    double saved = m * k * n;
    for (const Term& term : found) {
      const auto r = static_cast<double>(columns(plan, term.factors.left));
      saved -= m * r * n + (right ? m * k * r : r * k * n);
      if (exclusive) saved += r * k * (right ? n : m);
    }
    if (saved <= best) continue;
    best = saved;
    terms = std::move(found);
    on_right = right;
  }
  if (terms.empty()) return false;
  std::vector<ValueId> values;
  for (const auto& [factors, scalars, negative] : terms) {
    const auto& [l, r] = factors;
    if (on_right)
      values.push_back(
          add_product(plan, *node.op, {add_product(plan, *node.op, outer->left, l), false}, r));
    else
      values.push_back(
          add_product(plan, *node.op, l, {add_product(plan, *node.op, r, outer->right), false}));
  }
  plan.replace_by(add_sum(plan, terms, values));
  return true;
}

// (s x) y as s (x y) where the result is the smaller one, and x a random direction.
bool moved_scalar(const OwnDraws& draws, Rewriter& plan, const PlanNode& node) {
  const auto outer = product_of(plan, &node);
  if (!outer) return false;
  const Type type = plan.type(node.first_value);
  for (const bool right : {true, false}) {
    const ValueId operand = (right ? outer->right : outer->left).value;
    const auto inner = scaled(plan, operand);
    if (!inner || plan.uses(operand) != 1 || plan.type(operand).shape.count() <= type.shape.count())
      continue;
    if (!plan.may_reassociate() && !is_direction(*plan.producer(operand)) &&
        !draws.contains(inner->rest))
      continue;
    Factors bare = *outer;
    (right ? bare.right : bare.left).value = inner->rest;
    const ValueId product = add_product(plan, *node.op, bare.left, bare.right);
    plan.replace_by(plan.add(require_op("mul"), {}, {inner->scalar, product}));
    return true;
  }
  return false;
}

}  // namespace

void thin(Plan& plan) {
  const OwnDraws draws(plan);
  const auto with_draws = [&](auto rule) -> Rewriter::Rule {
    return [&, rule](Rewriter& sweep, const PlanNode& node) { return rule(draws, sweep, node); };
  };
  const std::array<Rewriter::Rule, 4> rules{absorbed_transpose, with_draws(association),
                                            with_draws(moved_scalar), with_draws(thin_convolution)};
  rewrite(plan, rules);
}

}  // namespace dualtape::detail
