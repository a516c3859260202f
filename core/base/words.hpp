// Names that people mistype. Pure functions; any thread may call.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dualtape::detail {

// The candidate within two slips of `word`, the nearest and first one; "" if there is none.
std::string closest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace dualtape::detail
