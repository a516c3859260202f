// What passes ask of a plan: which node makes a value, and whose memory it lies in.
// Private. A plain value, for the plan as it is when the index is made; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include <dualtape/core/plan.hpp>

namespace dualtape::detail {

class PlanIndex {
 public:
  explicit PlanIndex(const Plan& plan);

  // The place among the plan's nodes of the one that makes the value.
  std::uint32_t producer(ValueId value) const { return producer_[value]; }
  // The value whose memory this one shares by way of aliases; itself where there are none.
  ValueId root(ValueId value) const { return root_[value]; }

 private:
  std::vector<std::uint32_t> producer_;
  std::vector<ValueId> root_;
};

}  // namespace dualtape::detail
