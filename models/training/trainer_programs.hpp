// What a Trainer makes of its objective: the step, its cosine with the true gradient, evaluations
// and predictions, each a graph and a program for one pair of types. One thread at a time.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dualtape/models/trainer.hpp>

namespace dualtape::detail {

// A graph with the inputs all programs share, and what was compiled from it. No line of the user's
// made these inputs, so errors name none.
struct Compiled {
  Compiled(const Type& inputs_type, const Type& labels_type);

  bool fits(const Type& inputs_type, const Type& labels_type) const {
    return inputs.type() == inputs_type && labels.type() == labels_type;
  }

  std::unique_ptr<Graph> graph;
  Var inputs;
  Var labels;
  Var rate;
  Var key;
  std::vector<Var> outputs = {};
  std::vector<Assign> assigns = {};
  std::optional<Program> program = {};
};

using Cache = std::deque<Compiled>;  // a handful of shapes at most

struct TrainerParts {
  ObjectiveFunction objective;
  std::vector<Parameter> parameters;
  GradientMethod method;
  Optimiser* optimiser = nullptr;
  TrainerOptions options;
  Location where = {};  // of the user's last call

  mutable std::vector<std::string> unsaved = {};  // Parameters that steps write and nobody saves

  std::vector<Wrt> wrt() const { return {parameters.begin(), parameters.end()}; }

  // Outputs: the loss. The assignments are the update and what layers want written.
  void build_step(Compiled& c) const;
  // Output: the cosine of the method's gradient with the true one.
  void build_cosine(Compiled& c) const;
  // Outputs: the loss; with class numbers the accuracy, too; with floating labels, or where metrics
  // are wanted, the logits.
  void build_evaluation(Compiled& c) const;
  // Output: the logits.
  void build_prediction(Compiled& c) const;

 private:
  Objective make_objective(const Compiled& c, nn::Context& context, bool training) const;
  void name_gradients(const Gradients& gradients) const;
};

// The line that errors about the gradients of `loss` name.
inline Location line_of(Var loss) { return loss.defined() ? loss.node().where : Location{}; }

// How the outputs of an evaluation stand: after the loss, -1 where there are none.
struct EvaluationPlaces {
  int accuracy = -1;
  int outputs = -1;
};
EvaluationPlaces places_of(const Compiled& evaluation);

}  // namespace dualtape::detail
