// The operators without operands: what a graph's inputs, constants and parameter reads are made of.
#pragma once

#include <dualtape/core/op.hpp>

namespace dualtape {

const Op& input_op();      // attributes: name, shape, dtype
const Op& constant_op();   // attribute: value
const Op& parameter_op();  // attribute: parameter

inline bool is_leaf(const Node& node) {
  return node.op == &input_op() || node.op == &constant_op() || node.op == &parameter_op();
}
// Whether the value is a constant whose every element is zero.
bool is_zero_constant(Var var);

}  // namespace dualtape
