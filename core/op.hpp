// Op: the contract between an operator and the engine. Authors do not derive from it: they describe
// an operator by its kind (core/kinds.hpp) and the engine makes the Op. Ops are immutable
// singletons and may be used from any thread.
#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <dualtape/core/case.hpp>
#include <dualtape/core/graph.hpp>
#include <dualtape/core/kernel.hpp>

namespace dualtape {

struct Recording;

enum class Kind : std::uint8_t {
  elementwise,      // one formula; partial derivatives
  linear,           // linear in the stated inputs together; a transpose
  bilinear,         // linear in each of the stated inputs; a transpose for each
  general,          // a jvp written with other operators
  composite,        // a function that adds several nodes; only in the registry, never in a graph
  zero_derivative,  // by definition (floor, comparisons, random draws ...)
  none,             // not differentiable, with a reason
};
std::string_view name_of(Kind kind);

// A runnable example: an expression with a Graph `g` in scope, and what its value prints.
struct Example {
  std::string_view code;
  std::string_view prints;
};

// What the reference page, the coverage table and the checks know of an operator.
struct OpInfo {
  std::string_view name;
  Kind kind = Kind::none;
  std::string_view doc;   // one line
  std::string_view math;  // the function and its derivative
  Example example;
  std::string_view reason;  // why there is no derivative (kinds constant and none)
  bool by_definition =
      false;                // a derivative of zero that differences would not find (stop_gradient)
  double tolerance = 1e-6;  // of derivatives against central differences in float64, relative
  double tolerance32 = 1e-5;  // of values and derivatives in float32 against float64, relative
};

// Which inputs are brought to one dtype before the node is made.
enum class Promotion : std::uint8_t {
  none,             // taken as they come
  common,           // all inputs to their common dtype
  common_floating,  // the same, and integers and bools become float32
  all_but_first,    // inputs 1, 2, ... to their common dtype (where)
};

// A node as rules see it. In a linear program the linear operands carry a type but no value.
struct NodeView {
  const Op& op;
  std::span<const Var> in;
  std::span<const Var> out;
  const Attributes& attributes;
};

// A node that is to be done for all members of a batch at once (modes/vmap.hpp). The batch axis is
// the first one.
struct BatchView {
  const NodeView& node;          // of one member
  std::span<const MaybeVar> in;  // with the batch axis; absent: the same for all members
  std::int64_t size;             // members
};

// What an operator's attributes become where its operands get one more axis in front, by what they
// mean: the names of attributes, where it has such. Axes that count from the back stay.
struct Shift {
  std::string_view axis{};         // one more
  std::string_view axes{};         // each one more
  std::string_view permutation{};  // 0, then each one more
  std::string_view sizes{};        // of the result: the size of the batch, then these
  std::string_view starts{};       // 0, then these
  std::string_view steps{};        // 1, then these
};

// The types of a node's operands, in order. GraphError for an operand that is not there: infer()
// may ask before it has counted them.
class OperandTypes {
 public:
  OperandTypes(std::span<const Type* const> types, const Op& op, Location where)
      : types_(types), op_(op), where_(where) {}
  const Type& operator[](std::size_t i) const {
    if (i >= types_.size()) refuse(i);
    return *types_[i];
  }
  std::size_t size() const { return types_.size(); }
  bool empty() const { return types_.empty(); }

 private:
  [[noreturn]] void refuse(std::size_t i) const;

  std::span<const Type* const> types_;
  const Op& op_;
  Location where_;
};

// What infer() is given; `out` receives one Type per output. Graphs and passes ask alike, so there
// is nothing but types to go by.
class Inference {
 public:
  Inference(const Op& op, std::span<const Type* const> operands,
            const Attributes& attributes_of_node, Location where, std::string_view label)
      : in(operands, op, where),
        attributes(attributes_of_node),
        op_(op),
        where_(where),
        label_(label) {}

  OperandTypes in;
  const Attributes& attributes;
  std::vector<Type> out;

  const Shape& shape(std::size_t i) const { return in[i].shape; }
  DType dtype(std::size_t i) const { return in[i].dtype; }
  void require_count(
      std::size_t count) const;                // GraphError unless there are exactly `count` inputs
  void require_floating(std::size_t i) const;  // TypeError
  // The axis as 0 .. rank-1; ShapeError if it is outside -rank .. rank-1.
  std::size_t axis(std::int64_t axis, std::size_t rank) const;

