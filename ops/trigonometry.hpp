// Inverse trigonometric and hyperbolic functions, distance and remainder, element by element.
//
// Operands broadcast and are brought to one dtype. Integers and bools become float32, except for
// mod, which keeps integers. Special values are those of C's <math.h>. A graph may be built by one
// thread at a time.
#pragma once

#include <dualtape/core/graph.hpp>

namespace dualtape {

Var asin(In x);         // in [-pi/2, pi/2]; NaN outside [-1, 1]
Var acos(In x);         // in [0, pi]; NaN outside [-1, 1]
Var atan(In x);         // in (-pi/2, pi/2)
Var atan2(In y, In x);  // the angle of the point (x, y), in [-pi, pi]; no derivative at (0, 0)
Var sinh(In x);
Var cosh(In x);
Var asinh(In x);
Var acosh(In x);  // at least 0; NaN below 1
Var atanh(In x);  // infinite at -1 and 1, NaN beyond

// sqrt(a^2 + b^2) without overflow or underflow on the way; derivatives 0 at the origin, as those
// of abs.
Var hypot(In a, In b);
Var direction(In a, In b);  // a / hypot(a, b), 0 at the origin

// The remainder a - floor(a / b) b, which has the sign of b as in Python: mod(-1, 3) is 2. Exact
// for floating numbers wherever a remainder of C's fmod is, and mod(a, 0) is NaN; of integers it is
// 0 where b is 0. TypeError for bools.
Var mod(In a, In b);

}  // namespace dualtape
