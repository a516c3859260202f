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

// A product of low rank for each member of a batch, as many directions of low rank are: of rank 3,
// with nothing transposed.
struct BatchFactors {
  ValueId a, b;  // (members, n, r), (members, r, m)
  std::int64_t members, n, r, m;
};
std::optional<BatchFactors> batch_factors(const OwnDraws& draws, const Rewriter& plan, ValueId x) {
  const PlanNode* const node = plan.producer(x, "matmul");
  if (node == nullptr || plan.type(x).shape.rank() != 3 || !draws.movable(plan, *node) ||
      node->attributes.get<bool>("transpose_a") || node->attributes.get<bool>("transpose_b"))
    return std::nullopt;
  const auto in = plan.operands(*node);
  const Shape& a = plan.type(in[0]).shape;
  const Shape& b = plan.type(in[1]).shape;
  if (a.rank() != 3 || b.rank() != 3 || a[0] != b[0]) return std::nullopt;
  return BatchFactors{in[0], in[1], a[0], a[1], a[2], b[2]};
}

ValueId reshaped(Rewriter& plan, ValueId x, const Ints& sizes) {
  return plan.add(require_op("reshape"), {{"sizes", sizes}}, {x});
}
ValueId batch_product(Rewriter& plan, const Op& matmul, ValueId a, ValueId b,
                      bool transpose_b = false) {
  return plan.add(matmul, {{"transpose_a", false}, {"transpose_b", transpose_b}}, {a, b});
}

// The same for all members of a batch: x (a b) as (x a) b and (a b) y as a (b y), where x or y is
// one matrix. The thin products with it are one, of which each member has some rows.
bool batch_association(const OwnDraws& draws, Rewriter& plan, const PlanNode& node) {
  if (node.op->name() != "matmul" || node.attributes.get<bool>("transpose_a") ||
      node.attributes.get<bool>("transpose_b"))
    return false;
  const std::array<ValueId, 2> in{plan.operands(node)[0], plan.operands(node)[1]};
  for (const std::size_t low : {std::size_t{1}, std::size_t{0}}) {
    const Shape other = plan.type(in[1 - low]).shape;
    const auto factors = batch_factors(draws, plan, in[low]);
    if (!factors || other.rank() != 2) continue;
    const auto& [a, b, members, n, r, m] = *factors;
    const std::int64_t size = other[1 - low];  // of the other matrix, beside what is added up
    if (size * n * m <= size * r * (n + m)) continue;
    ValueId left = a;
    ValueId right = b;
    if (low == 0)
      right = batch_product(plan, *node.op, b, in[1]);
    else if (r == 1)  // (members, n) x^T, whose rows are the columns x a
      left = reshaped(plan,
                      batch_product(plan, *node.op, reshaped(plan, a, {members, n}), in[0], true),
                      {members, size, 1});
    else
      left = batch_product(plan, *node.op, in[0], a);
    plan.replace_by(r == 1 ? plan.add(require_op("mul"), {}, {left, right})
                           : batch_product(plan, *node.op, left, right));
    return true;
  }
  return false;
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
  const std::array<Rewriter::Rule, 5> rules{absorbed_transpose, with_draws(association),
                                            with_draws(batch_association), with_draws(moved_scalar),
                                            with_draws(thin_convolution)};
  rewrite(plan, rules);
}

}  // namespace dualtape::detail
