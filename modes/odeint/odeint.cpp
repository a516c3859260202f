#include <dualtape/modes/odeint/odeint.hpp>
#include <sstream>

#include <limits>
#include <string>

#include <dualtape/core/callable.hpp>
#include <dualtape/core/composite.hpp>
#include <dualtape/ops/compare.hpp>

namespace dualtape {
namespace detail {

std::vector<Var> Field::operator()(Var t, std::span<const Var> y) const {
  std::vector<Var> slopes = f(t, y);
  if (slopes.size() != y.size())
    fail<GraphError>({.op = function,
                      .what = "f returns " + std::to_string(slopes.size()) + " slopes of " +
                              std::to_string(y.size()) + " values",
                      .where = where,
                      .help = "return dy/dt of each"});
  for (std::size_t i = 0; i < y.size(); ++i) {
    const Var slope = require_alive(slopes[i], function, "what f returns", where);
    if (slope.type() == y[i].type()) continue;
    const std::string label = slope.label();
    const Complaint complaint{.op = function,
                              .label = label,
                              .what = "value " + std::to_string(i) + " is " +
                                      to_string(y[i].type()) + " and its slope " +
                                      to_string(slope.type()),
                              .where = where,
                              .help = "dy/dt has the shape and dtype of y"};
    if (slope.shape() != y[i].shape()) fail<ShapeError>(complaint);
    fail<TypeError>(complaint);
  }
  return slopes;
}

std::vector<Var> ode_operands(const char* function, const std::vector<In>& y0,
                              std::span<const In> others, Location where) {
  if (y0.empty())
    fail<GraphError>({.op = function,
                      .what = "there is no start value",
                      .where = where,
                      .help = "give the values that f is the slope of, at least one"});
  std::vector<In> all(y0.begin(), y0.end());
  all.insert(all.end(), others.begin(), others.end());
  const Composite operands(function, all);
  std::vector<Var> made = operands.operands();
  for (std::size_t i = 0; i < made.size(); ++i) {
    if (i < y0.size() && (!is_floating(made[i].dtype()) || made[i].dtype() != made[0].dtype()))
      fail<TypeError>({.op = function,
                       .label = made[i].label(),
                       .what = "start value " + std::to_string(i) + " is " +
                               to_string(made[i].type()) +
                               (i == 0 ? "" : ", the first one " + to_string(made[0].type())),
                       .where = where,
                       .help = "float32 or float64, the same for all"});
    if (i >= y0.size()) made[i] = cast({made[i], where}, made[0].dtype());
  }
  return made;
}

void require_options(const char* function, const OdeOptions& options, DType dtype, Location where) {
  const double least = dtype == float32 ? 4.0 * std::numeric_limits<float>::epsilon()
                                        : 4.0 * std::numeric_limits<double>::epsilon();
  const auto refuse = [&](const std::string& what, const char* help) {
    fail<ValueError>({.op = function, .what = what, .where = where, .help = help});
  };
  if (options.method == OdeMethod::rk4) {
    if (options.steps < 1)
      refuse("there are " + std::to_string(options.steps) + " steps between two times",
             "at least one");
    return;
  }
  if (!(options.rtol >= least) || !(options.atol >= 0)) {
    std::ostringstream given;
    given << "rtol is " << options.rtol << " and atol " << options.atol;
    refuse(given.str(),
           "rtol is at least four times the rounding of the dtype, 9e-16 or 4.8e-7, and atol at "
           "least 0");
  }
  if (options.most < 0)
    refuse("the most steps are " + std::to_string(options.most), "a number from 0 on");
  if (!(options.first >= 0) || options.first > std::numeric_limits<double>::max())
    refuse("the first step is of length " + std::to_string(options.first),
           "a length, or 0 for one that is found out");
}

OdeSolution solved(const Field& f, std::span<const Var> y0, Var times, const OdeOptions& options) {
  return options.method == OdeMethod::rk4 ? solved_by_rk4(f, y0, times, options)
                                          : solved_adaptively(f, y0, times, options);
}

namespace {

void require_times(const In& given, Var times, Location where) {
  if (times.rank() != 1 || times.shape()[0] < 1)
    fail<ShapeError>({.op = "odeint",
                      .label = times.label(),
                      .what = "the times are " + to_string(times.type()),
                      .where = where,
                      .help = "a row of them, (n): the first is that of the start value"});
  if (given.form() != In::Form::tensor) return;
  const Tensor known = given.tensor().to(float64);
  const std::span<const double> t = known.data<double>();
  for (std::size_t i = 1; i < t.size(); ++i) {
    const double ahead = (t[i] - t[i - 1]) * (t.back() - t.front());
    if (ahead > 0) continue;
    fail<ValueError>({.op = "odeint",
                      .what = "time " + std::to_string(i) + ", " + std::to_string(t[i]) +
                              ", comes after " + std::to_string(t[i - 1]),
                      .where = where,
                      .help = "all ascending, or all descending"});
  }
}

}  // namespace
}  // namespace detail

OdeSolution odeint(const OdeFunction& f, const std::vector<In>& y0, In times,
                   const OdeOptions& options, Location where) {
  detail::require_callable(!detail::is_null(f), "odeint", where);
  const std::vector<Var> operands = detail::ode_operands("odeint", y0, std::span(&times, 1), where);
  detail::require_times(times, operands.back(), where);
  detail::require_options("odeint", options, operands[0].dtype(), where);
  const detail::Field field{"odeint", f, where};
  const auto start = std::span(operands).first(y0.size());
  return options.adjoint == OdeAdjoint::continuous
             ? detail::solved_with_adjoint(field, start, operands.back(), options)
             : detail::solved(field, start, operands.back(), options);
}

}  // namespace dualtape
