// Graph, Node and Var: the recorded computation.
//
// A Graph owns nodes; a node is an operator applied to outputs of earlier nodes, with its static
// attributes, the inferred types of its outputs, a label and the user's line. A Var is a light
// handle on one output, which finds out if its graph has ended. Building checks shapes and dtypes
// at once and throws an Error that names the operator, the label, the shapes and the user's line; a
// graph that refused something, or ran out of memory, is as it was. A Graph may be built by one
// thread at a time and read by many. Walks are loops over node numbers, never recursions, so depth
// has no limit.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <dualtape/core/attributes.hpp>
#include <dualtape/core/error.hpp>
#include <dualtape/core/parameter.hpp>
#include <dualtape/core/tensor.hpp>

namespace dualtape {

class Graph;
class Op;
class Places;
struct Node;
using NodeId = std::uint32_t;
inline constexpr NodeId no_node = UINT32_MAX;
inline constexpr NodeId own_place =
    UINT32_MAX - 1;  // as an Emission's origin: the node's own number

// Tells graphs apart: no other graph of this process has, had or will have the same. 0 is none's.
using GraphId = std::uint64_t;

namespace detail {
// Where to find a graph. Places are used again but never freed, so that they may be looked at when
// the graph has ended: then the number there is another one's, or 0.
struct GraphPlace {
  std::atomic<GraphId> id{0};
  Graph* graph = nullptr;
};
}  // namespace detail

// A graph that may have ended.
class GraphHandle {
 public:
  GraphHandle() = default;
  GraphHandle(const detail::GraphPlace& place, GraphId id) : place_(&place), id_(id) {}

  GraphId id() const { return id_; }
  // Null if it was never made or has ended.
  Graph* get() const {
    if (place_ == nullptr || place_->id.load(std::memory_order_relaxed) != id_) return nullptr;
    return place_->graph;
  }
  friend bool operator==(const GraphHandle&, const GraphHandle&) = default;

 private:
  const detail::GraphPlace* place_ = nullptr;
  GraphId id_ = 0;
};

// All but defined(), alive() and the numbers throw GraphError for a Var that is empty or whose
// graph has ended.
class Var {
 public:
  Var() = default;
  Var(Graph& graph, NodeId node, std::uint32_t output);

  bool defined() const { return graph_.id() != 0; }
  // Read of an absent tangent or cotangent, see MaybeVar.
  bool is_absent() const { return !defined() && node_ == no_node; }
  bool alive() const { return graph_.get() != nullptr; }
  Graph& graph(Location where = Location::current()) const {
    Graph* const found = graph_.get();
    if (found == nullptr) refuse(where);
    return *found;
  }
  GraphHandle handle() const { return graph_; }
  GraphId graph_id() const { return graph_.id(); }
  NodeId id() const { return node_; }
  std::uint32_t output() const { return output_; }
  const Node& node(Location where = Location::current()) const;
  const Type& type(Location where = Location::current()) const;
  const Shape& shape(Location where = Location::current()) const { return type(where).shape; }
  DType dtype(Location where = Location::current()) const { return type(where).dtype; }
  std::size_t rank(Location where = Location::current()) const { return shape(where).rank(); }
  std::string label(Location where = Location::current()) const;
  // Names the node for listings, drawings and error texts; returns this Var.
  Var named(std::string_view label, Location where = Location::current()) const;

  // The same output of the same node; elementwise comparison is equal(a, b).
  friend bool operator==(const Var&, const Var&) = default;
  // x[0], x[dt::range(1, 3)], x[{0, dt::range()}], x[indices]: see ops/subscript.hpp.
  Var operator[](const Places& places) const;

 private:
  friend class MaybeVar;
  constexpr explicit Var(NodeId node) : node_(node) {}
  [[noreturn]] void refuse(Location where) const;
  [[noreturn]] void refuse_output(Location where) const;

