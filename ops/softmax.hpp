// Softmax and its logarithm along one axis.
//
// Integers and bools become float32; the shape is kept. The largest element is taken out first, so
// large elements do not overflow. A row that holds NaN or +inf, or nothing but -inf, gives NaN.
// ShapeError for an axis that does not exist. A graph may be built by one thread at a time.
#pragma once

#include <cstdint>

#include <dualtape/core/graph.hpp>

namespace dualtape {

Var softmax(In x, std::int64_t axis = -1);      // e^x / sum e^x along the axis
Var log_softmax(In x, std::int64_t axis = -1);  // x - log sum e^x along the axis

// y_i sum_j y_j (t_i - t_j) along the axis: the derivative of softmax in direction t, given its
// result y, of the same shape and dtype. Where a y is all but 1 it keeps the digits that t less the
// mean of t would lose.
Var softmax_slope(In y, In t, std::int64_t axis = -1);
// sum_j y_j (t_i - t_j) along the axis, the derivative of log_softmax in direction t for y =
// softmax(x); transposed, t_i sum_j y_j - y_i sum_j t_j. It keeps digits as the other does.
Var log_softmax_slope(In y, In t, std::int64_t axis = -1, bool transposed = false);

}  // namespace dualtape
