// BackwardMode: a walk from the outputs of a graph back to its inputs.
//
// It is Mode (modes/mode.hpp) the other way round. A node is asked for the states of its operands,
// given those of its outputs; where several nodes read a Var, joined() makes one state of theirs.
// Asked are the nodes between the inputs and the outputs, last ones first, each after all its
// readers: rules for single operators before the kinds, as in Mode. Reverse mode itself is no such
// walk, for it plays a tape (modes/reverse.hpp); this is for what has no tape: relevance, liveness,
// which outputs an element reaches. Walks are loops; a mode is used by one thread at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <dualtape/modes/mode.hpp>

namespace dualtape {

namespace detail {
// The nodes between, ascending, and which nodes depend on an input or are one.
struct Between {
  std::vector<NodeId> nodes;
  std::vector<bool> reached;
};
Between nodes_between(const Graph& graph, std::span<const Var> inputs, std::span<const Var> outputs,
                      const std::function<bool(const Op&)>& carries);
// GraphError unless all Vars are of `graph` and there is one state for each output.
void check_backward_walk(const Graph& graph, std::span<const Var> outputs, std::size_t states,
                         std::span<const Var> inputs, Location where);
// DerivativeError: a rule gave `count` states for the operands of `node`.
[[noreturn]] void refuse_operand_states(const NodeView& node, std::size_t count);
}  // namespace detail

template <class State>
class BackwardMode {
 public:
  // Absent: nothing arrives here.
  using MaybeState = typename Mode<State>::MaybeState;
  // One state for each operand of the node, given those of its outputs, at least one of which is
  // present. Only those of operands i with wanted[i] are used.
  using Rule = std::function<std::vector<MaybeState>(
      const NodeView& node, const std::vector<bool>& wanted, std::span<const MaybeState> out)>;

  BackwardMode() = default;
  BackwardMode(const BackwardMode&) = delete;
  BackwardMode& operator=(const BackwardMode&) = delete;
  virtual ~BackwardMode() = default;

  // Answers for `op` before the kinds are asked, whatever its kind. GraphError for an empty rule.
  void set_rule(const Op& op, Rule rule, Location where = Location::current()) {
    if (!rule) detail::refuse_empty_rule(op, where);
    rules_[&op] = std::move(rule);
  }

  // The states of `inputs`, given those of `outputs`. GraphError for Vars of another graph, or
  // another count of states than of outputs; what the rules throw.
  std::vector<MaybeState> run(Graph& graph, std::span<const Var> outputs,
                              std::span<const State> states, std::span<const Var> inputs,
                              Location where = Location::current());

 protected:
  virtual State joined(const State& a, const State& b) = 0;
  // As a Rule.
  virtual std::vector<MaybeState> elementwise(const NodeView& node, const std::vector<bool>& wanted,
                                              std::span<const MaybeState> out) = 0;
  virtual std::vector<MaybeState> linear(const NodeView& node, const std::vector<bool>& wanted,
                                         std::span<const MaybeState> out) = 0;
  virtual std::vector<MaybeState> bilinear(const NodeView& node, const std::vector<bool>& wanted,
                                           std::span<const MaybeState> out) = 0;
  virtual std::vector<MaybeState> general(const NodeView& node, const std::vector<bool>& wanted,
                                          std::span<const MaybeState> out) = 0;
  // Operators without a derivative: asked only by a mode that carries() states through them.
  virtual std::vector<MaybeState> zero_derivative(const NodeView& node, const std::vector<bool>&,
                                                  std::span<const MaybeState>) {
    return std::vector<MaybeState>(node.in.size());
  }
  // DerivativeError, with the operator's reason.
  virtual std::vector<MaybeState> not_differentiable(const NodeView& node, const std::vector<bool>&,
                                                     std::span<const MaybeState>) {
    refuse(node, node.out[0].node().where, node.out[0].label());
  }
  // Whether a state may go back through the operator: by a rule, or by its kind.
  virtual bool carries(const Op& op) const {
    return op.kind() != Kind::zero_derivative || has_rule(op);
  }
  bool has_rule(const Op& op) const { return rules_.contains(&op); }
  // Called before a walk of `graph`.
  virtual void begin(Graph& graph, Location where) {
    static_cast<void>(graph);
    static_cast<void>(where);
  }
  // Called around each node and what joins the states that it gives: a mode that adds nodes marks
  // them here as emitted for it.
  virtual void visit(const Node& node, const std::function<void()>& rule) {
    static_cast<void>(node);
    rule();
  }

