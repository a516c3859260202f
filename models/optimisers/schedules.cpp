#include <dualtape/models/schedules.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include <dualtape/core/error.hpp>

namespace dualtape {
namespace {

void check_amount(std::string_view schedule, const char* name, double value, Location where) {
  if (std::isfinite(value) && value >= 0) return;
  fail<ValueError>({.op = schedule,
                    .what = std::string(name) + " is " + std::to_string(value) +
                            ", but must be finite and at least 0",
                    .where = where});
}

void check_steps(std::string_view schedule, std::int64_t steps, Location where) {
  if (steps >= 1) return;
  fail<ValueError>(
      {.op = schedule,
       .what = "a number of steps is " + std::to_string(steps) + ", but must be at least 1",
       .where = where});
}

// The rate of a step that there is.
template <class Rate>
Schedule counted(std::string_view schedule, Location where, Rate rate) {
  return [schedule, where, rate = std::move(rate)](std::int64_t step) {
    if (step < 0)
      fail<ValueError>({.op = schedule,
                        .what = "there is no step " + std::to_string(step),
                        .where = where,
                        .help = "steps count from 0"});
    return static_cast<double>(rate(step));
  };
}

}  // namespace

Schedule constant_rate(double rate, Location where) {
  check_amount("constant_rate", "rate", rate, where);
  return counted("constant_rate", where, [=](std::int64_t) { return rate; });
}

Schedule step_decay(double rate, std::int64_t every, double factor, Location where) {
  check_amount("step_decay", "rate", rate, where);
  check_amount("step_decay", "factor", factor, where);
  check_steps("step_decay", every, where);
  return counted("step_decay", where, [=](std::int64_t step) {
    const std::int64_t times = step / every;
    return rate * std::pow(factor, static_cast<double>(times));
  });
}

Schedule exponential_decay(double rate, double gamma, Location where) {
  check_amount("exponential_decay", "rate", rate, where);
  check_amount("exponential_decay", "gamma", gamma, where);
  return counted("exponential_decay", where, [=](std::int64_t step) {
    return rate * std::pow(gamma, static_cast<double>(step));
  });
}

Schedule natural_decay(double rate, double k, Location where) {
  check_amount("natural_decay", "rate", rate, where);
  check_amount("natural_decay", "k", k, where);
  return counted("natural_decay", where, [=](std::int64_t step) {
    return rate * std::exp(-k * static_cast<double>(step));
  });
}

Schedule cosine_decay(double rate, std::int64_t steps, double last, Location where) {
  check_amount("cosine_decay", "rate", rate, where);
  check_amount("cosine_decay", "last", last, where);
  check_steps("cosine_decay", steps, where);
  return counted("cosine_decay", where, [=](std::int64_t step) {
    const double way = static_cast<double>(std::min(step, steps)) / static_cast<double>(steps);
    return last + (rate - last) * (1 + std::cos(std::numbers::pi * way)) / 2;
  });
}

Schedule warm_up(std::int64_t steps, Schedule then, Location where) {
  check_steps("warm_up", steps, where);
  if (!then)
    fail<ValueError>({.op = "warm_up",
                      .what = "the schedule that comes after it is an empty function",
                      .where = where,
                      .help = "constant_rate(0.01), or one of your own"});
  return counted("warm_up", where, [steps, then = std::move(then)](std::int64_t step) {
    if (step >= steps) return then(step - steps);
    return then(0) * static_cast<double>(step + 1) / static_cast<double>(steps);
  });
}

Schedule one_cycle(double peak, std::int64_t steps, const OneCycleOptions& options,
                   Location where) {
  check_amount("one_cycle", "peak", peak, where);
  check_steps("one_cycle", steps, where);
  for (const double divisor : {options.start_divisor, options.end_divisor})
    if (!(divisor > 0 && std::isfinite(divisor)))
      fail<ValueError>({.op = "one_cycle",
                        .what = "a divisor is " + std::to_string(divisor) + ", not above 0",
                        .where = where});
  const auto last = static_cast<double>(steps - 1);
  const double top = options.rising * static_cast<double>(steps) - 1;
  if (!(top > 0 && top < last))
    fail<ValueError>({.op = "one_cycle",
                      .what = "a share of " + std::to_string(options.rising) + " of " +
                              std::to_string(steps) + " steps leaves nothing to rise or fall in",
                      .where = where,
                      .help = "give more steps, or a share further from 0 and 1"});
  const double start = peak / options.start_divisor;
  const double end = start / options.end_divisor;
  return counted("one_cycle", where, [=](std::int64_t step) {
    const double now = std::min(static_cast<double>(step), last);
    const bool up = now <= top;
    const double way = up ? now / top : (now - top) / (last - top);
    const double from = up ? start : peak;
    const double to = up ? peak : end;
    return to + (from - to) * (1 + std::cos(std::numbers::pi * way)) / 2;
  });
}

}  // namespace dualtape
