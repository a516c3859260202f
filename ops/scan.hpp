// Products over axes; running sums, products and extremes along one, and what is like them.
//
// Axes may be negative and then count from the end; ShapeError for one that does not exist.
// Integers and bools give int64, which wraps around; floating dtypes keep theirs. A graph may be
// built by one thread at a time.
#pragma once

#include <cstdint>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/ops/axes.hpp>
#include <dualtape/ops/sort.hpp>

namespace dualtape {

// The product over `axes` (none given means all), 1 of nothing; with `keepdims` the axes stay, with
// size 1. Derivatives of every order are right where elements are 0.
Var prod(In x, const Axes& axes = {}, bool keepdims = false);

// Running sums along an axis, in the shape of x: y[i] = x[0] + ... + x[i]. `exclusive` leaves x[i]
// itself out, `reverse` sums from the other end: y[i] = x[i] + ... + x[n-1]. float32 is summed in
// float64.
Var cumsum(In x, std::int64_t axis = -1, bool exclusive = false, bool reverse = false);

// Running products along an axis, y[i] = x[0] ... x[i]. Derivatives of every order are right where
// elements are 0. float32 is multiplied in float64.
Var cumprod(In x, std::int64_t axis = -1);

// The largest (smallest) of x[0] ... x[i], in the dtype of x, and the first place where it stands.
// Once an element is NaN the rest is NaN. The derivative flows to that place.
Chosen cummax(In x, std::int64_t axis = -1);
Chosen cummin(In x, std::int64_t axis = -1);

// log(e^x[0] + ... + e^x[i]) without overflow. Integers and bools become float32. The derivative is
// taken as 0 where the result is infinite.
Var logcumsumexp(In x, std::int64_t axis = -1);

// y[i] = a[i] y[i-1] + b[i] along an axis, y[0] = b[0] (a[0] is not used); `reverse` goes from the
// other end. Operands of one shape (ShapeError); integers and bools become float32. Discounted
// sums, exponential averages and first-order filters are such; float32 is kept in float64 on the
// way.
Var linear_recurrence(In a, In b, std::int64_t axis = -1, bool reverse = false);

// Its derivatives by the factors, from operands of one shape as above. `change` is how y moves
// where a moves by t; `slope` is that of the sum of c y by a, with a 0 where a is not used. Both
// are right also where a y[i] on the way is no float.
Var recurrence_change(In a, In b, In t, std::int64_t axis = -1, bool reverse = false);
Var recurrence_slope(In a, In b, In c, std::int64_t axis = -1, bool reverse = false);

// x[i+1] - x[i] along an axis, `times` times over: each makes it one shorter. ValueError for a
// negative number of times.
Var diff(In x, std::int64_t times = 1, std::int64_t axis = -1);

// The integral of y along an axis by the trapezium rule. x: the places of the values, in the shape
// of y or of rank 1 with the axis's size (ShapeError); or, a scalar, their distance.
Var trapz(In y, In x = 1.0, std::int64_t axis = -1);

}  // namespace dualtape
