// The solvers that come with root(), fixed_point() and argmin(), written with Vars and loops.
// Private. Graphs are built by one thread at a time.
#pragma once

#include <cstdint>

#include <dualtape/modes/implicit.hpp>

namespace dualtape::detail {

// How near is near enough, and after how many steps to give up.
struct Limits {
  double tolerance;
  std::int64_t most;
};

// The residuals that limits are for, which implicit.hpp defines.
Var residual_of_zero(Var zero, Var at_start);
Var residual_of_fixed_point(Var x, Var image);

// x = f(x), again and again.
Solved iterate(const VarMap& f, Var start, const Limits& limits);
// The same with Anderson's mixing of the last `memory` steps, as in Walker and Ni, "Anderson
// acceleration for fixed-point iterations", SIAM J. Numer. Anal. 49 (2011), by normal equations.
Solved mix(const VarMap& f, Var start, const Limits& limits, std::int64_t memory);
// Newton's method with steps that are halved until |f| falls.
Solved newton(const VarMap& f, Var start, const Limits& limits, const LinearOptions& linear);
// Newton's method for the least f, with directions by conjugate gradients and Armijo's rule.
Solved newton_cg(const VarMap& f, const VarMap& gradient, Var start, const Limits& limits);

}  // namespace dualtape::detail
