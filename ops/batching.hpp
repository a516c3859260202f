// For authors of operators: what a rule `static dt::Var batch(const dt::BatchView& view)` is
// written with. Rules are asked while a graph is built, by one thread at a time.
#pragma once

#include <cstdint>
#include <vector>

#include <dualtape/core/op.hpp>

namespace dualtape {

// The shape of all members together: the batch axis, then a member's.
Shape batched_shape(const Shape& member, std::int64_t size);
// The axes in order, but axis `from`, counted from the front, as axis `to`.
Var move_axis(Var x, std::int64_t from, std::int64_t to);

// Operand i with the batch axis in front: repeated for all members where it is the same for all.
Var batched_operand(const BatchView& view, std::size_t i);
std::vector<Var> batched_operands(const BatchView& view);
// Operand i for an operator that broadcasts over leading axes: a batched one gets axes of size 1
// behind the batch axis until a member has `rank` axes; one that is the same for all stays as it
// is.
Var aligned_operand(const BatchView& view, std::size_t i, std::size_t rank);

// (batch, n, ...) as (batch n, ...), for operators whose first axis is a batch already, and what
// they then give for an output of the view back as (batch, n, ...).
Var fold_batch(Var x);
Var unfold_batch(Var x, const BatchView& view, std::size_t output = 0);

// The node's attributes for operands with the batch axis in front.
Attributes shifted_attributes(const BatchView& view, const Shift& shift);

// The operator of the view on other operands.
std::vector<Var> apply_batched(const BatchView& view, const std::vector<Var>& operands);

}  // namespace dualtape
