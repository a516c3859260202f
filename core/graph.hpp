// Graph, Node and Var: the recorded computation.
//
// A Graph owns nodes; a node is an operator applied to outputs of earlier nodes, with its static
// attributes, the inferred types of its outputs, a label and the user's line. A Var is a light
// handle on one output. Building checks shapes and dtypes at once and throws an Error that names
// the operator, the label, the shapes and the user's line. A Graph may be built by one thread at a
// time and read by many. Walks are loops over node numbers, never recursions, so depth has no
// limit.
#pragma once

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

class Var {
 public:
  Var() = default;
  Var(Graph& graph, NodeId node, std::uint32_t output)
      : graph_(&graph), node_(node), output_(output) {}

  bool defined() const { return graph_ != nullptr; }
  // Read of an absent tangent or cotangent, see MaybeVar.
  bool is_absent() const { return graph_ == nullptr && node_ == no_node; }
  Graph& graph() const { return *graph_; }
  NodeId id() const { return node_; }
  std::uint32_t output() const { return output_; }
  const Node& node() const;
  const Type& type() const;
  const Shape& shape() const { return type().shape; }
  DType dtype() const { return type().dtype; }
  std::size_t rank() const { return shape().rank(); }
  std::string label() const;
  // Names the node for listings, drawings and error texts; returns this Var.
  Var named(std::string_view label) const;

  // The same output of the same node; elementwise comparison is equal(a, b).
  friend bool operator==(const Var&, const Var&) = default;
  // x[0], x[dt::range(1, 3)], x[{0, dt::range()}], x[indices]: see ops/subscript.hpp.
  Var operator[](const Places& places) const;

 private:
  friend class MaybeVar;
  constexpr explicit Var(NodeId node) : node_(node) {}

  Graph* graph_ = nullptr;
  NodeId node_ = 0;
  std::uint32_t output_ = 0;
};
// As in the graph's listing, without operands: "%2 = mul : float32 (5,)  'scaled'". No elements: a
// Var has none before a run, see eval().
std::ostream& operator<<(std::ostream& out, const Var& var);

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
  Var var() const { return var_; }
  const Parameter& parameter() const { return *parameter_; }
  const Tensor& tensor() const { return *tensor_; }
  Number literal() const { return number_; }
  Location where() const { return where_; }

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
  NodeId node = 0;
  std::uint16_t output = 0;
  bool outer = false;
  friend bool operator==(const Ref&, const Ref&) = default;
};

// Why a node exists; colours drawings and lets programs count bytes by category.
enum class Role : std::uint8_t { primal, coefficient, tangent, cotangent };
std::string_view name_of(Role role);

struct Node {
  const Op* op = nullptr;
  Attributes attributes;
  const Ref* input_refs = nullptr;
  std::uint16_t input_count = 0;
  std::uint16_t output_count = 0;
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
  Scope(Graph& graph, std::uint32_t previous) : graph_(&graph), previous_(previous) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope();

 private:
  Graph* graph_;
  std::uint32_t previous_;
};

class Graph {
 public:
  Graph();
  // A scratch graph: its nodes may also refer to nodes of `parent`, which must outlive it. What the
  // reverse visitor writes its tape into; every operator in it must be linear in the operands that
  // live in it.
  explicit Graph(Graph& parent);
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();

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
  Scope scope(std::string_view name);

  std::size_t size() const { return nodes_.size(); }
  const Node& node(NodeId id) const { return nodes_[id]; }
  Var var(NodeId id, std::uint32_t output = 0) { return {*this, id, output}; }
  Var var(Ref ref) { return {ref.outer ? *parent_ : *this, ref.node, ref.output}; }
  Graph* parent() const { return parent_; }
  std::string label(NodeId id) const;  // with its scope; "" if none
  void set_label(NodeId id, std::string_view label);

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
  // While it lives, nodes added to `graph` are marked so and merged where equal.
  class Emitting {
   public:
    Emitting(Graph& graph, const Emission& emission);
    Emitting(const Emitting&) = delete;
    Emitting& operator=(const Emitting&) = delete;
    ~Emitting();

   private:
    Graph* graph_;
    std::optional<Emission> previous_;
  };
  const std::optional<Emission>& emission() const { return emission_; }

 private:
  friend class Scope;
  struct MergeHash;
  struct MergeEqual;
  struct MergeTable;

  std::uint32_t intern(std::string text);
  void check_linear(const Op& op, NodeId id, Location where);
  std::optional<NodeId> merge(NodeId candidate);

  Graph* parent_ = nullptr;
  std::pmr::monotonic_buffer_resource refs_;
  std::deque<Node> nodes_;
  std::vector<std::string> strings_{""};
  std::unordered_map<std::string, std::uint32_t> string_ids_;
  std::uint32_t scope_ = 0;
  std::unordered_map<std::size_t, std::vector<NodeId>> parameters_;  // by Parameter::hash
  std::unordered_map<std::string, NodeId> inputs_;
  std::unordered_map<std::uint64_t, NodeId> literals_[5];  // by dtype, then the element's bits
  std::optional<Emission> emission_;
  std::unique_ptr<MergeTable> merged_;
};

// Applies an operator: finds the graph, reads parameters, makes constants, promotes dtypes, infers
// types, adds the node. Throws GraphError, ShapeError or TypeError with the user's line.
std::vector<Var> apply_all(const Op& op, std::span<const In> inputs, Attributes attributes = {});
Var apply(const Op& op, std::initializer_list<In> inputs, Attributes attributes = {});
Var apply(const Op& op, std::span<const In> inputs, Attributes attributes = {});

}  // namespace dualtape
