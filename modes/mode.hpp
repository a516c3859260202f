// Mode: what every way of differentiating a graph has in common.
//
// A mode carries a State along the nodes between the inputs wanted and the outputs wanted, in the
// graph's order, and says for each kind of operator how a node's output states come from its input
// states. Forward mode carries a tangent (modes/forward.hpp); the tape of reverse mode is forward
// mode written into a scratch graph (modes/reverse.hpp). A mode of your own derives from Mode,
// answers the four kinds, and may be taught single operators by a rule, which is asked first.
// A mode that is no differentiation (modes/batching.hpp) carries states through operators without
// a derivative, too. Walks are loops; a Mode is used by one thread at a time.
#pragma once

#include <concepts>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/core/op.hpp>

namespace dualtape {

// The nodes that `outputs` need, ascending; GraphError unless they are of `graph`. It is not looked
// for the operands of an operator that `carries` denies; without it, of one whose derivative is
// zero by definition.
std::vector<NodeId> active_region(const Graph& graph, std::span<const Var> outputs,
                                  const std::function<bool(const Op&)>& carries = {});

// DerivativeError: somebody differentiates through `node`, whose operator gives a reason against
// it.
[[noreturn]] void refuse(const NodeView& node, Location where, const std::string& label);

namespace detail {
// GraphError unless all Vars are of `graph` and there is one state for each input.
void check_walk(const Graph& graph, std::span<const Var> inputs, std::size_t states,
                std::span<const Var> outputs, Location where);
// GraphError for a Var that is not of `graph`.
void require_walked(const Graph& graph, std::span<const Var> vars, Location where);
[[noreturn]] void refuse_empty_rule(const Op& op, Location where);
// DerivativeError: a rule gave `count` states for the outputs of `node`.
[[noreturn]] void refuse_states(const NodeView& node, std::size_t count);
}  // namespace detail

template <class State>
class Mode {
 public:
  // Absent: nothing arrives here (a zero tangent).
  using MaybeState = std::conditional_t<std::same_as<State, Var>, MaybeVar, std::optional<State>>;
  using Rule = std::function<std::vector<MaybeState>(const NodeView&, std::span<const MaybeState>)>;

  Mode() = default;
  Mode(const Mode&) = delete;
  Mode& operator=(const Mode&) = delete;
  virtual ~Mode() = default;

  // Answers for `op` before the kinds are asked: whatever its kind, so that floor or a comparison
  // may carry a state, too.
  void set_rule(const Op& op, Rule rule, Location where = Location::current()) {
    if (!rule) detail::refuse_empty_rule(op, where);
    rules_[&op] = std::move(rule);
  }

  // The states of `outputs`, given those of `inputs`.
  std::vector<MaybeState> run(Graph& graph, std::span<const Var> inputs,
                              std::span<const State> states, std::span<const Var> outputs,
                              Location where = Location::current());

  // The output states of one node, by its own rule or its kind's.
  std::vector<MaybeState> ask(const NodeView& node, std::span<const MaybeState> in);

 protected:
  // One state per output. At least one of `in` is present.
  virtual std::vector<MaybeState> elementwise(const NodeView& node,
                                              std::span<const MaybeState> in) = 0;
  virtual std::vector<MaybeState> linear(const NodeView& node, std::span<const MaybeState> in) = 0;
  virtual std::vector<MaybeState> bilinear(const NodeView& node,
                                           std::span<const MaybeState> in) = 0;
  virtual std::vector<MaybeState> general(const NodeView& node, std::span<const MaybeState> in) = 0;
  // Operators without a derivative: asked only by a mode that carries() states through them.
  virtual std::vector<MaybeState> zero_derivative(const NodeView& node,
                                                  std::span<const MaybeState> in) {
    static_cast<void>(in);
    return std::vector<MaybeState>(node.out.size());
  }
  // DerivativeError, with the operator's reason.
  virtual std::vector<MaybeState> not_differentiable(const NodeView& node,
                                                     std::span<const MaybeState> in) {
    static_cast<void>(in);
    refuse(node, node.out[0].node().where, node.out[0].label());
  }
  // Whether a state may come through the operator: by a rule, or by its kind.
  virtual bool carries(const Op& op) const {
    return op.kind() != Kind::zero_derivative || has_rule(op);
  }
  bool has_rule(const Op& op) const { return rules_.contains(&op); }
  // Called before a walk of `graph`: a mode that belongs to one graph refuses another here.
  virtual void begin(Graph& graph, Location where) {
    static_cast<void>(graph);
    static_cast<void>(where);
  }
  // Called with what a rule gave, one for each output: throws where a state is none that this mode
  // can carry.
  virtual void check(const NodeView& node, std::span<const MaybeState> out) {
    static_cast<void>(node);
    static_cast<void>(out);
  }
  // Called around each node: a mode that adds nodes marks them here as emitted for it.
  virtual void visit(const Node& node, const std::function<void()>& rule) {
    static_cast<void>(node);
    rule();
  }

