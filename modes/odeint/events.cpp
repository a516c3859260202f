// The first time at which a function of the solution changes its sign.
#include <array>
#include <limits>
#include <string>

#include <dualtape/core/callable.hpp>
#include <dualtape/core/composite.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/loops.hpp>
#include <dualtape/modes/odeint/odeint.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/like.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace detail {
namespace {

using Vars = std::vector<Var>;

// A step, and values within it.
struct Within {
  Var t, length;
  Vars dense;
  std::vector<Shape> shapes;

  // The solution at a part of the step, 0 to 1.
  Vars at(Var part) const {
    Vars made;
    for (std::size_t i = 0; i < dense.size(); ++i)
      made.push_back(reshape(interpolated(dense[i], reshape(part, {1})), shapes[i]));
    return made;
  }
};

struct Event {
  OdeEvent g;
  Location where;

  Var operator()(Var t, std::span<const Var> y) const {
    const Var value = require_alive(g(t, y), "odeint_event", "what g returns", where);
    if (value.type() == t.type()) return value;
    const std::string label = value.label();
    const Complaint complaint{.op = "odeint_event",
                              .label = label,
                              .what = "g returns " + to_string(value.type()),
                              .where = where,
                              .help = "return one number of y's dtype"};
    if (value.rank() != 0) fail<ShapeError>(complaint);
    fail<TypeError>(complaint);
  }
};

// The steps up to the first that g changes its sign in. State: the place; whether there was a
// change; the sign before it; the last step that was taken.
struct Search {
  const Steps& steps;
  const Event& g;
  Var from, to;
  std::vector<Shape> shapes;

  Within step_of(std::span<const Var> last) const {
    return {last[0], last[1], {last.begin() + 2, last.end()}, shapes};
  }
  Composite line() const { return Composite("odeint_event", {In(to, g.where)}); }

  Vars start(std::span<const Var> y0) const {
    Vars all = steps.first(y0, from, to).values();
    const Var before = stop_gradient(sign(g(from, y0)));
    const Composite here = line();
    for (const Var& var : {from.graph().constant(Tensor(false)), before, from, zeros_like(from)})
      all.push_back(var);
    // Until there is a step, one of length zero.
    for (const Var& y : y0) {
      const Var flat = from.graph().constant(zeros({4, y.shape().count()}, y.dtype()));
      all.push_back(concat(std::vector{reshape(y, {1, y.shape().count()}), flat}));
    }
    return all;
  }
  Vars step(std::span<const Var> state) const {
    const Place place = Place::of(state, shapes.size());
    const auto rest = state.subspan(place.count());
    const Stepped step = steps.next(place, to);
    const Var now = sign(g(step.end, step.tried.y));
    const Composite here = line();
    const Var before = rest[1];
    const Var changed = logical_and(not_equal(before, 0.0), before * now <= 0.0);
    Vars all = step.next.values();
    all.push_back(logical_and(step.good, changed));
    all.push_back(where(logical_and(step.good, equal(before, 0.0)), now, before));
    all.push_back(where(step.good, place.t, rest[2]));
    all.push_back(where(step.good, step.length, rest[3]));
    for (std::size_t i = 0; i < shapes.size(); ++i)
      all.push_back(where(step.good, step.tried.dense[i], rest[4 + i]));
    return all;
  }
  // The part of the step, by bisection.
  Var part(const Within& step, Var before) const {
    const double least = to.dtype() == float32 ? std::numeric_limits<float>::epsilon()
                                               : std::numeric_limits<double>::epsilon();
    const auto body = [&](std::span<const Var> ends) -> Vars {
      const Var middle = (ends[0] + ends[1]) * 0.5;
      const Var there = sign(g(step.t + middle * step.length, step.at(middle)));
      const Var early = there * before > 0.0;
      return {where(early, middle, ends[0]), where(early, ends[1], middle)};
    };
    const auto wide = [&](std::span<const Var> ends) { return ends[1] - ends[0] > least; };
    const std::vector<In> whole{zeros_like(to), ones_like(to)};
    return while_loop(wide, body, whole, {.most = 64}, g.where).state[1];
  }
};

// The solution next to a time within a step: that of a step of its own up to there, which is more
// exact than the interpolant and its slopes are, continued by the derivatives that f says it has.
class Near {
 public:
  Near(const Field& f, const Steps& steps, const Within& step, Var part)
      : t_(step.t + stop_gradient(part * step.length)) {
    const Vars start = step.at(zeros_like(part));
    const Place place{step.t, step.length, {}, start, f(step.t, start)};
    Vars derivative = steps.tried(place, stop_gradient(t_ - step.t)).y;
    const Vars y = derivative;
    std::vector<Wrt> wrt{Wrt(t_, f.where)};
    for (const Var& var : y) wrt.emplace_back(var, f.where);
    Vars along{ones_like(t_)};
    for (std::size_t order = 0; order <= most; ++order) {
      derivatives_.push_back(derivative);
      if (order == 0) {
        derivative = f(t_, y);
        along.insert(along.end(), derivative.begin(), derivative.end());
        continue;
      }
      const std::vector<MaybeVar> next = forward_all(derivative, wrt, along, f.where);
      for (std::size_t i = 0; i < y.size(); ++i)
        derivative[i] = next[i] ? *next[i] : zeros_like(y[i]);
    }
  }
  Var time() const { return t_; }
  // Taylor's series. Nearby means that no value changes, but all derivatives up to the third.
  Vars at(Var t) const {
    const Var change = t - t_;
    Vars made = derivatives_[most];
    for (std::size_t order = most; order-- > 0;)
      for (std::size_t i = 0; i < made.size(); ++i)
        made[i] = derivatives_[order][i] + made[i] * change / static_cast<double>(order + 1);
    return made;
  }

