#include <dualtape/modes/backward.hpp>

#include <algorithm>
#include <string>

namespace dualtape {

detail::Between detail::nodes_between(const Graph& graph, std::span<const Var> inputs,
                                      std::span<const Var> outputs,
                                      const std::function<bool(const Op&)>& carries) {
  Between found{{}, std::vector<bool>(graph.size())};
  for (const Var& input : inputs) found.reached[input.id()] = true;
  for (const NodeId id : active_region(graph, outputs, carries)) {
    const Node& node = graph.node(id);
    const auto moves = [&](const Ref& ref) { return !ref.outer && found.reached[ref.node]; };
    if (carries(*node.op) && std::ranges::any_of(node.inputs(), moves)) found.reached[id] = true;
    if (found.reached[id]) found.nodes.push_back(id);
  }
  return found;
}

void detail::check_backward_walk(const Graph& graph, std::span<const Var> outputs,
                                 std::size_t states, std::span<const Var> inputs, Location where) {
  if (states != outputs.size())
    fail<GraphError>({.op = "BackwardMode",
                      .what = std::to_string(outputs.size()) + " outputs but " +
                              std::to_string(states) + " states",
                      .where = where,
                      .help = "give one state for each output"});
  require_walked(graph, outputs, where);
  require_walked(graph, inputs, where);
}

void detail::refuse_operand_states(const NodeView& node, std::size_t count) {
  fail<DerivativeError>(
      {.op = node.op.name(),
       .label = node.out[0].label(),
       .what = "its backward rule returned " + std::to_string(count) + " states for " +
               std::to_string(node.in.size()) + " operands",
       .where = node.out[0].node().where,
       .help = "return one for each operand, std::nullopt where nothing arrives"});
}

}  // namespace dualtape
