// Functions of what a user's lambda computes, with what it captures. Private. One thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <dualtape/modes/call.hpp>

namespace dualtape::detail {

// A leaf of that type without a value, like no other: what a lambda computes from while its
// function is being found out.
Var stand_in_of_type(Graph& graph, const Type& type, Location where);

struct Closure {
  std::shared_ptr<const Function> function;  // of the stand-ins, then of what was captured
  std::vector<Var> captured;
};
// `outputs` as functions. `belongs` says which nodes of the graph are part of the function; what
// those read besides, Parameters among it, is captured, but for what depends on nothing, which is
// copied. GraphError for outputs of another graph.
Closure close_over(std::string name, Graph& graph, std::span<const Var> stand_ins,
                   std::span<const Var> outputs, const std::function<bool(NodeId)>& belongs,
                   Location where);

// Of close_over(), the Vars it captures.
std::vector<Var> captured_by(Graph& graph, std::span<const Var> stand_ins,
                             std::span<const Var> outputs,
                             const std::function<bool(NodeId)>& belongs);

// Whether a node of the graph depends on one of those, by its number.
std::vector<bool> depending_on(const Graph& graph, std::span<const Var> vars);

}  // namespace dualtape::detail
