// Steps of Dormand and Prince, whose lengths follow the error.
#include <array>
#include <cmath>
#include <limits>

#include <dualtape/core/composite.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/loops.hpp>
#include <dualtape/modes/odeint/odeint.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/like.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape::detail {
namespace {

// Hairer, Norsett, Wanner, II.5, table 5.2: times and weights of stages 2 to 7 (the last is at the
// end of the step, so its weights are those of the solution), then the weights of the solution
// less those of the one of order 4, and those of the last term of the interpolant.
constexpr std::array<double, 6> nodes{1. / 5, 3. / 10, 4. / 5, 8. / 9, 1, 1};
constexpr std::array<std::array<double, 6>, 6> stages{{
    {1. / 5},
    {3. / 40, 9. / 40},
    {44. / 45, -56. / 15, 32. / 9},
    {19372. / 6561, -25360. / 2187, 64448. / 6561, -212. / 729},
    {9017. / 3168, -355. / 33, 46732. / 5247, 49. / 176, -5103. / 18656},
    {35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784, 11. / 84},
}};
constexpr std::array<double, 7> error_weights{71. / 57600,      0,         -71. / 16695, 71. / 1920,
                                              -17253. / 339200, 22. / 525, -1. / 40};
constexpr std::array<double, 7> dense_weights{
    -12715105075. / 11282082432,  0,
    87487479700. / 32700410799,   -10690763975. / 1880347072,
    701980252875. / 199316789632, -1453857185. / 822651844,
    69997945. / 29380423};

// The root of the mean square of values[i] / scales[i] over all elements.
Var scaled_size(std::span<const Var> values, std::span<const Var> scales) {
  Var total;
  double count = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Var part = sum(square(values[i] / scales[i]));
    total = i == 0 ? part : total + part;
    count += static_cast<double>(values[i].shape().count());
  }
  return sqrt(total / std::max(count, 1.0));
}

std::vector<Var> scales_of(std::span<const Var> a, std::span<const Var> b,
                           const OdeOptions& options) {
  std::vector<Var> made;
  for (std::size_t i = 0; i < a.size(); ++i)
    made.push_back(options.atol + options.rtol * maximum(abs(a[i]), abs(b[i])));
  return made;
}

// The length of the first step, Hairer, Norsett, Wanner, II.4, "Starting step size", without
// looking beyond `to`, and a short one where f has no value at the place that is looked at.
Var first_length(const Field& f, Var t, Var to, std::span<const Var> y,
                 const std::vector<Var>& slope, Var direction, const OdeOptions& options) {
  const auto size = [&](std::span<const Var> values) {
    const Composite line("odeint", {In(t, f.where)});
    return scaled_size(values, scales_of(y, y, options));
  };
  const Var d0 = size(y), d1 = size(slope);
  Var h0;
  {
    const Composite line("odeint", {In(t, f.where)});
    h0 = minimum(where(logical_or(d0 < 1e-5, d1 < 1e-5), 1e-6, 0.01 * d0 / d1), abs(to - t));
  }
  const std::vector<std::vector<Var>> slopes{slope};
  const std::vector<Var> after =
      f(t + direction * h0, advanced(y, direction * h0, std::array{1.0}, slopes, f.where));
  const Composite line("odeint", {In(t, f.where)});
  std::vector<Var> change;
  for (std::size_t i = 0; i < y.size(); ++i) change.push_back(after[i] - slope[i]);
  const Var steepest = maximum(d1, size(change) / h0);
  const Var h1 = where(steepest <= 1e-15, maximum(1e-6, h0 * 1e-3), pow(0.01 / steepest, 0.2));
  return where(isfinite(steepest), minimum(100.0 * h0, h1), 1e-3 * h0);
}

