#include <dualtape/modes/loops.hpp>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>

#include <dualtape/core/callable.hpp>
#include <dualtape/core/composite.hpp>
#include <dualtape/modes/loops/closure.hpp>
#include <dualtape/modes/loops/loop.hpp>
#include <dualtape/ops/arithmetic.hpp>

namespace dualtape {
namespace {

using detail::Closure;
using detail::Loop;

// The operands of a loop in one graph: with what is carried first.
std::vector<Var> operands_of(const char* function, const std::vector<In>& start,
                             const std::vector<In>& xs, Location where) {
  std::vector<In> all(start.begin(), start.end());
  all.insert(all.end(), xs.begin(), xs.end());
  if (all.empty())
    fail<GraphError>({.op = function,
                      .what = "nothing is carried and nothing is sliced",
                      .where = where,
                      .help = "give a start value, at least one"});
  const Composite operands(function, all);
  if (operands.graph().parent() != nullptr)
    fail<GraphError>({.op = function,
                      .what = "a loop is made on the tape of reverse mode",
                      .where = where,
                      .help = "make it outside of a rule's linear part"});
  return operands.operands();
}

// The types of body results and of what is carried, which are the same.
void require_carried(const char* function, std::span<const Var> before, std::span<const Var> after,
                     Location where) {
  if (before.size() != after.size())
    fail<GraphError>({.op = function,
                      .what = "its body returns " + std::to_string(after.size()) +
                              " carried values, and is given " + std::to_string(before.size()),
                      .where = where,
                      .help = "return one for each start value"});
  for (std::size_t i = 0; i < before.size(); ++i) {
    const Var now = detail::require_alive(after[i], function, "what the body returns", where);
    if (now.type() == before[i].type()) continue;
    const std::string label = now.label();
    const Complaint complaint{
        .op = function,
        .label = label,
        .what = "carried value " + std::to_string(i) + " is " + to_string(before[i].type()) +
                " before a step and " + to_string(now.type()) + " after it",
        .where = where,
        .help = "start with a value of the shape and dtype that the body returns"};
    if (now.shape() != before[i].shape()) fail<ShapeError>(complaint);
    fail<TypeError>(complaint);
  }
}

std::vector<Var> stand_ins(Graph& graph, std::span<const Type> types, Location where) {
  std::vector<Var> made;
  for (const Type& type : types) made.push_back(detail::stand_in_of_type(graph, type, where));
  return made;
}

// The body of a loop as a function, and the operands that go with what it captures.
void close(Loop& loop, const char* function, Graph& graph, std::span<const Var> given,
           std::span<const Var> results, std::vector<Var>& operands, Location where) {
  std::optional<std::vector<bool>> depends;
  const auto belongs = [&](NodeId id) {
    if (!depends) depends = detail::depending_on(graph, given);
    return bool{(*depends)[id]};
  };
  const Closure closure = detail::close_over(
      function, graph, given, results, {given.empty() ? NodeId{0} : given[0].id(), belongs}, where);
  loop.body = closure.function;
  operands.insert(operands.end(), closure.captured.begin(), closure.captured.end());
}

void set_kept(Loop& loop, const Keep& keep, const char* function, Location where) {
  const auto refuse = [&](const std::string& what, const char* help) {
    fail<ValueError>({.op = function, .what = what, .where = where, .help = help});
  };
  const int given =
      (keep.states != 0 ? 1 : 0) + (keep.bytes != 0 ? 1 : 0) + (keep.every != 0 ? 1 : 0);
  if (given > 1) refuse("what to keep is said in two ways", "give states, bytes or every");
  if (keep.states < 0 || keep.every < 0)
    refuse("it is to keep " + std::to_string(std::min(keep.states, keep.every)) + " states",
           "give a number from 1 on, or 0 for all");
  if (keep.every > 0 && loop.stops)
    refuse("every so many states are to be kept of a loop whose steps only the run tells",
           "give the number of states: {.keep = {.states = 16}}");
  // No more than there are.
  const std::int64_t all = std::max<std::int64_t>(loop.length, 1);
  loop.states = std::min(keep.states, all);
  loop.every = std::min(keep.every, all);
  if (keep.bytes == 0) return;
  std::size_t state = 0;
  for (std::size_t i = 0; i < loop.carried; ++i)
    state += (bytes_of(loop.body->inputs()[i].type()) + 63) / 64 * 64;
  if (keep.bytes < state)
    refuse("one state has " + std::to_string(state) + " bytes, and " + std::to_string(keep.bytes) +
               " are to be kept",
           "allow one state at least, better ten");
  loop.states = static_cast<std::int64_t>(
      std::min(keep.bytes / std::max<std::size_t>(state, 1), static_cast<std::size_t>(all)));
}

Type slice_type(const Type& type) { return {Shape(type.shape.sizes().subspan(1)), type.dtype}; }

std::int64_t length_of(std::span<const Var> xs, const ScanOptions& options, Location where) {
  std::int64_t length = options.length;
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const auto refuse = [&](std::string what) {
      fail<ShapeError>({.op = "scan",
                        .label = xs[i].label(),
                        .what = "what is sliced, " + to_string(xs[i].type()) + ", " + what,
                        .where = where,
                        .help = "its first axis has one slice for each step"});
    };
    if (xs[i].rank() == 0) refuse("has no axis");
    if (length < 0) length = xs[i].shape()[0];
    if (xs[i].shape()[0] != length)
      refuse("has " + std::to_string(xs[i].shape()[0]) + " slices for " + std::to_string(length) +
             " steps");
  }
  if (length >= 0) return length;
  fail<ValueError>({.op = "scan",
                    .what = "the number of steps is not known",
                    .where = where,
                    .help = "give something to slice, or {.length = n}"});
}

std::int64_t steps_between(std::int64_t first, std::int64_t last, Location where) {
  if (last <= first) return 0;
  const std::uint64_t steps = static_cast<std::uint64_t>(last) - static_cast<std::uint64_t>(first);
  if (steps > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    fail<ValueError>({.op = "fori",
                      .what = "from " + std::to_string(first) + " to " + std::to_string(last) +
                              " are more steps than can be counted",
                      .where = where,
                      .help = "give numbers that are nearer to each other"});
  return static_cast<std::int64_t>(steps);
}

}  // namespace

Scanned scan(const ScanBody& body, const std::vector<In>& start, const std::vector<In>& xs,
             const ScanOptions& options, Location where) {
  detail::require_callable(!detail::is_null(body), "scan", where);
  std::vector<Var> operands = operands_of("scan", start, xs, where);
  Graph& graph = operands[0].graph();
  Loop loop;
  loop.carried = start.size();
  loop.sliced = xs.size();
  loop.backward = options.reverse;
  loop.length = length_of(std::span(operands).subspan(loop.carried), options, where);
  std::vector<Type> types;
  for (std::size_t i = 0; i < operands.size(); ++i)
    types.push_back(i < loop.carried ? operands[i].type() : slice_type(operands[i].type()));
  const std::vector<Var> given = stand_ins(graph, types, where);
  const auto state = std::span(given).first(loop.carried);
  Step step = body(state, std::span(given).subspan(loop.carried));
  require_carried("scan", state, step.state, where);
  std::vector<Var> results = step.state;
  results.insert(results.end(), step.out.begin(), step.out.end());
  if (results.empty())
    fail<GraphError>({.op = "scan",
                      .what = "its body returns nothing",
                      .where = where,
                      .help = "return what is carried, or what is stacked"});
  close(loop, "scan", graph, given, results, operands, where);
  set_kept(loop, options.keep, "scan", where);
  const std::vector<Var> out = detail::apply_loop(loop, operands);
  const auto last = out.begin() + static_cast<std::ptrdiff_t>(loop.carried);
  return {{out.begin(), last}, {last, out.end()}};
}

std::vector<Var> fori(std::int64_t first, std::int64_t last, const std::vector<In>& state,
                      const ForBody& body, const Keep& keep, Location where) {
  detail::require_callable(!detail::is_null(body), "fori", where);
  std::vector<Var> operands = operands_of("fori", state, {}, where);
  Graph& graph = operands[0].graph();
  std::vector<Type> types{{Shape{}, int64}};
  for (const Var& var : operands) types.push_back(var.type());
  std::vector<Var> given = stand_ins(graph, types, where);
  const Var step = given[0];
  const auto before = std::span(given).subspan(1);
  std::vector<Var> results = body(step, before);
  require_carried("fori", before, results, where);
  // The number of the step is carried, so that no list of them is made, or left out.
  const std::vector<bool> counts = detail::depending_on(graph, std::span(given).first(1));
  const bool read = std::ranges::any_of(results, [&](Var var) { return counts[var.id()]; });
  if (read) {
    results.insert(results.begin(), step + 1);
    operands.insert(operands.begin(), graph.constant(Tensor::scalar(first)));
  } else {
    given.erase(given.begin());
  }
  Loop loop;
  loop.carried = results.size();
  loop.length = steps_between(first, last, where);
  close(loop, "fori", graph, given, results, operands, where);
  set_kept(loop, keep, "fori", where);
  std::vector<Var> out = detail::apply_loop(loop, operands);
  if (read) out.erase(out.begin());
  return out;
}

WhileResult while_loop(const WhileCondition& condition, const WhileBody& body,
                       const std::vector<In>& start, const WhileOptions& options, Location where) {
  detail::require_callable(!detail::is_null(condition), "while_loop", where);
  detail::require_callable(!detail::is_null(body), "while_loop", where);
  if (options.most < 0)
    fail<ValueError>({.op = "while_loop",
                      .what = "the most steps are " + std::to_string(options.most),
                      .where = where,
                      .help = "a number from 0 on"});
  const std::vector<Var> begin = operands_of("while_loop", start, {}, where);
  Graph& graph = begin[0].graph();
  const auto holds = [&](std::span<const Var> state) {
    const Var var = detail::require_alive(condition(state), "while_loop", "the condition", where);
    const Complaint complaint{.op = "while_loop",
                              .what = "its condition is " + to_string(var.type()),
                              .where = where,
                              .help = "return one truth value: a comparison, or any(...)"};
    if (var.dtype() != boolean) fail<TypeError>(complaint);
    if (var.rank() != 0) fail<ShapeError>(complaint);
    return var;
  };
  std::vector<Type> types{{Shape{}, boolean}};
  for (const Var& var : begin) types.push_back(var.type());
  const std::vector<Var> given = stand_ins(graph, types, where);
  const auto state = std::span(given).subspan(1);
  std::vector<Var> results = body(state);
  require_carried("while_loop", state, results, where);
  results.insert(results.begin(), holds(results));
  Loop loop;
  loop.carried = results.size();
  loop.length = options.most;
  loop.stops = true;
  std::vector<Var> operands{holds(begin)};
  operands.insert(operands.end(), begin.begin(), begin.end());
  close(loop, "while_loop", graph, given, results, operands, where);
  set_kept(loop, options.keep, "while_loop", where);
  const std::vector<Var> out = detail::apply_loop(loop, operands);
  return {{out.begin() + 1, out.end() - 1}, out.back()};
}

}  // namespace dualtape
