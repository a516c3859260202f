// Passes that name operators; each is defined in ops/rewrites_*.cpp.
// Private. Pure functions from plan to plan; any thread, one plan per thread.
#pragma once

#include <dualtape/core/plan.hpp>

namespace dualtape::detail {

// Identities that leave the result as it is or change its rounding only.
void simplify(Plan& plan);

}  // namespace dualtape::detail
