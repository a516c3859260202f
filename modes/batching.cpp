#include <dualtape/modes/batching.hpp>

#include <algorithm>
#include <array>
#include <string>

#include <dualtape/core/kept.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/loops/closure.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

Type with_members(const Type& member, std::int64_t size) {
  return {batched_shape(member.shape, size), member.dtype};
}

// A reduction of scalars, over no axis: each member becomes a row of one number.
std::vector<Var> reduce_scalars(const BatchView& view, const Shift& shift) {
  std::vector<Attributes::Entry> entries = view.node.attributes.entries();
  for (auto& [name, value] : entries)
    if (name == shift.axes) value = Ints{1};
  std::vector<In> in;
  for (const Var& operand : batched_operands(view))
    in.emplace_back(reshape(operand, Ints{view.size, 1}));
  std::vector<Var> out = apply_all(view.node.op, in, Attributes(std::move(entries)));
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = reshape(out[i], with_members(view.node.out[i].type(), view.size).shape);
  return out;
}

std::vector<Var> apply_shifted(const BatchView& view, const Shift& shift) {
  if (!shift.axes.empty() && view.node.attributes.get<Ints>(shift.axes).empty())
    return reduce_scalars(view, shift);
  const std::vector<Var> operands = batched_operands(view);
  const std::vector<In> in(operands.begin(), operands.end());
  return apply_all(view.node.op, in, shifted_attributes(view, shift));
}

std::vector<Var> apply_elementwise(const BatchView& view) {
  std::vector<Var> operands;
  for (std::size_t i = 0; i < view.in.size(); ++i)
    operands.push_back(aligned_operand(view, i, view.node.out[0].rank()));
  return apply_batched(view, operands);
}

// One node that runs the operator for one member after the other.
std::vector<Var> apply_in_turn(const BatchView& view) {
  std::vector<Type> types;
  std::vector<In> arguments;
  Ints same;
  for (std::size_t i = 0; i < view.in.size(); ++i) {
    types.push_back(view.node.in[i].type());
    arguments.emplace_back(view.in[i] ? *view.in[i] : view.node.in[i]);
    if (!view.in[i]) same.push_back(static_cast<std::int64_t>(i));
  }
  const Location where = view.node.out[0].node().where;
  const auto body = [&](std::span<const Var> member) {
    const std::vector<In> in(member.begin(), member.end());
    return apply_all(view.node.op, in, view.node.attributes);
  };
  const auto function =
      Function::make(std::string(view.node.op.name()) + " of one member", types, body, where);
  return detail::call_for_members(function, arguments, view.size, same);
}

// A leaf that has a type and no value. Which Var it stands for keeps it apart from others where
// equal nodes are merged.
class StandIn final : public Op {
 public:
  const OpInfo& info() const override {
    static const OpInfo info = [] {
      OpInfo made;
      made.name = "member";
      made.kind = Kind::zero_derivative;
      made.doc = "what stands for one member while vmap builds a function's graph";
      made.reason = "it depends on nothing";
      return made;
    }();
    return info;
  }
  void infer(Inference& inference) const override {
    inference.out = {
        {inference.attributes.get<Shape>("shape"), inference.attributes.get<DType>("dtype")}};
  }
  Kernel kernel(const KernelRequest& request) const override {
    fail<GraphError>({.op = "member",
                      .what = "a Var was taken out of the function that vmap, functional or a loop "
                              "was building at " +
                              request.attributes.get<std::string>("line") +
                              ", and has no value outside of it",
                      .where = {},
                      .help = "return it from the function"});
  }
  std::vector<Case> cases() const override { return {}; }
};

const Op& stand_in_op() {
  static const detail::Kept<StandIn> op;
  return op.value;
}

Var stand_in_of(Var var, Shape shape) {
  Graph& graph = var.graph();
  const Attributes attributes{{"shape", std::move(shape)},
                              {"dtype", var.dtype()},
                              {"of", static_cast<std::int64_t>(var.id())},
                              {"output", static_cast<std::int64_t>(var.output())},
                              {"line", to_string(var.node().where)}};
  return graph.var(graph.add(stand_in_op(), {}, attributes, var.node().where));
}

}  // namespace

std::vector<MaybeVar> Batching::batched(const NodeView& node, std::span<const MaybeVar> in) const {
  const BatchView view{node, in, size_};
  try {
    return done_for_all(view);
  } catch (const SizeError&) {
    fail<SizeError>({.op = node.op.name(),
                     .label = node.out[0].label(),
                     .what = to_string(node.out[0].type()) + " for " + std::to_string(size_) +
                             " members is too large",
                     .where = node.out[0].node().where,
                     .help = "batch over fewer members at a time"});
  }
}

std::vector<MaybeVar> Batching::done_for_all(const BatchView& view) {
  const NodeView& node = view.node;
  std::optional<std::vector<Var>> out = node.op.batch(view);
  if (!out && node.op.recording() != nullptr) out = apply_elementwise(view);
  if (!out && node.op.shift() != nullptr) out = apply_shifted(view, *node.op.shift());
  if (!out) out = apply_in_turn(view);
  return {out->begin(), out->end()};
}

