// Interval arithmetic as a mode: what a program can give at all for inputs out of a box.
//
// The state of a Var is the two ends between which its elements lie, as Vars of the same graph: run
// them, differentiate them. They hold what programs compute in the Vars' dtype, in whatever order
// sums are added, and what exact arithmetic would give; but numbers below the normal ones count as
// zero, as they do in a run. What does not depend on the boxes is taken as it is computed. Products
// rounded to bf16 (CompileOptions::precision), and whole numbers that overflow, are not held.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "interval_formula.hpp"
#include "interval_linear.hpp"

namespace intervals {

// [mode]
class IntervalMode : public dt::Mode<Interval> {
 protected:
  // [elementwise]
  // The operator's formula, as it was recorded, on intervals.
  std::vector<MaybeInterval> elementwise(const dt::NodeView& node, Intervals in) override {
    if (dt::is_integer(node.out[0].dtype())) refuse(node, "it is arithmetic of whole numbers");
    dt::DType dtype = node.out[0].dtype();
    std::vector<Interval> operands;
    for (std::size_t i = 0; i < in.size(); ++i) {
      operands.push_back(state(node, in, i));
      dtype = std::max(dtype, node.in[i].dtype());
    }
    const auto literal = [&](double value) {
      const Var x = graph_->constant(value, dtype);
      return Interval{x, x};
    };
    const auto y = dt::replay<Interval>(*node.op.recording(), operands, literal, stepped);
    const dt::Shape& shape = node.out[0].shape();
    return {Interval{dt::broadcast_to(y.low, shape), dt::broadcast_to(y.high, shape)}};
  }
  // [/elementwise]
  // [linear]
  std::vector<MaybeInterval> linear(const dt::NodeView& node, Intervals in) override {
    if (node.op.name() == "cast") return {converted(state(node, in, 0), node.out[0].dtype())};
    if (node.op.name() == "where")
      return {selected(state(node, in, 0), state(node, in, 1), state(node, in, 2))};
    if (is_one_of(movers, node)) return monotone(node, in);
    if (is_one_of(sums, node)) {
      if (dt::is_integer(node.out[0].dtype())) return monotone(node, in);  // which are exact
      return {sum_of(node, in)};
    }
    refuse(node, "its coefficients may be negative");
  }
  std::vector<MaybeInterval> bilinear(const dt::NodeView& node, Intervals in) override {
    if (dt::is_integer(node.out[0].dtype())) refuse(node, "it is arithmetic of whole numbers");
    if (is_one_of(products, node)) return {product_of(node, in)};
    refuse(node, "its coefficients may be negative");
  }
  // [/linear]
  // [general]
  std::vector<MaybeInterval> general(const dt::NodeView& node, Intervals in) override {
    if (is_one_of(movers, node)) return monotone(node, in);
    refuse(node, "no rule tells what it does to intervals");
  }
  // Comparisons and floor have formulas, too.
  std::vector<MaybeInterval> zero_derivative(const dt::NodeView& node, Intervals in) override {
    return node.op.recording() != nullptr ? elementwise(node, in) : general(node, in);
  }
  std::vector<MaybeInterval> not_differentiable(const dt::NodeView& node, Intervals in) override {
    return general(node, in);
  }
  bool carries(const dt::Op&) const override { return true; }
  // [/general]
  // [emitting]
  void begin(dt::Graph& graph, dt::Location) override { graph_ = &graph; }
  // New nodes have the line and the label of the node that they are for.
  void visit(const dt::Node& node, const std::function<void()>& rule) override {
    const dt::Graph::Emitting as(
        *graph_, {node.origin, node.role, node.where, node.label, node.scope, node.op});
    rule();
  }
  // [/emitting]

 private:
  [[noreturn]] static void refuse(const dt::NodeView& node, const std::string& why) {
    dt::refuse_node(node, "an interval", why);
  }
  // A float is rounded to a narrower one; what is 0 is false, and all else true.
  static Interval converted(const Interval& x, dt::DType dtype) {
    if (dtype == dt::boolean && x.low.dtype() != dt::boolean)
      return compared(Prim::not_equal, x, {dt::zeros_like(x.low), dt::zeros_like(x.low)});
    const Interval ends{dt::cast(x.low, dtype), dt::cast(x.high, dtype)};
    if (dt::is_floating(dtype)) return outwards(ends, 1);
    if (!dt::is_floating(x.low.dtype())) return ends;
    const Var known = x.low <= x.high;  // NaN becomes 0, of which nothing is known
    const Interval any = any_whole(ends.low);
    return {dt::where(known, ends.low, any.low), dt::where(known, ends.high, any.high)};
  }
  dt::Graph* graph_ = nullptr;
};
// [/mode]

}  // namespace intervals
