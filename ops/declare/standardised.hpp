// Rows less their means and divided by their spreads, in the derivatives of what does so.
// Private. Plain functions; a graph may be built by one thread at a time.
#pragma once

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>

namespace dualtape::detail {

// scale(x - mean - rest), `rest` being what the rounding of the mean missed; in quarters where
// `huge` says that rows are so far spread that differences may overflow. Powers of 2 take no digits
// from them.
template <class Scale>
Var scaled_deviations(const Var& x, const Var& mean, const Var& rest, const Var& huge,
                      Scale scale) {
  const Var much = cast(huge, x.dtype());
  const Var part = 1 - 0.75 * much;
  return scale(part * x - part * mean - part * rest) * (1 + 3 * much);
}

// (x - mean - rest) / spread
inline Var over_spread(Var x, Var mean, Var rest, Var spread) {
  return scaled_deviations(x, mean, rest, spread > 0x1p100, [&](Var d) { return d / spread; });
}
// The same by `inverse`, 1 / spread.
inline Var standardised(Var x, Var mean, Var rest, Var inverse) {
  return scaled_deviations(x, mean, rest, inverse < 0x1p-100, [&](Var d) { return d * inverse; });
}

}  // namespace dualtape::detail
