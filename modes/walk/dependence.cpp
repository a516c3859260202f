#include <dualtape/modes/walk/dependence.hpp>

#include <algorithm>

#include <dualtape/core/op.hpp>

namespace dualtape::detail {

std::vector<bool> ancestors_of(Var var) {
  const Graph& graph = var.graph();
  std::vector<bool> is(std::size_t{var.id()} + 1);
  is[var.id()] = true;
  for (std::size_t id = is.size(); id-- > 0;) {
    if (!is[id]) continue;
    for (const Ref& ref : graph.node(static_cast<NodeId>(id)).inputs())
      if (!ref.outer) is[ref.node] = true;
  }
  return is;
}

std::string cut_between(Var input, Var output) {
  if (!depends_on(output, input)) return {};
  const Graph& graph = output.graph();
  const std::vector<bool> wanted = ancestors_of(output);
  std::vector<bool> reached(wanted.size());
  reached[input.id()] = true;
  for (NodeId id = input.id() + 1; id < wanted.size(); ++id) {
    const Node& node = graph.node(id);
    const bool reads = std::ranges::any_of(
        node.inputs(), [&](const Ref& ref) { return !ref.outer && reached[ref.node]; });
    if (!wanted[id] || !reads) continue;
    if (node.op->kind() == Kind::zero_derivative) {
      const std::string label = graph.label(id);
      return "'" + std::string(node.op->name()) + "'" + (label.empty() ? "" : " '" + label + "'") +
             ", made at " + to_string(node.where);
    }
    reached[id] = true;
  }
  return {};
}

}  // namespace dualtape::detail
