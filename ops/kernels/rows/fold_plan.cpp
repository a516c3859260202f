#include <dualtape/ops/kernels/rows/fold_plan.hpp>

#include <algorithm>

namespace dualtape::detail {
namespace {

std::size_t count(const FoldPlan::Axes& axes) {
  std::size_t product = 1;
  for (const FoldPlan::Axis& axis : axes) product *= axis.size;
  return product;
}

}  // namespace

FoldPlan::FoldPlan(const Shape& shape, const std::vector<std::int64_t>& axes) {
  struct Group {
    Axis axis;
    bool folded;
  };
  std::vector<Group> groups;  // innermost first
  std::size_t stride = 1;
  for (std::size_t i = shape.rank(); i-- > 0;) {
    const auto size = static_cast<std::size_t>(shape[i]);
    const bool is_folded = std::ranges::find(axes, static_cast<std::int64_t>(i)) != axes.end();
    if (size != 1) {
      if (!groups.empty() && groups.back().folded == is_folded)
        groups.back().axis.size *= size;
      else
        groups.push_back({{size, stride}, is_folded});
    }
    stride *= size;
  }
  if (groups.empty()) return;
  inner = groups.front().axis.size;
  inner_folded = groups.front().folded;
  for (std::size_t i = groups.size(); i-- > 1;)
    (groups[i].folded ? folded : kept).push_back(groups[i].axis);
  kept_count = count(kept);
  lines = count(folded);
}

}  // namespace dualtape::detail
