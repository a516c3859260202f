// Plan: what a Program is made from, between the graph and the run.
//
// A plan is a list of nodes in run order over numbered values. Passes are functions that change one
// plan; compile() runs them in a fixed order, and each can be called and printed alone. Plain data,
// no thread of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/compile_options.hpp>
#include <dualtape/core/graph.hpp>
#include <dualtape/core/op.hpp>

namespace dualtape {

// `parameter` takes `value` at the end of a run.
struct Assign {
  Parameter parameter;
  Var value;
  Location where;
};

using ValueId = std::uint32_t;

struct PlanNode {
  const Op* op = nullptr;
  Attributes attributes;
  std::uint32_t first_operand = 0;  // in Plan::operands
  std::uint32_t operand_count = 0;
  std::uint32_t value_count = 0;
  ValueId first_value = 0;  // its outputs are values first_value, first_value + 1, ...
  NodeId source = 0;        // the graph's node
  NodeId origin = no_node;
  Role role = Role::primal;
  std::uint32_t label = 0;  // in Plan::labels
  Location where;
};

struct PlanAssign {
  Parameter parameter;
  ValueId value;
  bool in_place = false;  // the value is computed in the parameter's own memory, not copied there
};

struct Plan {
  std::vector<PlanNode> nodes;  // operands come from earlier nodes
  std::vector<ValueId> operands;
  std::vector<Type> values;
  std::vector<ValueId> outputs;
  std::vector<PlanAssign> assigns;
  std::vector<std::string> labels{""};
  std::vector<std::shared_ptr<const Op>> made;  // operators that passes made for this plan
  CompileOptions options;  // of the program; `threads` is never 0 once compile() has made it
  // Pairs of values, `second` to lie right after `first` in memory; both are computed, have the
  // same bytes, a multiple of arena_alignment, and are in no other pair. A wish: place() passes
  // over a pair of which one value lies in a parameter, shares another's memory or is a result.
  std::vector<std::pair<ValueId, ValueId>> adjacent;

  std::span<const ValueId> operands_of(const PlanNode& node) const {
    return {operands.data() + node.first_operand, node.operand_count};
  }
  std::span<ValueId> operands_of(const PlanNode& node) {
    return {operands.data() + node.first_operand, node.operand_count};
  }
};

// The nodes that the outputs and assigned values need, in the graph's order. Throws GraphError if
// they belong to different graphs, or if two assignments write one Parameter.
Plan make_plan(std::span<const Var> outputs, std::span<const Assign> assigns,
               Location where = Location::current());

void eliminate_dead(Plan& plan);  // drops pure nodes nobody needs
void merge(Plan& plan);           // one node for equal computations
void absorb(Plan& plan);          // drops nodes whose results another node computes, too
void precompute(Plan& plan);      // computes now what depends on constants alone, unless it grows
void unshare(Plan& plan);         // outputs and assigned values get memory of their own
// Orders the nodes by origin: a tangent runs right after its primal, a coefficient or a random
// direction right before its first reader, so that forward memory does not grow with depth.
void schedule(Plan& plan);
// Runs what only assignments need as soon as that frees memory, and a new value of a parameter as
// soon as all is there, the last reader of the old one is done and no kernel before it can fail:
// then it may be written over the parameter, and gradients do not wait for the end of the run. What
// would only take memory, such as a direction drawn again, waits for its reader. For plans in run
// order.
void hasten(Plan& plan);
// Marks the assignments whose value may be written over the parameter while the program runs: then
// nobody reads the old value any more and no kernel to come can fail. For plans in run order.
void overwrite(Plan& plan);

std::string to_string(const Plan& plan);  // one node a line

// Memory -----------------------------------------------------------------------------------------

// An output lies in memory of its own, a `result`, which the program shares with whoever keeps it.
enum class Storage : std::uint8_t { arena, constant, parameter, input, result };

// What bytes are for. A direction is computed from random draws alone; an update is needed by
// assignments only; the rest are activations and their derivatives.
enum class Category : std::uint8_t { activation, direction, update };

struct Placement {
  struct Value {
    Storage storage = Storage::arena;
    ValueId root = 0;        // the value whose memory this one is or shares
    std::size_t offset = 0;  // of the root: in the arena, or which of the results
  };
  std::vector<Value> values;
  std::vector<Category> categories;  // of each value
  std::size_t arena_bytes = 0;
  std::vector<ValueId> results;     // the roots of those in memory of their own
  std::size_t peak_live_bytes = 0;  // of all categories at one time
  std::size_t peak_activation_bytes = 0;
  std::size_t peak_direction_bytes = 0;
  std::size_t peak_update_bytes = 0;
};

inline constexpr std::size_t arena_alignment = 64;

// Gives every value a place in one arena so that values alive at the same time do not overlap;
// elementwise nodes may write over a dying operand.
Placement place(const Plan& plan);

}  // namespace dualtape
