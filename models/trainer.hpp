// Trainer: the loop around a compiled step. It compiles one Program for each shape of batch it
// meets (a last smaller batch makes a second one) and feeds the learning rate and the key of the
// step, so neither a schedule nor a random direction recompiles anything. One thread at a time.
//
//   dt::Mlp mlp({64, 32, 10}, dt::Key{1});
//   dt::Sgd sgd;
//   dt::Trainer trainer(
//       [&](dt::Var x, dt::Var y) {
//         const dt::Var logits = mlp(x);
//         return dt::Objective{dt::cross_entropy(logits, y), logits};
//       },
//       mlp.parameters(), dt::backpropagation(), sgd, {.schedule = dt::constant_rate(0.1)});
//   dt::Batches batches(train, 64, dt::Key{2});
//   trainer.fit(batches, {.epochs = 10});
//   std::cout << trainer.evaluate(test.inputs, test.labels).accuracy;
//
// The same keys, data and starting values give the same bits.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string_view>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/models/optimisers.hpp>
#include <dualtape/models/schedules.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/wrt.hpp>

namespace dualtape {

// What a model makes of a batch: the loss to be lowered, a scalar that is a mean over the batch's
// rows, and the logits (rows, classes) where accuracy is wanted.
struct Objective {
  Objective(Var the_loss, Var the_logits = {}) : loss(the_loss), logits(the_logits) {}
  Var loss;
  Var logits;
};
// Builds the objective of inputs (rows, ...) and labels (rows, ...); called once for each shape.
using ObjectiveFunction = std::function<Objective(Var inputs, Var labels)>;

// Where gradients come from: the loss's gradient by the parameters, or an estimate of it drawn from
// `key`, an int64 scalar that differs in every step.
using GradientMethod =
    std::function<Gradients(Var loss, const std::vector<Wrt>& parameters, Var key)>;
GradientMethod backpropagation();
GradientMethod forward_gradients(ForwardGradientOptions options = {});

struct StepInfo {
  std::int64_t step = 0;   // steps done since the Trainer was made: 1 after the first
  std::int64_t epoch = 0;  // the running one, from 0
  double loss = 0;         // of the step's batch, before its update
  double rate = 0;
  double seconds = 0;  // spent in steps so far, loading, callbacks and the cosine apart
  // Cosine of the step's gradient estimate with the true gradient; NaN where not measured.
  double cosine = std::numeric_limits<double>::quiet_NaN();
};
struct EpochInfo {
  std::int64_t epoch = 0;
  std::int64_t step = 0;
  double loss = 0;  // mean of the epoch's steps, weighted by rows
  double seconds = 0;
};

struct TrainerOptions {
  Schedule schedule = constant_rate(0.01);
  Key key{0};                     // of random directions; step n uses key.fold(n)
  std::int64_t cosine_every = 0;  // measure StepInfo::cosine at steps 1, 1 + n, ...; 0: never
  // Return false to stop.
  std::function<bool(const StepInfo&)> on_step = {};
  std::function<bool(const EpochInfo&)> on_epoch = {};
};

// Whichever comes first.
struct StopRules {
  std::int64_t epochs = std::numeric_limits<std::int64_t>::max();
  std::int64_t steps = std::numeric_limits<std::int64_t>::max();
  double loss_below = -std::numeric_limits<double>::infinity();  // an epoch's mean loss
};

enum class Stop : std::uint8_t { epochs, steps, loss_below, callback, not_finite };
std::string_view name_of(Stop stop);

// What one fit() did.
struct TrainResult {
  // not_finite: a step's loss was infinite or NaN; the parameters hold that step's update.
  Stop stop = Stop::epochs;
  std::int64_t steps = 0;
  std::int64_t epochs = 0;                                 // completed
  double loss = std::numeric_limits<double>::quiet_NaN();  // of the last step
  double seconds = 0;                                      // spent in steps
};

struct Evaluation {
  double loss = std::numeric_limits<double>::quiet_NaN();      // mean over all rows
  double accuracy = std::numeric_limits<double>::quiet_NaN();  // NaN if there are no logits
  std::int64_t rows = 0;
};

// Calls `visit` with the inputs and labels of each batch of an epoch, in order, until it returns
// false.
using VisitBatch = std::function<bool(const Tensor& inputs, const Tensor& labels)>;
using EpochFunction = std::function<void(std::int64_t epoch, const VisitBatch& visit)>;

// Batches, or anything with the same shape.
template <class T>
concept BatchSource = requires(T& source) {
  { (*source.epoch(std::int64_t{}).begin()).inputs } -> std::convertible_to<const Tensor&>;
  { (*source.epoch(std::int64_t{}).begin()).labels } -> std::convertible_to<const Tensor&>;
};

class Trainer {
 public:
  // The optimiser must outlive the Trainer. Throws ValueError without parameters or schedule.
  Trainer(ObjectiveFunction objective, std::vector<Parameter> parameters, GradientMethod method,
          Optimiser& optimiser, TrainerOptions options = {});
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;
  ~Trainer();

  // Trains until a rule stops it. A second call goes on with the next step number and the next
  // epoch, so keys and orders are not used twice. Throws ValueError for rules that are below 1 or
  // that stop nothing, and what building and running the graph throws.
  TrainResult fit(const EpochFunction& epochs, const StopRules& rules);
  template <BatchSource Source>
  TrainResult fit(Source& batches, const StopRules& rules) {
    return fit(
        [&batches](std::int64_t epoch, const VisitBatch& visit) {
          for (const auto& batch : batches.epoch(epoch))
            if (!visit(batch.inputs, batch.labels)) return;
        },
        rules);
  }

  // The present parameters on a data set, `rows_at_once` rows in a run, the rest in a smaller one.
  // Throws ShapeError unless inputs and labels have equally many rows, at least one.
  Evaluation evaluate(const Tensor& inputs, const Tensor& labels, std::int64_t rows_at_once = 512);

  // The compiled step for batches of these types: for to_dot(), explain() and memory().
  const Program& step_program(const Type& inputs, const Type& labels);

  std::int64_t steps_done() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dualtape
