#include <dualtape/modes/mode.hpp>

#include <algorithm>

namespace dualtape {

std::vector<NodeId> active_region(const Graph& graph, std::span<const Var> outputs,
                                  const std::function<bool(const Op&)>& carries) {
  detail::require_walked(graph, outputs, {});
  std::vector<bool> marked(graph.size());
  for (const Var& var : outputs) marked[var.id()] = true;
  std::vector<NodeId> ids;
  for (auto id = static_cast<NodeId>(graph.size()); id-- > 0;) {
    if (!marked[id]) continue;
    ids.push_back(id);
    const Node& node = graph.node(id);
    if (carries ? !carries(*node.op) : node.op->kind() == Kind::zero_derivative) continue;
    for (const Ref& ref : node.inputs()) marked[ref.node] = true;
  }
  std::ranges::reverse(ids);
  return ids;
}

void detail::check_walk(const Graph& graph, std::span<const Var> inputs, std::size_t states,
                        std::span<const Var> outputs, Location where) {
  if (states != inputs.size())
    fail<GraphError>({.op = "Mode",
                      .what = std::to_string(inputs.size()) + " inputs but " +
                              std::to_string(states) + " states",
                      .where = where,
                      .help = "give one state for each input"});
  require_walked(graph, inputs, where);
  require_walked(graph, outputs, where);
}

void detail::require_walked(const Graph& graph, std::span<const Var> vars, Location where) {
  for (const Var& var : vars)
    if (&require_alive(var, "Mode", "an input or output", where).graph() != &graph)
      fail<GraphError>({.op = "Mode",
                        .label = var.label(),
                        .what = "an input or output, " + place_of(var) +
                                ", does not belong to the graph that is walked",
                        .where = where});
}

void detail::refuse_states(const NodeView& node, std::size_t count) {
  fail<DerivativeError>({.op = node.op.name(),
                         .label = node.out[0].label(),
                         .what = "its rule returned " + std::to_string(count) + " states for " +
                                 std::to_string(node.out.size()) + " outputs",
                         .where = node.out[0].node().where,
                         .help = "return one for each output, std::nullopt where nothing arrives"});
}

void detail::refuse_empty_rule(const Op& op, Location where) {
  fail<GraphError>({.op = op.name(),
                    .what = "the rule given for it is an empty function",
                    .where = where,
                    .help = "give a function, or no rule"});
}

void refuse(const NodeView& node, Location where, const std::string& label) {
  fail<DerivativeError>({.op = node.op.name(),
                         .label = label,
                         .what = "is not differentiable: " + std::string(node.op.info().reason),
                         .where = where,
                         .help = "wrap its operand in stop_gradient if no derivative is wanted"});
}

}  // namespace dualtape
