#include <dualtape/core/graph.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <unordered_set>

#include <dualtape/core/kept.hpp>
#include <dualtape/core/leaves.hpp>
#include <dualtape/core/op.hpp>

namespace dualtape {
namespace {

class GraphPlaces {
 public:
  detail::GraphPlace& take(Graph& graph) {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) {
      free_.reserve(all_.size() + 1);  // so that giving back cannot fail
      free_.push_back(&all_.emplace_back());
    }
    detail::GraphPlace& place = *free_.back();
    free_.pop_back();
    place.graph = &graph;
    place.id.store(++last_, std::memory_order_relaxed);
    return place;
  }
  void give_back(detail::GraphPlace& place) {
    const std::lock_guard lock(mutex_);
    place.id.store(0, std::memory_order_relaxed);
    place.graph = nullptr;
    free_.push_back(&place);
  }

 private:
  std::mutex mutex_;
  std::deque<detail::GraphPlace> all_;
  std::vector<detail::GraphPlace*> free_;
  GraphId last_ = 0;
};
GraphPlaces& places() {
  static detail::Kept<GraphPlaces> kept;
  return kept.value;
}

}  // namespace

namespace detail {

std::string place_of(Var var) {
  const std::string label = var.label();
  return (label.empty() ? "" : "'" + label + "', ") + "made at " + to_string(var.node().where);
}

void refuse_var(Var var, std::string_view op, std::string_view what, Location where) {
  if (var.is_absent())
    fail<GraphError>({.op = op,
                      .what = std::string(what) + " was read of an absent tangent or cotangent, "
                                                  "which is exactly zero",
                      .where = where,
                      .help = "ask `if (tangent)` before `*tangent`"});
  if (!var.defined())
    fail<GraphError>({.op = op,
                      .what = std::string(what) + " is an empty Var",
                      .where = where,
                      .help = "a default-made Var stands for nothing; assign it first"});
  if (var.alive()) static_cast<void>(var.type(where));  // names the output that is not there
  fail<GraphError>({.op = op,
                    .what = std::string(what) + " belongs to a graph that has ended",
                    .where = where,
                    .help = "keep a Graph for as long as its Vars are used"});
}

Graph* joined(Graph* so_far, Graph& other, Location where) {
  if (so_far == nullptr || other.parent(where) == so_far) return &other;
  return so_far == &other || so_far->parent(where) == &other ? so_far : nullptr;
}

Graph& require_one_graph(std::span<const Var> vars, std::string_view op, std::string_view what,
                         Location where) {
  Graph* graph = nullptr;
  for (const Var& var : vars) {
    if (!is_there(var)) refuse_var(var, op, "one of the " + std::string(what), where);
    Graph* const both = joined(graph, var.graph(where), where);
    if (both == nullptr)
      fail<GraphError>({.op = op,
                        .what = "the " + std::string(what) + " belong to different graphs: one " +
                                place_of(vars[0]) + ", the other " + place_of(var),
                        .where = where,
                        .help = "give those of one Graph; parameters and tensors can be shared "
                                "between graphs, Vars cannot"});
    graph = both;
  }
  return *graph;
}

}  // namespace detail

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

void Var::refuse(Location where) const { detail::refuse_var(*this, "Var", "what is used", where); }
void Var::refuse_output(Location where) const {
  const Node& made_by = node(where);
  fail<GraphError>({.op = made_by.op->name(),
                    .what = "it has " + std::to_string(made_by.output_count) +
                            " outputs, so there is no output " + std::to_string(output_),
                    .where = where});
}
std::string Var::label(Location where) const {
  return node_ < graph(where).size() ? graph(where).label(node_, where) : std::string();
}
Var Var::named(std::string_view label, Location where) const {
  static_cast<void>(node(where));
  graph(where).set_label(node_, label, where);
  return *this;
}

Scope::Scope(Graph& graph, std::uint32_t previous) : graph_(graph.handle()), previous_(previous) {
  const std::size_t names = graph.names(Location::current()).size();
  if (previous >= names)
    fail<GraphError>({.op = "Scope",
                      .what = "there is no scope " + std::to_string(previous) + " in a graph of " +
                              std::to_string(names) + " names",
                      .help = "let Graph::scope(name) make it"});
}
Scope::~Scope() {
  if (Graph* const graph = graph_.get()) graph->scope_ = previous_;
}

