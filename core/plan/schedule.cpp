// The pass that puts nodes in run order.
#include <algorithm>

#include <dualtape/core/plan.hpp>
#include <dualtape/core/plan/index.hpp>

namespace dualtape {

void schedule(Plan& plan) {
  const std::size_t count = plan.nodes.size();
  const detail::PlanIndex index(plan);
  // A node's place is its origin's, or earlier where a reader needs it earlier; so no operand comes
  // after its reader, and ties keep the graph's order.
  std::vector<NodeId> place(count, no_node);
  for (std::size_t n = count; n-- > 0;) {
    const PlanNode& node = plan.nodes[n];
    place[n] = std::min(place[n], node.origin);
    for (const ValueId v : plan.operands_of(node))
      place[index.producer(v)] = std::min(place[index.producer(v)], place[n]);
  }
  std::vector<std::uint32_t> order(count);
  for (std::uint32_t n = 0; n < count; ++n) order[n] = n;
  std::ranges::stable_sort(order, {}, [&](std::uint32_t n) { return place[n]; });
  std::vector<PlanNode> sorted;
  sorted.reserve(count);
  for (const std::uint32_t n : order) sorted.push_back(std::move(plan.nodes[n]));
  plan.nodes = std::move(sorted);
}

}  // namespace dualtape
