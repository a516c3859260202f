// Linear recurrences and their derivatives of every order.
// Private. Kernels allocate nothing; a plan is immutable. Any thread.
//
// y_i = a_i y_(i-1) + b_i. Where the factors move along t_1, ..., t_K, in a derivative of order K,
// each set S of these directions has a state of its own,
//   y_S,i = a_i y_S,(i-1) + sum_{k in S} t_k,i y_(S without k),(i-1), and + b_i of the empty one;
// that of all directions is the derivative. From the other end the same runs with cotangents c:
//   z_S,i = a_(i+1) z_S,(i+1) + sum_{k in S} t_k,(i+1) z_(S without k),(i+1), and + c_i.
// What both meet in, sum_S y_S,(i-1) z_(others),i, is the slope by a_i of sum_i c_i y_i, moved
// along the directions. Derivatives of change and slope are changes and slopes again, with one
// direction more, so no product that floats do not hold is ever stored between two operators.
#pragma once

#include <array>
#include <cfenv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <dualtape/core/graph.hpp>
#include <dualtape/core/op.hpp>
#include <dualtape/ops/declare/running.hpp>
#include <dualtape/ops/kernels/rows/scaled.hpp>

namespace dualtape::detail {

// float64 as it is.
class PlainArithmetic {
 public:
  using Number = double;
  static double times(double factor, Number y) { return factor * y; }
  static double value(Number y) { return y; }
  static void last(Number) {}
  static bool left() { return false; }
};

// The same; `left` tells whether a product was lost below its range, or a state beyond it.
class WatchedArithmetic {
 public:
  using Number = double;
  double times(double factor, Number y) {
    const double product = factor * y;
    left_ |= static_cast<unsigned>(std::abs(product) < std::numeric_limits<double>::min()) &
             static_cast<unsigned>(factor != 0) & static_cast<unsigned>(y != 0);
    return product;
  }
  static double value(Number y) { return y; }
  // Once infinite or NaN, a state stays so: the last one is enough.
  void last(Number y) { left_ |= static_cast<unsigned>(!std::isfinite(y)); }
  bool left() const { return left_ != 0; }

 private:
  unsigned left_ = 0;
};

class ScaledArithmetic {
 public:
  using Number = Scaled;
  static Number times(double factor, const Number& y) { return Scaled(factor) * y; }
  static double value(const Number& y) { return y.value(); }
  static void last(const Number&) {}
  static bool left() { return false; }
};

struct RecurrencePlan {
  RunningLines lines;
  bool reverse = false;
  bool of_one = false;  // no b: y is 1 before the first factor, which counts then
  std::size_t directions = 0;

  std::size_t states() const { return std::size_t{1} << directions; }
  std::size_t change_bytes() const { return 2 * states() * sizeof(Scaled); }
  std::size_t slope_bytes() const {
    return change_bytes() + lines.size * states() * sizeof(Scaled);
  }
};

template <class T>
struct RecurrenceOperands {
  const T* a = nullptr;
  const T* b = nullptr;                // null if of_one
  const T* c = nullptr;                // of slopes
  const void* const* moved = nullptr;  // the directions
  T* out = nullptr;

  double direction(std::size_t k, std::size_t at) const {
    return static_cast<double>(static_cast<const T*>(moved[k])[at]);
  }
};

// One line; `Directions` is a number or, for the usual few, a constant.
template <class Arithmetic, class T, class Directions>
class RecurrenceLine {
 public:
  using Number = typename Arithmetic::Number;

  RecurrenceLine(const RecurrencePlan& plan, const RecurrenceOperands<T>& operands,
                 Directions directions, std::size_t first, void* workspace)
      : plan_(plan),
        operands_(operands),
        directions_(directions),
        first_(first),
        saved_(static_cast<Number*>(workspace)) {}