Tried stages_of(const Field& f, const Place& place, Var h, const OdeOptions& options) {
  std::vector<std::vector<Var>> k{place.slope};
  std::vector<Var> y;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    y = advanced(place.y, h, std::span(stages[s]).first(s + 1), k, f.where);
    Var at;
    {
      const Composite line("odeint", {In(h, f.where)});
      at = place.t + nodes[s] * h;
    }
    k.push_back(f(at, y));
  }
  Tried made{.y = y, .slope = k.back()};
  const std::vector<Var> bent = weighted(h, dense_weights, k, f.where);
  const std::vector<Var> wrong = weighted(h, error_weights, k, f.where);
  const Composite line("odeint", {In(h, f.where)});
  for (std::size_t i = 0; i < y.size(); ++i) {
    const auto row = [](Var x) { return reshape(x, {x.shape().count()}); };
    const Var before = row(place.y[i]), change = row(y[i]) - before;
    const Var begins = row(h * place.slope[i]) - change;
    const Var ends = change - row(h * made.slope[i]) - begins;
    made.dense.push_back(stack(std::vector{before, change, begins, ends, row(bent[i])}));
  }
  made.error = stop_gradient(scaled_size(wrong, scales_of(place.y, y, options)));
  return made;
}

using FunctionPtr = std::shared_ptr<const Function>;

// Whether a step has a derivative by its input i: its length, the second one, counts as fixed.
bool moves(std::span<const Var> in, std::size_t i) { return i != 1 && is_floating(in[i].dtype()); }

// A step that is refused may have gone where f overflows. Its derivatives count for nothing, but
// zero times infinity would be NaN, so they are taken for a step of length zero.
std::vector<Var> harmless(std::span<const Var> in, Var error, Location here) {
  const Composite line("odeint", {In(error, here)});
  std::vector<Var> made(in.begin(), in.end());
  made[1] = where(error <= 1.0, in[1], zeros_like(in[1]));
  return made;
}

FunctionRules::Jvp tangents_of_step(const FunctionPtr& step) {
  return [step](std::span<const Var> in, std::span<const Var> out, std::span<const Var> tangents) {
    std::vector<Var> all = harmless(in, out.back(), step->where());
    std::vector<std::size_t> active;
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (!moves(in, i)) continue;
      active.push_back(i);
      all.push_back(tangents[i]);
    }
    const std::vector<In> arguments(all.begin(), all.end());
    return call_linear(tangents_of(*step, active), arguments, in.size());
  };
}

FunctionRules::Vjp cotangents_of_step(const FunctionPtr& step) {
  std::vector<Type> types;
  for (const Var& var : step->inputs()) types.push_back(var.type());
  for (const Var& var : step->outputs()) types.push_back(var.type());
  const std::size_t inputs = step->inputs().size();
  const auto body = [&](std::span<const Var> x) {
    const auto in = x.first(inputs);
    std::vector<Var> out = step->inlined(in, step->where());
    out.pop_back();  // the error has no derivative
    std::vector<Var> by;
    for (std::size_t i = 0; i < inputs; ++i)
      if (moves(in, i)) by.push_back(in[i]);
    return vjp(out, by, {x.begin() + static_cast<std::ptrdiff_t>(inputs), x.end() - 1},
               Unreachable::zero, step->where())
        .all();
  };
  const FunctionPtr pullback =
      Function::make("pullback of " + step->name(), types, body, step->where());
  return [step, pullback](std::span<const Var> in, std::span<const Var> out,
                          std::span<const Var> cotangents) {
    const std::vector<Var> all = joined({harmless(in, out.back(), step->where()), cotangents});
    const std::vector<In> arguments(all.begin(), all.end());
    const std::vector<Var> found = call(pullback, arguments, step->where());
    std::vector<Var> made;
    std::size_t next = 0;
    for (std::size_t i = 0; i < in.size(); ++i)
      made.push_back(moves(in, i) ? found[next++] : zeros_like(in[i]));
    return made;
  };
}

}  // namespace

