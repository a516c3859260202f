// Learning rates as functions of the step, counted from 0. They are evaluated between runs and fed,
// so a schedule recompiles nothing. Plain callables without state; any thread may call.
#pragma once

#include <cstdint>
#include <functional>

#include <dualtape/core/error.hpp>

namespace dualtape {

using Schedule = std::function<double(std::int64_t step)>;

// All makers throw ValueError for rates or factors that are negative or not finite, and for numbers
// of steps below 1; what they make throws it for a step below 0. Both name the maker's line.

Schedule constant_rate(double rate, Location where = Location::current());
// rate * factor^floor(step / every)
Schedule step_decay(double rate, std::int64_t every, double factor = 0.1,
                    Location where = Location::current());
// rate * gamma^step
Schedule exponential_decay(double rate, double gamma, Location where = Location::current());
// rate * e^(-k step)
Schedule natural_decay(double rate, double k, Location where = Location::current());
// From `rate` at step 0 along half a cosine to `last` at step `steps`, then constant: Loshchilov
// and Hutter, ICLR 2017, without restarts.
Schedule cosine_decay(double rate, std::int64_t steps, double last = 0,
                      Location where = Location::current());
// Straight up to `then`: its first value times (step + 1) / steps for the first `steps` steps, then
// `then` from its own step 0.
Schedule warm_up(std::int64_t steps, Schedule then, Location where = Location::current());

struct OneCycleOptions {
  double rising = 0.3;         // share of the steps, between 0 and 1
  double start_divisor = 25;   // it starts at peak / start_divisor
  double end_divisor = 10000;  // and ends at the start's rate / end_divisor
};
// Half a cosine up to `peak`, which step rising * steps - 1 reaches, and half a cosine down to step
// steps - 1, then constant: Smith and Topin, arXiv 1708.07120, with the numbers of
// torch.optim.lr_scheduler.OneCycleLR. Also throws ValueError where no step is left for a half.
Schedule one_cycle(double peak, std::int64_t steps, const OneCycleOptions& options = {},
                   Location where = Location::current());

}  // namespace dualtape
