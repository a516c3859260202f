// Synthetic gradients (decoupled neural interfaces): a net is cut at some activations, and a small
// model at each cut predicts the loss's gradient by that activation from the activation alone. The
// layers below a cut learn from the prediction, without waiting for the layers above; the model
// learns from the gradient that comes down from the next cut, which is itself a prediction but for
// the last one. Jaderberg et al., Decoupled Neural Interfaces using Synthetic Gradients, ICML 2017,
// section 2 and figure 2.
//
//   dt::GradientModel guess("guess", 32, dt::Key{3});
//   const dt::Var h = dt::tanh(first(x));
//   const dt::Var loss = dt::cross_entropy(second(h), y);
//   auto decoupled = dt::decoupled_gradients(loss, {{h, first.parameters(), guess}},
//                                            second.parameters());
//   auto step = dt::compile({loss}, sgd.update(decoupled.parameters, decoupled.gradients, lr));
//
// Graphs are built by one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <dualtape/models/layers.hpp>
#include <dualtape/modes/wrt.hpp>

namespace dualtape {

struct GradientModelOptions {
  std::vector<std::int64_t> hidden = {};  // sizes of relu layers; none: linear in the activation
  std::int64_t classes = 0;               // above 0: the model is given the label, too (cDNI)
  DType dtype = float32;
};

// Predicts, for each row of an activation, the gradient of that row's own loss by it. Its last
// layer starts at zero, so that untrained it predicts none (section 3.1 of the paper).
class GradientModel {
 public:
  // `width` is the activation's. ShapeError for sizes below 1, ValueError for negative classes.
  GradientModel(const std::string& name, std::int64_t width, Key key,
                const GradientModelOptions& options = {}, Location where = Location::current());

  // (rows, width) to (rows, width); the labels, int64 of shape (rows,), are concatenated as one-hot
  // rows where the model has classes. GraphError for labels that it lacks or cannot use.
  Var operator()(Var activation, Var labels = {}, Location where = Location::current()) const;
  std::vector<Parameter> parameters() const;

 private:
  std::string name_;
  std::int64_t classes_;
  DType dtype_;
  std::vector<nn::Linear> layers_;
};

// A place where a net is cut.
struct Cut {
  // `model` may be a GradientModel (conditional ones want the labels) or anything of one's own.
  Cut(Var cut_activation, std::vector<Parameter> parameters_below, const GradientModel& gradient,
      Var labels = {});
  Cut(Var cut_activation, std::vector<Parameter> parameters_below,
      std::function<Var(Var)> prediction, std::vector<Parameter> parameters_of_prediction);

  Var activation;                      // (rows, ...)
  std::vector<Parameter> below;        // what lies between the cut before and this one
  std::function<Var(Var)> model;       // from the activation to the gradient of each row's loss
  std::vector<Parameter> model_below;  // parameters of the model
};

struct DecoupledGradients {
  std::vector<Parameter> parameters;  // of all layers, then of all models
  Gradients gradients;                // of each of them
  std::vector<Var> model_losses;      // of each cut: mean over rows of |prediction - target|^2
};

// `loss` is a scalar, the mean over the rows of a batch; `cuts` are in order from the input;
// `above` are the parameters after the last cut. All gradients are those at the values before the
// step. Throws GraphError without cuts, ShapeError for a model whose prediction has not the
// activation's shape, and DerivativeError where a cut's activation does not depend on its
// parameters and on the cut before, or the loss not on the last cut, or where a parameter listed
// for one part reaches the next part around the cut.
DecoupledGradients decoupled_gradients(Var loss, const std::vector<Cut>& cuts,
                                       const std::vector<Parameter>& above,
                                       Location where = Location::current());

}  // namespace dualtape
