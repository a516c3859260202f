// Formulas as graph nodes: how derived partials come from an operator's recording.
#pragma once

#include <span>
#include <vector>

#include <dualtape/modes/forward.hpp>

namespace dualtape::detail {

// Adds the node's formula to the graph primitive by primitive and carries the tangents through it.
std::vector<MaybeVar> replay_tangent(ForwardMode& mode, const NodeView& node,
                                     std::span<const MaybeVar> tangents);

// Adds the formula alone, and gives its result. Its shape may be one that spreads to the node's.
Var replay_formula(const NodeView& node);

}  // namespace dualtape::detail
