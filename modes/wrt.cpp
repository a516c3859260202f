#include <dualtape/modes/wrt.hpp>

#include <algorithm>
#include <set>

namespace dualtape {

Var Wrt::in(Graph& graph, std::string_view mode, Location where) const {
  Var var = var_;
  if (parameter_) {
    const std::optional<Var> known = graph.find(*parameter_);
    if (!known)
      fail<GraphError>(
          {.op = mode,
           .label = parameter_->name(),
           .what = "this graph never reads the parameter, so nothing in it depends on it",
           .where = where,
           .help = "use it in the graph, or leave it out of the list"});
    var = *known;
  }
  if (!var.defined() || &var.graph() != &graph)
    fail<GraphError>({.op = mode,
                      .label = var.defined() ? var.label() : std::string(),
                      .what = var.defined()
                                  ? "an input to differentiate by belongs to another graph "
                                    "than the output"
                                  : "an input to differentiate by is an empty Var",
                      .where = where});
  if (!is_floating(var.dtype()))
    fail<TypeError>({.op = mode,
                     .label = var.label(),
                     .what = "cannot differentiate by a value of type " + to_string(var.type()),
                     .where = where,
                     .help = "only float32 and float64 values have derivatives"});
  return var;
}

std::vector<Var> WrtList::in(Graph& graph, std::string_view mode, Location where) const {
  std::vector<Var> vars;
  std::set<std::pair<NodeId, std::uint32_t>> seen;
  for (const Wrt& wrt : *this) {
    const Var var = wrt.in(graph, mode, where);
    if (!seen.emplace(var.id(), var.output()).second)
      fail<GraphError>({.op = mode,
                        .label = wrt.parameter() ? wrt.parameter()->name() : var.label(),
                        .what = (wrt.parameter() ? "the parameter " : "the input ") +
                                to_string(var.type()) +
                                " is listed twice among those to differentiate by",
                        .where = where,
                        .help = "list it once: its derivative counts every place that reads it"});
    vars.push_back(var);
  }
  return vars;
}

namespace {
[[noreturn]] void not_asked(const std::string& label, const std::string& which) {
  fail<GraphError>({.op = "gradients",
                    .label = label,
                    .what = which + " is not among the inputs that were differentiated by",
                    .help = "add it to the list given to the mode"});
}
}  // namespace

Var Gradients::operator[](Var of) const {
  const auto it = std::ranges::find(of_, of);
  if (it == of_.end()) {
    if (!of.defined()) not_asked("", "an empty Var");
    not_asked(of.label(), to_string(of.type()) + " made at " + to_string(of.node().where));
  }
  return values_[static_cast<std::size_t>(it - of_.begin())];
}

Var Gradients::operator[](const Parameter& of) const {
  const auto it = std::ranges::find(parameters_, std::optional<Parameter>(of));
  if (it == parameters_.end()) not_asked(of.name(), "the parameter");
  return values_[static_cast<std::size_t>(it - parameters_.begin())];
}

}  // namespace dualtape
