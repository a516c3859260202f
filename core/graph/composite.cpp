#include <algorithm>
#include <string>

#include <dualtape/core/composite.hpp>

namespace dualtape {
namespace {

// Constants and parameters are of the ordinary graph.
Var in_graph(Graph& home, const In& in, DType beside) {
  switch (in.form()) {
    case In::Form::var: return in.var();
    case In::Form::parameter: return home.read(in.parameter(), in.where());
    case In::Form::tensor: return home.constant(in.tensor(), in.where());
    default: return home.constant(in.literal(), in.literal().beside(beside));
  }
}

}  // namespace

Composite::Composite(std::string_view function, std::span<const In> operands)
    : where_(detail::line_of(operands)) {
  Graph& graph = detail::graph_of(function, operands);
  handle_ = graph.handle();
  Graph* const parent = graph.parent(where_);
  Graph& home = parent != nullptr ? *parent : graph;
  const auto first =
      std::ranges::find(operands, In::Form::var, [](const In& in) { return in.form(); });
  const DType dtype = first->var().dtype();
  operands_.reserve(operands.size());
  for (const In& in : operands) operands_.push_back(in_graph(home, in, dtype));
  if (graph.pinned().known()) return;
  // Nothing fails from here on: what is pinned is let go by the destructor alone.
  graph.pinned_ = where_;
  pinned_[0] = handle_;
  if (parent != nullptr && !parent->pinned().known()) {
    parent->pinned_ = where_;
    pinned_[1] = parent->handle();
  }
}

Composite::~Composite() {
  for (const GraphHandle& handle : pinned_)
    if (Graph* const graph = handle.get()) graph->pinned_ = {};
}

void Composite::refuse(std::size_t i) const {
  fail<GraphError>({.op = "Composite",
                    .what = "operand " + std::to_string(i) + " is asked for, of " +
                            std::to_string(operands_.size()),
                    .where = where_,
                    .help = "operands are numbered from 0"});
}

}  // namespace dualtape
