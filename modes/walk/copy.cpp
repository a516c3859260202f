#include <dualtape/modes/walk/copy.hpp>

#include <algorithm>
#include <array>

#include <dualtape/core/leaves.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>

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
  if (node.label != 0 && to_->parent() == nullptr) to_->set_label(copied, from_->label(id));
  // An output that something else stands for keeps that.
  for (std::uint32_t i = 0; i < node.output_count; ++i)
    made_.try_emplace({id, i}, to_->var(copied, i));
}

std::vector<MaybeVar> copy_of_entries(const Linearized& linear, std::span<const Var> directions,
                                      Graph& to, const std::function<Var(Var)>& outer) {
  Graph& tape = const_cast<Graph&>(linear.tape());
  GraphCopy copy(tape, to);
  copy.outer(outer);
  for (NodeId id = 0; id < tape.size(); ++id)
    if (tape.node(id).op == &input_op()) {
      const Var leaf = tape.var(id);
      copy.set(leaf, broadcast_as(to.constant(0.0, leaf.dtype()), leaf.shape()));
    }
  for (std::size_t i = 0; i < directions.size(); ++i)
    copy.set(linear.input_entries()[i], directions[i]);
  std::vector<MaybeVar> found;
  for (const MaybeVar& entry : linear.output_entries())
    found.push_back(entry ? MaybeVar(copy.copy(std::array{Var(*entry)})[0]) : MaybeVar{});
  return found;
}

}  // namespace dualtape::detail
