#include <dualtape/modes/taylor.hpp>

#include <algorithm>
#include <string>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/taylor/expansion.hpp>
#include <dualtape/modes/taylor/sums.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/modes/walk/vars.hpp>
#include <dualtape/ops/arithmetic.hpp>

namespace dualtape {

struct TaylorMode::Parts {
  Parts(Graph& graph, std::size_t highest) : order(highest), handle(graph.handle()), rules(graph) {}
  std::size_t order;
  GraphHandle handle;
  ForwardMode rules;  // of tangents
  std::unique_ptr<detail::Expansion> expansion;
};

TaylorMode::TaylorMode(Graph& graph, int order, Location where) {
  constexpr int most = 64;
  if (order < 1 || order > most)
    fail<ValueError>(
        {.op = "taylor",
         .what = "the order is " + std::to_string(order) + ", not 1 to " + std::to_string(most),
         .where = where,
         .help = "the order is the highest power of t"});
  parts_ = std::make_unique<Parts>(graph, static_cast<std::size_t>(order));
}
TaylorMode::~TaylorMode() = default;

void TaylorMode::begin(Graph& graph, Location where) {
  if (parts_->handle.get() != &graph)
    fail<GraphError>({.op = "TaylorMode",
                      .what = "walks another graph than the one it was made for",
                      .where = where,
                      .help = "make a TaylorMode for each graph"});
  const auto custom = [this](detail::GrowingNode& node) -> std::optional<detail::NextTerms> {
    if (!has_rule(*node.op)) return std::nullopt;
    return [this, &node](std::size_t k) {
      std::vector<MaybeState> in;
      for (const Var& var : node.in)
        in.push_back(parts_->expansion->moves(var)
                         ? MaybeState(Series{parts_->expansion->terms(var, k + 1)})
                         : std::nullopt);
      std::vector<MaybeVar> next;
      for (const MaybeState& out : ask(node.view(), in))
        next.push_back(out && k < out->terms.size() ? out->terms[k] : MaybeVar{});
      return next;
    };
  };
  parts_->expansion = std::make_unique<detail::Expansion>(parts_->order, parts_->rules, custom);
}

void TaylorMode::check(const NodeView& node, std::span<const MaybeState> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!out[i]) continue;
    for (const MaybeVar& term : out[i]->terms)
      if (term && term->type(node.out[i].node().where) != node.out[i].type())
        fail<DerivativeError>({.op = node.op.name(),
                               .label = node.out[i].label(),
                               .what = "its rule returned a coefficient of type " +
                                       to_string(term->type()) + " for an output of type " +
                                       to_string(node.out[i].type()),
                               .where = node.out[i].node().where,
                               .help = "a coefficient has the shape and dtype of its Var"});
  }
}

void TaylorMode::visit(const Node& node, const std::function<void()>& rule) {
  const Graph::Emitting emitting(*parts_->handle.get(), {node.origin, Role::tangent, node.where,
                                                         node.label, node.scope, node.op});
  rule();
}

std::vector<TaylorMode::MaybeState> TaylorMode::expand(const NodeView& node,
                                                       std::span<const MaybeState> in) {
  detail::Expansion& expansion = *parts_->expansion;
  for (std::size_t i = 0; i < in.size(); ++i)
    if (in[i] && !expansion.moves(node.in[i])) expansion.set(node.in[i], in[i]->terms);
  if (!expansion.moves(node.out[0])) expansion.add(node, true);
  std::vector<MaybeState> out;
  for (const Var& var : node.out) {
    Series series{expansion.terms(var)};
    const bool moves = std::any_of(series.terms.begin() + 1, series.terms.end(),
                                   [](const MaybeVar& term) { return term.has_value(); });
    out.push_back(moves ? MaybeState(std::move(series)) : std::nullopt);
  }
  return out;
}

std::vector<TaylorMode::MaybeState> TaylorMode::elementwise(const NodeView& node,
                                                            std::span<const MaybeState> in) {
  return expand(node, in);
}
std::vector<TaylorMode::MaybeState> TaylorMode::linear(const NodeView& node,
                                                       std::span<const MaybeState> in) {
  return expand(node, in);
}
std::vector<TaylorMode::MaybeState> TaylorMode::bilinear(const NodeView& node,
                                                         std::span<const MaybeState> in) {
  return expand(node, in);
}
std::vector<TaylorMode::MaybeState> TaylorMode::general(const NodeView& node,
                                                        std::span<const MaybeState> in) {
  return expand(node, in);
}

