// The gradient of a sum of outputs, held alike in both modes: for operators that change shapes.
#pragma once

#include "known.hpp"

namespace known {

// d (sum of y) / dx by a cotangent of ones. Forward mode must give its product with a direction.
inline Numbers gradient(dt::Var y, dt::Var x) {
  dt::Graph& graph = y.graph();
  const dt::Var ones = graph.constant(dt::ones(y.shape(), y.dtype()));
  const Numbers slope = numbers(dt::eval(dt::vjp({y}, {x}, {ones})[x]));
  Numbers direction(slope.size());
  double wanted = 0;
  double scale = 0;
  for (std::size_t i = 0; i < slope.size(); ++i) {
    direction[i] = std::cos(static_cast<double>(i));
    wanted += slope[i] * direction[i];
    scale += std::abs(slope[i] * direction[i]);
  }
  const dt::Var v = graph.constant(tensor(direction, x.dtype()).reshape(x.shape()));
  double got = 0;
  for (const double t : numbers(dt::eval(dt::forward(y, {x}, {v})))) got += t;
  CHECK(std::abs(got - wanted) <= (x.dtype() == dt::float64 ? 1e-13 : 1e-5) * scale);
  return slope;
}

}  // namespace known
