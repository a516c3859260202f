#include <dualtape/models/synthetic_gradients.hpp>

#include <algorithm>
#include <limits>
#include <utility>

#include <dualtape/core/composite.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {

GradientModel::GradientModel(const std::string& name, std::int64_t width, Key key,
                             const GradientModelOptions& options, Location where)
    : name_(name), classes_(options.classes), dtype_(options.dtype) {
  if (options.classes < 0)
    fail<ValueError>({.op = "GradientModel",
                      .label = name,
                      .what = "classes is " + std::to_string(options.classes),
                      .where = where,
                      .help = "0 for a model that is not given the label"});
  if (width < 1 || width > std::numeric_limits<std::int64_t>::max() - classes_)
    fail<ShapeError>({.op = "GradientModel",
                      .label = name,
                      .what = "the width is " + std::to_string(width) + " beside " +
                              std::to_string(classes_) + " classes",
                      .where = where,
                      .help = "give the activation's width, 1 or more"});
  std::vector<std::int64_t> sizes{width + classes_};
  sizes.insert(sizes.end(), options.hidden.begin(), options.hidden.end());
  sizes.push_back(width);
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    const bool last = i + 2 == sizes.size();
    layers_.emplace_back(name + ".layer" + std::to_string(i + 1), sizes[i], sizes[i + 1], key,
                         nn::LinearOptions{.initialiser = last ? Initialiser::Rule::zeros
                                                               : Initialiser::Rule::he_uniform,
                                           .dtype = options.dtype},
                         where);
  }
}

Var GradientModel::operator()(Var activation, Var labels, Location where) const {
  if (labels.defined() != (classes_ > 0))
    fail<GraphError>(
        {.op = "GradientModel",
         .label = name_,
         .what = classes_ > 0 ? "it is conditional and was given no labels"
                              : "it was given labels that it has no use for",
         .where = where,
         .help = "set GradientModelOptions::classes for a model that knows the label"});
  const Composite c("GradientModel", {In(activation, where)});
  Var h = activation;
  if (labels.defined()) h = concat({h, one_hot(labels, classes_, dtype_)}, 1);
  for (std::size_t i = 0; i < layers_.size(); ++i) h = layers_[i](i > 0 ? relu(h) : h);
  return h;
}

std::vector<Parameter> GradientModel::parameters() const {
  std::vector<Parameter> all;
  for (const nn::Linear& layer : layers_)
    for (const Parameter& parameter : layer.parameters()) all.push_back(parameter);
  return all;
}

Cut::Cut(Var cut_activation, std::vector<Parameter> parameters_below, const GradientModel& gradient,
         Var labels)
    : Cut(
          cut_activation, std::move(parameters_below),
          [gradient, labels](Var h) { return gradient(h, labels); }, gradient.parameters()) {}

Cut::Cut(Var cut_activation, std::vector<Parameter> parameters_below,
         std::function<Var(Var)> prediction, std::vector<Parameter> parameters_of_prediction)
    : activation(cut_activation),
      below(std::move(parameters_below)),
      model(std::move(prediction)),
      model_below(std::move(parameters_of_prediction)) {}

namespace {

constexpr std::string_view op_name = "decoupled_gradients";

// Throws if `output` depends on one of `earlier` other than by way of `cut`.
void require_cut(Var output, Var cut, const std::vector<Parameter>& earlier, Location where) {
  const Graph& graph = output.graph();
  std::vector<bool> reached(output.id() + 1, false);
  reached[output.id()] = true;
  for (NodeId id = output.id() + 1; id-- > 0;) {
    if (!reached[id] || id == cut.id()) continue;
    for (const Ref& input : graph.node(id).inputs())
      if (!input.outer) reached[input.node] = true;
  }
  for (const Parameter& parameter : earlier) {
    const std::optional<Var> read = graph.find(parameter);
    if (read && read->id() < reached.size() && reached[read->id()])
      fail<DerivativeError>(
          {.op = op_name,
           .label = parameter.name(),
           .what = "the parameter lies below the cut '" + cut.label() +
                   "' and is also read after it, by a way around the cut",
           .where = where,
           .help = "cut where everything that goes on passes, or list it with a later part"});
  }
}

// What one part of the net, between two cuts, is differentiated by.
WrtList wrt_of(const std::vector<Parameter>& parameters, const Var* entry) {
  WrtList wrt(parameters);
  if (entry != nullptr) wrt.emplace_back(*entry);
  return wrt;
}

class Builder {
 public:
  Builder(const std::vector<Cut>& cuts, Location where) : cuts_(cuts), where_(where) {}

