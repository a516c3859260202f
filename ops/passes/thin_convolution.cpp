// Convolutions with filters of low rank.
#include <algorithm>
#include <cstdint>

#include <dualtape/core/pass.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/ops/passes/own_draws.hpp>
#include <dualtape/ops/passes/passes.hpp>

namespace dualtape::detail {
namespace {

ValueId reshaped(Rewriter& plan, ValueId x, const Shape& shape) {
  return plan.add(require_op("reshape"), {{"sizes", shape.vector()}}, {x});
}

// The product of two matrices, neither transposed, that `x` is a reshape of; null if it is none.
const PlanNode* product_behind(const Rewriter& plan, ValueId x) {
  while (const PlanNode* const node = plan.producer(x, "reshape")) x = plan.operands(*node)[0];
  const PlanNode* const node = plan.producer(x, "matmul");
  if (node == nullptr || node->attributes.get<bool>("transpose_a") ||
      node->attributes.get<bool>("transpose_b"))
    return nullptr;
  for (const ValueId operand : plan.operands(*node))
    if (plan.type(operand).shape.rank() != 2) return nullptr;
  return node;
}

}  // namespace

// Filters W = A B, of M output channels with A (M, r) and B (r, C kh kw): the r filters B, and then
// A as a convolution of single pixels, for r (C kh kw + M) multiplications a pixel instead of M C
// kh kw. Where that is at most half of them, since few channels are slower work.
bool thin_convolution(const OwnDraws& draws, Rewriter& plan, const PlanNode& node) {
  if (node.op->name() != "conv2d" || node.attributes.get<std::int64_t>("groups") != 1) return false;
  const ValueId x = plan.operands(node)[0];
  const ValueId w = plan.operands(node)[1];
  const PlanNode* const product = product_behind(plan, w);
  if (product == nullptr || !draws.movable(plan, *product)) return false;
  const ValueId a = plan.operands(*product)[0];
  const ValueId b = plan.operands(*product)[1];
  const Shape filters = plan.type(w).shape;
  const std::int64_t m = filters[0];
  const std::int64_t taps = filters.count() / std::max<std::int64_t>(m, 1);
  const std::int64_t r = plan.type(a).shape[1];
  // A reshape of another split of the numbers is no product of filters.
  if (plan.type(a).shape[0] != m || plan.type(b).shape[1] != taps || r == 0) return false;
  if (2 * r * (taps + m) > m * taps) return false;

  const Op& conv = *node.op;
  const ValueId few = reshaped(plan, b, {r, filters[1], filters[2], filters[3]});
  const ValueId thin = plan.add(conv, node.attributes, {x, few});
  const ValueId pixels = reshaped(plan, a, {m, r, 1, 1});
  plan.replace_by(plan.add(conv,
                           {{"stride", Ints{1, 1}},
                            {"padding", Ints{0, 0, 0, 0}},
                            {"dilation", Ints{1, 1}},
                            {"groups", std::int64_t{1}}},
                           {thin, pixels}));
  return true;
}

}  // namespace dualtape::detail
