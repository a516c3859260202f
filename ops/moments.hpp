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

// sqrt(sum x^2); its derivative at 0 is taken as 0. Squares neither overflow nor vanish on the way.
// With another p, (sum |x|^p)^(1/p) likewise: the sum of sizes for 1, the largest for infinity, the
// smallest for -infinity, the number of elements that are not 0 for 0 (derivative 0). Ties share
// the derivative as in max(); elements that are 0 have the derivative 0. ValueError for NaN.
Var norm(In x, const Axes& axes = {}, bool keepdims = false, double p = 2);

// log sum e^x, with the largest element taken out first: neither overflows nor underflows. -inf of
// nothing and where all are -inf (the derivative is taken as 0 there); +inf if an element is.
Var logsumexp(In x, const Axes& axes = {}, bool keepdims = false);

}  // namespace dualtape
