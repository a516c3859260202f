// Special functions, element by element.
//
// Integers and bools become float32; the result has the operand's shape, or that the two broadcast
// to. float64 is computed to some 1e-15 relative but near zeros below 0; float32 of the functions
// of one operand is computed in float64 and rounded once. Outside its domain a function gives NaN,
// and NaN stays NaN. A graph may be built by one thread at a time.
#pragma once

#include <cstdint>

#include <dualtape/core/graph.hpp>

namespace dualtape {

Var lgamma(In x);   // log |Gamma(x)|; +inf at 0, -1, -2 ...; derivative digamma(x)
Var digamma(In x);  // Gamma'(x) / Gamma(x), NaN at -1, -2 ...; derivative polygamma(1, x)
// The derivative of order n of digamma, n from 0 to 100 (ValueError); polygamma(1, x) is trigamma.
// Abramowitz and Stegun, 6.4.
Var polygamma(std::int64_t n, In x);
Var erfinv(In y);  // x with erf(x) = y; infinite at -1 and 1

// Modified Bessel functions of the first kind of order 0, 1 and n, n from 0 to 1000 (ValueError);
// they overflow beyond |x| = 713.
Var i0(In x);
Var i1(In x);
Var bessel_i(std::int64_t n, In x);

Var logaddexp(In a, In b);  // log(e^a + e^b) without overflow
// x log(y), and 0 where x = 0 whatever y is but NaN. At x = y = 0 the derivatives are taken as 0.
Var xlogy(In x, In y);

}  // namespace dualtape
