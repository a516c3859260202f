// Loops and branches as nodes: one node, however many steps it takes.
//
//   auto [last, all] = dt::scan([&](dt::Var h, dt::Var x) {       // running sums
//     const dt::Var next = h + x;
//     return std::pair{next, next};
//   }, dt::zeros({3}), xs);                                       // xs: (steps, 3)
//   dt::Var y = dt::fori(0, 100, x, [&](dt::Var i, dt::Var y) { return y + dt::sin(y) / 10; });
//   auto [root, steps] = dt::while_loop([&](dt::Var x) { return dt::abs(x * x - a) > 1e-12; },
//                                       [&](dt::Var x) { return (x + a / x) / 2; }, a);
//   dt::Var z = dt::cond(x > 0, [&] { return dt::log(x); }, [&] { return x - 1; });
//
// A body is called once, while the graph is built, on Vars that stand for the values of one step.
// What it captures, Vars and Parameters, is the same in every step, and derivatives reach it. Every
// mode goes through, and they nest: forward mode in memory that does not grow with the steps;
// reverse mode keeps what the derivatives of all steps need. A loop whose end is found out as it
// runs has a bound, `most`. Building is for one thread at a time, as for any graph.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// What the body of a scan returns: the carried values of the next step, and what is stacked.
struct Step {
  std::vector<Var> state;
  std::vector<Var> out = {};
};
// The carried values after the last step, and what was stacked, with the steps as first axis.
struct Scanned {
  std::vector<Var> state;
  std::vector<Var> out;
};
// What reverse mode keeps of a loop: by default all that the derivatives of every step need. Else
// it keeps carried values of some steps, its states, the start among them, and runs the steps
// between again. One of the three; ValueError for a negative number, or for bytes that hold no
// state.
struct Keep {
  std::int64_t states = 0;  // as many at most, by the schedule that takes the fewest steps
  std::size_t bytes = 0;    // as many as fit in
  std::int64_t every = 0;   // the state before every so many steps, and those of as many steps
};

struct ScanOptions {
  std::int64_t length = -1;  // the number of steps; may be left out where something is sliced
  bool reverse = false;      // from the last slice to the first; what is stacked keeps its place
  Keep keep = {};
};

using ScanBody = std::function<Step(std::span<const Var> state, std::span<const Var> slice)>;

// Runs `body` for one slice of `xs`, along their first axis, after the other. `start` are the
// carried values; they keep their shapes and dtypes. One of all operands is a Var, the others may
// be Parameters, Tensors or numbers. GraphError, ShapeError or TypeError for what does not fit,
// ValueError without a length; what the body throws.
Scanned scan(const ScanBody& body, const std::vector<In>& start, const std::vector<In>& xs,
             const ScanOptions& options = {}, Location where = Location::current());

// State and index before a step -> state after it.
using ForBody = std::function<std::vector<Var>(Var i, std::span<const Var> state)>;
// `state` after `body` for i = first ... last - 1, an int64 scalar; as it is where last <= first.
std::vector<Var> fori(std::int64_t first, std::int64_t last, const std::vector<In>& state,
                      const ForBody& body, const Keep& keep = {},
                      Location where = Location::current());

struct WhileOptions {
  // Steps. Reverse mode takes room for as many, unless `keep` says how many states it may keep
  // (`every` is of no use where only the run tells the number of steps: ValueError).
  std::int64_t most = 1000;
  Keep keep = {};
};
struct WhileResult {
  std::vector<Var> state;
  Var steps;  // int64 (): how many were taken; `most` where the condition still holds
};
using WhileCondition = std::function<Var(std::span<const Var> state)>;  // -> bool ()
using WhileBody = std::function<std::vector<Var>(std::span<const Var> state)>;
// Runs `body` while `condition` holds, `most` times at most. TypeError or ShapeError unless the
// condition is one truth value.
WhileResult while_loop(const WhileCondition& condition, const WhileBody& body,
                       const std::vector<In>& start, const WhileOptions& options = {},
                       Location where = Location::current());

