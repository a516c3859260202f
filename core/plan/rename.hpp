// How passes put some values in the place of others.
// Private. Any thread, one plan per thread.
#pragma once

#include <vector>

#include <dualtape/core/plan.hpp>

namespace dualtape::detail {

// The replacement that leaves every value of the plan as it is, to begin with.
std::vector<ValueId> identity(const Plan& plan);
// Whoever reads value v reads replacement[v] from now on; pairs in memory go with their values.
void rename(Plan& plan, const std::vector<ValueId>& replacement);

}  // namespace dualtape::detail
