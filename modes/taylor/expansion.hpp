// The power series of Vars in t, grown one coefficient at a time. Private. Adds nodes to the graph;
// one thread at a time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <dualtape/modes/forward.hpp>

namespace dualtape::detail {

// The coefficients of t^0, t^1 ... of one Var; absent: zero. The first is the Var itself.
using Terms = std::vector<MaybeVar>;

class Expansion;
// Coefficient k, 1 or more, of each output of a node; those below are there.
using NextTerms = std::function<std::vector<MaybeVar>(std::size_t k)>;

// A node with the Vars that its rule reads, kept for as long as its series grow.
struct GrowingNode {
  const Op* op;
  std::vector<Var> in, out;
  Attributes attributes;
  std::vector<Terms> terms;  // of each output, all of one length
  NextTerms next;            // empty: all coefficients that are not there are zero

  NodeView view() const { return {*op, in, out, attributes}; }
};

class Expansion {
 public:
  // A rule that somebody gave for an operator, if any.
  using Custom = std::function<std::optional<NextTerms>(GrowingNode&)>;
  // Up to the power `order` of t. `rules` says how tangents come through an operator: coefficients
  // do the same where it is linear.
  Expansion(std::size_t order, ForwardMode& rules, Custom custom)
      : order_(order), rules_(rules), custom_(std::move(custom)) {}

  // The series of a Var from now on.
  void set(Var var, Terms terms);
  // Whether it has a series, and does not stay what it is.
  bool moves(Var var) const { return nodes_.contains(key(var)); }
  // The coefficient of t^k; absent where it is zero.
  MaybeVar at(Var var, std::size_t k);
  // All up to the order, or the first `count`.
  Terms terms(Var var) { return terms(var, order_ + 1); }
  Terms terms(Var var, std::size_t count);

  // Coefficients through a node whose operands have theirs; it must not have been added before.
  // Where all of those are known, functions that are nodes carry them all at once.
  void add(const NodeView& node, bool all_known = false);
  // What `results` are computed from, up to the Vars of `node` and what has a series already, gets
  // a series where it moves. They are what a rule of that node wrote.
  void include(std::span<const Var> results, const NodeView& node);

  // The tangents of a linear operator where its operands' are `in`.
  std::vector<MaybeVar> tangents(const NodeView& node, std::span<const MaybeVar> in) {
    return rules_.ask(node, in);
  }

 private:
  using Key = std::pair<NodeId, std::uint32_t>;
  static Key key(Var var) { return {var.id(), var.output()}; }
  NextTerms rule_for(GrowingNode& node);
  bool add_function(GrowingNode& node);
  NextTerms linear_rule(GrowingNode& node);
  NextTerms bilinear_rule(GrowingNode& node);
  NextTerms general_rule(GrowingNode& node);
  std::vector<MaybeVar> slopes(GrowingNode& node);

  std::size_t order_;
  ForwardMode& rules_;
  Custom custom_;
  struct Place {
    std::shared_ptr<GrowingNode> node;
    std::size_t output;
  };
  std::map<Key, Place> nodes_;
};

// Of an elementwise operator: by its primitive's own recurrence, by its recording, or by the series
// of its partial derivatives.
NextTerms elementwise_rule(Expansion& expansion, GrowingNode& node);

// Sums and products of coefficients, zeros left out.
MaybeVar sum_of(const MaybeVar& a, const MaybeVar& b);
MaybeVar product_of(const MaybeVar& a, const MaybeVar& b);
MaybeVar scaled_by(double factor, const MaybeVar& a);

}  // namespace dualtape::detail
