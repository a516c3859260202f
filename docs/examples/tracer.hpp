// Where the first NaN or infinity comes from: the first node whose result has one although none of
// its operands has.
#pragma once

#include <cmath>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <dualtape/core/pass.hpp>
#include <dualtape/dualtape.hpp>

namespace tracer {
namespace dt = dualtape;

// [place]
struct Place {
  dt::Var var;           // of the result that is not finite
  std::int64_t element;  // the first such element of it, in row-major order
  double value;
  std::vector<double> operands;  // that element of the operands that have the result's shape
};
// [/place]

// The first element that is NaN or infinite, if there is one; tensors of whole numbers have none.
inline std::optional<std::int64_t> first_of(const dt::Tensor& tensor) {
  if (!dt::is_floating(tensor.dtype())) return {};
  const dt::Tensor wide = tensor.to(dt::float64);
  const auto values = wide.data<double>();
  const auto found = std::ranges::find_if(values, [](double x) { return !std::isfinite(x); });
  if (found == values.end()) return {};
  return found - values.begin();
}

// [find]
// Runs everything that `outputs` need, without passes, so that every node is there to look at;
// takes the memory of all their values together.
inline std::optional<Place> find(const std::vector<dt::Var>& outputs,
                                 const std::vector<dt::Feed>& feeds) {
  if (outputs.empty()) return {};
  dt::Graph& graph = outputs[0].graph();
  std::vector<dt::Var> all;
  for (const dt::NodeId id : dt::active_region(graph, outputs, [](const dt::Op&) { return true; }))
    for (std::uint32_t i = 0; i < graph.node(id).output_count; ++i) all.push_back(graph.var(id, i));
  dt::CompileOptions plain;
  for (const dt::Pass& pass : dt::passes())
    if (pass.optional) plain.without.emplace_back(pass.name);
  const dt::Outputs values = dt::compile(all, {}, plain).run(feeds);
  for (const dt::Var& var : all) {  // operands come before their readers
    const std::optional<std::int64_t> element = first_of(values[var]);
    if (!element) continue;
    const auto read = [&](const dt::Tensor& x) { return x.reshape({-1}).at({*element}); };
    Place place{var, *element, read(values[var]), {}};
    bool from_operand = false;
    for (const dt::Ref& ref : var.node().inputs()) {
      const dt::Tensor& operand = values[graph.var(ref)];
      from_operand = from_operand || first_of(operand).has_value();
      if (operand.shape() == var.shape()) place.operands.push_back(read(operand));
    }
    if (!from_operand) return place;
  }
  return {};
}
// [/find]

// "log 'likelihood' at train.cpp:12 made -inf of 0, element 3 of float32 (8,)"
inline std::ostream& operator<<(std::ostream& out, const Place& place) {
  const dt::Node& node = place.var.node();
  out << node.op->name();
  if (const std::string label = place.var.label(); !label.empty()) out << " '" << label << "'";
  out << " at " << to_string(node.where) << (node.input_count == 0 ? " is " : " made ")
      << place.value;
  for (std::size_t i = 0; i < place.operands.size(); ++i)
    out << (i == 0 ? " of " : ", ") << place.operands[i];
  return out << ", element " << place.element << " of " << to_string(place.var.type());
}

}  // namespace tracer
