#include <dualtape/modes/loops/closure.hpp>

#include <algorithm>
#include <string>

#include <dualtape/core/leaves.hpp>
#include <dualtape/modes/walk/copy.hpp>

namespace dualtape::detail {

std::vector<bool> depending_on(const Graph& graph, std::span<const Var> vars) {
  std::vector<bool> depends(graph.size());
  for (const Var& var : vars) depends[var.id()] = true;
  for (NodeId id = 0; id < graph.size(); ++id)
    for (const Ref& ref : graph.node(id).inputs())
      if (!ref.outer && depends[ref.node]) depends[id] = true;
  return depends;
}

namespace {

// What the outputs read that is no part of the function.
class Captures {
 public:
  Captures(Graph& graph, std::span<const Var> stand_ins, const Made& made)
      : graph_(graph), made_(made) {
    for (const Var& var : stand_ins) known_.emplace_back(var);
    literal_.resize(graph.size());
    for (NodeId id = made.first; id < graph.size(); ++id) {
      const Node& node = graph.node(id);
      literal_[id] = (node.input_count > 0 || node.op == &constant_op()) &&
                     std::ranges::all_of(node.inputs(), [&](const Ref& ref) {
                       return !ref.outer && literal_[ref.node];
                     });
    }
  }

  std::vector<Var> of(std::span<const Var> outputs) {
    std::vector<bool> needed(graph_.size());
    for (const Var& out : outputs) read(out, needed);
    for (auto id = static_cast<NodeId>(graph_.size()); id-- > 0;)
      if (needed[id])
        for (const Ref& ref : graph_.node(id).inputs()) read(graph_.var(ref), needed);
    std::ranges::sort(captured_, {}, [](const Var& var) { return var.id(); });
    return captured_;
  }

 private:
  void read(Var var, std::vector<bool>& needed) {
    if (std::ranges::find(known_, var) != known_.end()) return;
    if (made_.belongs(var.id()) || literal_[var.id()]) {
      needed[var.id()] = true;
      return;
    }
    known_.push_back(var);
    captured_.push_back(var);
  }

  Graph& graph_;
  const Made& made_;
  std::vector<Var> known_;
  std::vector<Var> captured_;
  std::vector<bool> literal_;  // depends on constants of the lambda's own alone
};

}  // namespace

std::vector<Var> captured_by(Graph& graph, std::span<const Var> stand_ins,
                             std::span<const Var> outputs, const Made& made) {
  return Captures(graph, stand_ins, made).of(outputs);
}

Closure close_over(std::string name, Graph& graph, std::span<const Var> stand_ins,
                   std::span<const Var> outputs, const Made& lambda, Location where) {
  for (const Var& out : outputs)
    if (&require_alive(out, name, "what the body returns", where).graph() != &graph)
      fail<GraphError>({.op = name,
                        .what = "what its body returns, " + place_of(out) +
                                ", does not belong to the graph of the arguments",
                        .where = where,
                        .help = "compute it from the Vars that the body is given and others of "
                                "their graph"});
  Closure made;
  made.captured = captured_by(graph, stand_ins, outputs, lambda);
  std::vector<Var> inputs(stand_ins.begin(), stand_ins.end());
  inputs.insert(inputs.end(), made.captured.begin(), made.captured.end());
  std::vector<Type> types;
  for (const Var& input : inputs) types.push_back(input.type());
  const auto body = [&](std::span<const Var> x) {
    GraphCopy copy(graph, x.empty() ? graph : x[0].graph());
    for (std::size_t i = 0; i < inputs.size(); ++i) copy.set(inputs[i], x[i]);
    return copy.copy(outputs);
  };
  made.function = Function::make(std::move(name), types, body, where);
  return made;
}

}  // namespace dualtape::detail
