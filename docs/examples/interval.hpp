// Arithmetic of intervals whose ends are Vars of one graph, so that bounds are computed, and
// differentiated, like anything else. For interval_formula.hpp.
#pragma once

#include <cmath>
#include <limits>
#include <numbers>

#include <dualtape/dualtape.hpp>

namespace intervals {
namespace dt = dualtape;
using dt::Prim;
using dt::Var;

// [interval]
// Every number lies between the ends; both ends are NaN where nothing is known. Of truth values:
// whether it is certainly true, and whether it may be.
struct Interval {
  Var low, high;
};
// [/interval]

inline double epsilon_of(Var x) {
  return x.dtype() == dt::float32 ? std::numeric_limits<float>::epsilon()
                                  : std::numeric_limits<double>::epsilon();
}
inline Var call(Prim prim, dt::In x) { return dt::apply(dt::operator_of(prim), {x}); }
inline Var call(Prim prim, dt::In a, dt::In b) { return dt::apply(dt::operator_of(prim), {a, b}); }
inline Var both(Var a, Var b) { return dt::logical_and(a, b); }
inline Var either(Var a, Var b) { return dt::logical_or(a, b); }

inline Interval where_known(Var known, const Interval& x) {
  return {dt::where(known, x.low, dt::not_a_number), dt::where(known, x.high, dt::not_a_number)};
}
// [outwards]
// What an interval tells: nothing if an end is NaN, if the ends have crossed, or from -inf to inf,
// where inf - inf or 0 inf may lie within.
inline Interval settled(const Interval& x) {
  return where_known(both(x.low <= x.high, dt::logical_not(dt::isnan(x.low + x.high))), x);
}
// Both ends moved outwards by an error of so many units in the last place, and by the rounding of
// this move itself.
inline Interval outwards(const Interval& x, double ulps) {
  const double e = (ulps + 1) * epsilon_of(x.low);
  return settled({dt::minimum(x.low * (1 - e), x.low * (1 + e)),
                  dt::maximum(x.high * (1 - e), x.high * (1 + e))});
}
// [/outwards]

inline Interval magnitude(const Interval& x) {
  return {dt::maximum(dt::maximum(x.low, -x.high), 0), dt::maximum(-x.low, x.high)};
}

// The values at the four corners of a box, for what is monotone along each side of it.
inline Interval corners(Prim prim, const Interval& a, const Interval& b) {
  const Var ll = call(prim, a.low, b.low), lh = call(prim, a.low, b.high);
  const Var hl = call(prim, a.high, b.low), hh = call(prim, a.high, b.high);
  return {dt::minimum(dt::minimum(ll, lh), dt::minimum(hl, hh)),
          dt::maximum(dt::maximum(ll, lh), dt::maximum(hl, hh))};
}

// Beyond this the error of x itself may hide a turn of sin and a pole of tan.
inline Var near_enough(const Interval& x) {
  return magnitude(x).high <= 0.25 / std::sqrt(epsilon_of(x.low));
}
// sin and cos, whose values 1 are at `crest` and whole turns from there.
inline Interval wave(Prim prim, const Interval& x, double crest) {
  const auto passes = [&](double place) {
    constexpr double turn = 2 * std::numbers::pi;
    const Var turns = dt::floor((x.high - place) / turn) > dt::floor((x.low - place) / turn);
    return either(turns, dt::logical_not(near_enough(x)));
  };
  const Var a = call(prim, x.low), b = call(prim, x.high);
  return where_known(dt::isfinite(x.high - x.low),
                     {dt::where(passes(crest + std::numbers::pi), -1, dt::minimum(a, b)),
                      dt::where(passes(crest), 1, dt::maximum(a, b))});
}
inline Interval tangent(const Interval& x) {
  const auto branch = [](Var end) { return dt::floor(end / std::numbers::pi + 0.5); };
  const Var same = both(dt::equal(branch(x.low), branch(x.high)), near_enough(x));
  return where_known(both(same, x.high - x.low < 3), {dt::tan(x.low), dt::tan(x.high)});
}

// Monotone along both sides where no base is negative, and for whole exponents, of which even ones
// see magnitudes; nothing is known with a pole inside.
inline Interval power(const Interval& x, const Interval& y) {
  const auto is_whole = [](Var end) { return dt::equal(dt::floor(end), end); };
  const Var whole = both(dt::equal(y.low, y.high), is_whole(y.low));
  const Var even = both(whole, is_whole(0.5 * y.low));
  const Interval m = magnitude(x);
  const Interval base{dt::where(even, m.low, x.low), dt::where(even, m.high, x.high)};
  const Var rising = y.low >= 0;
  const Var low = dt::where(rising, base.low >= 0, base.low > 0);
  const Var negative = both(whole, either(rising, base.high < 0));
  return where_known(either(low, negative), corners(Prim::pow, base, y));
}

// The angle of a box: all of them where it touches the cut along the negative half of the axis.
inline Interval angle(const Interval& y, const Interval& x) {
  const Var level = both(y.low <= 0, y.high >= 0);
  const Var cut = both(level, x.low <= 0);
  const Interval outside = corners(Prim::atan2, y, x);
  return {dt::where(cut, -std::numbers::pi, outside.low),
          dt::where(cut, std::numbers::pi, outside.high)};
}

// a - b floor(a / b): a straight line as long as the quotient stays between two whole numbers.
inline Interval remainder(const Interval& a, const Interval& b) {
  const Interval q = outwards(corners(Prim::div, a, b), 1);
  const Var k = dt::floor(q.low), line = dt::equal(k, dt::floor(q.high));
  const Var slack = 4 * epsilon_of(k) * (magnitude(a).high + magnitude(b).high * dt::abs(k));
  const Var low = a.low - dt::maximum(b.low * k, b.high * k) - slack;
  const Var high = a.high - dt::minimum(b.low * k, b.high * k) + slack;
  const Var least = dt::minimum(b.low, 0), most = dt::maximum(b.high, 0);
  return where_known(both(either(b.low > 0, b.high < 0), dt::isfinite(a.high - a.low)),
                     {dt::where(line, dt::maximum(low, least), least),
                      dt::where(line, dt::minimum(high, most), most)});
}

// Certainly, if even these two ends compare so; possibly, unless the other two say no. A comparison
// with NaN is false, so that of what is not known everything is possible.
inline Interval compared(Prim prim, const Interval& a, const Interval& b) {
  switch (prim) {
    case Prim::less: return {a.high < b.low, dt::logical_not(a.low >= b.high)};
    case Prim::less_equal: return {a.high <= b.low, dt::logical_not(a.low > b.high)};
    case Prim::greater: return compared(Prim::less, b, a);
    case Prim::greater_equal: return compared(Prim::less_equal, b, a);
    default: break;
  }
  const Var points = both(dt::equal(a.low, a.high), dt::equal(b.low, b.high));
  const Interval same{both(points, dt::equal(a.low, b.low)),
                      dt::logical_not(either(a.high < b.low, b.high < a.low))};
  if (prim == Prim::equal) return same;
  return {dt::logical_not(same.high), dt::logical_not(same.low)};
}

// One of the two where the condition is certain, and what holds both where it is not.
inline Interval selected(const Interval& condition, const Interval& a, const Interval& b) {
  const bool truths = a.low.dtype() == dt::boolean;
  const Var low = truths ? both(a.low, b.low) : dt::minimum(a.low, b.low);
  const Var high = truths ? either(a.high, b.high) : dt::maximum(a.high, b.high);
  const auto choose = [&](Var yes, Var no, Var both) {
    return dt::where(condition.low, yes, dt::where(condition.high, both, no));
  };
  return {choose(a.low, b.low, low), choose(a.high, b.high, high)};
}

}  // namespace intervals
