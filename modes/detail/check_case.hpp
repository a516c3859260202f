// The checks of one sample call; see modes/check.hpp.
#pragma once

#include <dualtape/modes/check.hpp>

namespace dualtape::detail {

void check_case(const Case& sample, const OpInfo& info, Key key, CheckReport& report);

}  // namespace dualtape::detail
