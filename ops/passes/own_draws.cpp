#include <dualtape/ops/passes/own_draws.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace dualtape::detail {
namespace {

// Wide enough for every scale of a direction, and far from both ends of float32.
constexpr double smallest = 0x1p-20;
constexpr double largest = 0x1p20;

bool near_one(double size) { return size >= smallest && size <= largest; }

bool is_plain_draw(const PlanNode& node) {
  const std::string_view name = node.op->name();
  const auto number = [&](std::string_view of) { return node.attributes.get<double>(of); };
  if (name == "random_rademacher") return true;
  if (name == "random_normal")
    return near_one(number("stddev")) && std::abs(number("mean")) <= largest;
  return name == "random_uniform" &&
         near_one(std::max(std::abs(number("low")), std::abs(number("high"))));
}

bool only_moves(const PlanNode& node) {
  constexpr std::array<std::string_view, 5> names{"reshape", "permute", "broadcast_to", "neg",
                                                  "slice"};
  return std::ranges::find(names, node.op->name()) != names.end();
}

}  // namespace

OwnDraws::OwnDraws(const Plan& plan) : drawn_(plan.values.size()) {
  for (const PlanNode& node : plan.nodes) {
    if (node.value_count != 1) continue;
    drawn_[node.first_value] =
        is_plain_draw(node) || (only_moves(node) && drawn_[plan.operands_of(node)[0]]);
  }
}

bool OwnDraws::made_of_draws(const Rewriter& plan, const PlanNode& product) const {
  return std::ranges::all_of(plan.operands(product), [&](ValueId v) { return contains(v); });
}

}  // namespace dualtape::detail
