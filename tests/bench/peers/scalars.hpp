// Test functions of two variables for scalar AD libraries, and what their programs share.
#pragma once

#include <cmath>
#include <memory>
#include <string>

#include <tests/bench/nets.hpp>
#include <tests/bench/peer.hpp>

namespace dualtape::bench {

template <class T>
T beale(const T& x, const T& y) {
  const T y2 = y * y;
  const T y3 = y2 * y;
  const T a = 1.5 - x + x * y;
  const T b = 2.25 - x + x * y2;
  const T c = 2.625 - x + x * y3;
  return a * a + b * b + c * c;
}

template <class T>
T rosenbrock(const T& x, const T& y) {
  const T a = 1.0 - x;
  const T b = y - x * x;
  return a * a + 100.0 * (b * b);
}

struct ValueAndGradient {
  double value, by_x, by_y;
};

// Modes "base", the function in plain C++, and "reverse", by what is given: a call that takes a
// point and gives the value and the gradient.
template <class Base, class Gradient>
Work scalar_work(Base base, Gradient gradient) {
  struct State {
    Point at;
    volatile double sink = 0;
  };
  const auto state = std::make_shared<State>();
  Work work;
  work.modes = {{"base",
                 [state, base](std::int64_t times) {
                   for (std::int64_t i = 0; i < times; ++i) {
                     state->at.x += 1e-12;
                     asm volatile("" : : "r"(&state->at) : "memory");
                     state->sink = base(state->at.x, state->at.y);
                   }
                 }},
                {"reverse", [state, gradient](std::int64_t times) {
                   for (std::int64_t i = 0; i < times; ++i) {
                     state->at.x += 1e-12;
                     const ValueAndGradient found = gradient(state->at);
                     state->sink = found.value + found.by_x + found.by_y;
                   }
                 }}};
  work.check = [gradient] {
    const Point at;
    const ValueAndGradient found = gradient(at);
    const double slope = found.by_x * at.dx + found.by_y * at.dy;
    return Agreement{found.value, slope, std::nan(""), std::hypot(found.by_x, found.by_y)};
  };
  return work;
}

}  // namespace dualtape::bench
