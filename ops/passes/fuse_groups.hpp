// Which nodes a fused loop takes together: the groups that the pass "fuse" makes one node of.
// Private. For one plan in run order, which is not changed; any thread, one plan per thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <dualtape/core/formula.hpp>
#include <dualtape/core/leaves.hpp>
#include <dualtape/core/op.hpp>
#include <dualtape/core/plan.hpp>

namespace dualtape::detail {

inline constexpr std::size_t most_steps = 400;  // of the code of one group
inline constexpr std::int64_t small = 4096;     // elements; up to here a step less is worth having
                                             // even for nodes next to each other that share nothing
inline constexpr std::int64_t tiny = 64;  // elements; nodes up to here cost more than their work

enum class Member : std::uint8_t {
  none,       // not to be fused
  formula,    // an operator with a recording
  broadcast,  // its operand, which the loop broadcasts anyway
  truth,      // a mask as numbers 0 and 1
};

inline bool same_number_type(const Plan& plan, const PlanNode& node, const Recording& recording,
                             DType dtype) {
  const auto operands = plan.operands_of(node);
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const DType wanted = recording.kinds[i] == InputKind::mask ? boolean : dtype;
    if (plan.values[operands[i]].dtype != wanted) return false;
  }
  return plan.values[node.first_value].dtype == (recording.mask_result ? boolean : dtype);
}

// The floating dtype a formula node computes in; boolean if there is none.
inline DType number_type(const Plan& plan, const PlanNode& node) {
  for (const ValueId v : plan.operands_of(node))
    if (plan.values[v].dtype != boolean) return plan.values[v].dtype;
  return plan.values[node.first_value].dtype;
}

// What a fused loop can draw for itself, if only the loop reads it.
inline bool is_draw(const Plan& plan, const PlanNode& node) {
  return node.op->is_random() && node.value_count == 1 && node.operand_count == 1 &&
         is_floating(plan.values[node.first_value].dtype) &&
         node.op->slice({{}, {&plan.values[node.first_value], 1}, node.attributes}) != nullptr;
}

struct Membership {
  Member kind = Member::none;
  DType dtype = float32;  // boolean for truth values alone, which fit into every group
};

inline Membership membership(const Plan& plan, const PlanNode& node) {
  if (node.value_count != 1 || node.operand_count == 0) return {};
  const Type& out = plan.values[node.first_value];
  const Type& in = plan.values[plan.operands_of(node)[0]];
  if (out.shape.count() == 0) return {};
  if (node.op->name() == "broadcast_to" && is_floating(out.dtype))
    return {Member::broadcast, out.dtype};
  if (node.op->name() == "cast" && in.dtype == boolean && is_floating(out.dtype))
    return {Member::truth, out.dtype};
  const Recording* const recording = node.op->recording();
  if (recording == nullptr) return {};
  const DType dtype = number_type(plan, node);
  if (dtype == boolean && std::ranges::count(recording->kinds, InputKind::number) > 0) return {};
  if (is_integer(dtype) || !same_number_type(plan, node, *recording, dtype)) return {};
  return {Member::formula, dtype};
}

// What a fused loop can fold of its values: the operator that it folds with, or null.
inline const Op* fold_of(const Plan& plan, const PlanNode& node) {
  const std::string_view name = node.op->name();
  const bool is_mean = name == "mean";
  if (!is_mean && name != "sum" && name != "max" && name != "min" && name != "any" && name != "all")
    return nullptr;
  const Type& from = plan.values[plan.operands_of(node)[0]];
  if (!FoldChunks::possible(from.shape, node.attributes.get<Ints>("axes"))) return nullptr;
  return is_mean ? &require_op("sum") : node.op;
}

inline constexpr auto nobody = std::numeric_limits<std::uint32_t>::max();

