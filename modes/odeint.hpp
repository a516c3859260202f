// Ordinary differential equations: dy/dt = f(t, y), y(t0) = y0.
//
//   auto y = dt::odeint([&](dt::Var, dt::Var y) { return -k * y; }, y0, times).y;  // (times, ...)
//   auto z = dt::odeint(f, y0, times, {.method = dt::OdeMethod::rk4, .steps = 10}).y;
//   auto hit = dt::odeint_event(f, [](dt::Var, dt::Var y) { return y[0]; }, y0, 0.0, 10.0);
//   // hit.t: when y[0] is zero for the first time; hit.y: the solution there
//
// f is called while the graph is built. What it captures, Vars and Parameters, is the same at every
// time, and derivatives reach it, the start values and the times. The solution is a loop
// (modes/loops.hpp), so every mode goes through: what is differentiated is what was computed, step
// by step, with the lengths of the steps held fixed. Building is for one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <type_traits>
#include <vector>

#include <dualtape/core/graph.hpp>

namespace dualtape {

enum class OdeMethod : std::uint8_t {
  // Steps whose lengths follow the error, of order 5, by J. R. Dormand and P. J. Prince, "A family
  // of embedded Runge-Kutta formulae", J. Comput. Appl. Math. 6, 1980; the control of the steps and
  // the interpolant of order 4 as in E. Hairer, S. P. Norsett, G. Wanner, "Solving Ordinary
  // Differential Equations I", 2nd edition, 1993, II.4 and II.6.
  dormand_prince,
  rk4,  // the classical one of order 4, `steps` equal steps between two times
};

// How reverse mode goes through.
enum class OdeAdjoint : std::uint8_t {
  // Back through the steps: the gradient of what was computed. Keeps the values at the end of every
  // step, with room for `most` of them, and computes each step once more (rk4: keeps what the
  // derivatives of all steps need).
  discrete,
  // A system of its own, solved backwards in time with the same method and tolerances: y' = f,
  // a' = -a df/dy, p' = -a df/dp (R. T. Q. Chen et al., "Neural ordinary differential equations",
  // arXiv:1806.07366, from the solution kept at each of the times). Keeps nothing of the steps
  // forward; costs a second solution, of twice the size and one more for each captured value, with
  // an evaluation and a pullback of f in each stage. Its gradient is within the tolerances, not
  // exact, and poor where the system is not stable backwards.
  continuous,
};

struct OdeOptions {
  OdeMethod method = OdeMethod::dormand_prince;
  std::int64_t steps = 1;  // rk4: between two times
  // dormand_prince: the error of a step is at most atol + rtol max(|y before|, |y after|), by the
  // root of the mean square over all elements.
  double rtol = 1e-6;
  double atol = 1e-8;
  // dormand_prince: steps in all, with those that were refused. Reverse mode keeps room for as
  // many.
  std::int64_t most = 1000;
  double first = 0;  // dormand_prince: the length of the first step; 0: found out
  OdeAdjoint adjoint = OdeAdjoint::discrete;
};

// y(t) of several values at once -> dy/dt of each, of its shape and dtype.
using OdeFunction = std::function<std::vector<Var>(Var t, std::span<const Var> y)>;

struct OdeSolution {
  std::vector<Var> y;  // at the times, which are the first axis; the first is y0
  Var steps;           // int64 (): how many were taken
  // bool (): whether `most` steps were enough. Where they were not, the solution is NaN at the
  // times that were not reached.
  Var reached;
};
// The solution at `times` (n), ascending or descending, of y0 at the first of them. One of all
// operands is a Var; y0 are float32 or float64, all the same, and f is given the time in that
// dtype. GraphError, ShapeError or TypeError for what does not fit, ValueError for options out of
// range and for times known now that are not in order; what f throws.
OdeSolution odeint(const OdeFunction& f, const std::vector<In>& y0, In times,
                   const OdeOptions& options = {}, Location where = Location::current());

// g(t, y), a scalar of y's dtype.
using OdeEvent = std::function<Var(Var t, std::span<const Var> y)>;
struct OdeCrossing {
  std::vector<Var> y;  // then
  Var t;               // (), in y's dtype
  Var crossed;         // bool (): false, and NaN in the others, where there was none
  Var steps;           // int64 ()
};
// The first time between `from` and `to` at which g changes its sign, or comes to zero, by
// Dormand-Prince; a zero at the start is none. Seen are changes from the end of one step to the end
// of the next. It is found by bisection on the interpolant, then by Newton's method on a step of
// its own, and differentiable by the implicit function theorem, dt = -(g_y dy + g_p dp) / (g_t +
// g_y f), to third order. Throws as odeint(), and for an rk4.
OdeCrossing odeint_event(const OdeFunction& f, const OdeEvent& g, const std::vector<In>& y0,
                         In from, In to, const OdeOptions& options = {},
                         Location where = Location::current());

// One value
// ---------

struct OdeVar {
  Var y;
  Var steps;
  Var reached;
};
template <class F>
requires std::is_invocable_r_v<Var, const F&, Var, Var> OdeVar
odeint(const F& f, In y0, In times, const OdeOptions& options = {},
       Location where = Location::current()) {
  const auto all = [&f](Var t, std::span<const Var> y) { return std::vector<Var>{f(t, y[0])}; };
  const OdeSolution made = odeint(OdeFunction(all), std::vector<In>{y0}, times, options, where);
  return {made.y[0], made.steps, made.reached};
}

struct OdeCrossingVar {
  Var y;
  Var t;
  Var crossed;
  Var steps;
};
template <class F, class G>
requires(std::is_invocable_r_v<Var, const F&, Var, Var>&&
             std::is_invocable_r_v<Var, const G&, Var, Var>) OdeCrossingVar
    odeint_event(const F& f, const G& g, In y0, In from, In to, const OdeOptions& options = {},
                 Location where = Location::current()) {
  const auto all = [&f](Var t, std::span<const Var> y) { return std::vector<Var>{f(t, y[0])}; };
  const auto event = [&g](Var t, std::span<const Var> y) -> Var { return g(t, y[0]); };
  const OdeCrossing made = odeint_event(OdeFunction(all), OdeEvent(event), std::vector<In>{y0},
                                        from, to, options, where);
  return {made.y[0], made.t, made.crossed, made.steps};
}

}  // namespace dualtape
