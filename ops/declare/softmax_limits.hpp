// softmax at the limits of its domain, for the derivatives of its family and for attention.
// Private. A graph may be built by one thread at a time.
#pragma once

#include <cstdint>

#include <dualtape/core/graph.hpp>

namespace dualtape::detail {

// softmax(x), but where that is NaN for infinities its limit: 0 for each of nothing but -inf, and
// equal shares of 1 for elements that are +inf.
Var softmax_with_limits(In x, std::int64_t axis);

}  // namespace dualtape::detail
