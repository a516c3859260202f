#include <dualtape/modes/sparsity/known.hpp>

#include <algorithm>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/op.hpp>

namespace dualtape::detail {

bool KnownValues::is_constant(Var var) {
  if (&var.graph() != &graph_) return false;
  for (auto id = static_cast<NodeId>(constant_.size()); id <= var.id(); ++id) {
    const Node& node = graph_.node(id);
    const auto inputs = node.inputs();
    const bool computed = !inputs.empty() && node.op->is_pure() && !node.op->is_random() &&
                          std::ranges::all_of(inputs, [&](const Ref& ref) {
                            return !ref.outer && constant_[ref.node];
                          });
    constant_.push_back(node.op == &constant_op() || computed);
  }
  return constant_[var.id()];
}

std::optional<Tensor> KnownValues::constant(Var var) {
  if (!is_constant(var)) return std::nullopt;
  const Node& node = var.node();
  if (node.op == &constant_op()) return node.attributes.get<Tensor>("value");
  const auto [it, is_new] = values_.try_emplace({var.id(), var.output()});
  if (is_new) it->second = eval(var).copy();
  return it->second;
}

std::optional<Tensor> KnownValues::decided(Var var) {
  if (std::optional<Tensor> value = constant(var)) return value;
  if (point_ == nullptr || &var.graph() != &graph_) return std::nullopt;
  const auto [it, is_new] = values_.try_emplace({var.id(), var.output()});
  if (is_new) {
    it->second = compile({var}).run(*point_)[var].copy();
    decisions_.push_back({var, it->second});
  }
  return it->second;
}

}  // namespace dualtape::detail
