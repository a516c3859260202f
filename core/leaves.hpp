// The operators without operands: what a graph's inputs, constants and parameter reads are made of.
#pragma once

#include <dualtape/core/op.hpp>

namespace dualtape {

const Op& input_op();      // attributes: name, shape, dtype
const Op& constant_op();   // attribute: value
const Op& parameter_op();  // attribute: parameter

inline bool is_leaf(const Op& op) {
  return &op == &input_op() || &op == &constant_op() || &op == &parameter_op();
}
// Whether the value is a constant whose every element is zero.
bool is_zero_constant(Var var);

}  // namespace dualtape
