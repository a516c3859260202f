// The pass that computes what depends on constants alone.
#include <algorithm>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/machine/denormals.hpp>
#include <dualtape/core/plan.hpp>

namespace dualtape {

void precompute(Plan& plan) {
  const detail::FlushDenormals as_in_a_run;
  // Larger results than these operands or than this many bytes stay computed, not stored.
  constexpr std::size_t small = 1 << 12;
  std::vector<const Tensor*> known(plan.values.size(), nullptr);
  bool changed = false;
  for (PlanNode& node : plan.nodes) {
    if (node.op == &constant_op()) {
      known[node.first_value] = &node.attributes.get<Tensor>("value");
      continue;
    }
    const auto operands = plan.operands_of(node);
    if (operands.empty() || !node.op->is_pure() || node.value_count != 1) continue;
    if (!std::ranges::all_of(operands, [&](ValueId v) { return known[v] != nullptr; })) continue;
    std::size_t operand_bytes = small;
    std::vector<Type> in;
    std::vector<const void*> in_data;
    for (const ValueId v : operands) {
      operand_bytes = std::max(operand_bytes, known[v]->bytes());
      in.push_back(plan.values[v]);
      in_data.push_back(known[v]->raw());
    }
    const Type out = plan.values[node.first_value];
    if (bytes_of(out) > operand_bytes) continue;
    Tensor result = Tensor::uninitialised(out);
    if (node.op->is_alias()) {
      result = known[operands[0]]->reshape(out.shape);
    } else {
      const Kernel kernel = node.op->kernel({in, {&out, 1}, node.attributes, plan.options});
      const Tensor workspace(Shape{static_cast<std::int64_t>(kernel.workspace_bytes / 8 + 8)},
                             float64);
      void* out_data = result.raw();
      try {
        kernel.run({in_data.data(), &out_data, const_cast<void*>(workspace.raw())});
      } catch (const ValueError&) {
        continue;  // the run will report it, with its place
      }
    }
    node.op = &constant_op();
    node.attributes = Attributes{{"value", result}};
    node.operand_count = 0;
    known[node.first_value] = &node.attributes.get<Tensor>("value");
    changed = true;
  }
  if (changed) eliminate_dead(plan);
}

}  // namespace dualtape
