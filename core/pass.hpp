// Passes: the functions from plan to plan that compile() runs, and what rewriting a plan needs.
//
// A pass leaves a plan that computes the same outputs, to rounding. The one list of them is in
// ops/declare/library.cpp, since some name operators. Plain data and pure functions; any thread,
// one plan per thread.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/core/plan.hpp>

namespace dualtape {

struct Pass {
  std::string_view name;
  std::string_view doc;  // one line
  void (*run)(Plan&);
  bool optional = true;  // compile() may leave it out
};

// In the order compile() runs them: those of ops/declare/library.cpp, or of core alone in a program
// that links no operators.
std::span<const Pass> passes();

// make_plan() and every pass but those left out. GraphError if a name is no optional pass.
Plan optimised_plan(std::span<const Var> outputs, std::span<const Assign> assigns,
                    const CompileOptions& options = {}, Location where = Location::current());

// A sweep through a plan that replaces nodes. A rule is shown every node, in order, its operands
// already being those of the new plan; it may add nodes in front of it and may name a value that
// takes the place of its (only) output.
class Rewriter {
 public:
  explicit Rewriter(Plan& plan);

  using Rule = std::function<bool(Rewriter&, const PlanNode&)>;
  // Shows every node to every rule until one returns true. Returns how many nodes were replaced.
  std::size_t sweep(std::span<const Rule> rules);

  // Of the value's node; valid until the next node is added. Null for operands not yet seen.
  const PlanNode* producer(ValueId value) const;
  const PlanNode* producer(ValueId value, std::string_view op) const;  // null if it is another's
  std::span<const ValueId> operands(const PlanNode& node) const;
  Type type(ValueId value) const { return plan_.values[value]; }  // a copy: add() moves them
  // How many operands, outputs and assignments read the value, as the sweep began.
  std::size_t uses(ValueId value) const { return value < uses_.size() ? uses_[value] : 1; }
  // Whether products of the plan may be taken in any order (CompileOptions::reassociate).
  bool may_reassociate() const { return plan_.options.reassociate; }
  // The constant the value holds, or null.
  const Tensor* constant(ValueId value) const;
  // Whether it is a constant whose every element is `number`; false for an empty one.
  bool is_constant(ValueId value, double number) const;

  // Adds a node with one output in front of the one being looked at, from whose graph node it takes
  // role, origin, label and line. Its type is what the operator infers from attributes and
  // operands.
  ValueId add(const Op& op, Attributes attributes, std::initializer_list<ValueId> operands);
  ValueId add(const Op& op, Attributes attributes, std::span<const ValueId> operands);
  // The same with a type that infer() does not know of: of a layout that only plans have.
  ValueId add_laid_out(const Op& op, Attributes attributes, std::span<const ValueId> operands,
                       Type type);
  // From now on readers of the looked-at node's output read `value`, which has the same type.
  void replace_by(ValueId value);

 private:
  Plan& plan_;
  std::vector<PlanNode> done_;
  std::vector<std::uint32_t> producer_;  // of each value, in done_
  std::vector<std::uint32_t> uses_;
  std::vector<ValueId> replacement_;
  PlanNode current_;
  bool replaced_ = false;
};

// Sweeps until nothing changes, at most `sweeps` times, and drops what nobody needs any more.
void rewrite(Plan& plan, std::span<const Rewriter::Rule> rules, int sweeps = 4);

}  // namespace dualtape