namespace {

void require_direction(Var direction, Var input, Graph& graph, Location where) {
  detail::require_alive(direction, "taylor", "a coefficient of a path", where);
  if (&direction.graph() != &graph)
    fail<GraphError>({.op = "taylor",
                      .label = input.label(),
                      .what = "a coefficient of the path, " + detail::place_of(direction) +
                              ", belongs to another graph than its input, " +
                              detail::place_of(input),
                      .where = where,
                      .help = "make the path on the graph of the input"});
  if (direction.type() != input.type())
    fail<ShapeError>({.op = "taylor",
                      .label = input.label(),
                      .what = "the input is " + to_string(input.type()) +
                              ", a coefficient of its path is " + to_string(direction.type()),
                      .where = where,
                      .help = "coefficients have the shape and dtype of their input"});
}

std::vector<Var> with_zeros(const std::vector<MaybeVar>& terms, Var like) {
  std::vector<Var> all;
  for (const MaybeVar& term : terms) all.push_back(term ? *term : detail::zeros_like(like));
  return all;
}

// Of an input, with its coefficients up to the order.
Series series_of(Var input, const std::vector<MaybeVar>& path, int order, Graph& graph,
                 Location where) {
  Series series{{input}};
  for (const MaybeVar& term : path) {
    if (term) require_direction(*term, input, graph, where);
    if (std::cmp_less_equal(series.terms.size(), order)) series.terms.push_back(term);
  }
  return series;
}

}  // namespace

std::vector<std::vector<MaybeVar>> taylor_all(const std::vector<Var>& outputs, const WrtList& wrt,
                                              const std::vector<std::vector<MaybeVar>>& paths,
                                              int order, Location where) {
  if (outputs.empty()) return {};
  Graph& graph = detail::require_one_graph(outputs, "taylor", "outputs", where);
  if (wrt.size() != paths.size())
    fail<GraphError>({.op = "taylor",
                      .what = std::to_string(wrt.size()) + " inputs but " +
                              std::to_string(paths.size()) + " paths",
                      .where = where,
                      .help = "give the coefficients of one path for each input"});
  const std::vector<Var> inputs = wrt.in(graph, "taylor", where);
  TaylorMode mode(graph, order, where);
  std::vector<Series> states;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    detail::require_derivable(inputs[i], "taylor", "an input", where);
    states.push_back(series_of(inputs[i], paths[i], order, graph, where));
  }
  std::vector<std::vector<MaybeVar>> found;
  const auto results = mode.run(graph, inputs, states, outputs, where);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    found.push_back(results[i] ? results[i]->terms : std::vector<MaybeVar>{outputs[i]});
    found.back().resize(static_cast<std::size_t>(order) + 1);
  }
  return found;
}

std::vector<Var> taylor(Var y, Var x, const std::vector<Var>& path, int order, Location where) {
  detail::require_derivable(y, "taylor", "the value", where);
  detail::require_derivable(x, "taylor", "the input", where);
  const std::vector<MaybeVar> along(path.begin(), path.end());
  return with_zeros(taylor_all({y}, {Wrt(x, where)}, {along}, order, where)[0], y);
}

std::vector<Var> derivatives(Var y, Var x, int order, Location where) {
  detail::require_derivable(x, "derivatives", "the input", where);
  if (x.rank() != 0)
    fail<ShapeError>({.op = "derivatives",
                      .label = x.label(),
                      .what = "the input is " + to_string(x.type()) + ", not a single number",
                      .where = where,
                      .help = "vmap() is for many numbers, mixed_partial() for one of several "
                              "elements, taylor() along a direction"});
  std::vector<Var> found = taylor(y, x, {x.graph().constant(1.0, x.dtype())}, order, where);
  double factorial = 1;
  for (std::size_t k = 2; k < found.size(); ++k) {
    factorial *= static_cast<double>(k);
    found[k] = mul(factorial, found[k]);
  }
  return found;
}

std::vector<Tensor> detail::taylor_at(const VarFunction& f, const std::vector<Tensor>& x,
                                      const std::vector<std::vector<Tensor>>& paths, int order,
                                      Location where) {
  Graph graph;
  std::vector<Feed> feeds;
  const auto fed = [&](const std::string& name, const Tensor& value) {
    const Var var = graph.input(name, value.shape(), value.dtype(), where);
    feeds.emplace_back(var, value);
    return var;
  };
  std::vector<Var> in;
  for (const Tensor& value : x) in.push_back(fed("x" + std::to_string(in.size()), value));
  std::vector<std::vector<MaybeVar>> along;
  for (const std::vector<Tensor>& path : paths) {
    along.emplace_back();
    for (const Tensor& term : path)
      along.back().emplace_back(fed("direction" + std::to_string(feeds.size()), term));
  }
  const Var y = require_alive(f(in), "taylor", "what the function returns", where);
  detail::require_derivable(y, "taylor", "what the function returns", where);
  const std::vector<Var> terms =
      with_zeros(taylor_all({y}, {in, where}, along, order, where)[0], y);
  const Outputs out = compile(terms, {}, where).run(feeds, where);
  std::vector<Tensor> values;
  for (const Var& term : terms) values.push_back(out[term]);
  return values;
}

Var detail::only_argument(std::span<const Var> x, const char* function, Location where) {
  require_arguments(1, x.size(), {function, where});
  return x[0];
}

}  // namespace dualtape
