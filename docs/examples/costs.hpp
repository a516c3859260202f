// What one run of a graph costs: floating point operations and bytes, by operator.
//
// A walk without a state: every node the outputs need is asked for its cost, as the operator tells
// it for the node's types. It is what a run without passes would do; passes only save.
#pragma once

#include <algorithm>
#include <iomanip>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>

namespace costs {
namespace dt = dualtape;

// [costs]
struct Line {
  std::int64_t nodes = 0;
  dt::Cost cost;
};
using Costs = std::map<std::string, Line, std::less<>>;

// Leaves cost nothing, nor does what only gives an operand another shape.
inline Costs costs_of(const std::vector<dt::Var>& outputs) {
  Costs costs;
  if (outputs.empty()) return costs;
  dt::Graph& graph = outputs[0].graph();
  const auto all = [](const dt::Op&) { return true; };
  for (const dt::NodeId id : dt::active_region(graph, outputs, all)) {
    const dt::Node& node = graph.node(id);
    if (node.input_count == 0 || node.op->is_alias()) continue;
    std::vector<dt::Type> in, out;
    for (const dt::Ref& ref : node.inputs()) in.push_back(graph.var(ref).type());
    for (std::size_t i = 0; i < node.output_count; ++i) out.push_back(node.type(i));
    Line& line = costs[std::string(node.op->name())];
    ++line.nodes;
    line.cost += node.op->cost({in, out, node.attributes});
  }
  return costs;
}

inline dt::Cost total(const Costs& costs) {
  dt::Cost sum;
  for (const auto& [name, line] : costs) sum += line.cost;
  return sum;
}
// [/costs]

// The dearest operators first.
inline void print(std::ostream& out, const Costs& costs) {
  std::vector<std::pair<std::string, Line>> lines(costs.begin(), costs.end());
  std::ranges::stable_sort(lines, std::greater{}, [](const auto& line) {
    return std::pair(line.second.cost.flops, line.second.cost.bytes);
  });
  lines.emplace_back("total", Line{0, total(costs)});
  for (const auto& [name, line] : costs) lines.back().second.nodes += line.nodes;
  out << std::left << std::setw(24) << "operator" << std::right << std::setw(6) << "nodes"
      << std::setw(14) << "FLOP" << std::setw(14) << "bytes" << '\n'
      << std::fixed << std::setprecision(0);
  for (const auto& [name, line] : lines)
    out << std::left << std::setw(24) << name << std::right << std::setw(6) << line.nodes
        << std::setw(14) << line.cost.flops << std::setw(14) << line.cost.bytes << '\n';
  out << std::defaultfloat;
}

}  // namespace costs
