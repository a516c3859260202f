// How the node of a loop is laid out. Private to the files of loops. Plain values, any thread.
//
// A loop runs its body once for each step. Operands of the node: the number of steps if it is
// counted, the carried values as they start, the sliced ones with the steps as first axis, the
// constants. The body takes carried values, one slice of each sliced one, and constants; it returns
// the carried values of the next step, and what is stacked. The node's outputs: the last carried
// values, what was stacked with the steps as first axis, and the number of steps if it may stop.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <dualtape/core/op.hpp>
#include <dualtape/modes/call.hpp>

namespace dualtape::detail {

using FunctionPtr = std::shared_ptr<const Function>;

struct Loop {
  FunctionPtr body;
  std::size_t carried = 0;
  std::size_t sliced = 0;
  std::int64_t length = 0;  // the most steps
  bool backward = false;    // from the last slice to the first
  bool stops = false;       // carried value 0 says whether there is another step
  bool counted = false;
  // The operands in which the node is linear, and then in all carried ones, ascending; none for a
  // node that is not.
  Ints linear;
  // The body of the loop whose results this one computes, too, and where its operands and outputs
  // are among this one's; null where there is none.
  FunctionPtr primal;
  Ints primal_operands;
  Ints primal_outputs;
  // What reverse mode keeps: at most so many states, or every so many steps one; 0 and 0 for all
  // that derivatives need.
  std::int64_t states = 0;
  std::int64_t every = 0;

  Loop() = default;
  explicit Loop(const Attributes& attributes);
  Attributes attributes() const;

  std::size_t constants() const { return body->inputs().size() - carried - sliced; }
  std::size_t stacked() const { return body->outputs().size() - carried; }
  std::size_t operands() const { return first() + body->inputs().size(); }
  std::size_t outputs() const { return body->outputs().size() + (stops ? 1 : 0); }
  std::size_t first() const { return counted ? 1 : 0; }  // carried operand
  bool is_carried(std::size_t input) const { return input < carried; }
  bool is_sliced(std::size_t input) const { return input >= carried && input < carried + sliced; }
  bool is_linear(std::size_t operand) const;
  bool scheduled() const { return states > 0 || every > 0; }

  Type with_steps(const Type& slice) const;
  // Of the operand for input i of the body, and of the node's output i.
  Type operand_type(std::size_t input) const;
  Type output_type(std::size_t output) const;
};

// The operator of all loops, and a node of it.
const Op& loop_operator();
std::vector<Var> apply_loop(const Loop& loop, std::span<const Var> operands);

// The operator of switch_case, and the branches of a node of it, which all read its operands but
// the first.
const Op& switch_operator();
std::vector<FunctionPtr> branches_of(const Attributes& attributes);

// Tangents of a loop's outputs: by one loop that carries values and tangents together where those
// are ordinary nodes; on the tape of reverse mode by a loop that records what the derivatives need
// and one that is linear.
std::vector<MaybeVar> loop_tangents(const Loop& loop, const NodeView& node,
                                    std::span<const MaybeVar> tangents);
// The cotangents of the linear operands of a linear loop, in their order.
std::vector<Var> loop_transposed(const Loop& loop, const NodeView& node,
                                 std::span<const MaybeVar> cotangents);
// Of a batch (members, ...) and a truth value for each member (members): the members that go keep
// their own, the others have what one that goes has, and no derivative. So whatever is computed of
// them is computed where it has a value and a slope, and the cotangents of the others end here:
// zero times an infinite slope would be NaN.
Var of_those_that_go(Var goes, Var x);
// One truth value for each member against all its elements.
Var spread(Var goes, Var like);

// The loop of all members of a batch at once.
std::vector<Var> batched_loop(const Loop& loop, const BatchView& view);

// Which of a function's outputs depend on the inputs marked; by derivative: which may have a
// tangent where these have one.
std::vector<bool> reached_outputs(const Function& function, const std::vector<bool>& inputs,
                                  bool by_derivative);

}  // namespace dualtape::detail
