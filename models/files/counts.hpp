// Counts in states that come from files. Pure functions; any thread may call.
#pragma once

#include <cmath>
#include <cstdint>

namespace dualtape::detail {

// More than any run comes to; counting on from there overflows nothing, and doubles hold it
// exactly.
inline constexpr std::int64_t most_counted = std::int64_t{1} << 53U;

inline bool is_count(std::int64_t value) { return value >= 0 && value <= most_counted; }
inline bool is_count(double value) {
  return value >= 0 && value <= static_cast<double>(most_counted) && value == std::floor(value);
}

}  // namespace dualtape::detail
