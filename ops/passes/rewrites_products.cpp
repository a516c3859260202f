// Algebra on the products of a plan: cheaper orders of chains, sums written by the product itself,
// products with one right operand run as one.
#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/pass.hpp>
#include <dualtape/core/plan/rename.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/ops/passes/own_draws.hpp>
#include <dualtape/ops/passes/planned_products.hpp>
#include <dualtape/ops/passes/rewrites.hpp>

namespace dualtape::detail {
namespace {

// A matrix operand of a product: a value, transposed or as it is.
struct Factor2d {
  ValueId value;
  bool transposed;
};

std::int64_t rows(const Rewriter& plan, Factor2d x) {
  return plan.type(x.value).shape[x.transposed ? 1 : 0];
}
std::int64_t columns(const Rewriter& plan, Factor2d x) {
  return plan.type(x.value).shape[x.transposed ? 0 : 1];
}

// What a node that is a product of two matrices multiplies.
struct Factors {
  Factor2d left;
  Factor2d right;
};
std::optional<Factors> product_of(const Rewriter& plan, const PlanNode* node) {
  if (node == nullptr || node->op->name() != "matmul") return std::nullopt;
  const auto in = plan.operands(*node);
  if (plan.type(in[0]).shape.rank() != 2 || plan.type(in[1]).shape.rank() != 2) return std::nullopt;
  return Factors{{in[0], node->attributes.get<bool>("transpose_a")},
                 {in[1], node->attributes.get<bool>("transpose_b")}};
}

ValueId add_product(Rewriter& plan, const Op& matmul, Factor2d left, Factor2d right) {
  return plan.add(matmul, {{"transpose_a", left.transposed}, {"transpose_b", right.transposed}},
                  {left.value, right.value});
}

// `x` as s y or y s with s of rank 0 and y of x's type.
struct Scaled {
  ValueId scalar;
  ValueId rest;
};
std::optional<Scaled> scaled(const Rewriter& plan, ValueId x) {
  const PlanNode* const node = plan.producer(x, "mul");
  if (node == nullptr) return std::nullopt;
  const auto in = plan.operands(*node);
  const Type& type = plan.type(x);
  if (type.shape.rank() == 0) return std::nullopt;
  for (const std::size_t i : {std::size_t{0}, std::size_t{1}})
    if (plan.type(in[i]) == Type{Shape{}, type.dtype} && plan.type(in[1 - i]) == type)
      return Scaled{in[i], in[1 - i]};
  return std::nullopt;
}

// A factor of rank 0 that some value has, if it has any, and its sign.
struct Scale {
  std::optional<ValueId> scalar;
  bool negative = false;
};
Scale times(Rewriter& plan, Scale scale, ValueId scalar) {
  scale.scalar = scale.scalar ? plan.add(require_op("mul"), {}, {*scale.scalar, scalar}) : scalar;
  return scale;
}

// ---- thin ------------------------------------------------------------------------------------

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
// thin product stands in a sum of such or behind factors of rank 0. What a b itself costs counts
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

// ---- accumulate ------------------------------------------------------------------------------

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

// ---- stack -----------------------------------------------------------------------------------

// Finds products of one right operand, and runs the first with the second where that is possible.
class Stacker {
 public:
  explicit Stacker(Plan& plan) : plan_(plan), facts_(plan.values.size()) {}

  void run() {
    for (std::size_t n = 0; n < plan_.nodes.size(); ++n) note_node(n);
    for (const ValueId v : plan_.outputs) facts_[v].pinned = true;
    for (const PlanAssign& a : plan_.assigns) facts_[a.value].pinned = true;
    for (const auto& [first, second] : plan_.adjacent)
      facts_[first].pinned = facts_[second].pinned = true;
    using Operand = std::pair<ValueId, bool>;  // the right one, and whether it is transposed
    std::map<Operand, std::size_t> waiting;
    for (std::size_t n = 0; n < plan_.nodes.size(); ++n) {
      if (!is_candidate(plan_.nodes[n])) continue;
      const PlanNode& node = plan_.nodes[n];
      const auto [place, is_new] = waiting.try_emplace(
          {plan_.operands_of(node)[1], node.attributes.get<bool>("transpose_b")}, n);
      if (is_new) continue;
      if (stack(place->second, n))
        waiting.erase(place);
      else
        place->second = n;
    }
    rename_results();
    std::erase_if(plan_.nodes, [](const PlanNode& node) { return node.op == nullptr; });
  }

 private:
  struct Fact {
    std::size_t made = 0;                                   // at this node
    std::size_t first_read = static_cast<std::size_t>(-1);  // by this node
    bool pinned = true;  // its place in memory is not the pass's to choose
  };

