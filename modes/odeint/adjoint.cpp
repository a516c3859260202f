// Reverse mode through the solution of another system, backwards in time.
#include <initializer_list>
#include <memory>

#include <dualtape/core/composite.hpp>
#include <dualtape/modes/call.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/loops.hpp>
#include <dualtape/modes/loops/closure.hpp>
#include <dualtape/modes/odeint/odeint.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/like.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape::detail {

Closure closed(const Field& f, std::span<const Var> y0, Var time) {
  Graph& graph = time.graph();
  std::vector<Var> given{stand_in_of_type(graph, {Shape{}, time.dtype()}, f.where)};
  for (const Var& y : y0) given.push_back(stand_in_of_type(graph, y.type(), f.where));
  const std::vector<Var> slopes = f(given[0], std::span(given).subspan(1));
  const std::vector<bool> depends = depending_on(graph, given);
  return close_over(f.function, graph, given, slopes,
                    {given[0].id(), [&](NodeId id) { return bool{depends[id]}; }}, f.where);
}

namespace {

using FunctionPtr = std::shared_ptr<const Function>;
using Vars = std::vector<Var>;

// (t, values, their cotangents, captured) -> the slopes of values, of their cotangents and of the
// cotangents of what is captured, as they change along t.
FunctionPtr backwards(const FunctionPtr& f, std::size_t values, Location where) {
  std::vector<Type> types;
  for (std::size_t i = 0; i < f->inputs().size(); ++i) types.push_back(f->inputs()[i].type());
  const auto after = types.begin() + static_cast<std::ptrdiff_t>(1 + values);
  const std::vector<Type> cotangents(types.begin() + 1, after);
  types.insert(after, cotangents.begin(), cotangents.end());
  const auto body = [&](std::span<const Var> in) {
    const auto y = in.subspan(1, values), a = in.subspan(1 + values, values);
    const auto captured = in.subspan(1 + 2 * values);
    const Vars slopes = f->inlined(joined({in.first(1), y, captured}), where);
    Vars by(y.begin(), y.end());
    for (const Var& var : captured)
      if (is_floating(var.dtype())) by.push_back(var);
    const Gradients pulled = vjp(slopes, by, {a.begin(), a.end()}, Unreachable::zero, where);
    Vars all = slopes;
    for (const Var& cotangent : pulled.all()) all.push_back(-cotangent);
    return all;
  };
  return Function::make("adjoint of " + f->name(), types, body, where);
}

// The rule of reverse mode.
struct Adjoint {
  FunctionPtr f;     // (t, y, captured) -> slopes
  FunctionPtr back;  // of backwards()
  std::size_t values;
  OdeOptions options;
  Location where;

  Vars slopes(Var t, std::span<const Var> y, std::span<const Var> captured) const {
    return f->inlined(joined({std::span(&t, 1), y, captured}), where);
  }
  // From one time to the one before: {y there, a, p} -> {a, p}.
  Vars solved_back(const Vars& state, Var here, Var before, std::span<const Var> captured) const {
    const auto field = [&](Var t, std::span<const Var> at) {
      return back->inlined(joined({std::span(&t, 1), at.first(2 * values), captured}), where);
    };
    const OdeSolution made =
        solved({f->name().c_str(), field, where}, state, stack(Vars{here, before}), options);
    Vars last;
    for (std::size_t i = values; i < state.size(); ++i)
      last.push_back(reshape(slice(made.y[i], 0, 1, 2), state[i].shape()));
    return last;
  }
  Vars operator()(std::span<const Var> in, std::span<const Var> out,
                  std::span<const Var> cotangents) const;
};

Var along(std::span<const Var> a, std::span<const Var> b) {
  Var total;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Var part = sum(a[i] * b[i]);
    total = i == 0 ? part : total + part;
  }
  return total;
}

