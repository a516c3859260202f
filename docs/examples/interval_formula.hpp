// One step of an operator's formula on intervals, with the error of its kernel. For intervals.hpp.
#pragma once

#include <algorithm>
#include <numbers>
#include <span>

#include "interval.hpp"

namespace intervals {

// [accuracy]
// The error of an operator's kernel in units in the last place, by its table of edges; once for the
// end, and once for the value that is held against it.
inline double accuracy_of(const dt::Op& op) {
  double ulps = 4;
  for (const dt::Edge& edge : op.edges()) ulps = std::max(ulps, edge.ulp);
  return 2 * ulps;
}
inline double accuracy_of(Prim prim) {
  const bool rounded = prim == Prim::sqrt || (prim >= Prim::add && prim <= Prim::div);
  return rounded ? 1 : accuracy_of(dt::operator_of(prim));  // 1: correctly, by IEEE 754
}
// [/accuracy]

inline Interval ends_of(Prim prim, const Interval& a, const Interval& b) {
  const Interval m = magnitude(a);
  switch (prim) {
    case Prim::acos:
    case Prim::erfc: return {call(prim, a.high), call(prim, a.low)};
    case Prim::cosh: return {dt::cosh(m.low), dt::cosh(m.high)};
    case Prim::sin: return wave(prim, a, 0.5 * std::numbers::pi);
    case Prim::cos: return wave(prim, a, 0);
    case Prim::tan: return tangent(a);
    case Prim::add: return {a.low + b.low, a.high + b.high};
    case Prim::sub: return {a.low - b.high, a.high - b.low};
    case Prim::mul: return corners(prim, a, b);
    case Prim::exp_product:  // 0 inf may lie within
      return where_known(dt::isfinite(m.high + magnitude(b).high), corners(prim, a, b));
    case Prim::div: return corners(prim, a, where_known(either(b.low > 0, b.high < 0), b));
    case Prim::pow: return power(a, b);
    case Prim::atan2: return angle(a, b);
    case Prim::hypot: {
      const Interval n = magnitude(b);
      return {dt::hypot(m.low, n.low), dt::hypot(m.high, n.high)};
    }
    case Prim::mod: return remainder(a, b);
    default: return {call(prim, a.low), call(prim, a.high)};  // all others grow
  }
}

// [step]
// One step of a recorded formula.
inline Interval stepped(const dt::Recording::Step& step, std::span<const Interval> x) {
  const Prim prim = step.prim;
  const Interval &a = x[0], &b = x.size() > 1 ? x[1] : a;
  switch (prim) {
    case Prim::neg: return {-a.high, -a.low};
    case Prim::abs: return magnitude(a);
    case Prim::minimum: return {dt::minimum(a.low, b.low), dt::minimum(a.high, b.high)};
    case Prim::maximum: return {dt::maximum(a.low, b.low), dt::maximum(a.high, b.high)};
    case Prim::floor:
    case Prim::ceil:
    case Prim::round:
    case Prim::trunc: return {call(prim, a.low), call(prim, a.high)};
    case Prim::isnan: return {a.low < a.low, dt::isnan(a.low)};
    case Prim::isfinite:  // where it may be infinite, or no number, it may not
      return {dt::isfinite(a.high - a.low), dt::equal(dt::zeros_like(a.low), 0)};
    case Prim::logical_and: return {both(a.low, b.low), both(a.high, b.high)};
    case Prim::logical_or: return {either(a.low, b.low), either(a.high, b.high)};
    case Prim::logical_not: return {dt::logical_not(a.high), dt::logical_not(a.low)};
    case Prim::select: return selected(a, b, x[2]);
    default: break;
  }
  if (prim >= Prim::less && prim <= Prim::not_equal) return compared(prim, a, b);
  if (prim == Prim::mul && step.a == step.b) {  // a square
    const Interval m = magnitude(a);
    return outwards({m.low * m.low, m.high * m.high}, 1);
  }
  return outwards(ends_of(prim, a, b), accuracy_of(prim));
}
// [/step]

}  // namespace intervals