  void note_node(std::size_t n) {
    const PlanNode& node = plan_.nodes[n];
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v)
      facts_[v] = {n, static_cast<std::size_t>(-1), is_leaf(*node.op) || node.op->is_alias()};
    for (const ValueId v : plan_.operands_of(node)) {
      facts_[v].first_read = std::min(facts_[v].first_read, n);
      if (node.op->is_alias()) facts_[v].pinned = true;
    }
  }

  // Beyond 256 rows each the product gains nothing by more of them, and small right operands are
  // read from cache anyway.
  bool is_candidate(const PlanNode& node) const {
    if (node.op == nullptr || node.op->name() != "matmul" ||
        node.attributes.get<bool>("transpose_a"))
      return false;
    const auto in = plan_.operands_of(node);
    const Shape& a = plan_.values[in[0]].shape;
    const Shape& b = plan_.values[in[1]].shape;
    return a.rank() == 2 && b.rank() == 2 && a[0] > 1 && a[0] <= 256 &&
           std::min(b[0], b[1]) >= 32 && b.count() >= 128 * 128 && may_pair(in[0]) &&
           may_pair(node.first_value);
  }
  bool may_pair(ValueId value) const {
    return !facts_[value].pinned && bytes_of(plan_.values[value]) % arena_alignment == 0;
  }

  // Runs the product at `early` where the one at `late` stands, if nobody reads its result before.
  bool stack(std::size_t early, std::size_t late) {
    PlanNode& first = plan_.nodes[early];
    PlanNode& second = plan_.nodes[late];
    const auto left = plan_.operands_of(first);
    const ValueId a = left[0];
    const ValueId b = left[1];
    const ValueId other = plan_.operands_of(second)[0];
    if (a == other || plan_.values[a] != plan_.values[other] || !may_pair(a) ||
        facts_[first.first_value].first_read <= late)
      return false;
    const auto results = static_cast<ValueId>(plan_.values.size());
    const Type type = plan_.values[first.first_value];
    plan_.values.insert(plan_.values.end(), {type, type});
    replacement_.emplace_back(first.first_value, results);
    replacement_.emplace_back(second.first_value, results + 1);
    plan_.adjacent.emplace_back(a, other);
    plan_.adjacent.emplace_back(results, results + 1);
    facts_[a].pinned = facts_[other].pinned = true;
    second.op = &stacked_matmul_op();
    second.attributes = {{"transpose_b", second.attributes.get<bool>("transpose_b")}};
    second.first_operand = static_cast<std::uint32_t>(plan_.operands.size());
    second.operand_count = 3;
    plan_.operands.insert(plan_.operands.end(), {a, other, b});
    second.first_value = results;
    second.value_count = 2;
    first.op = nullptr;
    return true;
  }
  void rename_results() {
    if (replacement_.empty()) return;
    std::vector<ValueId> now = identity(plan_);
    for (const auto& [before, after] : replacement_) now[before] = after;
    rename(plan_, now);
  }

  Plan& plan_;
  std::vector<Fact> facts_;
  std::vector<std::pair<ValueId, ValueId>> replacement_;
};

}  // namespace

void thin_products(Plan& plan) {
  const OwnDraws draws(plan);
  const auto with_draws = [&](auto rule) -> Rewriter::Rule {
    return [&, rule](Rewriter& sweep, const PlanNode& node) { return rule(draws, sweep, node); };
  };
  const std::array<Rewriter::Rule, 4> rules{absorbed_transpose, with_draws(association),
                                            with_draws(moved_scalar), with_draws(thin_convolution)};
  rewrite(plan, rules);
}

void accumulate_products(Plan& plan) {
  const OwnDraws draws(plan);
  const std::array<Rewriter::Rule, 1> rules{
      [&](Rewriter& sweep, const PlanNode& node) { return accumulated(draws, sweep, node); }};
  rewrite(plan, rules, 1);
}

void stack_products(Plan& plan) { Stacker(plan).run(); }

void mark_kept_weights(Plan& plan) {
  std::vector<const PlanNode*> producer(plan.values.size());
  for (PlanNode& node : plan.nodes) {
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v)
      producer[v] = &node;
    const bool stacked = node.op == &stacked_matmul_op();
    if (!stacked && node.op->name() != "matmul") continue;
    const ValueId right = plan.operands_of(node)[stacked ? 2 : 1];
    const PlanNode& from = *producer[right];
    if (plan.values[right].shape.rank() != 2) continue;
    if (from.op == &constant_op()) {
      node.attributes = node.attributes.with("kept_constant", from.attributes.get<Tensor>("value"));
    } else if (from.op == &parameter_op()) {
      const auto& parameter = from.attributes.get<Parameter>("parameter");
      if (std::ranges::find(plan.assigns, parameter, &PlanAssign::parameter) == plan.assigns.end())
        node.attributes = node.attributes.with("kept_parameter", parameter);
    }
  }
}

}  // namespace dualtape::detail
