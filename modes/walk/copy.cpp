#include <dualtape/modes/walk/copy.hpp>

#include <algorithm>

namespace dualtape::detail {

std::vector<Var> GraphCopy::copy(std::span<const Var> old) {
  std::vector<bool> needed;
  const auto need = [&](Ref ref) {
    if (made_.contains({ref.node, std::uint32_t{ref.output}})) return;
    if (needed.size() <= ref.node) needed.resize(std::size_t{ref.node} + 1);
    needed[ref.node] = true;
  };
  for (const Var& var : old) need({var.id(), var.output(), false});
  for (std::size_t id = needed.size(); id-- > 0;) {
    if (!needed[id]) continue;
    for (const Ref& ref : from_->node(static_cast<NodeId>(id)).inputs())
      if (!ref.outer) need(ref);
  }
  for (std::size_t id = 0; id < needed.size(); ++id)
    if (needed[id]) add(static_cast<NodeId>(id));
  std::vector<Var> copies;
  for (const Var& var : old) copies.push_back(made({var.id(), var.output(), false}));
  return copies;
}

void GraphCopy::add(NodeId id) {
  const Node& node = from_->node(id);
  std::vector<Var> operands;
  for (const Ref& ref : node.inputs())
    operands.push_back(ref.outer ? outer_(from_->var(ref)) : made(ref));
  const NodeId copied = to_->add(*node.op, operands, node.attributes, node.where);
  // An output that something else stands for keeps that.
  for (std::uint32_t i = 0; i < node.output_count; ++i)
    made_.try_emplace({id, i}, to_->var(copied, i));
}

}  // namespace dualtape::detail
