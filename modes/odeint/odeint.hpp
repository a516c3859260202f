// What the files of odeint() share. Private. One thread at a time, as for any graph.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <dualtape/modes/call.hpp>
#include <dualtape/modes/loops/closure.hpp>
#include <dualtape/modes/odeint.hpp>
#include <dualtape/modes/walk/vars.hpp>

namespace dualtape::detail {

// dy/dt = f(t, y), with f held to the types of y.
struct Field {
  const char* function;  // as errors name it: "odeint" or "odeint_event"
  OdeFunction f;
  Location where;

  std::vector<Var> operator()(Var t, std::span<const Var> y) const;
};

// f as a function of t, y and what it captures, and those.
Closure closed(const Field& f, std::span<const Var> y0, Var time);

// y + h (weights[0] slopes[0] + weights[1] slopes[1] ...), without those whose weight is zero.
std::vector<Var> advanced(std::span<const Var> y, Var h, std::span<const double> weights,
                          std::span<const std::vector<Var>> slopes, Location where);
// Those changes alone.
std::vector<Var> weighted(Var h, std::span<const double> weights,
                          std::span<const std::vector<Var>> slopes, Location where);

// The solution by steps of the classical Runge-Kutta method.
OdeSolution solved_by_rk4(const Field& f, std::span<const Var> y0, Var times,
                          const OdeOptions& options);

// A step of Dormand and Prince that is tried.
struct Tried {
  std::vector<Var> y;      // after it
  std::vector<Var> slope;  // f there
  Var error = {};          // (), without derivative: at most 1 where the step is good
  // The interpolant of each value, (5, elements): y(t + s h) = c0 + s (c1 + (1 - s) (c2 + s (c3 +
  // (1 - s) c4))), Hairer, Norsett, Wanner, II.6.
  std::vector<Var> dense = {};
};
// Where steps are: the next one goes from y at t, where f is `slope`, over h, with the sign of the
// direction. `refused` says that the one before was.
struct Place {
  Var t, h, refused;
  std::vector<Var> y, slope;

  std::vector<Var> values() const;
  // Of what values() gives, with others after it.
  static Place of(std::span<const Var> values, std::size_t count);
  std::size_t count() const { return 3 + 2 * y.size(); }
};
struct Stepped {
  Place next;
  Tried tried;
  Var length;  // of this step
  Var end;     // t + length
  Var good;    // bool (): whether the step was taken
};
// The steps of one equation.
class Steps {
 public:
  Steps(const Field& f, std::span<const Var> y0, Var time, const OdeOptions& options);

  // The place at the start, with the length of the first step.
  Place first(std::span<const Var> y0, Var from, Var to) const;
  // A step that does not go beyond `to`.
  Stepped next(const Place& place, Var to) const;
  // One step of that length, which counts as fixed where derivatives are taken.
  Tried tried(const Place& place, Var length) const;

 private:
  Field f_;
  OdeOptions options_;
  std::shared_ptr<const Function> step_;  // (t, length, y, slope, captured) -> what was tried
  std::vector<Var> captured_;
};
// Whether `to` is still ahead of t.
Var ahead(Var t, Var from, Var to);
// The interpolant at parts s (n) of a step: (n, elements).
Var interpolated(Var dense, Var s);

// The solution by steps of Dormand and Prince.
OdeSolution solved_adaptively(const Field& f, std::span<const Var> y0, Var times,
                              const OdeOptions& options);

// By the method asked for, with the discrete adjoint.
OdeSolution solved(const Field& f, std::span<const Var> y0, Var times, const OdeOptions& options);
// The same as a node with the continuous adjoint as its rule of reverse mode.
OdeSolution solved_with_adjoint(const Field& f, std::span<const Var> y0, Var times,
                                const OdeOptions& options);

// Of odeint() and odeint_event(): the start values and what else there is, `others`, brought to
// their dtype. GraphError or TypeError.
std::vector<Var> ode_operands(const char* function, const std::vector<In>& y0,
                              std::span<const In> others, Location where);
// ValueError for options out of range for that dtype.
void require_options(const char* function, const OdeOptions& options, DType dtype, Location where);

}  // namespace dualtape::detail
