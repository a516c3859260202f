// Lists of Vars, and what functions ask of their operands. Private. Any thread.
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include <dualtape/core/op.hpp>

namespace dualtape::detail {

std::vector<Var> joined(std::initializer_list<std::span<const Var>> parts);
std::vector<Type> types_of(std::span<const Var> vars);

// GraphError for a Var of no graph that is alive, TypeError for one that has no derivative; `what`
// it is for the function: "the value".
void require_derivable(Var var, const char* function, const char* what, Location where);

// ShapeError or TypeError unless operand i is of that type. `name` is the function's that takes it.
void require_taken(const Inference& inference, std::size_t operand, const Type& wanted,
                   std::string_view name);

}  // namespace dualtape::detail