Vars Adjoint::operator()(std::span<const Var> in, std::span<const Var> out,
                         std::span<const Var> cotangents) const {
  const Composite line(f->name(), {In(in[0], where)});
  const Var times = in[values];
  const auto captured = in.subspan(values + 1);
  const std::int64_t count = times.shape()[0];
  const auto part = [](Var x, std::int64_t from, std::int64_t to) { return slice(x, 0, from, to); };
  std::vector<In> slices{part(times, 1, count), part(times, 0, count - 1)};
  std::vector<In> start;
  for (std::size_t i = 0; i < values; ++i) slices.emplace_back(part(out[i], 1, count));
  for (std::size_t i = 0; i < values; ++i) {
    slices.emplace_back(part(cotangents[i], 1, count));
    start.emplace_back(zeros_like(in[i]));
  }
  for (const Var& var : captured)
    if (is_floating(var.dtype())) start.emplace_back(zeros_like(var));
  const auto body = [&](std::span<const Var> state, std::span<const Var> at) -> Step {
    const auto y = at.subspan(2, values), c = at.subspan(2 + values, values);
    Vars all(y.begin(), y.end());
    for (std::size_t i = 0; i < state.size(); ++i)
      all.push_back(i < values ? state[i] + c[i] : state[i]);
    return {solved_back(all, at[0], at[1], captured), {along(c, slopes(at[0], y, captured))}};
  };
  const Scanned done = scan(body, start, slices, {.reverse = true}, where);
  const Vars begin = slopes(reshape(part(times, 0, 1), Shape{}), in.first(values), captured);
  const auto a = std::span(done.state).first(values);
  const Var first = reshape(-along(a, begin), {1});
  Vars made;
  for (std::size_t i = 0; i < values; ++i)
    made.push_back(a[i] + reshape(part(cotangents[i], 0, 1), in[i].shape()));
  made.push_back(concat({first, done.out[0]}));
  std::size_t next = values;
  for (const Var& var : captured)
    made.push_back(is_floating(var.dtype()) ? done.state[next++] : dualtape::zeros_like(var));
  return made;
}

// Forward mode through the steps themselves.
FunctionRules::Jvp tangents_along(const FunctionPtr& plain) {
  return [plain](std::span<const Var> in, std::span<const Var> out, std::span<const Var> tangents) {
    std::vector<std::size_t> active;
    Vars all(in.begin(), in.end());
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (!is_floating(in[i].dtype())) continue;
      active.push_back(i);
      all.push_back(tangents[i]);
    }
    static_cast<void>(out);
    const std::vector<In> arguments(all.begin(), all.end());
    return call_linear(tangents_of(*plain, active), arguments, in.size());
  };
}

}  // namespace

OdeSolution solved_with_adjoint(const Field& field, std::span<const Var> y0, Var times,
                                const OdeOptions& options) {
  const std::size_t values = y0.size();
  const Closure closure = closed(field, y0, times);
  const FunctionPtr f = closure.function;
  const Vars all = joined({y0, std::span<const Var>(&times, 1), closure.captured});
  std::vector<Type> types;
  for (const Var& var : all) types.push_back(var.type());
  const auto body = [&](std::span<const Var> in) {
    const auto captured = in.subspan(values + 1);
    const auto slopes = [&](Var t, std::span<const Var> y) {
      return f->inlined(joined({std::span<const Var>(&t, 1), y, captured}), field.where);
    };
    const OdeSolution made =
        solved({field.function, slopes, field.where}, in.first(values), in[values], options);
    return joined({made.y, Vars{made.steps, made.reached}});
  };
  const FunctionPtr plain = Function::make(field.function, types, body, field.where);
  const Adjoint adjoint{f, backwards(f, values, field.where), values, options, field.where};
  const FunctionPtr ruled =
      Function::make(field.function, types, body, field.where, {tangents_along(plain), adjoint});
  const std::vector<In> arguments(all.begin(), all.end());
  const Vars out = call(ruled, arguments, field.where);
  return {{out.begin(), out.end() - 2}, out[values], out[values + 1]};
}

}  // namespace dualtape::detail