  [[noreturn]] void shape_error(std::string what, std::string help = {}) const;
  [[noreturn]] void type_error(std::string what, std::string help = {}) const;
  [[noreturn]] void value_error(std::string what, std::string help = {}) const;

 private:
  const Op& op_;
  Location where_;
  std::string_view label_;
};

// A partial derivative: a Var, or a literal (so that 1 costs nothing and 0 stops a walk).
class Factor {
 public:
  Factor(Var var) : var_(var) {}
  Factor(double literal) : literal_(literal) {}
  bool is_literal() const { return !var_.defined(); }
  double literal() const { return literal_; }
  Var var() const { return var_; }

 private:
  Var var_;
  double literal_ = 0;
};

class Op {
 public:
  Op() = default;
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;
  virtual ~Op() = default;

  virtual const OpInfo& info() const = 0;
  std::string_view name() const { return info().name; }
  Kind kind() const { return info().kind; }
  bool differentiable() const { return kind() != Kind::zero_derivative && kind() != Kind::none; }

  virtual Promotion promotion() const { return Promotion::none; }
  // The attributes of a call that says nothing of them, which drawings leave out: those bools that
  // are true then.
  virtual Attributes defaults() const { return {}; }
  virtual void infer(Inference& inference) const = 0;
  virtual Kernel kernel(const KernelRequest& request) const = 0;
  // For operators that can make any slice of their output from the small inputs they have (random
  // draws): fused loops then need no memory for it. Empty for all others.
  virtual Slice slice(const KernelRequest&) const { return {}; }
  // How the operator is done for a batch: without more than `shift` where its attributes say it
  // (all operands get the axis), or by a rule of its own. It may give none for operands that it
  // cannot batch: the operator is then done for one member after the other.
  virtual const Shift* shift() const { return nullptr; }
  virtual std::optional<std::vector<Var>> batch(const BatchView&) const { return std::nullopt; }
  // By default the operations of the formula for each element, and none without a formula.
  virtual Cost cost(const KernelRequest& request) const;
  // Sample calls for check_op and the generated tests.
  virtual std::vector<Case> cases() const = 0;
  // Calls at the edges of its domain with the right numbers.
  virtual std::vector<Edge> edges() const { return {}; }

  // Input `i` may share its memory with output `o` when nobody reads it later (types being equal).
  virtual bool in_place(std::size_t, std::size_t) const { return false; }
  // Whether its kernel may throw. A step that cannot may write a parameter while the program runs.
  virtual bool can_fail() const { return recording() == nullptr; }
  // Output 0 is input 0 under another type: no kernel runs, memory is shared.
  virtual bool is_alias() const { return false; }
  // Equal nodes may be merged and constant ones folded. False for inputs and the like.
  virtual bool is_pure() const { return true; }
  // Whether a node with the attributes `mine` also computes what another of this operator, with
  // those `others`, does, and how: that one's operands and outputs among its own. Programs then run
  // it in the place of both.
  struct Covered {
    std::vector<std::int64_t> operands;
    std::vector<std::int64_t> outputs;
  };
  virtual bool may_cover() const { return false; }
  virtual std::optional<Covered> covered(const Attributes& mine, const Attributes& others) const {
    static_cast<void>(mine);
    static_cast<void>(others);
    return std::nullopt;
  }
  // Draws random numbers from its key; programs count such bytes apart.
  virtual bool is_random() const { return false; }

  // Whether the node is linear (no constant part) in exactly the inputs marked active.
  virtual bool linear_in(const NodeView& node, std::span<const bool> active) const;

  // Kind elementwise: d out / d in[i]. Empty recording() when the author gave partials.
  virtual Factor partial(const NodeView& node, std::size_t i) const;
  virtual bool derives_partials() const { return false; }
  virtual const Recording* recording() const { return nullptr; }
  // Kinds linear and bilinear (and elementwise operators that are linear): the cotangent of input i
  // from those of the outputs, before it is summed to the input's shape.
  virtual MaybeVar transpose(const NodeView& node, std::size_t i,
                             std::span<const MaybeVar> cotangents) const;
  // The same of all inputs that are wanted. An operator of many inputs works out here what they
  // share: one by one, reverse mode would take time quadratic in their number.
  virtual std::vector<MaybeVar> transpose_all(const NodeView& node, const std::vector<bool>& wanted,
                                              std::span<const MaybeVar> cotangents) const;
  // Kind general: tangents of the outputs; one entry per output, absent meaning zero.
  virtual std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) const;
};

}  // namespace dualtape