  GraphHandle graph_;
  NodeId node_ = 0;
  std::uint32_t output_ = 0;
};
// As in the graph's listing, without operands: "%2 = mul : float32 (5,)  'scaled'". No elements: a
// Var has none before a run, see eval().
std::ostream& operator<<(std::ostream& out, const Var& var);

// A Var with the user's line, for operators that take nothing beside it: noted by the conversion.
struct VarAt {
  VarAt(Var named_var, Location here = Location::current()) : var(named_var), where(here) {}
  Var var;
  Location where;
};

// A tangent or cotangent that may be absent: an absent one is exactly zero and never stored. What
// is read of an absent one is no Var either, and operators say so.
class MaybeVar : public std::optional<Var> {
 public:
  using std::optional<Var>::optional;
  MaybeVar(const std::optional<Var>& other) : optional(other) {}

  const Var& operator*() const { return has_value() ? optional::operator*() : absent; }
  const Var* operator->() const { return &**this; }

  static const Var absent;
};

// What operators take: a Var, a Parameter (read in the graph of the other operands), a Tensor (a
// constant), or a bare literal, which is weak: it takes the dtype of the other operands, if that
// holds an integer's value, else int64. The implicit conversion at the call is also what notes the
// user's line.
class In {
 public:
  enum class Form : std::uint8_t { var, parameter, tensor, real, integer, truth };

  In(Var var, Location where = Location::current()) : form_(Form::var), var_(var), where_(where) {}
  In(const Parameter& parameter, Location where = Location::current())
      : form_(Form::parameter), parameter_(&parameter), where_(where) {}
  In(const Tensor& tensor, Location where = Location::current())
      : form_(Form::tensor), tensor_(&tensor), where_(where) {}
  // ValueError for an integer beyond int64.
  template <class T>
  requires std::is_arithmetic_v<T> In(T value, Location where = Location::current())
      : In(Number(value, where)) {}
  In(Number number) : form_(form_of(number)), number_(number), where_(number.where()) {}

  Form form() const { return form_; }
  bool is_literal() const { return form_ >= Form::real; }
  // GraphError, with the user's line, if it is empty or its graph has ended.
  Var var() const {
    static_cast<void>(var_.graph(where_));
    return var_;
  }
  Var unchecked_var() const { return var_; }
  const Parameter& parameter() const { return *parameter_; }
  const Tensor& tensor() const { return *tensor_; }
  Number literal() const { return number_; }
  // The user's line: of the conversion, or of the Composite that is being built in the Var's graph.
  Location where() const;

 private:
  static Form form_of(const Number& number) {
    switch (number.kind()) {
      case Number::Kind::truth: return Form::truth;
      case Number::Kind::integer: return Form::integer;
      default: return Form::real;
    }
  }
  Form form_;
  union {
    Var var_;
    const Parameter* parameter_;
    const Tensor* tensor_;
    Number number_;
  };
  Location where_;
};

// One operand of a node: output `output` of node `node`, in the parent graph if `outer`.
struct Ref {
  Ref() = default;
  Ref(NodeId of_node, std::uint32_t which, bool of_parent)
      : node(of_node), output(which & 0x7FFFFFFFU), outer(of_parent) {}
  NodeId node = 0;
  std::uint32_t output : 31 = 0;
  bool outer : 1 = false;
  friend bool operator==(const Ref&, const Ref&) = default;
};

// Why a node exists; colours drawings and lets programs count bytes by category.
enum class Role : std::uint8_t { primal, coefficient, tangent, cotangent };
std::string_view name_of(Role role);

struct Node {
  const Op* op = nullptr;
  Attributes attributes;
  const Ref* input_refs = nullptr;
  std::uint32_t input_count = 0;
  std::uint32_t output_count = 0;
  Role role = Role::primal;
  // When to run: in the place of the node of this number (its own for a user's node, the primal's
  // for a tangent), or as late as possible if no_node.
  NodeId origin = no_node;
  std::uint32_t label = 0;
  std::uint32_t scope = 0;
  Location where;
  Type first_type;
  std::unique_ptr<Type[]> more_types;  // outputs 1, 2, ...

