// What the tests of the modes share: numbers out of tensors, and functions with known derivatives.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/slice.hpp>
#include <tests/errors.hpp>

namespace points {

namespace dt = dualtape;
using dt::testing::contains;
using dt::testing::error_of;
using dt::testing::has;
using Numbers = std::vector<double>;

inline dt::Tensor vector(const Numbers& values) {
  return dt::Tensor::from(values, dt::Shape{static_cast<std::int64_t>(values.size())});
}
inline Numbers numbers(const dt::Tensor& tensor) {
  const dt::Tensor wide = tensor.to(dt::float64);
  const auto data = wide.data<double>();
  return {data.begin(), data.end()};
}
inline double inner(const dt::Tensor& a, const dt::Tensor& b) {
  const Numbers x = numbers(a);
  const Numbers y = numbers(b);
  REQUIRE(x.size() == y.size());
  double total = 0;
  for (std::size_t i = 0; i < x.size(); ++i) total += x[i] * y[i];
  return total;
}
inline void check_near(const dt::Tensor& got, const Numbers& wanted, double tolerance) {
  const Numbers values = numbers(got);
  REQUIRE(values.size() == wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    CAPTURE(i);
    CAPTURE(values[i]);
    CAPTURE(wanted[i]);
    CHECK(std::abs(values[i] - wanted[i]) <= tolerance * std::max(1.0, std::abs(wanted[i])));
  }
}

inline dt::Var element(dt::Var x, std::int64_t i) { return dt::sum(dt::slice(x, 0, i, i + 1)); }

// E. M. L. Beale's function, of a vector of two.
inline dt::Var beale(dt::Var p) {
  const dt::Var x = element(p, 0);
  const dt::Var y = element(p, 1);
  return dt::square(1.5 - x + x * y) + dt::square(2.25 - x + x * dt::square(y)) +
         dt::square(2.625 - x + x * y * dt::square(y));
}
// (1 - x)^2 + 100 (y - x^2)^2
inline dt::Var rosenbrock(dt::Var p) {
  const dt::Var x = element(p, 0);
  const dt::Var y = element(p, 1);
  return dt::square(1 - x) + 100 * dt::square(y - dt::square(x));
}
inline Numbers rosenbrock_gradient(double x, double y) {
  return {-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)};
}
inline Numbers rosenbrock_hessian_times(double x, double y, double v, double w) {
  return {(2 - 400 * (y - 3 * x * x)) * v - 400 * x * w, -400 * x * v + 200 * w};
}
// A function of a vector with products, a matrix, fan-out and several kinds of operators.
inline dt::Var tangled(dt::Var x) {
  const dt::Var h = dt::tanh(dt::outer(x, dt::sin(x)));
  return dt::sum(dt::matmul(h, x) * dt::exp(0.5 * x)) / (1 + dt::sum(dt::square(x)));
}

}  // namespace points