std::vector<MaybeVar> Batching::elementwise(const NodeView& node, std::span<const MaybeVar> in) {
  return batched(node, in);
}
std::vector<MaybeVar> Batching::linear(const NodeView& node, std::span<const MaybeVar> in) {
  return batched(node, in);
}
std::vector<MaybeVar> Batching::bilinear(const NodeView& node, std::span<const MaybeVar> in) {
  return batched(node, in);
}
std::vector<MaybeVar> Batching::general(const NodeView& node, std::span<const MaybeVar> in) {
  return batched(node, in);
}
std::vector<MaybeVar> Batching::zero_derivative(const NodeView& node,
                                                std::span<const MaybeVar> in) {
  return batched(node, in);
}
std::vector<MaybeVar> Batching::not_differentiable(const NodeView& node,
                                                   std::span<const MaybeVar> in) {
  return batched(node, in);
}

void Batching::begin(Graph& graph, Location where) {
  if (graph_.get() == &graph) return;
  fail<GraphError>({.op = "Batching",
                    .what = "walks another graph than the one it was made for",
                    .where = where,
                    .help = "make a Batching for each graph"});
}

void Batching::check(const NodeView& node, std::span<const MaybeVar> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Type wanted = with_members(node.out[i].type(), size_);
    if (out[i] && out[i]->type() == wanted) continue;
    fail<ShapeError>({.op = node.op.name(),
                      .label = node.out[i].label(),
                      .what = "its batching rule returned " +
                              (out[i] ? to_string(out[i]->type()) : std::string("nothing")) +
                              " for output " + std::to_string(i) + ", which is " +
                              to_string(wanted) + " for all members",
                      .where = node.out[i].node().where,
                      .help = "the batch axis is the first one of every output"});
  }
  places_[node.out[0].id()] = out[0]->id();
}

void Batching::visit(const Node& node, const std::function<void()>& rule) {
  // A member's tangent runs right after its primal, so that of all members does after theirs.
  const auto place = places_.find(node.origin);
  const NodeId origin = after_ != no_node        ? after_
                        : place != places_.end() ? place->second
                        : node.origin == no_node ? no_node
                                                 : own_place;
  const Graph::Emitting emitting(*graph_.get(),
                                 {origin, node.role, node.where, node.label, node.scope, node.op});
  rule();
}

Var detail::member_of(Var all) {
  const Shape& shape = all.shape();
  return stand_in_of(all, Shape(shape.sizes().subspan(1)));
}
Var detail::stand_in(Var var) { return stand_in_of(var, var.shape()); }
Var detail::stand_in_of_type(Graph& graph, const Type& type, Location where) {
  return graph.var(graph.add(stand_in_op(), {},
                             {{"shape", type.shape},
                              {"dtype", type.dtype},
                              {"of", static_cast<std::int64_t>(graph.size())},
                              {"output", -1},  // none of a Var's: there is no other of this kind
                              {"line", to_string(where)}},
                             where));
}
bool detail::is_stand_in(const Node& node) { return node.op == &stand_in_op(); }
Var detail::for_all(Var same, std::int64_t size) {
  return broadcast_to(same, with_members(same.type(), size).shape);
}

std::vector<MaybeVar> batch_all(const std::vector<Var>& outputs, const std::vector<Var>& members,
                                const std::vector<Var>& batches, Location where, MaybeVar after) {
  if (outputs.empty()) return {};
  Graph& graph = detail::require_one_graph(outputs, "batch", "outputs", where);
  if (members.empty() || members.size() != batches.size())
    fail<GraphError>({.op = "batch",
                      .what = std::to_string(members.size()) + " members but " +
                              std::to_string(batches.size()) + " batches",
                      .where = where,
                      .help = "give the batch of each member, of one at least"});
  for (std::size_t i = 0; i < members.size(); ++i) {
    const Var member = detail::require_alive(members[i], "batch", "a member", where);
    const Var all = detail::require_alive(batches[i], "batch", "a batch", where);
    detail::require_one_graph(std::array{member, all}, "batch", "member and batch", where);
    const Var first = batches[0];
    const std::int64_t size = first.rank() > 0 ? first.shape()[0] : 0;
    if (all.rank() == 0 || all.type() != with_members(member.type(), size))
      fail<ShapeError>({.op = "batch",
                        .label = all.label(),
                        .what = "a member is " + to_string(member.type()) + ", its batch " +
                                to_string(all.type()) +
                                (i == 0 ? "" : ", of " + std::to_string(size) + " members"),
                        .where = where,
                        .help = "a batch is its member's type with one axis in front, as many "
                                "members in each batch"});
  }
  Batching mode(graph, batches[0].shape()[0]);
  if (after) mode.run_after(*after);
  return mode.run(graph, members, batches, outputs, where);
}

}  // namespace dualtape