 private:
  std::vector<MaybeState> answer(const NodeView& node, std::span<const MaybeState> in);
  std::unordered_map<const Op*, Rule> rules_;
};

template <class State>
std::vector<typename Mode<State>::MaybeState> Mode<State>::ask(const NodeView& node,
                                                               std::span<const MaybeState> in) {
  std::vector<MaybeState> out = answer(node, in);
  if (out.size() != node.out.size()) detail::refuse_states(node, out.size());
  check(node, out);
  return out;
}

template <class State>
std::vector<typename Mode<State>::MaybeState> Mode<State>::answer(const NodeView& node,
                                                                  std::span<const MaybeState> in) {
  if (const auto it = rules_.find(&node.op); it != rules_.end()) {
    const Rule rule = it->second;  // which may set itself anew while it runs
    return rule(node, in);
  }
  switch (node.op.kind()) {
    case Kind::elementwise: return elementwise(node, in);
    case Kind::linear: return linear(node, in);
    case Kind::bilinear: return bilinear(node, in);
    case Kind::general: return general(node, in);
    case Kind::none: return not_differentiable(node, in);
    default: return zero_derivative(node, in);
  }
}

template <class State>
std::vector<typename Mode<State>::MaybeState> Mode<State>::run(Graph& graph,
                                                               std::span<const Var> inputs,
                                                               std::span<const State> states,
                                                               std::span<const Var> outputs,
                                                               Location where) {
  detail::check_walk(graph, inputs, states.size(), outputs, where);
  begin(graph, where);
  // The state of output 0 of every node; later outputs, which are rare, go by key.
  std::vector<MaybeState> first(graph.size());
  std::unordered_map<std::uint64_t, State> later;
  const auto key = [](Ref ref) { return (std::uint64_t{ref.node} << 32) | ref.output; };
  const auto state_of = [&](Ref ref) -> MaybeState {
    if (ref.output == 0) return first[ref.node];
    const auto it = later.find(key(ref));
    return it == later.end() ? MaybeState{} : MaybeState{it->second};
  };
  const auto set = [&](Ref ref, const MaybeState& state) {
    if (ref.output == 0)
      first[ref.node] = state;
    else if (state)
      later.insert_or_assign(key(ref), *state);
  };
  const auto ref_of = [](Var var) { return Ref{var.id(), var.output(), false}; };

  // Given states stand, even where a rule would give the node's output another one.
  std::vector<bool> has_given(graph.size());
  std::unordered_set<std::uint64_t> given;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    set(ref_of(inputs[i]), states[i]);
    has_given[inputs[i].id()] = true;
    given.insert(key(ref_of(inputs[i])));
  }
  std::vector<MaybeState> in;
  std::vector<Var> in_vars;
  std::vector<Var> out_vars;
  for (const NodeId id :
       active_region(graph, outputs, [this](const Op& op) { return carries(op); })) {
    const Node& node = graph.node(id);
    if (has_given[id] && node.output_count == 1) continue;
    in.clear();
    bool any = false;
    for (const Ref& ref : node.inputs()) {
      in.push_back(state_of(ref));
      any = any || in.back().has_value();
    }
    if (!any || !carries(*node.op)) continue;
    in_vars.clear();
    out_vars.clear();
    for (const Ref& ref : node.inputs()) in_vars.push_back(graph.var(ref));
    for (std::uint32_t i = 0; i < node.output_count; ++i) out_vars.push_back(graph.var(id, i));
    const Attributes attributes = node.attributes;
    const NodeView view{*node.op, in_vars, out_vars, attributes};
    visit(node, [&] {
      const std::vector<MaybeState> out = ask(view, in);
      for (std::uint32_t i = 0; i < out.size(); ++i) {
        const Ref ref{id, i, false};
        if (!has_given[id] || !given.contains(key(ref))) set(ref, out[i]);
      }
    });
  }
  std::vector<MaybeState> result;
  for (const Var& var : outputs) result.push_back(state_of(ref_of(var)));
  return result;
}

}  // namespace dualtape