using Branch = std::function<std::vector<Var>()>;
// The results of one branch: of branches[index], the first or last where there is none of that
// number. `index` is an integer scalar. Only that branch runs. All return as many Vars, of the same
// shapes and dtypes: ShapeError or TypeError otherwise.
std::vector<Var> switch_case(Var index, const std::vector<Branch>& branches,
                             Location where = Location::current());
// `then` where the predicate, a bool scalar, is true, else `otherwise`.
std::vector<Var> cond(Var predicate, const Branch& then, const Branch& otherwise,
                      Location where = Location::current());

// A chain of layers, each of the results of the one before, of which reverse mode keeps some: what
// goes into every so many layers, or into as many as `states` says, by the schedule that runs the
// fewest layers again. Layers may capture Vars and Parameters, and results may change their shapes
// from one to the next, so that bytes cannot be told beforehand: ValueError.
using Layer = std::function<std::vector<Var>(std::span<const Var>)>;
std::vector<Var> chain(const std::vector<Layer>& layers, const std::vector<In>& start,
                       const Keep& keep = {}, Location where = Location::current());

// One carried value, and one thing sliced and stacked
// ----------------------------------------------

template <class S, class Y>
struct ScanResult {
  S state;
  Y out;
};

// body(state, slice) -> {state, out}, as a std::pair.
template <class F>
requires std::is_invocable_r_v < std::pair<Var, Var>,
const F&, Var,
    Var > ScanResult<Var, Var> scan(const F& body, In start, In xs, const ScanOptions& options = {},
                                    Location where = Location::current()) {
  const auto step = [&body](std::span<const Var> state, std::span<const Var> slice) -> Step {
    const std::pair<Var, Var> made = body(state[0], slice[0]);
    return {{made.first}, {made.second}};
  };
  Scanned all = scan(ScanBody(step), std::vector<In>{start}, std::vector<In>{xs}, options, where);
  return {all.state[0], all.out[0]};
}
// body(state, slice) -> state: the last one.
template <class F>
requires std::is_invocable_r_v<Var, const F&, Var, Var> Var
scan(const F& body, In start, In xs, const ScanOptions& options = {},
     Location where = Location::current()) {
  const auto step = [&body](std::span<const Var> state, std::span<const Var> slice) -> Step {
    return {{body(state[0], slice[0])}, {}};
  };
  return scan(ScanBody(step), std::vector<In>{start}, std::vector<In>{xs}, options, where).state[0];
}

template <class F>
requires std::is_invocable_r_v<Var, const F&, Var, Var> Var
fori(std::int64_t first, std::int64_t last, In state, const F& body, const Keep& keep = {},
     Location where = Location::current()) {
  const auto step = [&body](Var i, std::span<const Var> s) {
    return std::vector<Var>{body(i, s[0])};
  };
  return fori(first, last, std::vector<In>{state}, ForBody(step), keep, where)[0];
}

struct WhileVar {
  Var state;
  Var steps;
};
template <class C, class F>
requires(std::is_invocable_r_v<Var, const C&, Var>&& std::is_invocable_r_v<Var, const F&, Var>)
    WhileVar while_loop(const C& condition, const F& body, In start,
                        const WhileOptions& options = {}, Location where = Location::current()) {
  const auto holds = [&condition](std::span<const Var> s) -> Var { return condition(s[0]); };
  const auto step = [&body](std::span<const Var> s) { return std::vector<Var>{body(s[0])}; };
  const WhileResult result =
      while_loop(WhileCondition(holds), WhileBody(step), std::vector<In>{start}, options, where);
  return {result.state[0], result.steps};
}

template <class A, class B>
requires(std::is_invocable_r_v<Var, const A&>&& std::is_invocable_r_v<Var, const B&>) Var
    cond(Var predicate, const A& then, const B& otherwise, Location where = Location::current()) {
  return cond(predicate, Branch([&then] { return std::vector<Var>{then()}; }),
              Branch([&otherwise] { return std::vector<Var>{otherwise()}; }), where)[0];
}

}  // namespace dualtape
