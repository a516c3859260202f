// The pass that draws signs twice rather than keep them.
#include <algorithm>
#include <string_view>
#include <vector>

#include <dualtape/core/op.hpp>
#include <dualtape/core/plan.hpp>
#include <dualtape/ops/passes/passes.hpp>

namespace dualtape::detail {
namespace {

// Signs cost less to draw than such a tensor costs to read back from memory. Below it stays in
// cache, and other distributions cost several times as much.
constexpr std::size_t kept_bytes = std::size_t{1} << 16;

bool is_large_draw_of_signs(const Plan& plan, const PlanNode& node) {
  return node.op->name() == std::string_view("random_rademacher") &&
         bytes_of(plan.values[node.first_value]) >= kept_bytes;
}

// A reader that can draw inside its own loop.
bool is_elementwise(const Plan& plan, const PlanNode& node, const Type& drawn) {
  return node.op->recording() != nullptr && node.value_count == 1 &&
         plan.values[node.first_value] == drawn;
}

}  // namespace

void redraw(Plan& plan) {
  std::vector<const PlanNode*> draw(plan.values.size(), nullptr);
  std::vector<std::size_t> others(plan.values.size());  // readers that need it in memory
  for (const PlanNode& node : plan.nodes)
    if (is_large_draw_of_signs(plan, node)) draw[node.first_value] = &node;
  for (const PlanNode& node : plan.nodes)
    for (const ValueId v : plan.operands_of(node))
      if (draw[v] != nullptr && !is_elementwise(plan, node, plan.values[v])) ++others[v];
  for (const ValueId v : plan.outputs) ++others[v];
  for (const PlanAssign& a : plan.assigns) ++others[a.value];

  std::vector<PlanNode> nodes;
  nodes.reserve(plan.nodes.size());
  for (const PlanNode& original : plan.nodes) {
    PlanNode node = original;
    for (ValueId& v : plan.operands_of(node)) {
      if (v >= draw.size() || draw[v] == nullptr || others[v] == 0 ||
          !is_elementwise(plan, node, plan.values[v]))
        continue;
      PlanNode copy = *draw[v];
      copy.first_value = static_cast<ValueId>(plan.values.size());
      const Type type = plan.values[v];
      plan.values.push_back(type);
      nodes.push_back(copy);
      v = copy.first_value;
    }
    nodes.push_back(std::move(node));
  }
  plan.nodes = std::move(nodes);
  eliminate_dead(plan);
}

}  // namespace dualtape::detail
