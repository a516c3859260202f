// Derivatives of loops.
//
// Forward mode carries values and tangents through one loop, whose memory does not grow with the
// steps. The tape of reverse mode has a loop that is linear in the tangents; the coefficients that
// it reads come from a loop that computes the values once more and stacks them, in the place of the
// loop itself when the program is planned. What depends on the constants alone is computed once,
// outside. The transpose of a linear loop runs from the last step to the first: it carries the
// cotangents of the carried values, and the sums of those of the constants.
#include <algorithm>

#include <dualtape/core/leaves.hpp>
#include <dualtape/modes/loops/dual.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>

namespace dualtape::detail {

std::vector<bool> reached_outputs(const Function& function, const std::vector<bool>& inputs,
                                  bool by_derivative) {
  const Graph& graph = function.graph();
  std::vector<bool> reached(graph.size());
  const auto may_move = [&](const Type& type) { return !by_derivative || is_floating(type.dtype); };
  for (std::size_t i = 0; i < inputs.size(); ++i)
    reached[function.inputs()[i].id()] = inputs[i] && may_move(function.inputs()[i].type());
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    if (node.op == &input_op()) continue;
    if (by_derivative && node.op->kind() == Kind::zero_derivative) continue;
    reached[id] =
        std::ranges::any_of(node.inputs(), [&](const Ref& ref) { return reached[ref.node]; });
  }
  std::vector<bool> outputs;
  for (const Var& out : function.outputs())
    outputs.push_back(reached[out.id()] && may_move(out.type()));
  return outputs;
}

std::vector<MaybeVar> loop_tangents(const Loop& loop, const NodeView& node,
                                    std::span<const MaybeVar> tangents) {
  bool alone = !loop.linear.empty();
  bool tape = false;
  for (std::size_t i = 0; i < tangents.size(); ++i) {
    if (!tangents[i]) continue;
    alone = alone && loop.is_linear(i);
    tape = tape || tangents[i]->graph().parent() != nullptr;
  }
  if (alone) {
    std::vector<Var> operands(node.in.begin(), node.in.end());
    for (const std::int64_t i : loop.linear) {
      const auto at = static_cast<std::size_t>(i);
      operands[at] = tangents[at] ? *tangents[at] : zeros_like(node.in[at]);
    }
    const std::vector<Var> out = apply_loop(loop, operands);
    return {out.begin(), out.end()};
  }
  const Moving moving(loop, tangents);
  if (!moving.any_output()) return std::vector<MaybeVar>(loop.outputs());
  if (!tape) return tangents_in_one_loop(loop, node, tangents, moving);
  return loop.scheduled() ? tangents_by_schedule(loop, node, tangents, moving)
                          : tangents_on_tape(loop, node, tangents, moving);
}

}  // namespace dualtape::detail
