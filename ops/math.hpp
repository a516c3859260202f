// Elementary functions, element by element.
//
// Integers and bools become float32; the result has the operand's shape. Special values are those
// of C's <math.h>: outside its domain a function gives NaN, and NaN stays NaN. A graph may be built
// by one thread at a time.
#pragma once

#include <dualtape/core/graph.hpp>

namespace dualtape {

Var exp(In x);
Var expm1(In x);  // e^x - 1, accurate near 0
Var log(In x);
Var log1p(In x);  // log(1 + x), accurate near 0
Var sin(In x);    // x in radians
Var cos(In x);
Var tan(In x);
Var tanh(In x);
Var erf(In x);         // 2/sqrt(pi) times the integral of e^(-t^2) from 0 to x
Var erfc(In x);        // 1 - erf(x), with all its digits where that is small
Var normal_cdf(In x);  // the distribution function of the standard normal
// e^(a b) as if a b were not rounded: exp_product(-x, x) keeps its digits far out. Operands
// broadcast and are brought to one dtype.
Var exp_product(In a, In b);

// Whole numbers, as floating ones; derivative zero.
Var floor(In x);
Var ceil(In x);
Var round(In x);  // halves to the even neighbour
Var trunc(In x);  // towards zero

// Bools; derivative zero.
Var isnan(In x);
Var isfinite(In x);

}  // namespace dualtape
