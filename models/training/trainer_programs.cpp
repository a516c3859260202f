#include <dualtape/models/training/trainer_programs.hpp>

#include <algorithm>

#include <dualtape/models/metrics.hpp>
#include <dualtape/models/training/objective.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>

namespace dualtape::detail {
namespace {

// The cosine of two gradients, each taken as one long vector.
Var cosine_of(const Gradients& a, const Gradients& b) {
  const auto inner = [](const Gradients& x, const Gradients& y) {
    Var total;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Var part = sum(x.all()[i] * y.all()[i]);
      total = total.defined() ? total + part : part;
    }
    return total;
  };
  // Two roots, since the product of two small squares may underflow.
  return inner(a, b) / (sqrt(inner(a, a)) * sqrt(inner(b, b)));
}

Var logits_of(const Objective& made, Location where) {
  if (made.logits.defined()) return made.logits;
  fail<ValueError>(
      {.op = "predict",
       .what = "the objective returns a loss alone, so there is nothing to predict",
       .where = where,
       .help = "return dt::Objective{loss, logits}, or the predictions in their place"});
}

// Whether `of` is made of the input `source`, a node before it.
bool depends_on(Var of, Var source) {
  const Graph& graph = of.graph();
  std::vector<bool> needed(of.id() + std::size_t{1});
  needed[of.id()] = true;
  for (NodeId id = of.id(); id > source.id(); --id)
    if (needed[id])
      for (const Ref& ref : graph.node(id).inputs()) needed[ref.node] = true;
  return source.id() <= of.id() && needed[source.id()];
}

}  // namespace

Compiled::Compiled(const Type& inputs_type, const Type& labels_type)
    : graph(std::make_unique<Graph>()),
      inputs(graph->input("inputs", inputs_type.shape, inputs_type.dtype, Location{})),
      labels(graph->input("labels", labels_type.shape, labels_type.dtype, Location{})),
      rate(graph->input("learning rate", {}, float64, Location{})),
      key(graph->input("key", {}, int64, Location{})) {}

// In a step, layers draw from another sub-stream than directions, which fold in 0, 1, ...
Objective TrainerParts::make_objective(const Compiled& c, nn::Context& context,
                                       bool training) const {
  context.training = training;
  context.key = training ? fold_key(c.key, std::int64_t{-1}) : c.key;
  Objective made = objective(c.inputs, c.labels, context);
  check_objective(made, c.labels, training, !options.metrics.empty(), where);
  return made;
}

void TrainerParts::build_step(Compiled& c) const {
  nn::Context context;
  const Objective made = make_objective(c, context, true);
  const Gradients gradients = method(made.loss, wrt(), c.key);
  name_gradients(gradients);
  c.outputs = {made.loss};
  c.assigns = optimiser->update(parameters, gradients, {c.rate, where});
  for (const Assign& update : context.updates) {
    c.assigns.push_back(update);
    if (std::ranges::find(options.buffers, update.parameter) == options.buffers.end())
      unsaved.push_back(update.parameter.name());
  }
  c.program.emplace(compile(c.outputs, c.assigns, where));
}

// For drawings. A gradient may be a node of the user's, whose name stays.
void TrainerParts::name_gradients(const Gradients& gradients) const {
  for (const Parameter& parameter : parameters) {
    const Var gradient = gradients[Wrt(parameter, where)];
    if (!gradient.defined())
      fail<GraphError>({.op = "Trainer",
                        .label = parameter.name(),
                        .what = "the gradient method gives an empty Var as the gradient of '" +
                                parameter.name() + "'",
                        .where = where,
                        .help = "give zeros where a gradient is zero"});
    if (gradient.label().empty() || gradient.node().role == Role::cotangent)
      gradient.named("gradient of " + parameter.name());
  }
}

void TrainerParts::build_cosine(Compiled& c) const {
  nn::Context context;
  const Objective made = make_objective(c, context, true);
  const Gradients exact = reverse(made.loss, wrt(), Unreachable::error, line_of(made.loss));
  const Var cosine = cosine_of(method(made.loss, wrt(), c.key), exact);
  c.outputs = {cosine};
  c.program.emplace(compile({cosine}, {}, where));
}

void TrainerParts::build_evaluation(Compiled& c) const {
  nn::Context context;
  const Objective made = make_objective(c, context, false);
  if (!options.metrics.empty() && !made.logits.defined())
    fail<ValueError>({.op = "evaluate",
                      .label = options.metrics.front().name,
                      .what = "there are metrics, but the objective returns a loss alone",
                      .where = where,
                      .help = "return dt::Objective{loss, logits}, or the predictions in their "
                              "place"});
  c.outputs = {made.loss};
  const bool classes = is_integer(c.labels.dtype());
  if (made.logits.defined() && classes && fits_classes(made.logits.shape(), c.labels.shape()))
    c.outputs.push_back(accuracy(made.logits, c.labels));
  if (made.logits.defined() && (!classes || !options.metrics.empty()))
    c.outputs.push_back(made.logits);
  c.program.emplace(compile(c.outputs, {}, where));
}

EvaluationPlaces places_of(const Compiled& evaluation) {
  const auto last = static_cast<int>(evaluation.outputs.size()) - 1;
  EvaluationPlaces places;
  if (last == 2) return {1, 2};
  if (last < 1) return places;
  // Accuracy has rank 0; logits have rows.
  (evaluation.outputs[1].rank() == 0 ? places.accuracy : places.outputs) = 1;
  return places;
}

void TrainerParts::build_prediction(Compiled& c) const {
  nn::Context context;
  const Var logits = logits_of(make_objective(c, context, false), where);
  if (logits.rank() < 1 || logits.shape()[0] != c.inputs.shape()[0])
    fail<ShapeError>({.op = "predict",
                      .label = logits.label(),
                      .what = "the logits " + to_string(logits.shape()) +
                              " do not have the inputs' rows, " + to_string(c.inputs.shape()),
                      .where = where});
  if (depends_on(logits, c.labels))
    fail<ValueError>({.op = "predict",
                      .label = logits.label(),
                      .what =
                          "the objective makes its logits of the labels, too, which predictions "
                          "do not have",
                      .where = where,
                      .help = "make them of the inputs alone"});
  c.outputs = {logits};
  c.program.emplace(compile(c.outputs, {}, where));
}

}  // namespace dualtape::detail