  std::span<const Ref> inputs() const { return {input_refs, input_count}; }
  const Type& type(std::size_t output) const {
    return output == 0 ? first_type : more_types[output - 1];
  }
};

// Ends the name scope it stands for when destroyed.
class [[nodiscard]] Scope {
 public:
  Scope(Graph& graph, std::uint32_t previous);
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope();

 private:
  GraphHandle graph_;
  std::uint32_t previous_;
};

class Graph {
 public:
  Graph();
  // A scratch graph: its nodes may also refer to nodes of `parent`, which must outlive it. What the
  // reverse visitor writes its tape into; every operator in it must be linear in the operands that
  // live in it.
  explicit Graph(Graph& parent, Location where = Location::current());
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();

  GraphId id() const { return place_->id.load(std::memory_order_relaxed); }
  GraphHandle handle() const { return {*place_, id()}; }

  // A value fed at each run. Throws GraphError if the name is taken.
  Var input(std::string name, Shape shape, DType dtype = float32,
            Location where = Location::current());
  Var constant(const Tensor& value, Location where = Location::current());
  // Rank 0; equal ones are one node. ValueError for an integer that an integer dtype cannot hold.
  Var constant(Number value, DType dtype);
  Var read(const Parameter& parameter, Location where = Location::current());
  // The node that reads `parameter`, if there is one.
  std::optional<Var> find(const Parameter& parameter) const;

  // Prefixes the labels of nodes made until the returned Scope ends: "encoder/layer1".
  Scope scope(std::string_view name, Location where = Location::current());

  std::size_t size() const { return nodes_.size(); }
  // GraphError if there is no node of that number.
  const Node& node(NodeId id, Location where = Location::current()) const {
    if (id >= nodes_.size()) no_such_node(id, where);
    return nodes_[id];
  }
  Var var(NodeId id, std::uint32_t output = 0) { return {*this, id, output}; }
  // GraphError for an operand in a parent, where there is none or it has ended.
  Var var(Ref ref, Location where = Location::current()) {
    if (!ref.outer) return {*this, ref.node, ref.output};
    Graph* const outer = parent(where);
    if (outer == nullptr) no_parent(where);
    return {*outer, ref.node, ref.output};
  }
  // Null for a graph that is no scratch graph; GraphError if it has ended.
  Graph* parent(Location where = Location::current()) const {
    if (parent_.id() == 0) return nullptr;
    Graph* const outer = parent_.get();
    if (outer == nullptr) no_parent(where);
    return outer;
  }
  // With its scope; "" if none.
  std::string label(NodeId id, Location where = Location::current()) const;
  void set_label(NodeId id, std::string_view label, Location where = Location::current());

  // Adds a node without promotion or inference of anything but the output types; what apply() and
  // the modes end in. Inside an Emission equal nodes are merged.
  NodeId add(const Op& op, std::span<const Var> inputs, Attributes attributes, Location where);

  // The line and place in the order of nodes made by a mode on behalf of a primal node.
  struct Emission {
    NodeId origin = no_node;
    Role role = Role::tangent;
    Location where;
    std::uint32_t label = 0;
    std::uint32_t scope = 0;
    const Op* rule_of = nullptr;  // whose rule is running; named in errors
  };
  // While it lives, nodes added to `graph` are marked so and merged where equal. GraphError for a
  // label or a scope that the graph does not have.
  class Emitting {
   public:
    Emitting(Graph& graph, const Emission& emission);
    Emitting(const Emitting&) = delete;
    Emitting& operator=(const Emitting&) = delete;
    ~Emitting();

   private:
    GraphHandle graph_;
    std::optional<Emission> previous_;
  };
  const std::optional<Emission>& emission() const { return emission_; }

  // The line that nodes and errors carry instead of their own while a Composite is being built;
  // unknown while there is none.
  Location pinned() const { return pinned_; }

 private:
  friend class Scope;
  friend class Composite;
  struct MergeHash;
  struct MergeEqual;
  struct MergeTable;

