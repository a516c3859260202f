#include <numeric>

#include <dualtape/core/plan/rename.hpp>

namespace dualtape::detail {

std::vector<ValueId> identity(const Plan& plan) {
  std::vector<ValueId> map(plan.values.size());
  std::iota(map.begin(), map.end(), ValueId{0});
  return map;
}

void rename(Plan& plan, const std::vector<ValueId>& replacement) {
  for (ValueId& v : plan.operands) v = replacement[v];
  for (ValueId& v : plan.outputs) v = replacement[v];
  for (PlanAssign& a : plan.assigns) a.value = replacement[a.value];
  for (auto& [first, second] : plan.adjacent) {
    first = replacement[first];
    second = replacement[second];
  }
}

}  // namespace dualtape::detail
