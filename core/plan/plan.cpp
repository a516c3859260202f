#include <dualtape/core/plan.hpp>

#include <algorithm>
#include <sstream>
#include <unordered_map>

#include <dualtape/core/leaves.hpp>

namespace dualtape {
namespace {

// The graph's nodes needed for `wanted`, ascending: one sweep downwards, no recursion.
std::vector<NodeId> needed(const Graph& graph, std::span<const Var> wanted) {
  std::vector<bool> marked(graph.size());
  for (const Var& var : wanted) marked[var.id()] = true;
  std::vector<NodeId> ids;
  for (auto id = static_cast<NodeId>(graph.size()); id-- > 0;) {
    if (!marked[id]) continue;
    ids.push_back(id);
    for (const Ref& ref : graph.node(id).inputs()) marked[ref.node] = true;
  }
  std::ranges::reverse(ids);
  return ids;
}

void check_parameters(std::span<const Assign> assigns) {
  std::unordered_map<std::size_t, std::vector<const Assign*>> seen;  // by Parameter::hash
  for (const Assign& a : assigns) {
    std::vector<const Assign*>& alike = seen[a.parameter.hash()];
    for (const Assign* other : alike)
      if (other->parameter == a.parameter)
        fail<GraphError>({.op = "compile",
                          .label = a.parameter.name(),
                          .what = "two assignments write this parameter; the other one is at " +
                                  to_string(other->where),
                          .where = a.where,
                          .help = "combine them into one value"});
    alike.push_back(&a);
  }
}

}  // namespace

Plan make_plan(std::span<const Var> outputs, std::span<const Assign> assigns, Location where) {
  std::vector<Var> wanted(outputs.begin(), outputs.end());
  for (const Assign& a : assigns) wanted.push_back(a.value);
  Plan plan;
  if (wanted.empty()) return plan;
  const Graph& graph =
      detail::require_one_graph(wanted, "compile", "outputs and assignments", where);
  if (graph.parent(where) != nullptr)
    fail<GraphError>({.op = "compile",
                      .what = "the Vars of a scratch graph stand for no values",
                      .where = where,
                      .help = "compile Vars of an ordinary Graph"});
  check_parameters(assigns);
  const std::vector<NodeId> ids = needed(graph, wanted);
  plan.nodes.reserve(ids.size());
  plan.values.reserve(ids.size());
  std::vector<ValueId> first_value(graph.size());
  std::unordered_map<std::string, std::uint32_t> label_ids;
  for (const NodeId id : ids) {
    const Node& node = graph.node(id);
    PlanNode planned;
    planned.op = node.op;
    planned.attributes = node.attributes;
    planned.first_operand = static_cast<std::uint32_t>(plan.operands.size());
    planned.operand_count = node.input_count;
    planned.value_count = node.output_count;
    planned.first_value = first_value[id] = static_cast<ValueId>(plan.values.size());
    planned.source = id;
    planned.origin = node.origin;
    planned.role = node.role;
    planned.where = node.where;
    if (std::string label = graph.label(id); !label.empty()) {
      const auto [it, is_new] =
          label_ids.try_emplace(label, static_cast<std::uint32_t>(plan.labels.size()));
      if (is_new) plan.labels.push_back(std::move(label));
      planned.label = it->second;
    }
    for (const Ref& ref : node.inputs())
      plan.operands.push_back(first_value[ref.node] + ref.output);
    for (std::size_t i = 0; i < node.output_count; ++i) plan.values.push_back(node.type(i));
    plan.nodes.push_back(std::move(planned));
  }
  for (const Var& var : outputs) plan.outputs.push_back(first_value[var.id()] + var.output());
  for (const Assign& a : assigns)
    plan.assigns.push_back({a.parameter, first_value[a.value.id()] + a.value.output()});
  return plan;
}

std::string to_string(const Plan& plan) {
  std::ostringstream out;
  for (const PlanNode& node : plan.nodes) {
    out << '%' << node.first_value << " = " << node.op->name();
    for (const ValueId v : plan.operands_of(node)) out << " %" << v;
    if (!node.attributes.empty()) out << " {" << to_string(node.attributes) << '}';
    out << " : " << (node.value_count ? to_string(plan.values[node.first_value]) : "");
    if (node.label != 0) out << "  '" << plan.labels[node.label] << '\'';
    if (node.role != Role::primal) out << "  (" << name_of(node.role) << ')';
    out << '\n';
  }
  return out.str();
}

void eliminate_dead(Plan& plan) {
  std::vector<bool> needed_value(plan.values.size());
  for (const ValueId v : plan.outputs) needed_value[v] = true;
  for (const PlanAssign& a : plan.assigns) needed_value[a.value] = true;
  std::vector<bool> keep(plan.nodes.size());
  for (std::size_t n = plan.nodes.size(); n-- > 0;) {
    const PlanNode& node = plan.nodes[n];
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v)
      if (needed_value[v]) keep[n] = true;
    if (keep[n])
      for (const ValueId v : plan.operands_of(node)) needed_value[v] = true;
  }
  std::size_t kept = 0;
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    if (!keep[n]) continue;
    if (kept != n) plan.nodes[kept] = std::move(plan.nodes[n]);
    ++kept;
  }
  plan.nodes.resize(kept);
}

}  // namespace dualtape
