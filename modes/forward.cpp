#include <dualtape/modes/forward.hpp>

#include <algorithm>
#include <cassert>
#include <string>

#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/modes/walk/dependence.hpp>
#include <dualtape/modes/walk/replay.hpp>

namespace dualtape {
namespace {

// Whether a partial of few steps reads an operand, or the result, that has the result's shape. What
// operands are made of is no part of the partial.
bool reads_all_elements(const NodeView& node, Var partial) {
  constexpr std::size_t steps = 32;
  std::vector<Var> read{partial};
  for (std::size_t i = 0; i < read.size() && read.size() < steps; ++i) {
    const Var now = read[i];
    const bool operand = std::ranges::find(node.in, now) != node.in.end();
    if (operand || now == node.out[0]) {
      if (now.shape() == node.out[0].shape()) return true;
      continue;
    }
    for (const Ref& ref : now.node().inputs()) read.push_back(now.graph().var(ref));
  }
  return false;
}

// An elementwise partial has the shape of the result, or of operands that are stretched to it. One
// of another shape would silently spread over the tangent.
Factor partial_of(const NodeView& node, std::size_t i) {
  Factor factor = node.op.partial(node, i);
  if (factor.is_literal()) return factor;
  const Shape is = factor.var().shape();
  const Shape& wanted = node.out[0].shape();
  if (is == wanted) return factor;
  const Broadcast joined = broadcast(is, wanted);
  if (joined.ok && joined.shape == wanted && !reads_all_elements(node, factor.var())) return factor;
  fail<DerivativeError>(
      {.op = node.op.name(),
       .label = node.out[0].label(),
       .what = "its partial derivative by operand " + std::to_string(i) + " has the shape " +
               to_string(is) + ", its result " + to_string(wanted),
       .where = node.out[0].node().where,
       .help = "an elementwise partial is the derivative of each element by its own, without "
               "sums, means or reshapes"});
}

}  // namespace

std::vector<MaybeVar> ForwardMode::elementwise(const NodeView& node, std::span<const MaybeVar> in) {
  // With derived partials the formula's own steps are differentiated, one primitive at a time.
  if (node.op.derives_partials()) return detail::replay_tangent(*this, node, in);
  MaybeVar sum;
  for (std::size_t i = 0; i < in.size(); ++i)
    if (in[i]) sum = detail::add_scaled(sum, partial_of(node, i), *in[i]);
  if (sum) sum = detail::broadcast_as(*sum, node.out[0].shape());
  return {sum};
}

std::vector<MaybeVar> ForwardMode::linear(const NodeView& node, std::span<const MaybeVar> in) {
  // A cast to integers is piecewise constant.
  if (std::ranges::none_of(node.out, [](const Var& out) { return is_floating(out.dtype()); }))
    return std::vector<MaybeVar>(node.out.size());
  std::vector<Var> operands(node.in.begin(), node.in.end());
  std::vector<char> active(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (!in[i]) continue;
    operands[i] = *in[i];
    active[i] = 1;
  }
  const std::span<const bool> flags(reinterpret_cast<const bool*>(active.data()), active.size());
  if (!node.op.linear_in(node, flags)) {
    // Jointly linear: the others' tangents are zero, and here they must be something.
    for (std::size_t i = 0; i < in.size(); ++i)
      if (!in[i] && is_floating(node.in[i].dtype())) operands[i] = detail::zeros_like(node.in[i]);
  }
  return detail::apply_again(node, operands);
}

std::vector<MaybeVar> ForwardMode::bilinear(const NodeView& node, std::span<const MaybeVar> in) {
  MaybeVar sum;
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (!in[i]) continue;
    std::vector<Var> operands(node.in.begin(), node.in.end());
    operands[i] = *in[i];
    sum = detail::add_scaled(sum, 1.0, *detail::apply_again(node, operands)[0]);
  }
  return {sum};
}

std::vector<MaybeVar> ForwardMode::general(const NodeView& node, std::span<const MaybeVar> in) {
  return node.op.jvp(node, in);
}

