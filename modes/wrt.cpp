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
  detail::require_alive(var, mode, "an input to differentiate by", where);
  if (&var.graph() != &graph)
    fail<GraphError>({.op = mode,
                      .label = var.label(),
                      .what = "an input to differentiate by, " + detail::place_of(var) +
                              ", belongs to another graph than the output",
                      .where = where,
                      .help = "give a Var of the output's graph"});
  if (!is_floating(var.dtype()))
    fail<TypeError>({.op = mode,
                     .label = var.label(),
                     .what = "cannot differentiate by a value of type " + to_string(var.type()),
                     .where = where,
                     .help = "only float32 and float64 values have derivatives"});
  return var;
}

namespace {
[[noreturn]] void not_asked(const std::string& label, const std::string& which, Location where) {
  fail<GraphError>({.op = "gradients",
                    .label = label,
                    .what = which + " is not among the inputs that were differentiated by",
                    .where = where,
                    .help = "add it to the list given to the mode"});
}
}  // namespace

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

void Gradients::add(const Wrt& wrt, Var of, Var gradient, Location where) {
  detail::require_alive(of, "gradients", "what is differentiated by", where);
  detail::require_alive(gradient, "gradients", "a gradient", where);
  const auto types = [&] {
    return "the input is " + to_string(of.type()) + ", its gradient is " +
           to_string(gradient.type());
  };
  if (gradient.shape() != of.shape())
    fail<ShapeError>({.op = "gradients",
                      .label = of.label(),
                      .what = types(),
                      .where = where,
                      .help = "a gradient has the shape of its input; reduce or reshape it"});
  if (gradient.dtype() != of.dtype())
    fail<TypeError>({.op = "gradients",
                     .label = of.label(),
                     .what = types(),
                     .where = where,
                     .help = "a gradient has the dtype of its input; cast it"});
  of_.push_back(of);
  parameters_.push_back(wrt.parameter());
  values_.push_back(gradient);
}

Var Gradients::operator[](const Wrt& of) const {
  if (of.parameter()) {
    const auto it = std::ranges::find(parameters_, of.parameter());
    if (it != parameters_.end()) return values_[static_cast<std::size_t>(it - parameters_.begin())];
    not_asked(of.parameter()->name(), "the parameter", of.where());
  }
  const auto it = std::ranges::find(of_, of.var());
  if (it != of_.end()) return values_[static_cast<std::size_t>(it - of_.begin())];
  const Var var = detail::require_alive(of.var(), "gradients", "what is asked", of.where());
  not_asked(var.label(), to_string(var.type()) + " made at " + to_string(var.node().where),
            of.where());
}

}  // namespace dualtape
