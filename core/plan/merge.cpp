// The pass that keeps one node of those that compute the same.
#include <algorithm>
#include <unordered_map>

#include <dualtape/core/plan.hpp>
#include <dualtape/core/plan/rename.hpp>

namespace dualtape {
namespace {

std::size_t hash_of(const Plan& plan, const PlanNode& node) {
  std::size_t h = std::hash<const void*>{}(node.op) ^ (node.attributes.hash() * 31);
  for (const ValueId v : plan.operands_of(node)) {
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    h ^= h >> 29;
  }
  return h;
}

}  // namespace

void merge(Plan& plan) {
  std::vector<ValueId> replacement = detail::identity(plan);
  std::unordered_multimap<std::size_t, std::size_t> seen;
  seen.reserve(plan.nodes.size());
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    const PlanNode& node = plan.nodes[n];
    for (ValueId& v : plan.operands_of(node)) v = replacement[v];
    if (!node.op->is_pure()) continue;
    const std::size_t hash = hash_of(plan, node);
    bool merged = false;
    for (auto [it, end] = seen.equal_range(hash); it != end && !merged; ++it) {
      const PlanNode& other = plan.nodes[it->second];
      if (other.op != node.op || other.attributes != node.attributes ||
          !std::ranges::equal(plan.operands_of(other), plan.operands_of(node)))
        continue;
      for (std::uint32_t i = 0; i < node.value_count; ++i)
        replacement[node.first_value + i] = other.first_value + i;
      merged = true;
    }
    if (!merged) seen.emplace(hash, n);
  }
  detail::rename(plan, replacement);
  eliminate_dead(plan);
}

}  // namespace dualtape
