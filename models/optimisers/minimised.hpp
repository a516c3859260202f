// What an Lbfgs asks of what it is given before it is compiled. Graphs are built by one thread at a
// time.
#pragma once

#include <vector>

#include <dualtape/modes/wrt.hpp>

namespace dualtape::detail {

// Throws ValueError without parameters and for one that is listed twice, ShapeError or TypeError
// unless the loss is one floating number, GraphError for a parameter without gradient, ShapeError
// for a gradient of another shape. Returns the gradients in the parameters' order.
std::vector<Var> check_minimised(const std::vector<Parameter>& parameters, Var loss,
                                 const Gradients& gradients, Location where);

}  // namespace dualtape::detail
