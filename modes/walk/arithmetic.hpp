// The little arithmetic that modes do on tangents and cotangents.
#pragma once

#include <span>
#include <vector>

#include <dualtape/core/op.hpp>

namespace dualtape::detail {

// sum + factor * term, adding nothing for an absent sum, a factor of 1, -1 or 0.
MaybeVar add_scaled(const MaybeVar& sum, const Factor& factor, Var term);
// Broadcast to `shape` where it is not of that shape already.
Var broadcast_as(Var var, const Shape& shape);
// The transpose of broadcasting: summed to `shape`, or broadcast where it is smaller.
Var sum_to(Var var, const Shape& shape);
// A constant zero of the same type, stored as one element.
Var zeros_like(Var var);
// The node's operator and attributes on other operands.
std::vector<MaybeVar> apply_again(const NodeView& node, std::span<const Var> operands);

}  // namespace dualtape::detail
