#include <dualtape/modes/taylor/expansion.hpp>

#include <algorithm>
#include <array>
#include <set>

#include <dualtape/core/registry.hpp>
#include <dualtape/modes/taylor/functions.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/ops/arithmetic.hpp>

namespace dualtape::detail {
namespace {

// The same values under a Var of their own, whose series is another one's. An alias.
Var alias_of(Var var) {
  Graph& graph = var.graph();
  const Attributes attributes{{"sizes", var.shape().vector()},
                              {"of", static_cast<std::int64_t>(graph.size())}};
  return apply(require_op("reshape"), {var}, attributes);
}

}  // namespace

MaybeVar sum_of(const MaybeVar& a, const MaybeVar& b) {
  if (!a || !b) return a ? a : b;
  return add(*a, *b);
}
MaybeVar product_of(const MaybeVar& a, const MaybeVar& b) {
  if (!a || !b) return std::nullopt;
  return *a == *b ? square(*a) : mul(*a, *b);
}
MaybeVar scaled_by(double factor, const MaybeVar& a) {
  return a ? add_scaled({}, factor, *a) : MaybeVar{};
}

void Expansion::set(Var var, Terms terms) {
  auto node = std::make_shared<GrowingNode>();
  node->out = {var};
  node->terms = {std::move(terms)};
  nodes_[key(var)] = {node, 0};
}

MaybeVar Expansion::at(Var var, std::size_t k) {
  if (k == 0) return var;
  const auto found = nodes_.find(key(var));
  if (found == nodes_.end()) return std::nullopt;
  const auto [node, output] = found->second;
  while (node->next && node->terms[0].size() <= k) {
    const std::vector<MaybeVar> next = node->next(node->terms[0].size());
    for (std::size_t i = 0; i < node->terms.size(); ++i) node->terms[i].push_back(next[i]);
  }
  const Terms& terms = node->terms[output];
  return k < terms.size() ? terms[k] : MaybeVar{};
}

Terms Expansion::terms(Var var, std::size_t count) {
  Terms found;
  for (std::size_t k = 0; k < count; ++k) found.push_back(at(var, k));
  return found;
}

void Expansion::add(const NodeView& node, bool all_known) {
  const auto growing = std::make_shared<GrowingNode>();
  growing->op = &node.op;
  growing->in.assign(node.in.begin(), node.in.end());
  growing->out.assign(node.out.begin(), node.out.end());
  growing->attributes = node.attributes;
  for (const Var& out : node.out) growing->terms.push_back({out});
  for (std::size_t i = 0; i < node.out.size(); ++i) nodes_[key(node.out[i])] = {growing, i};
  if (!all_known || !add_function(*growing)) growing->next = rule_for(*growing);
}

// A call or a loop; false for all else.
bool Expansion::add_function(GrowingNode& node) {
  if (node.op->kind() != Kind::general || custom_(node)) return false;
  std::vector<Terms> in(node.in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (!moves(node.in[i])) continue;
    const Terms all = terms(node.in[i]);
    in[i].assign(all.begin() + 1, all.end());
  }
  const auto found = function_terms(node.view(), in, order_);
  if (!found) return false;
  for (std::size_t i = 0; i < node.terms.size(); ++i)
    node.terms[i].insert(node.terms[i].end(), (*found)[i].begin(), (*found)[i].end());
  return true;
}

void Expansion::include(std::span<const Var> results, const NodeView& node) {
  std::set<NodeId> ids;
  const auto known = [&](Var var) {
    return moves(var) || std::ranges::find(node.in, var) != node.in.end() ||
           std::ranges::find(node.out, var) != node.out.end();
  };
  std::vector<Var> open(results.begin(), results.end());
  while (!open.empty()) {
    const Var var = open.back();
    open.pop_back();
    if (known(var) || !ids.insert(var.id()).second) continue;
    for (const Ref& ref : var.node().inputs()) open.push_back(var.graph().var(ref));
  }
  if (ids.empty()) return;
  Graph& graph = results[0].graph();
  for (const NodeId id : ids) {
    const Node& made = graph.node(id);
    if (made.op->kind() == Kind::zero_derivative) continue;
    std::vector<Var> in, out;
    bool any = false;
    for (const Ref& ref : made.inputs()) {
      in.push_back(graph.var(ref));
      any = any || moves(in.back());
    }
    if (!any) continue;
    for (std::uint32_t i = 0; i < made.output_count; ++i) out.push_back(graph.var(id, i));
    const Attributes attributes = made.attributes;
    add({*made.op, in, out, attributes});
  }
}

NextTerms Expansion::rule_for(GrowingNode& node) {
  if (auto given = custom_(node)) return *given;
  switch (node.op->kind()) {
    case Kind::elementwise: return elementwise_rule(*this, node);
    case Kind::linear: return linear_rule(node);
    case Kind::bilinear: return bilinear_rule(node);
    case Kind::general: return general_rule(node);
    default: refuse(node.view(), node.out[0].node().where, node.out[0].label());
  }
}

// Each coefficient by itself.
NextTerms Expansion::linear_rule(GrowingNode& node) {
  return [this, &node](std::size_t k) {
    std::vector<MaybeVar> in;
    for (const Var& var : node.in) in.push_back(at(var, k));
    if (std::ranges::none_of(in, [](const MaybeVar& one) { return one.has_value(); }))
      return std::vector<MaybeVar>(node.out.size());
    return tangents(node.view(), in);
  };
}

// Products of Cauchy: the sum of a_j b_(k - j).
NextTerms Expansion::bilinear_rule(GrowingNode& node) {
  return [this, &node](std::size_t k) {
    MaybeVar sum;
    for (std::size_t j = 0; j <= k; ++j) {
      const MaybeVar a = at(node.in[0], j);
      const MaybeVar b = at(node.in[1], k - j);
      if (a && b) sum = sum_of(sum, apply_again(node.view(), std::array{*a, *b})[0]);
    }
    return std::vector<MaybeVar>{sum};
  };
}

// The jvp along dx/dt, with a series where more than its value is asked for. Tangents are Vars of
// their own, since what they are copies of is another function of t where it is read otherwise.
std::vector<MaybeVar> Expansion::slopes(GrowingNode& node) {
  std::vector<MaybeVar> along;
  for (const Var& var : node.in) {
    along.emplace_back();
    if (!moves(var)) continue;
    const MaybeVar first = at(var, 1);
    along.back() = first ? *first : zeros_like(var);
    if (order_ == 1) continue;
    along.back() = alias_of(*along.back());
    const auto growing = std::make_shared<GrowingNode>();
    growing->out = {*along.back()};
    growing->terms = {{along.back()}};
    growing->next = [this, var](std::size_t k) {
      return std::vector{scaled_by(static_cast<double>(k + 1), at(var, k + 1))};
    };
    nodes_[key(*along.back())] = {growing, 0};
  }
  std::vector<MaybeVar> found = tangents(node.view(), along);
  std::vector<Var> results;
  for (const MaybeVar& slope : found)
    if (slope && order_ > 1) results.push_back(*slope);
  include(results, node.view());
  return found;
}

// d/dt of the result is the jvp at x(t) along dx/dt: coefficient k is coefficient k - 1 of that,
// over k.
NextTerms Expansion::general_rule(GrowingNode& node) {
  const auto made = std::make_shared<std::optional<std::vector<MaybeVar>>>();
  return [this, &node, made](std::size_t k) {
    if (!*made) *made = slopes(node);
    std::vector<MaybeVar> next;
    for (const MaybeVar& slope : **made)
      next.push_back(slope ? scaled_by(1.0 / static_cast<double>(k), at(*slope, k - 1))
                           : MaybeVar{});
    return next;
  };
}

}  // namespace dualtape::detail
