// Functions of what a user's lambdas compute, all of the same constants; and what user's options
// and functions have to be.
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <dualtape/core/leaves.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/implicit/system.hpp>
#include <dualtape/modes/loops/closure.hpp>
#include <dualtape/modes/loops/loop.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/modes/walk/copy.hpp>
#include <dualtape/modes/walk/linearity.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>

namespace dualtape::detail {

Made Closing::belongs() const {
  return {first_, [this](NodeId id) { return id >= first_ && !is_leaf(*graph_.node(id).op); }};
}

void Closing::capture(Var stand_in, std::span<const Var> outputs) {
  std::vector<Var> known = constants_;
  known.push_back(stand_in);
  for (const Var& var : captured_by(graph_, known, outputs, belongs())) constants_.push_back(var);
}

FunctionPtr Closing::function(std::string name, Var stand_in, std::span<const Var> outputs) const {
  std::vector<Var> inputs = constants_;
  inputs.push_back(stand_in);
  return close_over(std::move(name), graph_, inputs, outputs, belongs(), where_).function;
}

ClosedMap close_map(std::string name, Graph& graph, Var stand_in, Var result, Location where) {
  const std::vector<bool> depends = depending_on(graph, std::array{stand_in});
  const Made belongs{stand_in.id(), [&](NodeId id) { return id < depends.size() && depends[id]; }};
  ClosedMap made;
  made.captured = captured_by(graph, std::array{stand_in}, std::array{result}, belongs);
  std::vector<Var> inputs = made.captured;
  inputs.push_back(stand_in);
  made.function =
      close_over(std::move(name), graph, inputs, std::array{result}, belongs, where).function;
  return made;
}

Var ClosedMap::operator()(Var x) const {
  std::vector<Var> arguments = captured;
  arguments.push_back(x);
  return function->inlined(arguments, function->where())[0];
}

MaybeVar moved_by_constants(const Function& function, std::span<const Var> inputs,
                            std::span<const MaybeVar> tangents) {
  std::vector<std::size_t> active;
  std::vector<In> arguments(inputs.begin(), inputs.end());
  for (std::size_t i = 0; i + 1 < inputs.size(); ++i) {
    if (!tangents[i]) continue;
    std::vector<bool> alone(inputs.size());
    alone[i] = true;
    if (!reached_outputs(function, alone, true)[0]) continue;
    active.push_back(i);
    arguments.emplace_back(*tangents[i]);
  }
  if (active.empty()) return {};
  return call_linear(tangents_of(function, active), arguments, inputs.size())[0];
}

void require_linear(const char* what, const Function& function, Location where) {
  const Linearity found = linearity_of(std::array{function.inputs().back()}, function.outputs());
  if (found.broken_by) {
    const Node& node = function.graph().node(*found.broken_by);
    fail<DerivativeError>({.op = "linear_solve",
                           .what = std::string(what) + " is not linear: '" +
                                   std::string(node.op->name()) + "', made at " +
                                   to_string(node.where) + ", is not" + found.within,
                           .where = where,
                           .help = "move what does not depend on v to the right side; root() "
                                   "solves what is not linear"});
  }
  if (!found.moves[0])
    fail<DerivativeError>({.op = "linear_solve",
                           .what = std::string(what) + " does not depend on its argument",
                           .where = where,
                           .help = "return the product of a matrix and the argument"});
}

double tolerance_for(const char* function, double asked, const Type& type, Location where) {
  if (!is_floating(type.dtype))
    fail<TypeError>({.op = function,
                     .what = "the unknown is " + to_string(type) + ", and solvers want floats",
                     .where = where,
                     .help = "cast it to dt::float32 or dt::float64"});
  if (asked == 0) return type.dtype == float64 ? 1e-12 : 1e-5;
  if (std::isfinite(asked) && asked > 0) return asked;
  fail<ValueError>({.op = function,
                    .what = "the tolerance is " + std::to_string(asked),
                    .where = where,
                    .help = "a number above 0, or 0 for the dtype's default"});
}

void require_steps(const char* function, const char* option, std::int64_t steps, Location where) {
  if (steps >= 1) return;
  fail<ValueError>({.op = function,
                    .what = std::string(option) + " is " + std::to_string(steps),
                    .where = where,
                    .help = "a number of steps, 1 at least"});
}

Var require_same_type(const char* function, const char* what, Var given, const Type& type,
                      Location where) {
  const Var now = require_alive(given, function, what, where);
  if (now.type() == type) return now;
  const std::string label = now.label();
  const Complaint complaint{.op = function,
                            .label = label,
                            .what = std::string(what) + " is " + to_string(now.type()) +
                                    " where it takes " + to_string(type),
                            .where = where,
                            .help = "return the shape and dtype of the argument"};
  if (now.shape() != type.shape) fail<ShapeError>(complaint);
  fail<TypeError>(complaint);
}

// The tape's entries as nodes of the graph: they are linear, also where forward mode would carry
// values along, and their coefficients are nodes already.
VarMap derivative_of(Var y, Var x, Location where) {
  const auto linear = std::make_shared<const Linearized>(std::vector{y}, WrtList{x}, where);
  const Shape shape = y.shape();
  return [linear, shape](Var v) {
    const MaybeVar along = copy_of_entries(*linear, std::array{v}, v.graph(),
                                           [](Var coefficient) { return coefficient; })[0];
    return along ? broadcast_as(*along, shape) : zeros_like(v);
  };
}

Var inner(Var a, Var b) { return sum(a * b); }
Var norm_of(Var x) { return sqrt(inner(x, x)); }

Var steps_of(const char* function, const Solved& solved, Location where) {
  if (!solved.steps.defined()) return solved.x.graph().constant(-1, int64);
  return require_same_type(function, "the number of steps", solved.steps, {Shape{}, int64}, where);
}

}  // namespace dualtape::detail
