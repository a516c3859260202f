// How operands become a node: which graph, which dtype, which line.
#include <algorithm>

#include <dualtape/core/op.hpp>
#include <dualtape/core/registry.hpp>

namespace dualtape {

// A Var knows the line of the composite that is being built; what else stands among the operands of
// a function has the function's own.
Location detail::line_of(std::span<const In> operands) {
  for (const In& in : operands)
    if (in.form() == In::Form::var && in.where().known()) return in.where();
  for (const In& in : operands)
    if (in.where().known()) return in.where();
  return {};
}

Graph& detail::graph_of(std::string_view function, std::span<const In> operands) {
  const In* first = nullptr;  // the first Var
  Graph* graph = nullptr;
  for (const In& in : operands) {
    if (in.form() != In::Form::var) continue;
    Graph& other = require_alive(in.unchecked_var(), function, "an operand", in.where()).graph();
    if (first == nullptr) first = &in;
    Graph* const both = joined(graph, other, in.where());
    if (both == nullptr)
      fail<GraphError>({.op = function,
                        .what = "its operands belong to different graphs: one " +
                                place_of(first->var()) + ", the other " + place_of(in.var()),
                        .where = line_of(operands),
                        .help = "build both operands on one Graph; parameters and tensors can be "
                                "shared between graphs, Vars cannot"});
    graph = both;
  }
  if (graph == nullptr)
    fail<GraphError>({.op = function,
                      .what = "none of its operands belongs to a graph",
                      .where = line_of(operands),
                      .help = "start from graph.input(...), graph.constant(...) or "
                              "graph.read(parameter)"});
  return *graph;
}

namespace {

DType dtype_of_strong(const In& in) {
  switch (in.form()) {
    case In::Form::var: return in.var().dtype();
    case In::Form::parameter: return in.parameter().dtype();
    default: return in.tensor().dtype();
  }
}

// The dtype of the strong operands in [first, end), widened by weak literals only where these would
// not fit (a real literal beside integers, one of ten digits beside int32).
DType common_dtype(std::span<const In> inputs, std::size_t first, Promotion promotion) {
  std::optional<DType> strong;
  DType dtype = DType::boolean;  // of literals alone
  for (const In& in : inputs.subspan(first)) {
    if (in.is_literal())
      dtype = promote(dtype, in.literal().beside(DType::boolean));
    else
      strong = promote(strong.value_or(DType::boolean), dtype_of_strong(in));
  }
  if (strong) {
    dtype = *strong;
    for (const In& in : inputs.subspan(first))
      if (in.is_literal()) dtype = in.literal().beside(dtype);
  }
  if (promotion == Promotion::common_floating && !is_floating(dtype)) dtype = float32;
  return dtype;
}

// Constants and parameters are of the ordinary graph.
Var resolve(Graph& home, const In& in, std::optional<DType> dtype) {
  Var var;
  switch (in.form()) {
    case In::Form::var: var = in.var(); break;
    case In::Form::parameter: var = home.read(in.parameter(), in.where()); break;
    case In::Form::tensor: var = home.constant(in.tensor(), in.where()); break;
    case In::Form::real: return home.constant(in.literal(), dtype.value_or(float32));
    case In::Form::integer: return home.constant(in.literal(), dtype.value_or(int64));
    case In::Form::truth: return home.constant(in.literal(), dtype.value_or(boolean));
  }
  if (!dtype || var.dtype() == *dtype) return var;
  const In operand(var, in.where());
  return apply(require_op("cast"), {operand}, {{"dtype", *dtype}});
}

}  // namespace

std::vector<Var> apply_all(const Op& op, std::span<const In> inputs, Attributes attributes) {
  Graph& graph = detail::graph_of(op.name(), inputs);
  const Location where = graph.pinned().known() ? graph.pinned() : detail::line_of(inputs);
  const Promotion promotion = op.promotion();
  const std::size_t first = promotion == Promotion::all_but_first ? 1 : 0;
  std::optional<DType> dtype;
  if (promotion != Promotion::none && inputs.size() > first)
    dtype = common_dtype(inputs, first, promotion);
  Graph* const outer = graph.parent(where);
  std::vector<Var> operands;
  operands.reserve(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i)
    operands.push_back(
        resolve(outer != nullptr ? *outer : graph, inputs[i], i >= first ? dtype : std::nullopt));
  // A rule may have nothing but outer operands although it was called for the scratch graph.
  const bool scratch = outer == nullptr || std::ranges::any_of(operands, [&](Var v) {
                         return v.graph_id() == graph.id();
                       });
  Graph& home = scratch ? graph : *outer;
  const NodeId id = home.add(op, operands, std::move(attributes), where);
  std::vector<Var> outputs;
  for (std::uint32_t i = 0; i < home.node(id).output_count; ++i) outputs.push_back(home.var(id, i));
  return outputs;
}

Var apply(const Op& op, std::span<const In> inputs, Attributes attributes) {
  return apply_all(op, inputs, std::move(attributes)).at(0);
}
Var apply(const Op& op, std::initializer_list<In> inputs, Attributes attributes) {
  return apply(op, std::span<const In>(inputs.begin(), inputs.size()), std::move(attributes));
}

}  // namespace dualtape
