// Fusion: elementwise nodes of one shape that run next to each other become one node, which
// computes tile by tile in cache, so that what only they read never reaches memory; reductions of
// what it computes join it. The results have the same bits, since each primitive is the same kernel
// as before, and reductions add up in the same order.
#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/pass.hpp>
#include <dualtape/core/plan/rename.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/core/tile/fused.hpp>
#include <dualtape/ops/declare/reduction.hpp>
#include <dualtape/ops/passes/fuse_groups.hpp>
#include <dualtape/ops/passes/passes.hpp>

namespace dualtape::detail {
namespace {

// The code of one group, and what it reads.
class GroupCode {
 public:
  GroupCode(const Plan& plan, const Grouping& grouping, const Group& group)
      : plan_(plan), grouping_(grouping), group_(group) {
    const PlanNode& first = plan.nodes[group.nodes.front()];
    one_element_ = plan.values[first.first_value].shape.count() == 1;
    find_inputs();
    for (const std::uint32_t n : group.nodes) translate(plan.nodes[n]);
  }

  // Its number among the results of the code.
  std::size_t add_output(ValueId value) {
    code.outputs.push_back(step_of_.at(value));
    return code.outputs.size() - 1;
  }

  TileCode code;
  std::vector<ValueId> inputs;  // those looped over, then the keys of those drawn, the single ones
  std::vector<DrawnInput> draws;

 private:
  bool inside(ValueId value) const {
    const std::uint32_t node = grouping_.producer(value);
    return node != nobody && grouping_.group_of(node) != nobody &&
           &grouping_.groups()[grouping_.group_of(node)] == &group_;
  }
  const Tensor* constant(ValueId value) const {
    const PlanNode& node = plan_.nodes[grouping_.producer(value)];
    if (node.op != &constant_op()) return nullptr;
    const auto& tensor = node.attributes.get<Tensor>("value");
    return tensor.count() == 1 && is_floating(tensor.dtype()) ? &tensor : nullptr;
  }
  bool single(ValueId value) const {
    const Type& type = plan_.values[value];
    return !one_element_ && type.shape.count() == 1 && type.dtype != boolean;
  }

  bool drawn(ValueId value) const {
    const std::uint32_t owner = grouping_.owner_of_draw(grouping_.producer(value));
    return owner != nobody && &grouping_.groups()[owner] == &group_;
  }

  void find_inputs() {
    std::vector<ValueId> singles;
    std::vector<ValueId> own_draws;
    std::unordered_set<ValueId> known;
    for (const std::uint32_t n : group_.nodes)
      for (const ValueId v : plan_.operands_of(plan_.nodes[n])) {
        if (inside(v) || !known.insert(v).second) continue;
        if (const Tensor* const number = constant(v))
          step_of_[v] = push_constant(number->dtype() == float64
                                          ? number->data<double>()[0]
                                          : static_cast<double>(number->data<float>()[0]));
        else
          (drawn(v) ? own_draws : single(v) ? singles : inputs).push_back(v);
      }
    inputs.insert(inputs.end(), own_draws.begin(), own_draws.end());
    code.single.assign(inputs.size(), false);
    inputs.insert(inputs.end(), singles.begin(), singles.end());
    code.single.resize(inputs.size(), true);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const bool mask = plan_.values[inputs[i]].dtype == boolean;
      code.kinds.push_back(mask ? InputKind::mask : InputKind::number);
      Recording::Step step;
      step.prim = Prim::input;
      step.a = static_cast<std::uint16_t>(i);
      step.mask = mask;
      step_of_[inputs[i]] = push(step);
      if (drawn(inputs[i])) take_key(inputs[i]);
    }
  }
  // The fused node reads the draw's key in place of the draw.
  void take_key(ValueId& input) {
    const PlanNode& draw = plan_.nodes[grouping_.producer(input)];
    draws.push_back({draw.op, draw.attributes, plan_.values[input]});
    input = plan_.operands_of(draw)[0];
  }

  std::uint16_t push(const Recording::Step& step) {
    code.steps.push_back(step);
    return static_cast<std::uint16_t>(code.steps.size() - 1);
  }
  std::uint16_t push_constant(double value) {
    Recording::Step step;
    step.constant = value;
    return push(step);
  }

