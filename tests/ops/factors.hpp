// What tests of factorisations share.
#pragma once

#include <algorithm>
#include <cmath>

#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/shapes.hpp>

#include "known.hpp"

namespace factors {

using namespace known;
using dt::Shape;
using dt::Tensor;

inline Tensor drawn(std::uint64_t seed, const Shape& shape, dt::DType dtype = dt::float64) {
  return dt::uniform(dt::Key{seed}, shape, -1.0, 1.0, dtype);
}
inline double slack(dt::DType dtype) { return dtype == dt::float32 ? 2e-5 : 1e-13; }

inline void check_same(dt::Var a, dt::Var b, double tolerance) {
  const Tensor left = dt::eval(a);
  const Tensor right = dt::eval(b);
  REQUIRE(left.shape() == right.shape());
  const Numbers x = numbers(left);
  const Numbers y = numbers(right);
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) worst = std::max(worst, std::abs(x[i] - y[i]));
  CHECK(worst <= tolerance);
}

// x^T x is the unit matrix.
inline void check_orthonormal(dt::Var x) {
  const dt::Var product = dt::matmul(x, x, {true, false});
  const Tensor unit = dt::eye(x.shape().back(), x.shape().back(), 0, x.dtype());
  check_same(product, dt::broadcast_to(x.graph().constant(unit), product.shape()),
             slack(x.dtype()));
}

inline Numbers slope(dt::Var y, dt::Var x) { return numbers(dt::eval(dt::reverse(y, {x})[x])); }

}  // namespace factors
