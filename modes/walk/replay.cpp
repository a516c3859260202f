#include <dualtape/modes/walk/replay.hpp>

#include <dualtape/core/formula.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>

namespace dualtape::detail {
namespace {

const Op& op_of(Prim prim) {
  return require_op(prim == Prim::select ? std::string_view("where") : name_of(prim));
}

}  // namespace

std::vector<MaybeVar> replay_tangent(ForwardMode& mode, const NodeView& node,
                                     std::span<const MaybeVar> tangents) {
  const Recording& recording = *node.op.recording();
  Graph& graph = node.in[0].graph();
  std::vector<Var> values;
  std::vector<MaybeVar> derivatives;
  for (const Recording::Step& step : recording.steps) {
    if (step.prim == Prim::constant) {
      values.push_back(graph.constant(step.constant, node.out[0].dtype()));
      derivatives.emplace_back();
      continue;
    }
    if (step.prim == Prim::input) {
      values.push_back(node.in[step.a]);
      derivatives.push_back(tangents[step.a]);
      continue;
    }
    const std::uint16_t places[] = {step.a, step.b, step.c};
    std::vector<Var> operands;
    std::vector<In> in;
    std::vector<MaybeVar> carried;
    bool any = false;
    for (std::size_t i = 0; i < operand_count(step.prim); ++i) {
      operands.push_back(values[places[i]]);
      in.emplace_back(operands.back());
      carried.push_back(derivatives[places[i]]);
      any = any || carried.back();
    }
    const Op& op = op_of(step.prim);
    const Var out = dualtape::apply(op, std::span<const In>(in));
    values.push_back(out);
    // Attributes of primitives are empty; masks and the like carry no tangent.
    derivatives.push_back(
        any && op.differentiable()
            ? mode.ask({op, operands, std::span<const Var>(&out, 1), Attributes{}}, carried)[0]
            : MaybeVar{});
  }
  MaybeVar result = derivatives.back();
  if (result) result = broadcast_as(*result, node.out[0].shape());
  return {result};
}

Var replay_formula(const NodeView& node) {
  Graph& graph = node.in[0].graph();
  std::vector<Var> values;
  for (const Recording::Step& step : node.op.recording()->steps) {
    if (step.prim == Prim::constant || step.prim == Prim::input) {
      values.push_back(step.prim == Prim::input
                           ? node.in[step.a]
                           : graph.constant(step.constant, node.out[0].dtype()));
      continue;
    }
    const std::uint16_t places[] = {step.a, step.b, step.c};
    std::vector<In> in;
    for (std::size_t i = 0; i < operand_count(step.prim); ++i) in.emplace_back(values[places[i]]);
    values.push_back(dualtape::apply(op_of(step.prim), std::span<const In>(in)));
  }
  return values.back();
}

}  // namespace dualtape::detail