void ForwardMode::check(const NodeView& node, std::span<const MaybeVar> out) {
  for (std::size_t i = 0; i < out.size(); ++i)
    if (out[i] && out[i]->type(node.out[i].node().where) != node.out[i].type())
      fail<DerivativeError>({.op = node.op.name(),
                             .label = node.out[i].label(),
                             .what = "its rule returned a tangent of type " +
                                     to_string(out[i]->type()) + " for an output of type " +
                                     to_string(node.out[i].type()),
                             .where = node.out[i].node().where,
                             .help = "a tangent has the shape and dtype of its primal"});
}

Graph& ForwardMode::graph(Location where) const {
  if (Graph* const graph = graph_.get()) return *graph;
  fail<GraphError>({.op = "ForwardMode",
                    .what = "the graph it was made for has ended",
                    .where = where,
                    .help = "keep the Graph for as long as its modes"});
}

void ForwardMode::begin(Graph& walked, Location where) {
  if (&graph(where) == &walked) return;
  fail<GraphError>({.op = "ForwardMode",
                    .what = "walks another graph than the one it was made for",
                    .where = where,
                    .help = "make a ForwardMode for each graph"});
}

void ForwardMode::visit(const Node& node, const std::function<void()>& rule) {
  const Graph::Emitting emitting(
      graph(), {node.origin, Role::tangent, node.where, node.label, node.scope, node.op});
  rule();
}

namespace {
// Of the graph itself, or of the scratch graph it belongs to.
void require_tangent(Var tangent, Graph& graph, Var input, Location where) {
  detail::require_alive(tangent, "forward", "a tangent", where);
  if (detail::joined(&graph, tangent.graph(), where) == nullptr)
    fail<GraphError>({.op = "forward",
                      .label = input.label(),
                      .what = "the tangent, " + detail::place_of(tangent) +
                              ", belongs to another graph than its input, " +
                              detail::place_of(input),
                      .where = where,
                      .help = "make the tangent on the graph of the input"});
}
}  // namespace

std::vector<MaybeVar> forward_all(const std::vector<Var>& outputs, const WrtList& wrt,
                                  const std::vector<Var>& tangents, Location where) {
  if (outputs.empty()) return {};
  Graph& graph = detail::require_one_graph(outputs, "forward", "outputs", where);
  if (wrt.size() != tangents.size())
    fail<GraphError>({.op = "forward",
                      .what = std::to_string(wrt.size()) + " inputs but " +
                              std::to_string(tangents.size()) + " tangents",
                      .where = where,
                      .help = "give one tangent for each input"});
  const std::vector<Var> inputs = wrt.in(graph, "forward", where);
  for (std::size_t i = 0; i < wrt.size(); ++i) {
    require_tangent(tangents[i], graph, inputs[i], where);
    if (tangents[i].type() != inputs[i].type())
      fail<ShapeError>({.op = "forward",
                        .label = inputs[i].label(),
                        .what = "the input is " + to_string(inputs[i].type()) +
                                ", its tangent is " + to_string(tangents[i].type()),
                        .where = where,
                        .help = "a tangent has the shape and dtype of its input"});
  }
  ForwardMode mode(graph);
  return mode.run(graph, inputs, tangents, outputs, where);
}

Var forward(Var output, const WrtList& wrt, const std::vector<Var>& tangents, Location where) {
  detail::require_alive(output, "forward", "the output", where);
  const MaybeVar tangent = forward_all({output}, wrt, tangents, where)[0];
  if (tangent) return *tangent;
  std::string cut;
  for (const Var& input : wrt.in(output.graph(), "forward", where))
    if (cut.empty()) cut = detail::cut_between(input, output);
  fail<DerivativeError>(
      {.op = "forward",
       .label = output.label(),
       .what = cut.empty() ? "the output does not depend on any of the inputs to differentiate by"
                           : "the output depends on the inputs to differentiate by only through " +
                                 cut + ", whose derivative is zero",
       .where = where,
       .help = "check the list, and for a stop_gradient on the way"});
}

}  // namespace dualtape
