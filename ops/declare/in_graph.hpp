// The operands of a function that composes operators, brought into one graph first.
// Private. Plain functions; graphs are built by one thread at a time.
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include <dualtape/ops/declare/matrix.hpp>
#include <dualtape/ops/declare/operand.hpp>

namespace dualtape::detail {

// Each operand as a Var. Literals take the dtype of the first Var. GraphError in the name of
// `function` where none is in a graph.
inline std::vector<Var> in_one_graph(std::string_view function, std::span<const In> operands) {
  const In* home = nullptr;
  for (const In& in : operands)
    if (home == nullptr && in.form() == In::Form::var && in.var().defined()) home = &in;
  if (home == nullptr)
    fail<GraphError>({.op = function,
                      .what = "no operand is in a graph",
                      .where = operands.empty() ? Location{} : operands[0].where(),
                      .help = "make one of them with graph.input(), graph.constant() or "
                              "graph.read()"});
  std::vector<Var> vars;
  for (const In& in : operands) {
    const MaybeVar found = as_var(in, *home);
    if (!found && !in.is_literal())
      fail<GraphError>({.op = function,
                        .what = "an operand is an undefined Var",
                        .where = in.where(),
                        .help = "only Vars that a graph or an operator gave can be used"});
    vars.push_back(found ? *found
                         : home->var().graph().constant(in.literal(), home->var().dtype()));
  }
  return vars;
}
inline std::vector<Var> in_one_graph(std::string_view function,
                                     std::initializer_list<In> operands) {
  return in_one_graph(function, std::span<const In>(operands.begin(), operands.size()));
}

}  // namespace dualtape::detail
