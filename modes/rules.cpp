#include <dualtape/modes/rules.hpp>

#include <dualtape/core/registry.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>

namespace dualtape {

const Op& operator_of(Prim prim, Location where) {
  if (prim == Prim::select) return require_op("where");
  if (operand_count(prim) == 0)
    fail<GraphError>(
        {.op = "operator_of",
         .what = std::string(name_of(prim)) + " is an operand of formulas, no operator",
         .where = where,
         .help = "ask for a primitive that has operands"});
  return require_op(name_of(prim));
}

Var sum_to_shape(Var x, const Shape& shape, Location where) {
  detail::require_alive(x, "sum_to_shape", "x", where);
  const Broadcast joined = broadcast(x.shape(), shape);
  if (!joined.ok || joined.shape != x.shape())
    fail<ShapeError>({.op = "sum_to_shape",
                      .label = x.label(),
                      .what = to_string(x.shape()) + " is no shape that " + to_string(shape) +
                              " is broadcast to",
                      .where = where,
                      .help = "give the shape of an operand of what x is"});
  return detail::sum_to(x, shape);
}

void refuse_node(const NodeView& node, std::string_view mode, const std::string& why) {
  const bool made = !node.out.empty();
  fail<GraphError>({.op = node.op.name(),
                    .label = made ? node.out[0].label() : std::string(),
                    .what = std::string(mode) + " cannot go through it: " + why,
                    .where = made ? node.out[0].node().where : Location{},
                    .help = "give the mode a rule for it with set_rule"});
}

}  // namespace dualtape
