// Whether what is computed from some Vars is linear in them. Private. Functions are looked into,
// but a graph is not changed, and loops of the walk go over node numbers.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include <dualtape/core/graph.hpp>

namespace dualtape::detail {

struct Linearity {
  // The first node that is not linear in what it reads of the arguments.
  std::optional<NodeId> broken_by;
  std::string within;  // ", by 'mul' at a.cpp:7": where that is, if the node runs a function
  // By output: whether it depends on the arguments. One that does not is linear only if it is zero.
  std::vector<bool> moves;
};
// Of outputs, at least one, and arguments of one graph. Zeros may stand for an operand that does
// not depend on the arguments.
Linearity linearity_of(std::span<const Var> arguments, std::span<const Var> outputs);

}  // namespace dualtape::detail