  void translate(const PlanNode& node) {
    const auto operands = plan_.operands_of(node);
    const ValueId result = node.first_value;
    switch (membership(plan_, node).kind) {
      case Member::broadcast: step_of_[result] = step_of_.at(operands[0]); return;
      case Member::truth: {
        Recording::Step step;
        step.prim = Prim::select;
        step.a = step_of_.at(operands[0]);
        step.b = push_constant(1);
        step.c = push_constant(0);
        step_of_[result] = push(step);
        return;
      }
      default: step_of_[result] = append(*node.op->recording(), operands);
    }
  }

  std::uint16_t append(const Recording& recording, std::span<const ValueId> operands) {
    std::vector<std::uint16_t> place(recording.steps.size());
    for (std::size_t i = 0; i < place.size(); ++i) {
      Recording::Step step = recording.steps[i];
      if (step.prim == Prim::input) {
        place[i] = step_of_.at(operands[step.a]);
        continue;
      }
      const std::size_t count = operand_count(step.prim);
      if (count > 0) step.a = place[step.a];
      if (count > 1) step.b = place[step.b];
      if (count > 2) step.c = place[step.c];
      place[i] = push(step);
    }
    return place.back();
  }

  const Plan& plan_;
  const Grouping& grouping_;
  const Group& group_;
  bool one_element_ = false;
  std::unordered_map<ValueId, std::uint16_t> step_of_;
};

// "add, mul x3, relu"
std::string members_of(const Plan& plan, const Group& group, const std::vector<DrawnInput>& draws) {
  std::vector<std::string_view> names;
  names.reserve(draws.size() + group.nodes.size());
  for (const DrawnInput& draw : draws) names.push_back(draw.op->name());
  for (const std::uint32_t n : group.nodes) names.push_back(plan.nodes[n].op->name());
  for (const std::uint32_t n : group.folds) names.push_back(plan.nodes[n].op->name());
  std::vector<std::pair<std::string_view, int>> counts;
  for (const std::string_view name : names) {
    const auto known = std::ranges::find(counts, name, &std::pair<std::string_view, int>::first);
    if (known == counts.end())
      counts.emplace_back(name, 1);
    else
      ++known->second;
  }
  std::string text;
  for (const auto& [name, count] : counts)
    text += (text.empty() ? "" : ", ") + std::string(name) +
            (count > 1 ? " x" + std::to_string(count) : "");
  return text;
}

// Replaces the groups of at least two nodes.
class Fuser {
 public:
  Fuser(Plan& plan, const Grouping& grouping)
      : plan_(plan), grouping_(grouping), replacement_(identity(plan)) {
    find_wanted();
  }

  void run() {
    std::vector<PlanNode> nodes;
    for (std::uint32_t n = 0; n < plan_.nodes.size(); ++n) {
      if (grouping_.owner_of_draw(n) != nobody) continue;
      const std::uint32_t g = grouping_.group_of(n);
      if (g == nobody || !worth_it(grouping_.groups()[g]))
        nodes.push_back(plan_.nodes[n]);
      else if (grouping_.groups()[g].nodes.back() == n)
        nodes.push_back(fused(grouping_.groups()[g]));
    }
    plan_.nodes = std::move(nodes);
    rename(plan_, replacement_);
  }

 private:
  static bool worth_it(const Group& group) {
    return group.nodes.size() + group.draws + group.folds.size() >= 2;
  }

  // What somebody outside the value's group reads.
  void find_wanted() {
    wanted_.resize(plan_.values.size());
    for (const ValueId v : plan_.outputs) wanted_[v] = true;
    for (const PlanAssign& a : plan_.assigns) wanted_[a.value] = true;
    for (std::size_t n = 0; n < plan_.nodes.size(); ++n)
      for (const ValueId v : plan_.operands_of(plan_.nodes[n])) {
        const std::uint32_t maker = grouping_.producer(v);
        const std::uint32_t group = grouping_.group_of(maker);
        if (group == nobody || group != grouping_.group_of(n)) wanted_[v] = true;
      }
  }

