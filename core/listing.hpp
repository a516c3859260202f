// A graph as text, one node a line, for looking at it. May be called from several threads on a
// graph that nobody changes.
#pragma once

#include <string>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// "%2 = matmul %0 %1 {transpose_b=True} : float32 (2, 2)  'h'". Of a tape: ^1 is node 1 of the
// graph that the tape belongs to. Output 1 of node 5 is %5.1.
std::string to_string(const Graph& graph, Location where = Location::current());

}  // namespace dualtape