// Nodes that will run as one, in the place of the last of them; folds run with them.
struct Group {
  std::vector<std::uint32_t> nodes;  // ascending
  DType dtype = float32;
  std::size_t steps = 0;
  bool open = true;                  // nobody outside has read a value of it
  std::size_t draws = 0;             // draws that only it reads
  std::vector<std::uint32_t> folds;  // reductions of its values, ascending; not among the nodes
};

// Finds the groups, walking the plan in run order. A node may join a group as long as nobody
// outside has read what the group computes: then all of it may wait for the node.
class Grouping {
 public:
  explicit Grouping(const Plan& plan)
      : plan_(plan), group_of_(plan.nodes.size(), nobody), producer_(plan.values.size(), nobody) {}

  void run() {
    for (std::uint32_t n = 0; n < plan_.nodes.size(); ++n) {
      const PlanNode& node = plan_.nodes[n];
      const Membership member = membership(plan_, node);
      const bool joined = member.kind == Member::none ? join_fold(n) : join(n, member);
      if (!joined) {
        for (const ValueId v : plan_.operands_of(node)) close(group_of_value(v));
        if (!is_leaf(*node.op) && !node.op->is_alias() && !is_draw(plan_, node)) last_kernel_ = n;
      }
      for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v)
        producer_[v] = n;
    }
    find_own_draws();
  }

  // The group that makes the draw for itself, or nobody.
  std::uint32_t owner_of_draw(std::size_t node) const { return owner_[node]; }
  const std::vector<Group>& groups() const { return groups_; }
  std::uint32_t group_of(std::size_t node) const { return group_of_[node]; }
  std::uint32_t producer(ValueId value) const { return producer_[value]; }

 private:
  using Key = std::pair<DType, std::vector<std::int64_t>>;

  std::uint32_t group_of_value(ValueId value) const {
    const std::uint32_t node = producer_[value];
    return node == nobody ? nobody : group_of_[node];
  }
  void close(std::uint32_t group) {
    if (group != nobody) groups_[group].open = false;
  }

  // False for truth values that no group wants.
  bool join(std::uint32_t n, Membership member) {
    const PlanNode& node = plan_.nodes[n];
    const Shape& shape = plan_.values[node.first_value].shape;
    const Recording* const recording = node.op->recording();
    const std::size_t steps = recording == nullptr ? 3 : recording->steps.size();
    std::uint32_t& latest =
        latest_.try_emplace(Key{member.dtype, shape.vector()}, nobody).first->second;

    // A fold is there when all of its group has run.
    for (const ValueId v : plan_.operands_of(node))
      if (is_folded(v)) close(group_of_value(v));
    std::uint32_t chosen = nobody;
    for (const ValueId v : plan_.operands_of(node)) {
      const std::uint32_t g = group_of_value(v);
      if (g == nobody || g == chosen || !groups_[g].open) continue;
      if (!fits(g, member.dtype, shape, steps))
        close(g);
      else if (chosen == nobody)
        chosen = g;
      else
        chosen = merged(chosen, g, steps);
    }
    if (chosen == nobody && latest != nobody && fits(latest, member.dtype, shape, steps) &&
        (shape.count() <= tiny ||
         (shape.count() <= small && groups_[latest].nodes.back() >= last_kernel_)))
      chosen = latest;
    if (chosen == nobody && member.dtype == boolean) return false;
    if (chosen == nobody) {
      chosen = static_cast<std::uint32_t>(groups_.size());
      groups_.push_back({{}, member.dtype, 0, true, 0, {}});
    }
    groups_[chosen].nodes.push_back(n);
    groups_[chosen].steps += steps;
    group_of_[n] = chosen;
    if (member.dtype != boolean) latest = chosen;
    return true;
  }

  bool is_folded(ValueId value) const {
    const std::uint32_t group = group_of_value(value);
    return group != nobody && std::ranges::binary_search(groups_[group].folds, producer_[value]);
  }
  // Takes a reduction into the group of what it reduces. All of a group go along the same axes.
  bool join_fold(std::uint32_t n) {
    const PlanNode& node = plan_.nodes[n];
    if (node.operand_count != 1) return false;
    const ValueId v = plan_.operands_of(node)[0];
    const std::uint32_t g = group_of_value(v);
    if (g == nobody || !groups_[g].open || is_folded(v) || fold_of(plan_, node) == nullptr ||
        (!groups_[g].folds.empty() && !same_axes(node, groups_[g])))
      return false;
    groups_[g].folds.push_back(n);
    group_of_[n] = g;
    return true;
  }
  bool same_axes(const PlanNode& fold, const Group& group) const {
    return plan_.nodes[group.folds[0]].attributes.get<Ints>("axes") ==
           fold.attributes.get<Ints>("axes");
  }

  bool fits(std::uint32_t group, DType dtype, const Shape& shape, std::size_t steps) const {
    const Group& g = groups_[group];
    return g.open && (g.dtype == dtype || dtype == boolean) && g.steps + steps <= most_steps &&
           plan_.values[plan_.nodes[g.nodes.front()].first_value].shape == shape;
  }

  // Both groups as one if that is not too long; else the other is closed.
  std::uint32_t merged(std::uint32_t a, std::uint32_t b, std::size_t steps) {
    if (groups_[a].steps + groups_[b].steps + steps > most_steps ||
        (!groups_[a].folds.empty() && !groups_[b].folds.empty() &&
         !same_axes(plan_.nodes[groups_[b].folds[0]], groups_[a]))) {
      close(b);
      return a;
    }
    take_over(groups_[a].nodes, groups_[b].nodes, a);
    take_over(groups_[a].folds, groups_[b].folds, a);
    groups_[a].steps += groups_[b].steps;
    groups_[b].open = false;
    return a;
  }
  // The nodes of one group are the other's from now on.
  void take_over(std::vector<std::uint32_t>& mine, std::vector<std::uint32_t>& others,
                 std::uint32_t group) {
    std::vector<std::uint32_t> both;
    std::ranges::merge(mine, others, std::back_inserter(both));
    for (const std::uint32_t n : others) group_of_[n] = group;
    mine = std::move(both);
    others.clear();
  }

  void find_own_draws() {
    owner_.assign(plan_.nodes.size(), nobody);
    std::vector<bool> shared(plan_.nodes.size());
    for (const ValueId v : plan_.outputs) shared[producer_[v]] = true;
    for (const PlanAssign& a : plan_.assigns) shared[producer_[a.value]] = true;
    for (std::size_t n = 0; n < plan_.nodes.size(); ++n)
      for (const ValueId v : plan_.operands_of(plan_.nodes[n])) {
        const std::uint32_t draw = producer_[v];
        if (shared[draw] || !is_draw(plan_, plan_.nodes[draw])) continue;
        const std::uint32_t group = group_of_[n];
        if (group == nobody || (owner_[draw] != nobody && owner_[draw] != group) ||
            !same_values(groups_[group], v)) {
          shared[draw] = true;
          owner_[draw] = nobody;
        } else {
          owner_[draw] = group;
        }
      }
    for (const std::uint32_t group : owner_)
      if (group != nobody) ++groups_[group].draws;
  }
  bool same_values(const Group& group, ValueId value) const {
    const Type& type = plan_.values[value];
    return type.dtype == group.dtype &&
           type.shape == plan_.values[plan_.nodes[group.nodes.front()].first_value].shape;
  }

  const Plan& plan_;
  std::vector<Group> groups_;
  std::vector<std::uint32_t> group_of_;  // of each node
  std::vector<std::uint32_t> owner_;     // of each draw
  std::vector<std::uint32_t> producer_;  // of each value seen
  std::map<Key, std::uint32_t> latest_;
  std::uint32_t last_kernel_ = 0;  // the last node that runs and is in no group
};

}  // namespace dualtape::detail
