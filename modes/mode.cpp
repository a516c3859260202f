#include <dualtape/modes/mode.hpp>

#include <algorithm>

namespace dualtape {

std::vector<NodeId> active_region(const Graph& graph, std::span<const Var> outputs) {
  std::vector<bool> marked(graph.size());
  for (const Var& var : outputs) marked[var.id()] = true;
  std::vector<NodeId> ids;
  for (auto id = static_cast<NodeId>(graph.size()); id-- > 0;) {
    if (!marked[id]) continue;
    ids.push_back(id);
    const Node& node = graph.node(id);
    if (node.op->kind() == Kind::constant) continue;
    for (const Ref& ref : node.inputs()) marked[ref.node] = true;
  }
  std::ranges::reverse(ids);
  return ids;
}

void refuse(const NodeView& node, Location where, const std::string& label) {
  fail<DerivativeError>({.op = node.op.name(),
                         .label = label,
                         .what = "is not differentiable: " + std::string(node.op.info().reason),
                         .where = where,
                         .help = "wrap its operand in stop_gradient if no derivative is wanted"});
}

}  // namespace dualtape
