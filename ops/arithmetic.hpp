// Sums, products, powers and their like, element by element, and the operators of Var.
//
// Every function here broadcasts its operands by NumPy's rules and brings them to one dtype (the
// later one of bool < int32 < int64 < float32 < float64; bare literals are weak and keep the
// dtype of the other operand). ShapeError where shapes do not broadcast, TypeError for bools where
// numbers are needed. A graph may be built by one thread at a time.
#pragma once

#include <dualtape/core/graph.hpp>

namespace dualtape {

// Numbers of any dtype but bool; integers wrap around.
Var add(In a, In b);      // a + b
Var sub(In a, In b);      // a - b
Var mul(In a, In b);      // a b
Var neg(In x);            // -x
Var abs(In x);            // |x|; derivative sign(x), 0 at 0
Var sign(In x);           // -1, 0 or 1; NaN stays NaN; derivative zero
Var square(In x);         // x^2
Var maximum(In a, In b);  // NaN if either is; at a tie each has derivative 1/2
Var minimum(In a, In b);  // the same
// min(max(x, low), high): x within [low, high], and `high` where low > high. The derivative by x is
// 1 in the closed interval. NaN stays NaN.
Var clamp(In x, In low, In high);

// Integers and bools become float32.
Var div(In a, In b);   // a / b
Var sqrt(In x);        // NaN below 0
Var rsqrt(In x);       // 1 / sqrt(x)
Var reciprocal(In x);  // 1 / x
Var pow(In a, In b);   // a^b, as std::pow: NaN for a < 0 with a fraction as b

inline Var operator+(In a, In b) { return add(a, b); }
inline Var operator-(In a, In b) { return sub(a, b); }
inline Var operator*(In a, In b) { return mul(a, b); }
inline Var operator/(In a, In b) { return div(a, b); }
inline Var operator-(In x) { return neg(x); }

// a becomes another node; what was made of it before stays.
inline Var& operator+=(Var& a, In b) { return a = add({a, b.where()}, b); }
inline Var& operator-=(Var& a, In b) { return a = sub({a, b.where()}, b); }
inline Var& operator*=(Var& a, In b) { return a = mul({a, b.where()}, b); }
inline Var& operator/=(Var& a, In b) { return a = div({a, b.where()}, b); }

}  // namespace dualtape
