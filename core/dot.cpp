// Graphviz drawings of graphs and plans.
#include <set>
#include <sstream>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/program.hpp>

namespace dualtape {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

struct Box {
  const Op* op;
  const Attributes* attributes;
  const Type* type;
  std::string label;
  Role role;
};

std::string_view fill_of(const Box& box) {
  if (box.op == &parameter_op()) return "#f6d8ae";
  if (box.op == &input_op()) return "#d6e8fa";
  if (box.op == &constant_op()) return "#eeeeee";
  switch (box.role) {
    case Role::primal: return "#ffffff";
    case Role::coefficient: return "#fdf6d0";
    case Role::tangent: return "#d9f0dc";
    case Role::cotangent: return "#f6dada";
  }
  return "#ffffff";
}

void draw_box(std::ostream& out, std::string_view prefix, std::size_t id, const Box& box) {
  std::string text(box.op->name());
  if (!box.label.empty()) text = box.label + "\n" + text;
  const bool leaf = box.op == &input_op() || box.op == &parameter_op();
  if (!leaf && !box.attributes->empty()) text += "\n" + to_string(*box.attributes);
  if (box.type != nullptr) text += "\n" + to_string(*box.type);
  std::string escaped;
  for (const char c : text)
    escaped += c == '\n' ? std::string("\\n") : c == '"' ? std::string("\\\"") : std::string(1, c);
  out << "  " << prefix << id << " [label=\"" << escaped << "\", fillcolor=" << quoted(fill_of(box))
      << (leaf ? ", shape=ellipse" : "") << "];\n";
}

void open_drawing(std::ostream& out) {
  out << "digraph dualtape {\n"
         "  graph [rankdir=TB, fontname=\"Helvetica\", fontsize=10,\n"
         "         label=\"white: primal   yellow: coefficient   green: tangent   red: cotangent   "
         "blue: input   orange: parameter   grey: constant\"];\n"
         "  node [shape=box, style=\"filled,rounded\", fontname=\"Helvetica\", fontsize=10];\n"
         "  edge [color=\"#555555\", arrowsize=0.7];\n";
}

}  // namespace

std::string to_dot(const Graph& graph) {
  std::ostringstream out;
  open_drawing(out);
  std::set<NodeId> outer;  // nodes of the parent that a scratch graph reads
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    draw_box(out, "n", id,
             {node.op, &node.attributes, node.output_count ? &node.first_type : nullptr,
              graph.label(id), node.role});
    for (const Ref& ref : node.inputs()) {
      if (ref.outer) outer.insert(ref.node);
      out << (ref.outer ? "  o" : "  n") << ref.node << " -> n" << id << ";\n";
    }
  }
  for (const NodeId id : outer) {
    const Node& node = graph.parent()->node(id);
    draw_box(out, "o", id,
             {node.op, &node.attributes, &node.first_type, graph.parent()->label(id), node.role});
  }
  out << "}\n";
  return out.str();
}

std::string to_dot(const Plan& plan) {
  std::ostringstream out;
  open_drawing(out);
  std::vector<std::size_t> producer(plan.values.size());
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    const PlanNode& node = plan.nodes[n];
    for (std::uint16_t i = 0; i < node.value_count; ++i) producer[node.first_value + i] = n;
    draw_box(
        out, "n", n,
        {node.op, &node.attributes, node.value_count ? &plan.values[node.first_value] : nullptr,
         plan.labels[node.label], node.role});
    for (const ValueId v : plan.operands_of(node))
      out << "  n" << producer[v] << " -> n" << n << ";\n";
  }
  std::size_t end = plan.nodes.size();
  for (const PlanAssign& a : plan.assigns) {
    out << "  n" << end << " [label=" << quoted("assign " + a.parameter.name())
        << ", shape=ellipse, fillcolor=\"#f6d8ae\"];\n  n" << producer[a.value] << " -> n" << end
        << ";\n";
    ++end;
  }
  out << "}\n";
  return out.str();
}

}  // namespace dualtape
