// Products over axes and running sums along one.
//
// Axes may be negative and then count from the end; ShapeError for one that does not exist.
// Integers and bools give int64, which wraps around; floating dtypes keep theirs. A graph may be
// built by one thread at a time.
#pragma once

#include <cstdint>
#include <vector>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// The product over `axes` (none given means all), 1 of nothing; with `keepdims` the axes stay, with
// size 1. Derivatives of every order are right where elements are 0.
Var prod(In x, std::vector<std::int64_t> axes = {}, bool keepdims = false);

// Running sums along an axis, in the shape of x: y[i] = x[0] + ... + x[i]. `exclusive` leaves x[i]
// itself out, `reverse` sums from the other end: y[i] = x[i] + ... + x[n-1]. float32 is summed in
// float64.
Var cumsum(In x, std::int64_t axis = -1, bool exclusive = false, bool reverse = false);

}  // namespace dualtape
