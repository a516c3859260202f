// What derivative rules of elementwise operators share: factors that stay right in tails, at
// infinities and where an operand is NaN. Private. Plain functions; a graph may be built by one
// thread at a time.
#pragma once

#include <utility>

#include <dualtape/ops/activations.hpp>
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

// x e^x is a normal number for longer than e^x is, which is flushed to 0 below -87 in float32: from
// -80 down, where 1 + e^x is 1 to the last digit, e^x is taken in two factors, e^(x + 40) and
// e^-40.
inline constexpr double far_size = 80;
inline constexpr double far_shift = 40;
inline constexpr double far_factor = 4.248354255291589e-18;

// e^x by its parts, for x of -size: the first factor, and what t times it is in the end.
template <class X>
struct Tail {
  explicit Tail(X size) : far(size > far_size), power(exp(select(far, far_shift - size, -size))) {}
  X times(X t) const { return select(far, t * power * far_factor, t * power); }
  X alone() const { return select(far, 0, power); }  // beside 1

  decltype(std::declval<X>() > 0) far;
  X power;
};

// factor e^x for x below 0, which float32 holds to -174 where the factor is huge, and e^x to -87:
// by two factors e^(x/2), everywhere, since a branch for the tail alone takes twice the time.
inline Var exp_times(const In& factor, const Var& x) {
  const Var root = exp(0.5 * x);
  return factor * root * root;
}

// sigmoid(x), far out without the factor that scaled_back() gives its products.
inline Var far_sigmoid(Var x) { return sigmoid(where(x < -far_size, x + far_shift, x)); }
inline Var scaled_back(Var x, Var product) {
  return where(x < -far_size, far_factor * product, product);
}

// A slope that was chosen by comparing: NaN where `x` is, which no comparison can place.
inline Var unless_nan(Var x, Var slope) { return where(isnan(x), not_a_number, slope); }

}  // namespace dualtape::detail