 private:
  // States by Var: output 0 of a node by its number; later outputs, which are rare, go by key.
  struct States {
    explicit States(std::size_t nodes) : first(nodes) {}
    static std::uint64_t key(Ref ref) { return (std::uint64_t{ref.node} << 32) | ref.output; }
    MaybeState get(Ref ref) const {
      if (ref.output == 0) return first[ref.node];
      const auto it = later.find(key(ref));
      return it == later.end() ? MaybeState{} : it->second;
    }
    void set(Ref ref, MaybeState state) {
      (ref.output == 0 ? first[ref.node] : later[key(ref)]) = std::move(state);
    }
    std::vector<MaybeState> first;
    std::unordered_map<std::uint64_t, MaybeState> later;
  };
  void add(States& states, Ref ref, const State& state) {
    const MaybeState before = states.get(ref);
    states.set(ref, before ? joined(*before, state) : state);
  }
  void step(Graph& graph, NodeId id, const std::vector<bool>& reached, States& states);
  std::vector<MaybeState> answer(const NodeView& node, const std::vector<bool>& wanted,
                                 std::span<const MaybeState> out);
  std::unordered_map<const Op*, Rule> rules_;
};

template <class State>
std::vector<typename BackwardMode<State>::MaybeState> BackwardMode<State>::answer(
    const NodeView& node, const std::vector<bool>& wanted, std::span<const MaybeState> out) {
  if (const auto it = rules_.find(&node.op); it != rules_.end()) {
    const Rule rule = it->second;  // which may set itself anew while it runs
    return rule(node, wanted, out);
  }
  switch (node.op.kind()) {
    case Kind::elementwise: return elementwise(node, wanted, out);
    case Kind::linear: return linear(node, wanted, out);
    case Kind::bilinear: return bilinear(node, wanted, out);
    case Kind::general: return general(node, wanted, out);
    case Kind::none: return not_differentiable(node, wanted, out);
    default: return zero_derivative(node, wanted, out);
  }
}

template <class State>
void BackwardMode<State>::step(Graph& graph, NodeId id, const std::vector<bool>& reached,
                               States& states) {
  const Node& node = graph.node(id);
  if (node.input_count == 0 || !carries(*node.op)) return;
  std::vector<MaybeState> out;
  bool any = false;
  for (std::uint32_t i = 0; i < node.output_count; ++i) {
    out.push_back(states.get({id, i, false}));
    any = any || out.back().has_value();
  }
  if (!any) return;
  std::vector<Var> in_vars, out_vars;
  std::vector<bool> wanted;
  for (const Ref& ref : node.inputs()) {
    in_vars.push_back(graph.var(ref));
    wanted.push_back(!ref.outer && reached[ref.node]);
  }
  if (std::ranges::find(wanted, true) == wanted.end()) return;  // an input of the walk
  for (std::uint32_t i = 0; i < node.output_count; ++i) out_vars.push_back(graph.var(id, i));
  const Attributes attributes = node.attributes;
  const NodeView view{*node.op, in_vars, out_vars, attributes};
  visit(node, [&] {
    const std::vector<MaybeState> in = answer(view, wanted, out);
    if (in.size() != in_vars.size()) detail::refuse_operand_states(view, in.size());
    for (std::size_t i = 0; i < in.size(); ++i)
      if (wanted[i] && in[i]) add(states, graph.node(id).input_refs[i], *in[i]);
  });
}

template <class State>
std::vector<typename BackwardMode<State>::MaybeState> BackwardMode<State>::run(
    Graph& graph, std::span<const Var> outputs, std::span<const State> given,
    std::span<const Var> inputs, Location where) {
  detail::check_backward_walk(graph, outputs, given.size(), inputs, where);
  begin(graph, where);
  const detail::Between between =
      detail::nodes_between(graph, inputs, outputs, [this](const Op& op) { return carries(op); });
  States states(graph.size());
  for (std::size_t i = 0; i < outputs.size(); ++i)
    add(states, {outputs[i].id(), outputs[i].output(), false}, given[i]);
  for (auto id = between.nodes.rbegin(); id != between.nodes.rend(); ++id)
    step(graph, *id, between.reached, states);
  std::vector<MaybeState> result;
  for (const Var& input : inputs) result.push_back(states.get({input.id(), input.output(), false}));
  return result;
}

}  // namespace dualtape