 private:
  static constexpr std::size_t most = 3;
  Var t_;
  std::vector<Vars> derivatives_;  // by order
};

// `value`, whose derivatives are NaN where there are none. A cotangent of zero stays zero, as a
// tangent that nobody reads does no harm.
Var with_slope_if(Var there, Var value, Location where) {
  const auto itself = [](std::span<const Var> x) { return std::vector<Var>{x[0]}; };
  const auto none = [](Var like) {
    return like.graph().constant(
        full(Shape{}, std::numeric_limits<double>::quiet_NaN(), like.dtype()));
  };
  const auto tangent = [none](std::span<const Var> x, std::span<const Var>,
                              std::span<const Var> dx) {
    return std::vector<Var>{dx[0] * dualtape::where(x[1], ones_like(x[0]), none(x[0]))};
  };
  const auto cotangent = [none](std::span<const Var> x, std::span<const Var>,
                                std::span<const Var> c) {
    const Var lost = dualtape::where(equal(c[0], 0.0), zeros_like(c[0]), none(c[0]));
    return std::vector<Var>{dualtape::where(x[1], c[0], lost), zeros_like(x[1])};
  };
  const auto function = Function::make("odeint_event", {value.type(), there.type()}, itself, where,
                                       {tangent, cotangent});
  return call(function, std::vector<In>{In(value, where), In(there, where)}, where)[0];
}

// Newton's method on g(t, y(t)), from the time found by bisection: the value stays, to rounding,
// and each step doubles the order up to which derivatives are those of the zero. Where the steps do
// not become shorter, g jumps or has no slope to speak of; that time stands, and has no derivative.
Var polished(const Event& g, const Near& near, const Within& step) {
  const Var start = near.time();
  Var t = start + 0.0;  // a Var of its own, so that derivatives by it are not by `start`
  std::vector<Var> changes;
  Var first;
  for (int i = 0; i < 2; ++i) {
    const Var value = g(t, near.at(t));
    if (i == 0) first = value;
    const MaybeVar slope = forward_all({value}, {t}, {ones_like(t)}, g.where)[0];
    const Composite line("odeint_event", {In(t, g.where)});
    changes.push_back(value / (slope ? *slope : zeros_like(t)));
    t = t - changes.back();
  }
  const Composite line("odeint_event", {In(t, g.where)});
  const double rounding = t.dtype() == float32 ? 1e-6 : 1e-14;
  const Var least = rounding * maximum(abs(start), abs(step.length));
  const Var nearer = logical_and(abs(changes[0]) <= maximum(abs(step.length), least),
                                 abs(changes[1]) <= maximum(0.5 * abs(changes[0]), least));
  // Nothing in value, but the way by which a cotangent of NaN reaches all that the time depends on.
  const Var way = 0.0 * where(isfinite(first), first, zeros_like(first));
  return with_slope_if(nearer, where(nearer, t, stop_gradient(start)) + way, g.where);
}

}  // namespace
}  // namespace detail

OdeCrossing odeint_event(const OdeFunction& f, const OdeEvent& g, const std::vector<In>& y0,
                         In from, In to, const OdeOptions& options, Location where) {
  using namespace detail;
  require_callable(!is_null(f), "odeint_event", where);
  require_callable(!is_null(g), "odeint_event", where);
  const std::vector<Var> all = ode_operands("odeint_event", y0, std::array{from, to}, where);
  if (options.method != OdeMethod::dormand_prince)
    fail<ValueError>({.op = "odeint_event",
                      .what = "it goes by dormand_prince, not by rk4",
                      .where = where,
                      .help = "leave the method out"});
  require_options("odeint_event", options, all[0].dtype(), where);
  const std::size_t values = y0.size();
  for (std::size_t i = values; i < all.size(); ++i)
    if (all[i].rank() != 0)
      fail<ShapeError>({.op = "odeint_event",
                        .label = all[i].label(),
                        .what = "a time is " + to_string(all[i].type()),
                        .where = where,
                        .help = "it begins and ends at one number each"});
  const auto begin = std::span(all).first(values);
  const Event event{g, where};
  const Field field{"odeint_event", f, where};
  const Steps steps(field, begin, all[values], options);
  Search search{steps, event, all[values], all[values + 1], {}};
  for (const Var& y : begin) search.shapes.push_back(y.shape());
  const std::size_t count = 3 + 2 * values;
  const auto seeks = [&](std::span<const Var> s) {
    const Composite here = search.line();
    return logical_and(logical_not(s[count]), ahead(s[0], search.from, search.to));
  };
  const auto body = [&](std::span<const Var> s) { return search.step(s); };
  const std::vector<Var> start = search.start(begin);
  const std::vector<In> operands(start.begin(), start.end());
  const WhileResult done = while_loop(seeks, body, operands, {.most = options.most}, where);
  const auto last = std::span(done.state).subspan(count);
  const Within step = search.step_of(last.subspan(2));
  const Var part = search.part(step, last[1]);
  const Near near(field, steps, step, part);
  const Var t = polished(event, near, step);
  const Composite here = search.line();
  OdeCrossing made{{}, {}, last[0], done.steps};
  // Where there is none, NaN is added rather than chosen, so that its cotangent comes through.
  const Var none =
      dualtape::where(made.crossed, zeros_like(t), std::numeric_limits<double>::quiet_NaN());
  const auto if_crossed = [&](Var var) { return with_slope_if(made.crossed, var + none, where); };
  made.t = if_crossed(t);
  for (const Var& y : near.at(t)) made.y.push_back(if_crossed(y));
  return made;
}

}  // namespace dualtape
