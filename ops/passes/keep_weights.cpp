// What compile() does where weights are to be kept packed.
#include <algorithm>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/plan/index.hpp>
#include <dualtape/ops/passes/passes.hpp>
#include <dualtape/ops/passes/planned_products.hpp>

namespace dualtape::detail {

void keep_weights(Plan& plan) {
  const PlanIndex index(plan);
  for (PlanNode& node : plan.nodes) {
    const bool stacked = node.op == &stacked_matmul_op();
    if (!stacked && node.op->name() != "matmul") continue;
    const ValueId right = plan.operands_of(node)[stacked ? 2 : 1];
    const PlanNode& from = plan.nodes[index.producer(right)];
    if (plan.values[right].shape.rank() != 2) continue;
    if (from.op == &constant_op()) {
      node.attributes = node.attributes.with("kept_constant", from.attributes.get<Tensor>("value"));
    } else if (from.op == &parameter_op()) {
      const auto& parameter = from.attributes.get<Parameter>("parameter");
      if (std::ranges::find(plan.assigns, parameter, &PlanAssign::parameter) == plan.assigns.end())
        node.attributes = node.attributes.with("kept_parameter", parameter);
    }
  }
}

}  // namespace dualtape::detail
