// What passes may take in another order: products of the library's own draws and of what its modes
// emit. Taking b (a x) as (b a) x or x (a b) as (x a) b can overflow, underflow or make a NaN where
// the program as written does not, so a user's own products are left alone unless
// CompileOptions::reassociate allows it. Private. Plain values; any thread.
#pragma once

#include <vector>

#include <dualtape/core/pass.hpp>
#include <dualtape/core/plan.hpp>

namespace dualtape::detail {

// What a mode made: tangents, cotangents and coefficients, random directions, estimates.
inline bool is_emitted(const PlanNode& node) {
  return node.role != Role::primal || node.origin == no_node;
}
// Of these, random directions and their multiples by a slope.
inline bool is_direction(const PlanNode& node) {
  return node.role == Role::primal && node.origin == no_node;
}

// The values of a plan that are draws of a size near 1, as they are or moved.
class OwnDraws {
 public:
  explicit OwnDraws(const Plan& plan);

  // False for values that were added since.
  bool contains(ValueId value) const { return value < drawn_.size() && drawn_[value]; }
  // Whether a product may be multiplied in another order with what is outside: both its factors
  // are such draws, or a mode made it.
  bool movable(const Rewriter& plan, const PlanNode& product) const {
    return plan.may_reassociate() || is_emitted(product) || made_of_draws(plan, product);
  }
  bool made_of_draws(const Rewriter& plan, const PlanNode& product) const;

 private:
  std::vector<bool> drawn_;
};

}  // namespace dualtape::detail
