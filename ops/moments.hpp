// Means, variances, norms and logarithms of sums of exponentials over axes.
//
// `axes` may be negative (counted from the end) and empty, which means all of them; `keepdims`
// leaves the reduced axes in place with size 1. Integers and bools become float32. ShapeError for
// axes that do not exist or are named twice. A graph may be built by one thread at a time.
#pragma once

#include <cstdint>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/ops/axes.hpp>

namespace dualtape {

Var mean(In x, const Axes& axes = {}, bool keepdims = false);  // NaN of nothing

// sum (x - mean(x))^2 / (count - correction), in two passes, so that no digits cancel. NaN where
// count <= correction. correction = 1 gives the unbiased estimate, 0 the mean square deviation.
Var var(In x, const Axes& axes = {}, bool keepdims = false, std::int64_t correction = 1);
// sqrt(var(...)), registered as "std"; its derivative is taken as 0 where all elements are equal.
Var stddev(In x, const Axes& axes = {}, bool keepdims = false, std::int64_t correction = 1);

// sqrt(sum x^2); its derivative at 0 is taken as 0. float32 does not overflow on the way.
Var norm(In x, const Axes& axes = {}, bool keepdims = false);

// log sum e^x, with the largest element taken out first: neither overflows nor underflows. -inf of
// nothing and where all are -inf (the derivative is taken as 0 there); +inf if an element is.
Var logsumexp(In x, const Axes& axes = {}, bool keepdims = false);

}  // namespace dualtape
