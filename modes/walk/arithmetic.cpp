#include <dualtape/modes/walk/arithmetic.hpp>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape::detail {
namespace {

bool is_literal(const Factor& factor, double value) {
  return factor.is_literal() && factor.literal() == value;
}

}  // namespace

MaybeVar add_scaled(const MaybeVar& sum, const Factor& factor, Var term) {
  if (is_literal(factor, 0)) return sum;
  if (is_literal(factor, -1) && sum) return sub(*sum, term);
  Var scaled = term;
  if (is_literal(factor, -1))
    scaled = neg(term);
  else if (!factor.is_literal())
    scaled = mul(factor.var(), term);
  else if (!is_literal(factor, 1))
    scaled = mul(factor.literal(), term);
  return sum ? add(*sum, scaled) : scaled;
}

Var broadcast_as(Var var, const Shape& shape) {
  return var.shape() == shape ? var : broadcast_to(var, shape);
}

Var sum_to(Var var, const Shape& shape) {
  if (var.shape() == shape) return var;
  const Broadcast joined = broadcast(var.shape(), shape);
  if (joined.ok && joined.shape == shape) return broadcast_to(var, shape);
  // Axes that `shape` lacks or has with size 1.
  std::vector<std::int64_t> axes;
  const std::size_t extra = var.rank() - shape.rank();
  for (std::size_t axis = 0; axis < var.rank(); ++axis)
    if (axis < extra || (shape[axis - extra] == 1 && var.shape()[axis] != 1))
      axes.push_back(static_cast<std::int64_t>(axis));
  const Var summed = sum(var, axes, true);
  return summed.shape() == shape ? summed : reshape(summed, shape);
}

Var zeros_like(Var var) {
  Graph* const outer = var.graph().parent();
  Graph& graph = outer != nullptr ? *outer : var.graph();
  return broadcast_as(graph.constant(0.0, var.dtype()), var.shape());
}

std::vector<MaybeVar> apply_again(const NodeView& node, std::span<const Var> operands) {
  const std::vector<In> in(operands.begin(), operands.end());
  const std::vector<Var> out = apply_all(node.op, in, node.attributes);
  return {out.begin(), out.end()};
}

}  // namespace dualtape::detail