Steps::Steps(const Field& f, std::span<const Var> y0, Var time, const OdeOptions& options)
    : f_(f), options_(options) {
  const Closure closure = closed(f, y0, time);
  captured_ = closure.captured;
  const std::size_t values = y0.size();
  std::vector<Type> types(2, Type{Shape{}, time.dtype()});
  for (int twice = 0; twice < 2; ++twice)
    for (const Var& y : y0) types.push_back(y.type());
  for (const Var& var : captured_) types.push_back(var.type());
  const auto body = [&](std::span<const Var> in) {
    const auto captured = in.subspan(2 + 2 * values);
    const auto slopes = [&](Var t, std::span<const Var> y) {
      return closure.function->inlined(joined({std::span<const Var>(&t, 1), y, captured}), f.where);
    };
    const auto y = in.subspan(2, values), slope = in.subspan(2 + values, values);
    const Place place{in[0], in[1], {}, {y.begin(), y.end()}, {slope.begin(), slope.end()}};
    const Tried made = stages_of({f.function, slopes, f.where}, place, in[1], options);
    return joined({made.y, made.slope, made.dense, std::span(&made.error, 1)});
  };
  const auto plain = Function::make(f.function, types, body, f.where);
  step_ = Function::make(f.function, types, body, f.where,
                         {tangents_of_step(plain), cotangents_of_step(plain)});
}

Tried Steps::tried(const Place& place, Var length) const {
  const std::vector<Var> all = joined(
      {std::span(&place.t, 1), std::span<const Var>(&length, 1), place.y, place.slope, captured_});
  const std::vector<In> arguments(all.begin(), all.end());
  const std::vector<Var> made = call(step_, arguments, f_.where);
  const auto part = [&](std::size_t k) {
    const auto first = made.begin() + static_cast<std::ptrdiff_t>(k * place.y.size());
    return std::vector<Var>(first, first + static_cast<std::ptrdiff_t>(place.y.size()));
  };
  return {part(0), part(1), stop_gradient({made.back(), f_.where}), part(2)};
}

std::vector<Var> Place::values() const {
  std::vector<Var> all{t, h, refused};
  all.insert(all.end(), y.begin(), y.end());
  all.insert(all.end(), slope.begin(), slope.end());
  return all;
}

Place Place::of(std::span<const Var> values, std::size_t count) {
  const auto y = values.subspan(3, count), slope = values.subspan(3 + count, count);
  return {values[0], values[1], values[2], {y.begin(), y.end()}, {slope.begin(), slope.end()}};
}

Place Steps::first(std::span<const Var> y0, Var from, Var to) const {
  const Field& f = f_;
  const OdeOptions& options = options_;
  Var direction;
  {
    const Composite line("odeint", {In(from, f.where)});
    direction = stop_gradient(sign(to - from));
  }
  const std::vector<Var> slope = f(from, y0);
  const Var length = options.first > 0 ? full_like(from, options.first, f.where)
                                       : first_length(f, from, to, y0, slope, direction, options);
  const Composite line("odeint", {In(from, f.where)});
  return {from,
          stop_gradient(direction * length),
          from.graph().constant(Tensor(false)),
          {y0.begin(), y0.end()},
          slope};
}

Stepped Steps::next(const Place& place, Var to) const {
  const Field& f = f_;
  Var length, end;
  {
    const Composite line("odeint", {In(to, f.where)});
    const Var rest = to - place.t;
    const Var last = abs(place.h) >= abs(rest);
    // By as much as the clock moves: far from zero t + h is rounded.
    const Var moved = (place.t + place.h) - place.t;
    length = stop_gradient(where(last, rest, moved));
    end = where(last, to, place.t + length);
  }
  Tried step = tried(place, length);
  const Composite line("odeint", {In(to, f.where)});
  const Var good = step.error <= 1.0;
  const Var most = where(place.refused, ones_like(to), 10.0);
  const Var wanted = minimum(most, maximum(0.2, 0.9 * pow(step.error, -0.2)));
  Place next{where(good, end, place.t),
             length * where(isfinite(step.error), wanted, 0.2),
             logical_not(good),
             {},
             {}};
  for (std::size_t i = 0; i < place.y.size(); ++i) {
    next.y.push_back(where(good, step.y[i], place.y[i]));
    next.slope.push_back(where(good, step.slope[i], place.slope[i]));
  }
  return {next, step, length, end, good};
}