  PlanNode fused(const Group& group) {
    GroupCode code(plan_, grouping_, group);
    PlanNode node = plan_.nodes[group.nodes.back()];
    node.attributes = {};
    node.first_operand = static_cast<std::uint32_t>(plan_.operands.size());
    node.operand_count = static_cast<std::uint32_t>(code.inputs.size());
    plan_.operands.insert(plan_.operands.end(), code.inputs.begin(), code.inputs.end());
    node.first_value = static_cast<ValueId>(plan_.values.size());
    node.value_count = 0;
    std::unordered_map<ValueId, std::size_t> computed;  // results of the code
    for (const std::uint32_t n : group.nodes) {
      const PlanNode& member = plan_.nodes[n];
      if (node.label == 0) node.label = member.label;
      if (!wanted_[member.first_value]) continue;
      computed.emplace(member.first_value, code.add_output(member.first_value));
      add_value(node, member);
    }
    FusedParts parts;
    parts.stored = computed.size();
    for (const std::uint32_t n : group.folds) {
      const PlanNode& member = plan_.nodes[n];
      const ValueId v = plan_.operands_of(member)[0];
      const auto [place, is_new] = computed.try_emplace(v, 0);
      if (is_new) place->second = code.add_output(v);
      parts.folds.push_back(fold(member, place->second));
      add_value(node, member);
    }
    parts.code = std::move(code.code);
    parts.dtype = group.dtype;
    parts.draws = std::move(code.draws);
    parts.members = members_of(plan_, group, parts.draws);
    plan_.made.push_back(make_fused_op(std::move(parts)));
    node.op = plan_.made.back().get();
    return node;
  }

  // The result of `member` as the next one of `node`.
  void add_value(PlanNode& node, const PlanNode& member) {
    replacement_[member.first_value] = static_cast<ValueId>(plan_.values.size());
    replacement_.push_back(replacement_[member.first_value]);
    const Type type = plan_.values[member.first_value];
    plan_.values.push_back(type);
    ++node.value_count;
  }
  FoldedOutput fold(const PlanNode& node, std::size_t value) const {
    const Type& from = plan_.values[plan_.operands_of(node)[0]];
    const Ints& axes = node.attributes.get<Ints>("axes");
    const Op* const op = fold_of(plan_, node);
    const auto count = static_cast<std::size_t>(reduced_count(from.shape, axes));
    return {op, from, axes, value, op == node.op ? 1 : count};
  }

  Plan& plan_;
  const Grouping& grouping_;
  std::vector<ValueId> replacement_;
  std::vector<bool> wanted_;
};

// Readers of an alias of the same type read what it stands for.
void see_through_aliases(Plan& plan) {
  std::vector<ValueId> behind = identity(plan);
  for (PlanNode& node : plan.nodes) {
    for (ValueId& v : plan.operands_of(node)) v = behind[v];
    if (!node.op->is_alias()) continue;
    const ValueId v = std::as_const(plan).operands_of(node)[0];
    if (plan.values[v] == plan.values[node.first_value]) behind[node.first_value] = v;
  }
  eliminate_dead(plan);
}

// A column times a row is an elementwise product that broadcasts. Where the result is read element
// by element it becomes one, so that it can be fused.
void spread_outer_products(Plan& plan) {
  std::vector<bool> read_by_formula(plan.values.size());
  for (const PlanNode& node : plan.nodes)
    if (membership(plan, node).kind == Member::formula)
      for (const ValueId v : plan.operands_of(node)) read_by_formula[v] = true;
  const Op& mul = require_op("mul");
  const Op& reshape = require_op("reshape");
  const auto as = [&](Rewriter& sweep, ValueId v, Shape shape) {
    const Type type{std::move(shape), sweep.type(v).dtype};
    return sweep.type(v) == type ? v : sweep.add(reshape, {{"sizes", type.shape.vector()}}, {v});
  };
  const std::array<Rewriter::Rule, 1> rules{[&](Rewriter& sweep, const PlanNode& node) {
    if (node.op->name() != "matmul" || node.first_value >= read_by_formula.size() ||
        !read_by_formula[node.first_value])
      return false;
    const Type type = sweep.type(node.first_value);
    const ValueId a = sweep.operands(node)[0];
    const ValueId b = sweep.operands(node)[1];
    if (type.shape.rank() != 2 || sweep.type(a).shape.count() != type.shape[0] ||
        sweep.type(b).shape.count() != type.shape[1] || type.shape.count() == 0)
      return false;
    const ValueId column = as(sweep, a, {type.shape[0], 1});
    const ValueId row = as(sweep, b, {1, type.shape[1]});
    sweep.replace_by(sweep.add(mul, {}, {column, row}));
    return true;
  }};
  rewrite(plan, rules, 1);
}

}  // namespace

void fuse(Plan& plan) {
  spread_outer_products(plan);
  see_through_aliases(plan);
  Grouping grouping(plan);
  grouping.run();
  Fuser(plan, grouping).run();
}

}  // namespace dualtape::detail
