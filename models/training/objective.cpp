#include <dualtape/models/training/objective.hpp>

#include <algorithm>
#include <string>
#include <unordered_set>

namespace dualtape::detail {
namespace {

void check_graph(const char* what, Var var, Var labels, Location where) {
  if (&var.graph() == &labels.graph()) return;
  fail<GraphError>({.op = "Trainer",
                    .label = var.label(),
                    .what = std::string("the ") + what +
                            " of the objective is a node of another graph than its inputs",
                    .where = where,
                    .help = "make it of the Vars that the objective is given"});
}

// A literal has no line of its own.
Location line_made(Var of, Location call) {
  const Location made = of.node().where;
  return made.known() ? made : call;
}

void check_loss(Var loss, Var labels, bool training, Location call) {
  if (!loss.defined())
    fail<GraphError>({.op = "Trainer",
                      .what = "the objective returned a loss that is an empty Var",
                      .where = call,
                      .help = "return the scalar to be lowered"});
  const Location where = line_made(loss, call);
  check_graph("loss", loss, labels, where);
  if (loss.shape().count() != 1)
    fail<ShapeError>(
        {.op = "Trainer",
         .label = loss.label(),
         .what = "the objective's loss must be one number, but it is " + to_string(loss.type()),
         .where = where,
         .help = "reduce it with mean, over the batch's rows"});
  if (training && !is_floating(loss.dtype()))
    fail<TypeError>(
        {.op = "Trainer",
         .label = loss.label(),
         .what = "the objective's loss is " + to_string(loss.type()) + ", which has no derivative",
         .where = where,
         .help = "make the loss of float32 or float64"});
}

bool fit_rows(const Shape& logits, const Shape& labels) {
  return logits.rank() > 0 && labels.rank() > 0 && logits[0] == labels[0];
}

}  // namespace

bool fits_classes(const Shape& logits, const Shape& labels) {
  return logits.rank() == labels.rank() + 1 && logits.back() > 0 &&
         std::equal(labels.begin(), labels.end(), logits.begin());
}

void check_objective(const Objective& objective, Var labels, bool training, bool any_outputs,
                     Location call) {
  check_loss(objective.loss, labels, training, call);
  const Var logits = objective.logits;
  if (!logits.defined()) return;
  const Location where = line_made(logits, call);
  check_graph("logits", logits, labels, where);
  const bool classes = is_integer(labels.dtype());
  if (classes && fits_classes(logits.shape(), labels.shape())) return;
  if (!classes && logits.shape() == labels.shape()) return;
  if (((training && !classes) || any_outputs) && fit_rows(logits.shape(), labels.shape())) return;
  const bool regression = classes && logits.shape() == labels.shape();
  fail<ShapeError>(
      {.op = "Trainer",
       .label = logits.label(),
       .what = "the objective's logits " + to_string(logits.type()) + " do not fit the labels " +
               to_string(labels.type()) + (classes ? ", which integers make class numbers" : ""),
       .where = where,
       .help = regression
                   ? "convert the labels of a regression: labels.to(dt::" +
                         std::string(name_of(logits.dtype())) + ")"
                   : std::string("logits are (..., classes) and labels (...), predictions have the "
                                 "shape of floating labels; return the loss alone where neither is "
                                 "wanted")});
}

void check_listed_once(const std::vector<Parameter>& parameters,
                       const std::vector<Parameter>& buffers, Location where) {
  const auto refuse = [where](const Parameter& parameter, const char* what, const char* help) {
    fail<ValueError>({.op = "Trainer",
                      .label = parameter.name(),
                      .what = "'" + parameter.name() + "' " + what,
                      .where = where,
                      .help = help});
  };
  const auto hash = [](const Parameter& parameter) { return parameter.hash(); };
  std::unordered_set<Parameter, decltype(hash)> seen;
  const std::unordered_set<Parameter, decltype(hash)> saved(buffers.begin(), buffers.end());
  for (auto at = parameters.begin(); at != parameters.end(); ++at) {
    if (!seen.insert(*at).second)
      refuse(*at, "is listed twice among the parameters",
             "list a Parameter once, also where layers share it");
    if (saved.contains(*at))
      refuse(*at, "is listed among the parameters and among the buffers",
             "leave what is trained out of TrainerOptions::buffers");
  }
}

void check_names(const std::vector<Parameter>& parameters, const TrainerOptions& options,
                 Location where) {
  const auto differ = [where](const std::vector<std::string>& names, const char* what,
                              const char* help) {
    std::unordered_set<std::string_view> seen;
    for (const std::string& name : names)
      if (!name.empty() && !seen.insert(name).second)
        fail<ValueError>({.op = "Trainer",
                          .label = name,
                          .what = "two " + std::string(what) + " have the name '" + name + "'",
                          .where = where,
                          .help = help});
  };
  std::vector<std::string> saved;
  for (const Parameter& parameter : parameters) saved.push_back(parameter.name());
  for (const Parameter& buffer : options.buffers) saved.push_back(buffer.name());
  differ(saved, "parameters or buffers", "give layers names of their own, for checkpoints");
  std::vector<std::string> callbacks;
  for (const auto& callback : options.callbacks) callbacks.push_back(callback->name());
  differ(callbacks, "callbacks", "one is enough, or let name() of your own ones differ");
  for (auto at = options.callbacks.begin(); at != options.callbacks.end(); ++at)
    if (std::find(options.callbacks.begin(), at, *at) != at)
      fail<ValueError>({.op = "Trainer",
                        .what = "callback " + std::to_string(at - options.callbacks.begin()) +
                                " (from 0) is listed twice",
                        .where = where,
                        .help = "list each object once, or it acts twice"});
  std::vector<std::string> metrics;
  for (const Metric& metric : options.metrics) metrics.push_back(metric.name);
  differ(metrics, "metrics", "give each its own, which it is reported by");
}

}  // namespace dualtape::detail
