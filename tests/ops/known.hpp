// Holds an elementwise operator against a function of numbers and its derivative, in both modes.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <tests/errors.hpp>

namespace known {

namespace dt = dualtape;
using dt::testing::error_of;
using dt::testing::has;
using Numbers = std::vector<double>;

inline dt::Tensor tensor(const Numbers& values, dt::DType dtype = dt::float64) {
  return dt::Tensor::from(values, dt::Shape{static_cast<std::int64_t>(values.size())}).to(dtype);
}

inline Numbers numbers(const dt::Tensor& tensor) {
  const dt::Tensor wide = tensor.to(dt::float64);
  const auto data = wide.data<double>();
  return {data.begin(), data.end()};
}

inline void check_close(const Numbers& got, const Numbers& wanted, double tolerance) {
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CAPTURE(got[i]);
    CAPTURE(wanted[i]);
    if (std::isnan(wanted[i]))
      CHECK(std::isnan(got[i]));
    else if (std::isinf(wanted[i]))
      CHECK(got[i] == wanted[i]);
    else
      CHECK(std::abs(got[i] - wanted[i]) <= tolerance * std::max(1.0, std::abs(wanted[i])));
  }
}

// dy/dx elementwise, by a tangent of ones and by a cotangent of ones, which must agree; zero where
// y does not depend on x.
inline Numbers derivative(dt::Var y, dt::Var x) {
  dt::Graph& graph = y.graph();
  const dt::Var tangent = graph.constant(dt::ones(x.shape(), x.dtype()));
  const dt::Var cotangent = graph.constant(dt::ones(y.shape(), y.dtype()));
  const dt::MaybeVar forward = dt::forward_all({y}, {x}, {tangent})[0];
  const dt::Var reverse = dt::vjp({y}, {x}, {cotangent}, dt::Unreachable::zero)[x];
  Numbers values = numbers(dt::eval(reverse));
  check_close(forward ? numbers(dt::eval(*forward)) : Numbers(values.size()), values,
              x.dtype() == dt::float64 ? 1e-15 : 1e-6);
  return values;
}

using Function = std::function<double(double)>;

inline void check_unary(dt::Var (*op)(dt::In), const Function& f, const Function& slope,
                        const Numbers& points) {
  Numbers values;
  Numbers slopes;
  for (const double x : points) {
    values.push_back(f(x));
    slopes.push_back(slope(x));
  }
  for (const dt::DType dtype : {dt::float64, dt::float32}) {
    dt::Graph graph;
    const dt::Var x = graph.constant(tensor(points, dtype));
    const dt::Var y = op(x);
    CAPTURE(y.node().op->name());
    CHECK(y.dtype() == dtype);
    const double tolerance = dtype == dt::float64 ? 1e-14 : 2e-6;
    check_close(numbers(dt::eval(y)), values, tolerance);
    check_close(derivative(y, x), slopes, tolerance);
  }
}

// The operator on one value, in the dtype given.
inline double at(dt::Var (*op)(dt::In), double x, dt::DType dtype = dt::float64) {
  dt::Graph graph;
  return dt::eval(op(graph.constant(x, dtype))).item();
}

// dy/dx and its own derivative of the operator at one value.
inline std::pair<double, double> slopes_at(dt::Var (*op)(dt::In), double x,
                                           dt::DType dtype = dt::float64) {
  dt::Graph graph;
  const dt::Var at = graph.constant(tensor({x}, dtype));
  const dt::Var slope = dt::vjp({op(at)}, {at}, {graph.constant(dt::ones({1}, dtype))})[at];
  return {numbers(dt::eval(slope))[0], derivative(slope, at)[0]};
}

// |got / wanted - 1| in units of the last place of 1.
inline double off(double got, double wanted, dt::DType dtype = dt::float64) {
  return std::abs(got / wanted - 1) / (dtype == dt::float64 ? 0x1p-52 : 0x1p-23);
}

}  // namespace known
