// Graphviz drawings of graphs and plans. They leave out attributes that have their default value.
#include <algorithm>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <variant>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/plan/index.hpp>
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

bool all(const Ints& values, std::int64_t wanted) {
  return std::ranges::all_of(values, [=](std::int64_t value) { return value == wanted; });
}

// Whether an attribute is what the operator's function has where its caller says nothing.
bool is_default(const Op& op, const Attributes& attributes, const std::string& name,
                const Attribute& value) {
  if (const bool* flag = std::get_if<bool>(&value)) {
    const Attributes defaults = op.defaults();
    return *flag == (defaults.has(name) && defaults.get<bool>(name));
  }
  if (const Ints* sizes = std::get_if<Ints>(&value)) {
    const bool window = attributes.has("window");  // pooling, which goes on by its window
    if (name == "stride" && window) return *sizes == attributes.get<Ints>("window");
    if (name == "stride" || name == "dilation" || name == "steps") return all(*sizes, 1);
    return (name == "padding" || name == "output_padding") && all(*sizes, 0);
  }
  if (const std::int64_t* number = std::get_if<std::int64_t>(&value)) {
    if (name == "groups" || name == "correction") return *number == 1;
    return (name == "k" && op.name() != "top_k") || name == "reduction" ? *number == 0 : false;
  }
  if (const double* number = std::get_if<double>(&value)) {
    if (name == "low" || name == "mean") return *number == 0;
    return (name == "high" || name == "stddev") && *number == 1;
  }
  return false;
}

std::string told_attributes(const Op& op, const Attributes& attributes) {
  std::string text;
  for (const auto& [name, value] : attributes.entries()) {
    if (is_default(op, attributes, name, value)) continue;
    text.append(text.empty() ? "" : ", ").append(name).append("=").append(to_string(value));
  }
  return text;
}

void draw_box(std::ostream& out, std::string_view prefix, std::size_t id, const Box& box) {
  std::string text(box.op->name());
  if (!box.label.empty()) text = box.label + "\n" + text;
  const bool leaf = box.op == &input_op() || box.op == &parameter_op();
  const std::string attributes = leaf ? std::string() : told_attributes(*box.op, *box.attributes);
  if (!attributes.empty()) text += "\n" + attributes;
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

std::string to_dot(const Graph& graph, Location where) {
  std::ostringstream out;
  open_drawing(out);
  std::set<NodeId> outer;  // nodes of the parent that a scratch graph reads
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    draw_box(out, "n", id,
             {node.op, &node.attributes, node.output_count ? &node.first_type : nullptr,
              graph.label(id, where), node.role});
    for (const Ref& ref : node.inputs()) {
      if (ref.outer) outer.insert(ref.node);
      out << (ref.outer ? "  o" : "  n") << ref.node << " -> n" << id << ";\n";
    }
  }
  for (const NodeId id : outer) {
    const Graph& parent = *graph.parent(where);
    const Node& node = parent.node(id);
    draw_box(out, "o", id,
             {node.op, &node.attributes, &node.first_type, parent.label(id), node.role});
  }
  out << "}\n";
  return out.str();
}

std::string to_dot(const Plan& plan) {
  std::ostringstream out;
  open_drawing(out);
  const detail::PlanIndex index(plan);
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    const PlanNode& node = plan.nodes[n];
    draw_box(
        out, "n", n,
        {node.op, &node.attributes, node.value_count ? &plan.values[node.first_value] : nullptr,
         plan.labels[node.label], node.role});
    for (const ValueId v : plan.operands_of(node))
      out << "  n" << index.producer(v) << " -> n" << n << ";\n";
  }
  std::size_t end = plan.nodes.size();
  for (const PlanAssign& a : plan.assigns) {
    out << "  n" << end << " [label=" << quoted("assign " + a.parameter.name())
        << ", shape=ellipse, fillcolor=\"#f6d8ae\"];\n  n" << index.producer(a.value) << " -> n"
        << end << ";\n";
    ++end;
  }
  out << "}\n";
  return out.str();
}

}  // namespace dualtape
