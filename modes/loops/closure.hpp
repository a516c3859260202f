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
// What a lambda made in a graph: nodes from `first` on.
struct Made {
  NodeId first;
  std::function<bool(NodeId)> belongs;  // whether a node is part of the function
};
// `outputs` as functions. What the nodes that belong to it read besides, Parameters among it, is
// captured, but for constants that the lambda made, which are copied with what depends on them
// alone. GraphError for outputs of another graph.
Closure close_over(std::string name, Graph& graph, std::span<const Var> stand_ins,
                   std::span<const Var> outputs, const Made& made, Location where);

// Of close_over(), the Vars it captures.
std::vector<Var> captured_by(Graph& graph, std::span<const Var> stand_ins,
                             std::span<const Var> outputs, const Made& made);

// Whether a node of the graph depends on one of those, by its number.
std::vector<bool> depending_on(const Graph& graph, std::span<const Var> vars);

}  // namespace dualtape::detail
