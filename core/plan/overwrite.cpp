// The pass that lets updates be written over the parameters they are for.
#include <algorithm>
#include <unordered_map>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/plan.hpp>
#include <dualtape/core/plan/index.hpp>

namespace dualtape {
namespace {

// Whether the node may write `value`, one of its outputs, over the parameter it reads.
bool may_write_over(const Plan& plan, const PlanNode& node, ValueId value,
                    const Parameter& parameter, const detail::PlanIndex& index) {
  const auto operands = plan.operands_of(node);
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const PlanNode& read = plan.nodes[index.producer(index.root(operands[i]))];
    if (read.op != &parameter_op() || read.attributes.get<Parameter>("parameter") != parameter)
      continue;
    if (!node.op->in_place(i, value - node.first_value) ||
        plan.values[operands[i]] != plan.values[value])
      return false;
  }
  return true;
}

}  // namespace

void overwrite(Plan& plan) {
  if (plan.assigns.empty()) return;
  const std::size_t count = plan.nodes.size();
  const detail::PlanIndex index(plan);
  std::unordered_map<std::size_t, std::size_t> last_read;  // of each parameter, by Parameter::hash
  std::size_t safe = 0;                                    // from here on no kernel throws
  for (std::size_t n = 0; n < count; ++n) {
    const PlanNode& node = plan.nodes[n];
    const auto operands = plan.operands_of(node);
    const bool runs = !node.op->is_alias() && node.op != &input_op() && node.op != &constant_op() &&
                      node.op != &parameter_op();
    if (!runs) continue;
    if (node.op->can_fail()) safe = n + 1;
    for (const ValueId v : operands) {
      const PlanNode& root = plan.nodes[index.producer(index.root(v))];
      if (root.op == &parameter_op())
        last_read[root.attributes.get<Parameter>("parameter").hash()] = n;
    }
  }
  std::vector<bool> taken(plan.values.size());
  for (const ValueId v : plan.outputs) taken[index.root(v)] = true;
  for (PlanAssign& a : plan.assigns) {
    const std::uint32_t step = index.producer(a.value);
    const PlanNode& node = plan.nodes[step];
    const auto read = last_read.find(a.parameter.hash());
    a.in_place = !taken[a.value] && step >= safe && !node.op->can_fail() &&
                 (read == last_read.end() || read->second <= step) &&
                 may_write_over(plan, node, a.value, a.parameter, index);
    taken[a.value] = true;
  }
}

}  // namespace dualtape
