// Values and tangents of a loop in one. Private to the files of loops.
#pragma once

#include <string>
#include <vector>

#include <dualtape/modes/loops/loop.hpp>
#include <dualtape/modes/walk/vars.hpp>

namespace dualtape::detail {

// "scan" bodies are made into others by how they are used, too: part of the name of what is made.
std::string layout_of(const Loop& loop);

// Which inputs and outputs of a loop's body have tangents.
struct Moving {
  std::vector<bool> inputs;
  std::vector<bool> outputs;

  // Of a node's operands. What moves before a step moves after it, and the other way round.
  Moving(const Loop& loop, std::span<const MaybeVar> tangents);
  Moving(const Loop& loop, std::vector<bool> moving_inputs);
  std::string key() const;
  bool any_output() const;
  std::vector<std::size_t> moving_inputs() const { return marked(inputs, 0, inputs.size()); }
  std::vector<std::size_t> moving_outputs() const { return marked(outputs, 0, outputs.size()); }
  static std::vector<std::size_t> marked(const std::vector<bool>& flags, std::size_t first,
                                         std::size_t last);
};

// For each of those inputs of the body the tangent of its operand: zeros for a start that does not
// move.
std::vector<Var> tangents_for(const Loop& loop, const NodeView& node,
                              std::span<const MaybeVar> tangents,
                              const std::vector<std::size_t>& inputs);
// The tangents of the node's outputs, of which those that move are `found`, in their order.
std::vector<MaybeVar> spread(const Loop& loop, const std::vector<bool>& moving,
                             std::span<const Var> found);

// A loop that carries values and tangents: values before tangents in each group of operands and of
// outputs.
class Dual {
 public:
  Dual(const Loop& loop, const Moving& moving);

  Loop loop() const;
  // A list of values, one for each input of the body, and their tangents, in the order of the dual
  // body's inputs; the same for outputs, of which each moving one has a tangent.
  std::vector<Var> woven(std::span<const Var> x, std::span<const Var> dx) const;
  std::vector<Var> woven_outputs(std::span<const Var> y, std::span<const Var> dy) const;
  std::size_t place_of_input(std::size_t i) const;
  std::size_t place_of_output(std::size_t i) const;
  // Of the dual loop's outputs, the tangents.
  std::vector<Var> tangents(const std::vector<Var>& out) const;

 private:
  FunctionPtr body() const;
  std::vector<Var> dual(const Function& f, std::span<const Var> x) const;

  const Loop& loop_;
  std::vector<std::size_t> carried_;  // inputs of the body that move
  std::vector<std::size_t> sliced_;
  std::vector<std::size_t> constant_;
  std::vector<std::size_t> stacked_;  // outputs that move
  const Moving& moving_;
};

// Tangents of a node of the loop by its dual.
std::vector<MaybeVar> tangents_in_one_loop(const Loop& loop, const NodeView& node,
                                           std::span<const MaybeVar> tangents,
                                           const Moving& moving);
// On the tape: by a loop that records and one that is linear (record.cpp).
std::vector<MaybeVar> tangents_on_tape(const Loop& loop, const NodeView& node,
                                       std::span<const MaybeVar> tangents, const Moving& moving);
// On the tape, where only some states are kept (scheduled.cpp).
std::vector<MaybeVar> tangents_by_schedule(const Loop& loop, const NodeView& node,
                                           std::span<const MaybeVar> tangents,
                                           const Moving& moving);

}  // namespace dualtape::detail
