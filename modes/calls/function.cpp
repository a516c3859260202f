// Function: a graph with inputs and outputs as a value.
#include <algorithm>
#include <mutex>
#include <string>

#include <dualtape/core/callable.hpp>
#include <dualtape/core/leaves.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/mode.hpp>

namespace dualtape {

using FunctionPtr = std::shared_ptr<const Function>;

namespace {
int depth_of(const Graph& graph) {
  int depth = 0;
  for (NodeId id = 0; id < graph.size(); ++id) {
    for (const auto& [name, value] : graph.node(id).attributes.entries())
      if (const auto* const called = std::get_if<FunctionPtr>(&value); called != nullptr)
        depth = std::max(depth, 1 + (*called)->depth());
  }
  return depth;
}
}  // namespace

std::shared_ptr<const Function> Function::make(std::string name, const std::vector<Type>& inputs,
                                               const Body& body, Location where,
                                               FunctionRules rules) {
  detail::require_callable(!detail::is_null(body), "function", where);
  const std::shared_ptr<Function> function(new Function());
  function->name_ = std::move(name);
  function->where_ = where;
  function->rules_ = std::move(rules);
  function->graph_ = std::make_unique<Graph>();
  for (std::size_t i = 0; i < inputs.size(); ++i)
    function->inputs_.push_back(function->graph_->input("argument" + std::to_string(i),
                                                        inputs[i].shape, inputs[i].dtype, where));
  function->outputs_ = body(function->inputs_);
  const bool foreign = std::ranges::any_of(
      function->outputs_, [&](const Var& var) { return var.graph_id() != function->graph_->id(); });
  if (function->outputs_.empty() || foreign)
    fail<GraphError>({.op = "function",
                      .label = function->name_,
                      .what = foreign ? "its body returns an empty Var, or one of another graph"
                                      : "its body returns nothing",
                      .where = where,
                      .help = "a body uses only the Vars it is given, parameters and constants"});
  // Calls are compiled, run and differentiated one inside the other, on the stack.
  constexpr int most_depth = 256;
  function->depth_ = depth_of(*function->graph_);
  if (function->depth_ > most_depth)
    fail<GraphError>(
        {.op = "function",
         .label = function->name_,
         .what = "its calls are nested more than " + std::to_string(most_depth) + " deep",
         .where = where,
         .help = "call functions one after the other, or build the inner ones inline"});
  function->needed_ =
      active_region(*function->graph_, function->outputs_, [](const Op&) { return true; });
  for (const NodeId id : function->needed_)
    if (function->graph_->node(id).op == &parameter_op())
      fail<GraphError>({.op = "function",
                        .label = function->name_,
                        .what = "its body reads the parameter '" + function->graph_->label(id) +
                                "', which derivatives of the call would miss",
                        .where = where,
                        .help = "pass it as an argument: graph.read(parameter)"});
  return function;
}

std::shared_ptr<const Function> Function::derived(
    const std::string& name, const std::function<std::shared_ptr<const Function>()>& make_it,
    Location where) const {
  detail::require_callable(!detail::is_null(make_it), "derived", where);
  // Programs of one graph may be compiled by several threads, and kernels make functions, too. One
  // lock for all: what makes one asks for others.
  static std::recursive_mutex making;
  const std::lock_guard lock(making);
  std::shared_ptr<const Function>& known = derived_[name];
  if (!known) known = make_it();
  return known;
}

Cost detail::cost_of(const Function& function, const CompileOptions& options) {
  const Graph& graph = function.graph();
  Cost sum;
  const std::vector<NodeId> needed =
      active_region(graph, function.outputs(), [](const Op&) { return true; });
  for (const NodeId id : needed) {
    const Node& node = graph.node(id);
    if (is_leaf(*node.op) || node.op->is_alias()) continue;
    std::vector<Type> in, out;
    for (const Ref& ref : node.inputs()) in.push_back(graph.node(ref.node).type(ref.output));
    for (std::uint32_t i = 0; i < node.output_count; ++i) out.push_back(node.type(i));
    sum += node.op->cost({in, out, node.attributes, options});
  }
  return sum;
}

std::vector<Var> Function::inlined(std::span<const Var> arguments, Location where) const {
  if (arguments.empty() || arguments.size() != inputs_.size())
    fail<GraphError>({.op = "function",
                      .label = name_,
                      .what = "it takes " + std::to_string(inputs_.size()) + " arguments, got " +
                              std::to_string(arguments.size()),
                      .where = where,
                      .help = "give one Var for each, at least one: they tell the graph"});
  Graph& target = detail::require_one_graph(arguments, "function", "arguments", where);
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const Complaint complaint{.op = "function",
                              .label = name_,
                              .what = "argument " + std::to_string(i) + " is " +
                                      to_string(inputs_[i].type()) + ", got " +
                                      to_string(arguments[i].type()),
                              .where = where,
                              .help = "make a Function for each type of its arguments"};
    if (arguments[i].shape() != inputs_[i].shape()) fail<ShapeError>(complaint);
    if (arguments[i].dtype() != inputs_[i].dtype()) fail<TypeError>(complaint);
  }
  std::vector<NodeId> copies(graph_->size(), no_node);
  std::vector<Var> first(graph_->size());
  for (std::size_t i = 0; i < inputs_.size(); ++i) first[inputs_[i].id()] = arguments[i];
  std::vector<Var> operands;
  for (const NodeId id : needed_) {
    const Node& node = graph_->node(id);
    if (node.op == &input_op()) continue;
    operands.clear();
    for (const Ref& ref : node.inputs())
      operands.push_back(ref.output == 0 ? first[ref.node]
                                         : target.var(copies[ref.node], ref.output));
    copies[id] = target.add(*node.op, operands, node.attributes, node.where);
    first[id] = target.var(copies[id]);
    if (node.label != 0 && target.parent() == nullptr)
      target.set_label(copies[id], graph_->label(id));
  }
  std::vector<Var> results;
  for (const Var& out : outputs_)
    results.push_back(out.output() == 0 ? first[out.id()]
                                        : target.var(copies[out.id()], out.output()));
  return results;
}

}  // namespace dualtape
