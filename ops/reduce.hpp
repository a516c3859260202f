// Reductions: sums, means and their like over any axes.
//
// Common to all: `axes` is one axis or a list in braces. They may be negative (counted from the
// end) and empty, which means all of them; `keepdims` leaves the reduced axes in place with size 1,
// so that the result broadcasts against x. ShapeError for an axis outside -rank .. rank-1 or named
// twice. A graph may be built by one thread at a time.
#pragma once

#include <cstdint>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/ops/axes.hpp>

namespace dualtape {

// The sum; 0 of nothing. Floating dtypes keep theirs; integers and bools are summed in int64, which
// wraps around. float32 is summed pairwise: the error grows with the logarithm of the count.
Var sum(In x, const Axes& axes = {}, bool keepdims = false);

// Whether any, or every, element is true; false and true of nothing. bool only (TypeError for
// numbers: compare them first); derivative zero.
Var any(In x, const Axes& axes = {}, bool keepdims = false);
Var all(In x, const Axes& axes = {}, bool keepdims = false);

}  // namespace dualtape
