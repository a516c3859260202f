#include <dualtape/core/plan/index.hpp>

#include <dualtape/core/op.hpp>

namespace dualtape::detail {

PlanIndex::PlanIndex(const Plan& plan) : producer_(plan.values.size()), root_(plan.values.size()) {
  for (std::uint32_t n = 0; n < plan.nodes.size(); ++n) {
    const PlanNode& node = plan.nodes[n];
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v) {
      producer_[v] = n;
      root_[v] = node.op->is_alias() ? root_[plan.operands_of(node)[0]] : v;
    }
  }
}

}  // namespace dualtape::detail
