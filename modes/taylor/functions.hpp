// Series through functions that are nodes: one call, or one loop, of the series of the body.
// Private. Adds nodes to the graph; one thread at a time.
#pragma once

#include <optional>
#include <vector>

#include <dualtape/modes/taylor/expansion.hpp>

namespace dualtape::detail {

// The coefficients of t^1 to t^order of each output of a call or a loop, where those of the
// operands are `in`, one list for each, empty where it does not move. Nothing for another operator,
// and for a function with rules of its own.
std::optional<std::vector<Terms>> function_terms(const NodeView& node, const std::vector<Terms>& in,
                                                 std::size_t order);

}  // namespace dualtape::detail