  // Whether all stayed in range; if not, the output is not to be used.
  bool change() {
    auto y = states(0, plan_.of_one);
    for (std::size_t i = 0; i < plan_.lines.size; ++i) {
      advance(y, i);
      operands_.out[place(i)] = static_cast<T>(Arithmetic::value(y[count() - 1]));
    }
    finish(y);
    return !arithmetic_.left();
  }
  bool slope() {
    const std::size_t size = plan_.lines.size;
    Number* const before = saved_ + 2 * count();  // the states before each factor
    auto y = states(0, plan_.of_one);
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t s = 0; s < count(); ++s) before[i * count() + s] = y[s];
      if (i + 1 < size) advance(y, i);
    }
    finish(y);
    auto z = states(1, false);
    for (std::size_t i = size; i-- > 0;) {
      if (i + 1 < size) step(z, place(i + 1));
      z[0] += Number(static_cast<double>(operands_.c[place(i)]));
      const bool counts = i > 0 || plan_.of_one;
      operands_.out[place(i)] = static_cast<T>(counts ? met(before + i * count(), z) : 0.0);
    }
    finish(z);
    return !arithmetic_.left();
  }

 private:
  std::size_t count() const { return std::size_t{1} << static_cast<std::size_t>(directions_); }
  std::size_t place(std::size_t i) const {
    return first_ + (plan_.reverse ? plan_.lines.size - 1 - i : i) * plan_.lines.inner;
  }
  // In registers where their number is known, else in one of two slots of the workspace.
  auto states(std::size_t slot, bool of_one) const {
    const auto start = [&](auto states) {
      for (std::size_t s = 0; s < count(); ++s) states[s] = Number(s == 0 && of_one ? 1.0 : 0.0);
      return states;
    };
    if constexpr (std::is_same_v<Directions, std::size_t>)
      return start(saved_ + slot * count());
    else
      return start(std::array<Number, std::size_t{1} << Directions::value>{});
  }
  template <class States>
  void finish(const States& states) {
    for (std::size_t s = 0; s < count(); ++s) arithmetic_.last(states[s]);
  }
  template <class States>
  void advance(States& y, std::size_t i) {
    const std::size_t at = place(i);
    if (i > 0 || plan_.of_one) step(y, at);
    if (operands_.b != nullptr) y[0] += Number(static_cast<double>(operands_.b[at]));
  }
  // Larger sets first: each reads smaller ones as they were.
  template <class States>
  void step(States& states, std::size_t at) {
    const auto a = static_cast<double>(operands_.a[at]);
    for (std::size_t s = count(); s-- > 0;) {
      Number next = arithmetic_.times(a, states[s]);
      for (std::size_t k = 0; k < static_cast<std::size_t>(directions_); ++k)
        if ((s >> k & 1U) != 0)
          next += arithmetic_.times(operands_.direction(k, at), states[s - (std::size_t{1} << k)]);
      states[s] = next;
    }
  }
  template <class States>
  double met(const Number* before, const States& z) {
    Number sum = before[0] * z[count() - 1];
    for (std::size_t s = 1; s < count(); ++s) sum += before[s] * z[count() - 1 - s];
    arithmetic_.last(sum);
    return Arithmetic::value(sum);
  }

  const RecurrencePlan& plan_;
  const RecurrenceOperands<T>& operands_;
  Directions directions_;
  std::size_t first_;
  Number* saved_;
  Arithmetic arithmetic_;
};

// f(the number of directions), constant where it is small.
template <class F>
void with_directions(std::size_t directions, F&& f) {
  if (directions == 0) return f(std::integral_constant<std::size_t, 0>{});
  if (directions == 1) return f(std::integral_constant<std::size_t, 1>{});
  if (directions == 2) return f(std::integral_constant<std::size_t, 2>{});
  return f(directions);
}

// All lines in float64. The processor's flags tell whether any number became too large or too
// small, maybe only as it was rounded to T: then each line is watched, and what left float64 is
// done once more in Scaled.
template <class T>
void run_recurrence(const RecurrencePlan& plan, const RecurrenceOperands<T>& operands,
                    void* workspace) {
  with_directions(plan.directions, [&](auto directions) {
    using Directions = decltype(directions);
    const auto run = [&]<class Arithmetic>(std::size_t first, Arithmetic) {
      RecurrenceLine<Arithmetic, T, Directions> line(plan, operands, directions, first, workspace);
      return operands.c == nullptr ? line.change() : line.slope();
    };
    constexpr int out_of_range = FE_UNDERFLOW | FE_OVERFLOW;
    std::feclearexcept(out_of_range);
    plan.lines.each([&](std::size_t first) { run(first, PlainArithmetic{}); });
    if (std::fetestexcept(out_of_range) == 0) return;
    plan.lines.each([&](std::size_t first) {
      if (!run(first, WatchedArithmetic{})) run(first, ScaledArithmetic{});
    });
  });
}

// dy of y = cumprod(x) along dx: linear in dx.
Var cumprod_change(Var x, Var dx, std::int64_t axis);

}  // namespace dualtape::detail