// Nodes made by modes, found again by what they compute.
struct Graph::MergeHash {
  const Graph* graph;
  std::size_t operator()(NodeId id) const {
    const Node& node = graph->node(id);
    std::size_t h = std::hash<const void*>{}(node.op) ^ (node.attributes.hash() * 31);
    for (const Ref& ref : node.inputs()) {
      const std::size_t word = (static_cast<std::size_t>(ref.node) << 17) ^
                               (static_cast<std::size_t>(ref.output) << 1) ^ (ref.outer ? 1U : 0U);
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

Graph::Graph() : place_(&places().take(*this)) {}
Graph::Graph(Graph& parent, Location where) : Graph() {
  if (parent.parent_.id() != 0)
    fail<GraphError>({.op = "Graph",
                      .what = "the parent of a scratch graph is a scratch graph itself",
                      .where = where,
                      .help = "give the ordinary graph"});
  parent_ = parent.handle();
}
Graph::~Graph() { places().give_back(*place_); }

void Graph::no_such_node(NodeId id, Location where) const {
  fail<GraphError>({.op = "Graph",
                    .what = "there is no node " + std::to_string(id) + " in a graph of " +
                            std::to_string(nodes_.size()),
                    .where = where});
}

void Graph::no_parent(Location where) const {
  const bool ended = parent_.id() != 0;
  fail<GraphError>({.op = "Graph",
                    .what = ended ? "the graph that this scratch graph was made from has ended"
                                  : "what is asked belongs to a parent, and this graph has none",
                    .where = where,
                    .help = ended ? "keep the ordinary Graph for as long as its scratch graphs"
                                  : "ask the scratch graph that holds the operand"});
}

// Nodes of a scratch graph carry the labels of the nodes they are emitted for, so the names of both
// are kept in one place.
const std::vector<std::string>& Graph::names(Location where) const {
  const Graph* const outer = parent(where);
  return outer == nullptr ? strings_ : outer->strings_;
}

Var Graph::input(std::string name, Shape shape, DType dtype, Location where) {
  if (inputs_.contains(name))
    fail<GraphError>({.op = "input",
                      .label = name,
                      .what = "this graph already has an input of that name",
                      .where = where,
                      .help = "give each input its own name"});
  const auto known = inputs_.emplace(name, no_node).first;
  try {
    const NodeId id =
        add(input_op(), {}, {{"name", name}, {"shape", std::move(shape)}, {"dtype", dtype}}, where);
    known->second = id;
    set_label(id, name);
    return var(id);
  } catch (...) {
    inputs_.erase(known);
    throw;
  }
}

Var Graph::constant(const Tensor& value, Location where) {
  return var(add(constant_op(), {}, {{"value", value.copy()}}, where));
}

Var Graph::constant(Number value, DType dtype) {
  detail::check_dtype("constant", dtype, value.where());
  auto& known = literals_[static_cast<std::size_t>(dtype)];
  std::uint64_t bits = 0;
  dispatch(dtype, [&]<class T>() {
    const T element = value.to<T>();
    std::memcpy(&bits, &element, sizeof(T));
  });
  if (const auto it = known.find(bits); it != known.end()) return var(it->second);
  const NodeId id = add(constant_op(), {}, {{"value", full(Shape{}, value, dtype)}}, {});
  known.emplace(bits, id);
  return var(id);
}

Var Graph::read(const Parameter& parameter, Location where) {
  if (const auto known = find(parameter)) return *known;
  const NodeId id = add(parameter_op(), {}, {{"parameter", parameter}}, where);
  if (!emission_) nodes_[id].label = intern(parameter.name(), where);
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

Scope Graph::scope(std::string_view name, Location where) {
  const std::uint32_t previous = scope_;
  std::string path = names(where)[scope_];
  path.append(name).append("/");
  scope_ = intern(std::move(path), where);
  return {*this, previous};
}

std::string Graph::label(NodeId id, Location where) const {
  const Node& node = this->node(id, where);
  if (node.label == 0) return {};
  const auto& names = this->names(where);
  return names[node.scope] + names[node.label];
}

void Graph::set_label(NodeId id, std::string_view label, Location where) {
  if (id >= nodes_.size()) no_such_node(id, where);
  nodes_[id].label = intern(std::string(label), where);
}

std::uint32_t Graph::intern(std::string text, Location where) {
  if (text.empty()) return 0;
  if (Graph* const outer = parent(where)) return outer->intern(std::move(text), where);
  if (const auto known = string_ids_.find(text); known != string_ids_.end()) return known->second;
  const auto id = static_cast<std::uint32_t>(strings_.size());
  strings_.push_back(text);
  try {
    string_ids_.emplace(std::move(text), id);
  } catch (...) {
    strings_.pop_back();
    throw;
  }
  return id;
}

NodeId Graph::add(const Op& op, std::span<const Var> inputs, Attributes attributes,
                  Location where) {
  if (nodes_.size() >= own_place)
    fail<GraphError>({.op = op.name(), .what = "the graph is full", .where = where});
  const auto id = static_cast<NodeId>(nodes_.size());
  Node& node = nodes_.emplace_back();
  try {
    node.attributes = std::move(attributes);
    node.where = emission_ ? emission_->where : pinned_.known() ? pinned_ : where;
    fill(id, op, inputs);
    if (emission_ && op.is_pure())
      if (const auto same = merge(id)) return *same;
    infer(id, inputs);
  } catch (...) {
    take_back(id);
    throw;
  }
  return id;
}

// The operator is set last: take_back() looks at operands of none but a node that has one.
void Graph::fill(NodeId id, const Op& op, std::span<const Var> inputs) {
  Node& node = nodes_[id];
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].graph_id() != this->id() && inputs[i].graph_id() != parent_.id())
      fail<GraphError>({.op = op.name(),
                        .what = "its operand " + std::to_string(i) +
                                " is neither of this graph nor of its parent",
                        .where = node.where,
                        .help = "give Vars of the graph that the node is added to"});
  if (!inputs.empty()) {
    auto* refs = static_cast<Ref*>(refs_.allocate(sizeof(Ref) * inputs.size(), alignof(Ref)));
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const bool outer = inputs[i].graph_id() != this->id();
      std::construct_at(refs + i, inputs[i].id(), inputs[i].output(), outer);
    }
    node.input_refs = refs;
  }
  node.input_count = static_cast<std::uint32_t>(inputs.size());
  node.op = &op;
  node.origin = id;
  if (!emission_) {
    node.scope = scope_;
    return;
  }
  if (emission_->origin != own_place) node.origin = emission_->origin;
  node.role = emission_->role;
  node.label = emission_->label;
  node.scope = emission_->scope;
}

void Graph::infer(NodeId id, std::span<const Var> inputs) {
  Node& node = nodes_[id];
  const Op& op = *node.op;
  // Few are looked at without memory of their own.
  std::array<const Type*, 4> few{};
  std::vector<const Type*> many(inputs.size() > few.size() ? inputs.size() : 0);
  const Type** const types = many.empty() ? few.data() : many.data();
  for (std::size_t i = 0; i < inputs.size(); ++i) types[i] = &inputs[i].type(node.where);
  Inference inference(op, std::span(types, inputs.size()), node.attributes, node.where,
                      emission_ ? "" : names(node.where)[node.label]);
  try {
    op.infer(inference);
  } catch (const SizeError& error) {
    std::string operands;
    for (const Var& var : inputs)
      operands += (operands.empty() ? "" : " and ") + to_string(var.type());
    const std::string of = operands.empty() ? "" : " of " + operands;
    // Without the lines of ours that a Shape names.
    std::string_view why = error.what();
    why = why.substr(0, why.find("\n  at "));
    if (why.starts_with("[Shape] ")) why.remove_prefix(8);
    fail<SizeError>({.op = op.name(),
                     .what = "its result" + of + " is too large: " + std::string(why),
                     .where = node.where});
  }
  if (inference.out.empty())
    fail<GraphError>({.op = op.name(),
                      .what = "its infer() left inference.out empty",
                      .where = node.where,
                      .help = "put one dt::Type per output there: inference.out = {...}"});
  for (const Type& out : inference.out) detail::check_dtype(op.name(), out.dtype, node.where);
  if (inference.out.size() > 1) {
    node.more_types = std::make_unique<Type[]>(inference.out.size() - 1);
    std::move(inference.out.begin() + 1, inference.out.end(), node.more_types.get());
  }
  node.first_type = std::move(inference.out[0]);
  node.output_count = static_cast<std::uint32_t>(inference.out.size());
  if (parent_.id() != 0) check_linear(op, id, node.where);
}

// A node that failed leaves no trace: the graph is as it was.
void Graph::take_back(NodeId id) {
  if (merged_ && nodes_[id].op != nullptr)
    if (const auto it = merged_->ids.find(id); it != merged_->ids.end() && *it == id)
      merged_->ids.erase(it);
  nodes_.pop_back();
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
    in.push_back(var(node.input_refs[i], where));
    strict[i] = !node.input_refs[i].outer && node.op != &constant_op();
    // Zeros may stand for an absent tangent; an index of zeros does not.
    with_zeros[i] = strict[i] || (is_floating(in[i].dtype()) && is_zero_constant(in[i]));
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
    : graph_(graph.handle()), previous_(graph.emission_) {
  const std::size_t names = graph.names(emission.where).size();
  if (emission.label >= names || emission.scope >= names)
    fail<GraphError>({.op = "Emitting",
                      .what = "there is no label " + std::to_string(emission.label) +
                              " or no scope " + std::to_string(emission.scope) + " in a graph of " +
                              std::to_string(names) + " names",
                      .where = emission.where,
                      .help = "take them from the Node that others are emitted for, or give 0"});
  graph.emission_ = emission;
}
Graph::Emitting::~Emitting() {
  if (Graph* const graph = graph_.get()) graph->emission_ = previous_;
}

}  // namespace dualtape
