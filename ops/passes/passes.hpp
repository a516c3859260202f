// Passes that name operators, each in the file of its name.
// Private. Pure functions from plan to plan; any thread, one plan per thread.
#pragma once

#include <dualtape/core/plan.hpp>

namespace dualtape {
class Rewriter;
}

namespace dualtape::detail {

class OwnDraws;

// Identities that leave the result as it is; numbers before a random direction multiplied first.
void simplify(Plan& plan);
// Sums over a batch in front of what is linear in it, where a mode made that (or
// CompileOptions::reassociate).
void collapse(Plan& plan);
// The cheaper order of a chain of products, as (x a) b for x (a b), where a b is a random direction
// or a mode's (or CompileOptions::reassociate); transposes as flags.
void thin(Plan& plan);
// One of its rules: convolutions with filters of low rank.
bool thin_convolution(const OwnDraws& draws, Rewriter& plan, const PlanNode& node);
// Images in the layout that convolutions want, where only they and what runs between them read it.
void layout(Plan& plan);
// Two products x W and x' W as one that reads W once; for plans in run order.
void stack_products(Plan& plan);
// Sums of thin products as one product of their factors joined.
void sum_products(Plan& plan);
// C + s A B as one node that may run over C.
void accumulate(Plan& plan);
// Elementwise readers of a large draw of signs that others keep in memory draw them once more.
void redraw(Plan& plan);
// One node for elementwise nodes of one shape that run next to each other; for plans in run order.
void fuse(Plan& plan);
// Gives products the attribute "kept_parameter" or "kept_constant" where their right operand is one
// that stays the same from run to run.
void keep_weights(Plan& plan);

}  // namespace dualtape::detail