  [[noreturn]] void no_such_node(NodeId id, Location where) const;
  [[noreturn]] void no_parent(Location where) const;
  const std::vector<std::string>& names(Location where) const;
  std::uint32_t intern(std::string text, Location where);
  void fill(NodeId id, const Op& op, std::span<const Var> inputs);
  void infer(NodeId id, std::span<const Var> inputs);
  void take_back(NodeId id);
  void check_linear(const Op& op, NodeId id, Location where);
  std::optional<NodeId> merge(NodeId candidate);

  GraphHandle parent_;
  std::pmr::monotonic_buffer_resource refs_;
  std::deque<Node> nodes_;
  std::vector<std::string> strings_{""};
  std::unordered_map<std::string, std::uint32_t> string_ids_;
  std::uint32_t scope_ = 0;
  std::unordered_map<std::size_t, std::vector<NodeId>> parameters_;  // by Parameter::hash
  std::unordered_map<std::string, NodeId> inputs_;
  std::unordered_map<std::uint64_t, NodeId> literals_[5];  // by dtype, then the element's bits
  std::optional<Emission> emission_;
  Location pinned_;
  std::unique_ptr<MergeTable> merged_;
  detail::GraphPlace* place_;  // last: taken when nothing else can fail
};

inline Var::Var(Graph& graph, NodeId node, std::uint32_t output)
    : graph_(graph.handle()), node_(node), output_(output) {}

// Run several times for every node that is made.
inline const Node& Var::node(Location where) const { return graph(where).node(node_, where); }
inline const Type& Var::type(Location where) const {
  const Node& made_by = node(where);
  if (output_ >= made_by.output_count) refuse_output(where);
  return made_by.type(output_);
}

inline Location In::where() const {
  if (form_ != Form::var) return where_;
  const Graph* const graph = var_.handle().get();
  return graph != nullptr && graph->pinned().known() ? graph->pinned() : where_;
}

namespace detail {
// Whether the Var stands for an output that is there, of a graph that still lives.
inline bool is_there(Var var) {
  if (!var.alive()) return false;
  const Graph& graph = var.graph();
  return var.id() < graph.size() && var.output() < graph.node(var.id()).output_count;
}
// GraphError for a Var that is_there() denies.
[[noreturn]] void refuse_var(Var var, std::string_view op, std::string_view what, Location where);
// GraphError, at the user's line, unless the Var stands for a node of a graph that still lives.
// `what` names it in the text: "the loss". Returns it.
inline Var require_alive(Var var, std::string_view op, std::string_view what, Location where) {
  if (!is_there(var)) refuse_var(var, op, what, where);
  return var;
}
// require_alive() for each of them, and that all are of one graph, or of a scratch graph's parent:
// an error names the lines of two that are not. `what` names several: "outputs". There must be one
// at least.
Graph& require_one_graph(std::span<const Var> vars, std::string_view op, std::string_view what,
                         Location where);
// The graph for nodes on Vars of both: the same, or the one that is a scratch graph of the other;
// null if there is none. `so_far` may be null.
Graph* joined(Graph* so_far, Graph& other, Location where);
// The graph of the Vars among the operands: one graph, or a scratch graph beside its parent. Throws
// GraphError in the name of `function`, also where there is no Var.
Graph& graph_of(std::string_view function, std::span<const In> operands);
// The user's line: of the first operand that has one.
Location line_of(std::span<const In> operands);
// "'loss', made at train.cpp:12" for a Var of a graph that lives; without its label if it has none.
std::string place_of(Var var);
}  // namespace detail

// Applies an operator: finds the graph, reads parameters, makes constants, promotes dtypes, infers
// types, adds the node. Throws GraphError, ShapeError or TypeError with the user's line.
std::vector<Var> apply_all(const Op& op, std::span<const In> inputs, Attributes attributes = {});
Var apply(const Op& op, std::initializer_list<In> inputs, Attributes attributes = {});
Var apply(const Op& op, std::span<const In> inputs, Attributes attributes = {});

}  // namespace dualtape
