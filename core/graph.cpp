#include <dualtape/core/graph.hpp>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <unordered_set>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/op.hpp>

namespace dualtape {
namespace {

// Nodes of a scratch graph carry the labels of the nodes they are emitted for, so the names of both
// are kept in one place.
const Graph& keeper_of_names(const Graph& graph) {
  const Graph* keeper = &graph;
  while (keeper->parent() != nullptr) keeper = keeper->parent();
  return *keeper;
}

}  // namespace

std::string_view name_of(Role role) {
  switch (role) {
    case Role::primal: return "primal";
    case Role::coefficient: return "coefficient";
    case Role::tangent: return "tangent";
    case Role::cotangent: return "cotangent";
  }
  return "";
}

constinit const Var MaybeVar::absent{no_node};

const Node& Var::node() const { return graph_->node(node_); }
const Type& Var::type() const { return node().type(output_); }
std::string Var::label() const { return graph_->label(node_); }
Var Var::named(std::string_view label) const {
  graph_->set_label(node_, label);
  return *this;
}

Scope::~Scope() { graph_->scope_ = previous_; }

// Nodes made by modes, found again by what they compute.
struct Graph::MergeHash {
  const Graph* graph;
  std::size_t operator()(NodeId id) const {
    const Node& node = graph->node(id);
    std::size_t h = std::hash<const void*>{}(node.op) ^ (node.attributes.hash() * 31);
    for (const Ref& ref : node.inputs()) {
      const std::size_t word = (static_cast<std::size_t>(ref.node) << 17) ^
                               (static_cast<std::size_t>(ref.output) << 1) ^ (ref.outer ? 1 : 0);
      h = (h ^ word) * 0x9E3779B97F4A7C15u;
      h ^= h >> 29;
    }
    return h;
  }
};
struct Graph::MergeEqual {
  const Graph* graph;
  bool operator()(NodeId a, NodeId b) const {
    const Node& x = graph->node(a);
    const Node& y = graph->node(b);
    return x.op == y.op && std::ranges::equal(x.inputs(), y.inputs()) &&
           x.attributes == y.attributes;
  }
};
struct Graph::MergeTable {
  explicit MergeTable(const Graph& graph) : ids(0, MergeHash{&graph}, MergeEqual{&graph}) {}
  std::unordered_set<NodeId, MergeHash, MergeEqual> ids;
};

Graph::Graph() = default;
Graph::Graph(Graph& parent) : parent_(&parent) {
  assert(parent.parent_ == nullptr && "a scratch graph's parent is an ordinary graph");
}
Graph::~Graph() = default;

Var Graph::input(std::string name, Shape shape, DType dtype, Location where) {
  if (inputs_.contains(name))
    fail<GraphError>({.op = "input",
                      .label = name,
                      .what = "this graph already has an input of that name",
                      .where = where,
                      .help = "give each input its own name"});
  const NodeId id =
      add(input_op(), {}, {{"name", name}, {"shape", std::move(shape)}, {"dtype", dtype}}, where);
  set_label(id, name);
  inputs_.emplace(std::move(name), id);
  return var(id);
}

Var Graph::constant(const Tensor& value, Location where) {
  return var(add(constant_op(), {}, {{"value", value.copy()}}, where));
}

Var Graph::constant(Number value, DType dtype) {
  auto& known = literals_[static_cast<std::size_t>(dtype)];
  const Tensor element = full(Shape{}, value, dtype);
  std::uint64_t bits = 0;
  std::memcpy(&bits, element.raw(), element.bytes());
  if (const auto it = known.find(bits); it != known.end()) return var(it->second);
  const NodeId id = add(constant_op(), {}, {{"value", element}}, {});
  known.emplace(bits, id);
  return var(id);
}

Var Graph::read(const Parameter& parameter, Location where) {
  if (const auto known = find(parameter)) return *known;
  const NodeId id = add(parameter_op(), {}, {{"parameter", parameter}}, where);
  if (!emission_) nodes_[id].label = intern(parameter.name());
  parameters_[parameter.hash()].push_back(id);
  return var(id);
}

std::optional<Var> Graph::find(const Parameter& parameter) const {
  const auto it = parameters_.find(parameter.hash());
  if (it == parameters_.end()) return std::nullopt;
  for (const NodeId id : it->second)
    if (nodes_[id].attributes.get<Parameter>("parameter") == parameter)
      return const_cast<Graph*>(this)->var(id);
  return std::nullopt;
}

Scope Graph::scope(std::string_view name) {
  const std::uint32_t previous = scope_;
  std::string path = keeper_of_names(*this).strings_[scope_];
  path.append(name).append("/");
  scope_ = intern(std::move(path));
  return {*this, previous};
}

std::string Graph::label(NodeId id) const {
  const Node& node = nodes_[id];
  const auto& names = keeper_of_names(*this).strings_;
  return node.label == 0 ? std::string() : names[node.scope] + names[node.label];
}

void Graph::set_label(NodeId id, std::string_view label) {
  nodes_[id].label = intern(std::string(label));
}

std::uint32_t Graph::intern(std::string text) {
  if (text.empty()) return 0;
  if (parent_ != nullptr) return parent_->intern(std::move(text));
  const auto [it, is_new] =
      string_ids_.try_emplace(text, static_cast<std::uint32_t>(strings_.size()));
  if (is_new) strings_.push_back(std::move(text));
  return it->second;
}

NodeId Graph::add(const Op& op, std::span<const Var> inputs, Attributes attributes,
                  Location where) {
  assert(nodes_.size() < no_node && inputs.size() <= UINT16_MAX);
  const auto id = static_cast<NodeId>(nodes_.size());
  Node& node = nodes_.emplace_back();
  node.op = &op;
  node.attributes = std::move(attributes);
  node.input_count = static_cast<std::uint16_t>(inputs.size());
  if (!inputs.empty()) {
    auto* refs = static_cast<Ref*>(refs_.allocate(sizeof(Ref) * inputs.size(), alignof(Ref)));
    for (std::size_t i = 0; i < inputs.size(); ++i)
      std::construct_at(refs + i,
                        Ref{inputs[i].id(), static_cast<std::uint16_t>(inputs[i].output()),
                            &inputs[i].graph() != this});
    node.input_refs = refs;
  }
  if (emission_) {
    node.origin = emission_->origin == own_place ? id : emission_->origin;
    node.role = emission_->role;
    node.where = emission_->where;
    node.label = emission_->label;
    node.scope = emission_->scope;
    if (op.is_pure())
      if (const auto same = merge(id)) return *same;
  } else {
    node.origin = id;
    node.where = where;
    node.scope = scope_;
  }
  try {
    Inference inference(op, inputs, node.attributes, node.where,
                        emission_ ? "" : keeper_of_names(*this).strings_[node.label]);
    op.infer(inference);
    if (inference.out.empty())
      fail<GraphError>({.op = op.name(),
                        .what = "its infer() left inference.out empty",
                        .where = node.where,
                        .help = "put one dt::Type per output there: inference.out = {...}"});
    node.output_count = static_cast<std::uint16_t>(inference.out.size());
    if (node.output_count > 0) node.first_type = std::move(inference.out[0]);
    if (node.output_count > 1) {
      node.more_types = std::make_unique<Type[]>(node.output_count - 1u);
      std::move(inference.out.begin() + 1, inference.out.end(), node.more_types.get());
    }
    if (parent_ != nullptr) check_linear(op, id, node.where);
  } catch (...) {
    // A node that failed leaves no trace: the graph is as it was.
    if (merged_) merged_->ids.erase(id);
    nodes_.pop_back();
    throw;
  }
  return id;
}

std::optional<NodeId> Graph::merge(NodeId candidate) {
  if (!merged_) merged_ = std::make_unique<MergeTable>(*this);
  const auto [it, is_new] = merged_->ids.insert(candidate);
  if (is_new) return std::nullopt;
  nodes_.pop_back();
  return *it;
}

void Graph::check_linear(const Op& op, NodeId id, Location where) {
  const Node& node = nodes_[id];
  if (node.input_count == 0) return;
  std::vector<Var> in;
  std::unique_ptr<bool[]> active = std::make_unique<bool[]>(std::size_t{2} * node.input_count);
  const std::span<bool> strict{active.get(), node.input_count};
  const std::span<bool> with_zeros{active.get() + node.input_count, node.input_count};
  for (std::size_t i = 0; i < node.input_count; ++i) {
    in.push_back(var(node.input_refs[i]));
    strict[i] = !node.input_refs[i].outer && node.op != &constant_op();
    with_zeros[i] = strict[i] || is_zero_constant(in[i]);
  }
  const NodeView view{op, in, {}, node.attributes};
  if (op.linear_in(view, strict) || op.linear_in(view, with_zeros)) return;
  const std::string culprit(emission_ && emission_->rule_of ? emission_->rule_of->name()
                                                            : op.name());
  fail<DerivativeError>(
      {.op = culprit,
       .what = "its jvp rule is not linear in the tangents: it applies '" + std::string(op.name()) +
               "' to one, which is not linear in that operand",
       .where = where,
       .help =
           "write the tangent with sums, products by primal values, and linear operators only"});
}

Graph::Emitting::Emitting(Graph& graph, const Emission& emission)
    : graph_(&graph), previous_(graph.emission_) {
  graph.emission_ = emission;
}
Graph::Emitting::~Emitting() { graph_->emission_ = previous_; }

}  // namespace dualtape
