// The pass that drops nodes whose results another node computes, too (Op::covered).
#include <algorithm>
#include <utility>
#include <vector>

#include <dualtape/core/plan.hpp>
#include <dualtape/core/plan/index.hpp>
#include <dualtape/core/plan/rename.hpp>

namespace dualtape {
namespace {

// Of the nodes that `n` is computed from, those from `first` on; it is one of them.
std::vector<bool> needed_from(const Plan& plan, const detail::PlanIndex& index, std::size_t first,
                              std::size_t n) {
  std::vector<bool> needed(n + 1);
  needed[n] = true;
  for (std::size_t i = n + 1; i-- > first;) {
    if (!needed[i]) continue;
    for (const ValueId v : plan.operands_of(plan.nodes[i])) needed[index.producer(v)] = true;
  }
  return needed;
}

// The node `covering` moves to the place of `covered`, whose readers then read its outputs. False
// where it is computed from them.
bool take_over(Plan& plan, std::size_t covered, std::size_t covering, const Op::Covered& found) {
  const detail::PlanIndex index(plan);
  const auto redirect = [&] {
    std::vector<ValueId> replacement = detail::identity(plan);
    for (std::size_t i = 0; i < found.outputs.size(); ++i)
      replacement[plan.nodes[covered].first_value + i] =
          plan.nodes[covering].first_value + static_cast<ValueId>(found.outputs[i]);
    detail::rename(plan, replacement);
  };
  PlanNode& taker = plan.nodes[covering];
  const PlanNode& taken = plan.nodes[covered];
  if (covering < covered) {
    redirect();
    return true;
  }
  const std::vector<bool> needed = needed_from(plan, index, covered, covering);
  if (needed[covered]) return false;
  taker.origin = taken.origin;
  taker.role = taken.role;
  taker.label = taken.label;
  redirect();
  std::vector<PlanNode> order(plan.nodes.begin(),
                              plan.nodes.begin() + static_cast<std::ptrdiff_t>(covered));
  for (const bool moved : {true, false})
    for (std::size_t i = covered; i < plan.nodes.size(); ++i)
      if ((i <= covering && needed[i]) == moved) order.push_back(plan.nodes[i]);
  plan.nodes = std::move(order);
  return true;
}

// One node that another one covers is found and dropped; false where there is none.
bool absorb_one(Plan& plan, const std::vector<std::pair<const Op*, std::size_t>>& candidates) {
  for (const auto& [op, covering] : candidates) {
    const PlanNode& node = plan.nodes[covering];
    for (std::size_t other = 0; other < plan.nodes.size(); ++other) {
      if (other == covering || plan.nodes[other].op != op) continue;
      const auto found = op->covered(node.attributes, plan.nodes[other].attributes);
      if (!found) continue;
      const auto mine = plan.operands_of(node);
      const auto others = plan.operands_of(plan.nodes[other]);
      bool same = others.size() == found->operands.size();
      for (std::size_t i = 0; i < others.size() && same; ++i)
        same = mine[static_cast<std::size_t>(found->operands[i])] == others[i];
      if (same && take_over(plan, other, covering, *found)) {
        eliminate_dead(plan);
        return true;
      }
    }
  }
  return false;
}

}  // namespace

void absorb(Plan& plan) {
  for (;;) {
    std::vector<std::pair<const Op*, std::size_t>> candidates;
    for (std::size_t n = 0; n < plan.nodes.size(); ++n)
      if (plan.nodes[n].op->may_cover()) candidates.emplace_back(plan.nodes[n].op, n);
    if (candidates.empty() || !absorb_one(plan, candidates)) return;
  }
}

}  // namespace dualtape
