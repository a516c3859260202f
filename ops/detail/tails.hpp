// What derivative rules of elementwise operators share: factors that stay right in tails, at
// infinities and where an operand is NaN. Private. Plain functions; a graph may be built by one
// thread at a time.
#pragma once

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/math.hpp>

namespace dualtape::detail {

// x where what it is multiplied by is far below the smallest number beyond 10 000: there x itself
// would be infinity times 0 in the end.
inline Var bounded(Var x) { return clamp(x, -1e4, 1e4); }

// e^(-rate x^2), to the last digits in the tails too.
inline Var bell(Var x, double rate) {
  const Var inside = bounded(x);
  return exp_product(-rate * inside, inside);
}

// x where it is not positive, else 0. Unlike minimum(x, 0) it has the derivative of the branch
// taken at 0.
inline Var not_positive(Var x) { return where(x > 0, 0, x); }

// A slope that was chosen by comparing: NaN where `x` is, which no comparison can place.
inline Var unless_nan(Var x, Var slope) { return where(isnan(x), not_a_number, slope); }

}  // namespace dualtape::detail
