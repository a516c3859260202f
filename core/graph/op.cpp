#include <dualtape/core/op.hpp>

#include <algorithm>

#include <dualtape/core/formula.hpp>

namespace dualtape {

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::elementwise: return "elementwise";
    case Kind::linear: return "linear";
    case Kind::bilinear: return "bilinear";
    case Kind::general: return "general";
    case Kind::composite: return "composite";
    case Kind::zero_derivative: return "zero derivative";
    case Kind::none: return "not differentiable";
  }
  return "";
}

Cost bytes_only(const KernelRequest& request) {
  Cost cost;
  for (const Type& type : request.in) cost.bytes += static_cast<double>(bytes_of(type));
  for (const Type& type : request.out) cost.bytes += static_cast<double>(bytes_of(type));
  return cost;
}

Cost per_operand_element(const KernelRequest& request) {
  Cost cost = bytes_only(request);
  if (!request.in.empty()) cost.flops = static_cast<double>(request.in[0].shape.count());
  return cost;
}

Cost Op::cost(const KernelRequest& request) const {
  Cost cost = bytes_only(request);
  const Recording* formula = recording();
  if (formula == nullptr || request.out.empty()) return cost;
  const auto steps = std::ranges::count_if(formula->steps, [](const Recording::Step& step) {
    return step.prim != Prim::input && step.prim != Prim::constant;
  });
  cost.flops = static_cast<double>(steps) * static_cast<double>(request.out[0].shape.count());
  return cost;
}

bool Op::linear_in(const NodeView& node, std::span<const bool> active) const {
  const auto count = std::ranges::count(active, true);
  if (count == 0) return true;
  if (kind() == Kind::linear) return count == static_cast<std::ptrdiff_t>(node.in.size());
  if (kind() == Kind::bilinear) return count == 1 && active.size() >= 2 && (active[0] || active[1]);
  return false;
}

namespace {
[[noreturn]] void lacks(const Op& op, std::string_view what) {
  fail<DerivativeError>({.op = op.name(),
                         .what = "it is declared " + std::string(name_of(op.kind())) +
                                 ", but has no " + std::string(what),
                         .help = "declare it by its kind, as core/kinds.hpp shows"});
}
}  // namespace

Factor Op::partial(const NodeView&, std::size_t) const { lacks(*this, "partial derivatives"); }
MaybeVar Op::transpose(const NodeView&, std::size_t, std::span<const MaybeVar>) const {
  lacks(*this, "transpose");
}
std::vector<MaybeVar> Op::transpose_all(const NodeView& node, const std::vector<bool>& wanted,
                                        std::span<const MaybeVar> cotangents) const {
  std::vector<MaybeVar> found(node.in.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    if (wanted[i]) found[i] = transpose(node, i, cotangents);
  return found;
}
std::vector<MaybeVar> Op::jvp(const NodeView&, std::span<const MaybeVar>) const {
  lacks(*this, "jvp");
}

void OperandTypes::refuse(std::size_t i) const {
  fail<GraphError>({.op = op_.name(),
                    .what = "has no operand " + std::to_string(i) + ", but " +
                            std::to_string(types_.size()) + " in all",
                    .where = where_,
                    .help = "give as many operands as it takes"});
}

void Inference::require_count(std::size_t count) const {
  if (in.size() == count) return;
  fail<GraphError>(
      {.op = op_.name(),
       .label = label_,
       .what = "takes " + std::to_string(count) + " operands, got " + std::to_string(in.size()),
       .where = where_});
}

void Inference::require_floating(std::size_t i) const {
  if (is_floating(dtype(i))) return;
  type_error(
      "operand " + std::to_string(i) + " must be float32 or float64, got " + to_string(in[i]),
      "cast(x, dt::float32)");
}

std::size_t Inference::axis(std::int64_t axis, std::size_t rank) const {
  const auto signed_rank = static_cast<std::int64_t>(rank);
  if (axis < -signed_rank || axis >= signed_rank)
    shape_error("axis " + std::to_string(axis) + " is out of range for rank " +
                    std::to_string(rank) + " (operand 0 is " + to_string(in[0]) + ")",
                rank == 0 ? "a scalar has no axes"
                          : "use an axis from " + std::to_string(-signed_rank) + " to " +
                                std::to_string(signed_rank - 1));
  return static_cast<std::size_t>(axis < 0 ? axis + signed_rank : axis);
}

void Inference::shape_error(std::string what, std::string help) const {
  fail<ShapeError>({op_.name(), label_, std::move(what), where_, std::move(help)});
}
void Inference::type_error(std::string what, std::string help) const {
  fail<TypeError>({op_.name(), label_, std::move(what), where_, std::move(help)});
}
void Inference::value_error(std::string what, std::string help) const {
  fail<ValueError>({op_.name(), label_, std::move(what), where_, std::move(help)});
}

}  // namespace dualtape