Var ahead(Var t, Var from, Var to) { return (to - t) * sign(to - from) > 0.0; }

Var interpolated(Var dense, Var s) {
  const Var rest = 1.0 - s, bend = s * rest;
  const Var powers = stack(std::vector{s, bend, s * bend, bend * bend}, 1);
  return slice(dense, 0, 0, 1) + matmul(powers, slice(dense, 0, 1, 5));
}

// Whether no time is before the one it follows, in the direction of the last, and none is NaN.
Var in_order(Var times) {
  const std::int64_t count = times.shape()[0];
  const Var first = slice(times, 0, 0, 1), last = slice(times, 0, count - 1, count);
  const Var changes = slice(times, 0, 1, count) - slice(times, 0, 0, count - 1);
  return logical_and(all(changes * sign(last - first) >= 0.0), all(equal(times, times)));
}

OdeSolution solved_adaptively(const Field& f, std::span<const Var> y0, Var times,
                              const OdeOptions& options) {
  const std::int64_t count = times.shape()[0];
  const std::size_t values = y0.size();
  const auto line = [&] { return Composite("odeint", {In(times, f.where)}); };
  Var from, to;
  {
    const Composite here = line();
    from = reshape(slice(times, 0, 0, 1), Shape{});
    to = reshape(slice(times, 0, count - 1, count), Shape{});
  }
  const Steps steps(f, y0, times, options);
  const Place first = steps.first(y0, from, to);
  std::vector<Var> begin = first.values();
  {
    const Composite here = line();
    const Var known = unsqueeze(equal(times, from), 1);
    // The values at the start have a slope by that time.
    const Var since = where(known, unsqueeze(times - from, 1), 0.0);
    for (std::size_t i = 0; i < values; ++i) {
      const auto row = [](Var x) { return reshape(x, {1, x.shape().count()}); };
      const Var none = times.graph().constant(
          full(Shape{}, std::numeric_limits<double>::quiet_NaN(), y0[i].dtype()));
      const Var slope = where(isfinite(first.slope[i]), first.slope[i], 0.0);
      begin.push_back(where(known, row(y0[i]) + since * row(slope), none));
    }
  }
  const auto holds = [&](std::span<const Var> state) {
    const Composite here = line();
    return ahead(state[0], from, to);
  };
  const auto body = [&](std::span<const Var> state) {
    const Place place = Place::of(state, values);
    const Stepped step = steps.next(place, to);
    std::vector<Var> next = step.next.values();
    const Composite here = line();
    const Var behind = (times - place.t) * step.length > 0.0;
    const Var within = (step.end - times) * step.length >= 0.0;
    const Var hit = logical_and(step.good, logical_and(behind, within));
    const Var part = where(hit, times - place.t, zeros_like(times)) / step.length;
    for (std::size_t i = 0; i < values; ++i)
      next.push_back(where(unsqueeze(hit, 1), interpolated(step.tried.dense[i], part),
                           state[place.count() + i]));
    return next;
  };
  const std::vector<In> start(begin.begin(), begin.end());
  const WhileResult done = while_loop(holds, body, start, {.most = options.most}, f.where);
  const Composite here = line();
  OdeSolution made{
      {}, done.steps, logical_and(logical_not(ahead(done.state[0], from, to)), in_order(times))};
  for (std::size_t i = 0; i < values; ++i) {
    std::vector<std::int64_t> sizes{count};
    for (const std::int64_t size : y0[i].shape().sizes()) sizes.push_back(size);
    made.y.push_back(reshape(done.state[first.count() + i], sizes));
  }
  return made;
}

}  // namespace dualtape::detail
