#include <dualtape/core/listing.hpp>

#include <sstream>

#include <dualtape/core/op.hpp>

namespace dualtape {

std::string to_string(const Graph& graph, Location where) {
  std::ostringstream out;
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    out << '%' << id << " = " << node.op->name();
    for (const Ref& ref : node.inputs()) {
      out << (ref.outer ? " ^" : " %") << ref.node;
      if (ref.output > 0) out << '.' << ref.output;
    }
    if (!node.attributes.empty()) out << " {" << to_string(node.attributes) << '}';
    for (std::uint32_t i = 0; i < node.output_count; ++i)
      out << (i == 0 ? " : " : ", ") << to_string(node.type(i));
    if (const std::string label = graph.label(id, where); !label.empty())
      out << "  '" << label << '\'';
    if (node.role != Role::primal) out << "  (" << name_of(node.role) << ')';
    out << '\n';
  }
  return out.str();
}

std::ostream& operator<<(std::ostream& out, const Var& var) {
  if (!var.defined()) return out << "Var of no graph";
  if (!var.alive()) return out << "Var of a graph that has ended";
  out << '%' << var.id();
  if (var.node().output_count > 1) out << '.' << var.output();
  out << " = " << var.node().op->name() << " : " << var.type();
  if (const std::string label = var.label(); !label.empty()) out << "  '" << label << '\'';
  return out;
}

}  // namespace dualtape
