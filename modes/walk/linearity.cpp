#include <dualtape/modes/walk/linearity.hpp>

#include <algorithm>
#include <memory>

#include <dualtape/core/leaves.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/loops/loop.hpp>
#include <dualtape/modes/walk/dependence.hpp>

namespace dualtape::detail {
namespace {

// Which outputs move where those inputs do; none for what is not linear in them.
using Moved = std::optional<std::vector<bool>>;

// `within` is set where a function is not linear.
Moved moved_by_function(const Function& function, std::span<const bool> active,
                        std::string& within) {
  std::vector<Var> arguments;
  for (std::size_t i = 0; i < active.size(); ++i)
    if (active[i]) arguments.push_back(function.inputs()[i]);
  Linearity found = linearity_of(arguments, function.outputs());
  if (!found.broken_by) return std::move(found.moves);
  const Node& node = function.graph().node(*found.broken_by);
  within = !found.within.empty()
               ? found.within
               : ", by '" + std::string(node.op->name()) + "' at " + to_string(node.where);
  return std::nullopt;
}

Moved moved_by_branches(const NodeView& node, std::span<const bool> active, std::string& within) {
  if (active[0]) return std::nullopt;  // the number of the branch
  Moved all;
  for (const std::shared_ptr<const Function>& branch : branches_of(node.attributes)) {
    const Moved one = moved_by_function(*branch, active.subspan(1), within);
    // An output that moves in one branch alone is constant in another.
    if (!one || (all && *all != *one)) return std::nullopt;
    all = one;
  }
  return all;
}

// A carried value that moves in a step has to be zero, or to move, before the first.
Moved moved_by_loop(const NodeView& node, std::span<const bool> active, std::string& within) {
  const Loop loop(node.attributes);
  if (loop.counted && active[0]) return std::nullopt;
  const std::size_t count = loop.body->inputs().size();
  const auto inputs = std::make_unique<bool[]>(count);
  std::ranges::copy(active.subspan(loop.first()), inputs.get());
  for (bool grows = true; grows;) {
    grows = false;
    Moved moved = moved_by_function(*loop.body, {inputs.get(), count}, within);
    if (!moved) return std::nullopt;
    for (std::size_t i = 0; i < loop.carried; ++i) {
      if ((*moved)[i] == inputs[i]) continue;
      if (inputs[i] || !is_zero_constant(node.in[loop.first() + i])) return std::nullopt;
      grows = inputs[i] = true;
    }
    if (grows) continue;
    if (loop.stops) moved->push_back(false);  // the number of steps
    return moved;
  }
  return std::nullopt;
}

Moved moved_outputs(const NodeView& node, std::size_t outputs, std::span<const bool> active,
                    std::string& within) {
  if (node.op.linear_in(node, active)) return std::vector<bool>(outputs, true);
  if (&node.op == &call_operator())
    return moved_by_function(*node.attributes.get<FunctionPtr>("function"), active, within);
  if (&node.op == &switch_operator()) return moved_by_branches(node, active, within);
  if (&node.op == &loop_operator()) return moved_by_loop(node, active, within);
  return std::nullopt;
}

class LinearityWalk {
 public:
  explicit LinearityWalk(Graph& graph) : graph_(graph), moving_(graph.size()) {}

  void start(Var argument) {
    std::vector<bool>& outputs = moving_[argument.id()];
    outputs.resize(argument.node().output_count);
    outputs[argument.output()] = true;
  }
  bool moves(Ref ref) const {
    return !ref.outer && ref.output < moving_[ref.node].size() && moving_[ref.node][ref.output];
  }
  // False for a node that is not linear in what moves.
  bool visit(NodeId id) {
    const Node& node = graph_.node(id);
    const std::size_t count = node.input_count;
    const auto flags = std::make_unique<bool[]>(2 * count);
    const std::span<bool> strict(flags.get(), count), with_zeros(flags.get() + count, count);
    std::vector<Var> in;
    for (std::size_t i = 0; i < count; ++i) {
      in.push_back(graph_.var(node.input_refs[i]));
      strict[i] = moves(node.input_refs[i]);
      with_zeros[i] = strict[i] || (is_floating(in[i].dtype()) && is_zero_constant(in[i]));
    }
    if (std::ranges::none_of(strict, [](bool moves) { return moves; })) return true;
    const NodeView view{*node.op, in, {}, node.attributes};
    Moved moved = moved_outputs(view, node.output_count, strict, within_);
    if (!moved && !std::ranges::equal(strict, with_zeros))
      moved = moved_outputs(view, node.output_count, with_zeros, within_);
    if (moved) moving_[id] = std::move(*moved);
    return !moving_[id].empty();
  }
  const std::string& within() const { return within_; }

 private:
  Graph& graph_;
  std::vector<std::vector<bool>> moving_;  // by node and output; empty where nothing moves
  std::string within_;  // of the last node that runs a function and is not linear
};

}  // namespace

Linearity linearity_of(std::span<const Var> arguments, std::span<const Var> outputs) {
  Graph& graph = outputs[0].graph();
  LinearityWalk walk(graph);
  std::vector<bool> given(graph.size()), needed(graph.size());
  for (const Var& argument : arguments) {
    walk.start(argument);
    given[argument.id()] = true;
  }
  for (const Var& output : outputs) {
    const std::vector<bool> ancestors = ancestors_of(output);
    for (std::size_t id = 0; id < ancestors.size(); ++id)
      if (ancestors[id]) needed[id] = true;
  }
  Linearity found;
  for (NodeId id = 0; id < needed.size() && !found.broken_by; ++id)
    if (needed[id] && !given[id] && !walk.visit(id)) {
      found.broken_by = id;
      found.within = walk.within();
    }
  for (const Var& output : outputs)
    found.moves.push_back(walk.moves({output.id(), output.output(), false}));
  return found;
}

}  // namespace dualtape::detail
