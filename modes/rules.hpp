// For authors of modes: what the rules of a Mode (modes/mode.hpp) or a BackwardMode
// (modes/backward.hpp) are written with. Used by the thread that builds the graph.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include <dualtape/core/formula.hpp>
#include <dualtape/core/op.hpp>

namespace dualtape {

// A recorded formula on states in place of numbers: constant(double) makes the state of a literal,
// and step(prim, operands) that of a primitive, of one to three operands. What Op::recording() of
// an elementwise operator holds is gone through in its order; the last state is the result.
// GraphError unless there is one state for each input of the formula.
template <class State, class Constant, class Step>
State replay(const Recording& recording, std::span<const State> inputs, Constant constant,
             Step step, Location where = Location::current()) {
  if (inputs.size() != recording.inputs)
    fail<GraphError>({.op = "replay",
                      .what = "a formula of " + std::to_string(recording.inputs) + " inputs but " +
                              std::to_string(inputs.size()) + " states",
                      .where = where,
                      .help = "give the state of each operand"});
  std::vector<State> done;
  for (const Recording::Step& now : recording.steps) {
    if (now.prim == Prim::input) {
      done.push_back(inputs[now.a]);
    } else if (now.prim == Prim::constant) {
      done.push_back(constant(now.constant));
    } else {
      const std::array<std::uint16_t, 3> places{now.a, now.b, now.c};
      std::vector<State> operands;
      for (std::size_t i = 0; i < operand_count(now.prim); ++i) operands.push_back(done[places[i]]);
      done.push_back(step(now, std::span<const State>(operands)));
    }
  }
  return done.back();
}

// The graph operator that does what a primitive does: "where" for select, else the one of its name.
// GraphError for `constant` and `input`, which are none.
const Op& operator_of(Prim prim, Location where = Location::current());

// `x`, whose shape `shape` was broadcast to, summed over what broadcasting repeated. GraphError for
// an empty Var; ShapeError where `shape` does not broadcast to that of x.
Var sum_to_shape(Var x, const Shape& shape, Location where = Location::current());

// GraphError that names the node's operator, label and line: `mode` cannot carry a state through
// it, and why.
[[noreturn]] void refuse_node(const NodeView& node, std::string_view mode, const std::string& why);

}  // namespace dualtape