  DecoupledGradients build(Var loss, const std::vector<Parameter>& above) {
    std::vector<Parameter> earlier;
    for (std::size_t k = 0; k < cuts_.size(); ++k) {
      if (k > 0) require_cut(cuts_[k].activation, cuts_[k - 1].activation, earlier, where_);
      earlier.insert(earlier.end(), cuts_[k].below.begin(), cuts_[k].below.end());
      const Var predicted = predict(cuts_[k]);
      part(k,
           vjp({cuts_[k].activation}, wrt_of(cuts_[k].below, entry(k)),
               {stop_gradient(predicted) / rows(cuts_[k])}, Unreachable::error, where_),
           cuts_[k].below);
      predictions_.push_back(predicted);
    }
    require_cut(loss, cuts_.back().activation, earlier, where_);
    part(cuts_.size(),
         reverse(loss, wrt_of(above, entry(cuts_.size())), Unreachable::error, where_), above);
    learn();
    return std::move(result_);
  }

 private:
  static double rows(const Cut& cut) { return static_cast<double>(cut.activation.shape()[0]); }
  const Var* entry(std::size_t k) const { return k == 0 ? nullptr : &cuts_[k - 1].activation; }

  Var predict(const Cut& cut) const {
    const Var predicted = cut.model(stop_gradient(cut.activation));
    if (predicted.type() != cut.activation.type())
      fail<ShapeError>({.op = op_name,
                        .label = cut.activation.label(),
                        .what = "the model at this cut predicts " + to_string(predicted.type()) +
                                " for an activation of " + to_string(cut.activation.type()),
                        .where = where_});
    return predicted;
  }

  // Notes the gradients of part k, and what it says to the model of the cut below.
  void part(std::size_t k, const Gradients& found, const std::vector<Parameter>& parameters) {
    for (const Parameter& parameter : parameters) add(parameter, found[parameter]);
    if (k == 0) return;
    const Cut& cut = cuts_[k - 1];
    targets_.push_back(stop_gradient(found[cut.activation] * rows(cut)));
  }

  void learn() {
    for (std::size_t k = 0; k < cuts_.size(); ++k) {
      const Var loss = sum(square(predictions_[k] - targets_[k])) / rows(cuts_[k]);
      const Gradients found =
          reverse(loss, WrtList(cuts_[k].model_below), Unreachable::error, where_);
      for (const Parameter& parameter : cuts_[k].model_below) add(parameter, found[parameter]);
      result_.model_losses.push_back(loss);
    }
  }

  void add(const Parameter& parameter, Var gradient) {
    const Wrt wrt(parameter, where_);
    result_.parameters.push_back(parameter);
    result_.gradients.add(wrt, wrt.in(gradient.graph(), op_name, where_), gradient);
  }

  const std::vector<Cut>& cuts_;
  Location where_;
  std::vector<Var> predictions_;
  std::vector<Var> targets_;
  DecoupledGradients result_;
};

}  // namespace

DecoupledGradients decoupled_gradients(Var loss, const std::vector<Cut>& cuts,
                                       const std::vector<Parameter>& above, Location where) {
  if (cuts.empty())
    fail<GraphError>({.op = op_name,
                      .what = "there is no cut",
                      .where = where,
                      .help = "reverse() gives the gradients of a net that is not cut"});
  return Builder(cuts, where).build(loss, above);
}

}  // namespace dualtape
