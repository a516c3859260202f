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
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <dualtape/core/callable.hpp>
#include <dualtape/core/composite.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/models/callback.hpp>
#include <dualtape/models/context.hpp>
#include <dualtape/models/optimisers.hpp>
#include <dualtape/models/safetensors.hpp>
#include <dualtape/models/schedules.hpp>
#include <dualtape/models/sequential.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/wrt.hpp>
#include <dualtape/ops/losses.hpp>

namespace dualtape {

// What a model makes of a batch: the loss to be lowered, a scalar that is a mean over the batch's
// rows, and the logits (rows, classes), or a regression's predictions (of the labels' shape), where
// more than the loss is to be evaluated or predict() is wanted.
struct Objective {
  Objective(Var the_loss, Var the_logits = {}) : loss(the_loss), logits(the_logits) {}
  Var loss;
  Var logits;
};
// Builds the objective of inputs (rows, ...) and labels (rows, ...); called once for each shape,
// and again for evaluation. A function that takes an nn::Context as well passes it on to its
// layers: so they learn whether they train, and their updates are assigned after each step.
class ObjectiveFunction {
 public:
  ObjectiveFunction() = default;
  ObjectiveFunction(std::nullptr_t) {}
  template <class F>
  requires std::is_invocable_r_v<Objective, F&, Var, Var> ObjectiveFunction(F function)
      : build_([function = std::move(function)](Var x, Var y, nn::Context&) mutable {
          return Objective(function(x, y));
        }) {
    if (detail::is_null(function)) build_ = nullptr;
  }
  template <class F>
  requires std::is_invocable_r_v<Objective, F&, Var, Var, nn::Context&> ObjectiveFunction(
      F function) {
    if (!detail::is_null(function)) build_ = std::move(function);
  }

  Objective operator()(Var inputs, Var labels, nn::Context& context) const {
    return build_(inputs, labels, context);
  }
  explicit operator bool() const { return static_cast<bool>(build_); }

 private:
  std::function<Objective(Var, Var, nn::Context&)> build_;
};

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

// A number an evaluation is to have as well, of all outputs and labels of a data set; see
// models/metrics.hpp.
struct Metric {
  std::string name;  // "top 5"
  std::function<double(const Tensor& outputs, const Tensor& labels)> of;
};

struct TrainerOptions {
  // Of a Trainer that is made of a net and a loss, and of no other; Sgd and backpropagation() where
  // they are left out.
  OwnedOptimiser optimiser = {};
  GradientMethod gradients = {};
  Schedule schedule = constant_rate(0.01);
  Key key{0};                     // of random directions; step n uses key.fold(n)
  std::int64_t cosine_every = 0;  // measure StepInfo::cosine at steps 1, 1 + n, ...; 0: never
  // Return false to stop.
  std::function<bool(const StepInfo&)> on_step = {};
  std::function<bool(const EpochInfo&)> on_epoch = {};
  // Called after these two, in this order.
  std::vector<std::shared_ptr<Callback>> callbacks = {};
  // What steps change beside the parameters, such as running statistics: a model's buffers(). Those
  // of a net that the Trainer is made of are found without.
  std::vector<Parameter> buffers = {};
  // Of the objective's logits or predictions, in evaluations.
  std::vector<Metric> metrics = {};
  // Keeps what each step changes until it is known to be finite, so that TrainResult::fault can
  // name the operator that was not; parameters and state then are those before that step. Costs a
  // copy of them all in every step: a run that ended may be resumed from its last checkpoint with
  // this on.
  bool trace_not_finite = false;
};

// Whichever comes first.
struct StopRules {
  std::int64_t epochs = std::numeric_limits<std::int64_t>::max();
  std::int64_t steps = std::numeric_limits<std::int64_t>::max();
  double loss_below = -std::numeric_limits<double>::infinity();  // an epoch's mean loss
  // The same counted since the Trainer was made, those before a checkpoint included: a run that is
  // resumed ends where it would have ended. Nothing is done where they are reached already.
  std::int64_t until_epoch = std::numeric_limits<std::int64_t>::max();
  std::int64_t until_step = std::numeric_limits<std::int64_t>::max();
};

enum class Stop : std::uint8_t { epochs, steps, loss_below, callback, not_finite };
std::string_view name_of(Stop stop);

// What one fit() did.
struct TrainResult {
  // not_finite: a step's loss was infinite or NaN; the parameters hold that step's update, unless
  // it was traced.
  Stop stop = Stop::epochs;
  std::int64_t steps = 0;
  std::int64_t epochs = 0;                                 // completed
  double loss = std::numeric_limits<double>::quiet_NaN();  // of the last step
  double seconds = 0;                                      // spent in steps
  std::string fault = {};  // of not_finite: the step, and the operator where it was traced
  // Of callback: which one, by its name() or its place in TrainerOptions::callbacks, and why() it
  // did.
  std::string stopped_by = {};
};

struct Evaluation {
  double loss = std::numeric_limits<double>::quiet_NaN();      // mean over all rows
  double accuracy = std::numeric_limits<double>::quiet_NaN();  // NaN if there are no logits
  std::int64_t rows = 0;
  // Of predictions and labels that are floating: the mean absolute error, the mean squared error,
  // and the coefficient of determination; NaN where there are none.
  double mae = std::numeric_limits<double>::quiet_NaN();
  double mse = std::numeric_limits<double>::quiet_NaN();
  double r2 = std::numeric_limits<double>::quiet_NaN();
  bool regression = false;  // these three were measured, whatever they are
  std::vector<std::pair<std::string, double>> metrics = {};  // of TrainerOptions::metrics, in order

  // All there is under its name, in the order above: "loss", "accuracy" ...
  std::vector<std::pair<std::string, double>> named() const;
};

// Calls `visit` with the inputs and labels of each batch of an epoch, in order, until it returns
// false.
using VisitBatch = std::function<bool(const Tensor& inputs, const Tensor& labels)>;
using EpochFunction = std::function<void(std::int64_t epoch, const VisitBatch& visit)>;

// What batches are drawn from beside their data.
struct EpochOrder {
  bool known = false;
  std::optional<Key> key = {};  // none: nothing is drawn, they come in the data set's own order
  bool operator==(const EpochOrder&) const = default;
};

// How epochs are cut into batches; 0 where that is not known.
struct EpochLayout {
  std::int64_t batches = 0;
  std::int64_t batch_size = 0;
  std::int64_t rows = 0;
  EpochOrder order = {};
  bool operator==(const EpochLayout&) const = default;
};

// Batches, or anything with the same shape.
template <class T>
concept BatchSource = requires(T& source) {
  { (*source.epoch(std::int64_t{}).begin()).inputs } -> std::convertible_to<const Tensor&>;
  { (*source.epoch(std::int64_t{}).begin()).labels } -> std::convertible_to<const Tensor&>;
};

// One that can tell how it cuts an epoch.
template <class T>
concept LaidOut = requires(const T& source) {
  { source.per_epoch() } -> std::convertible_to<std::int64_t>;
  { source.batch_size() } -> std::convertible_to<std::int64_t>;
  { source.dataset().count() } -> std::convertible_to<std::int64_t>;
};

// One that can tell what it draws from.
template <class T>
concept Keyed = requires(const T& source) {
  { source.key() } -> std::convertible_to<std::optional<Key>>;
};

namespace detail {

// An epoch of a source, whose mistakes are reported at the user's line where it takes one.
template <class Source>
decltype(auto) epoch_of(Source& source, std::int64_t epoch, Location where) {
  if constexpr (requires { source.epoch(epoch, where); }) {
    return source.epoch(epoch, where);
  } else {
    return source.epoch(epoch);
  }
}

}  // namespace detail

// What a net's outputs are held against the labels by: a loss of the library's that takes a
// Reduction, as a mean, or a function of one's own of two Vars. One with more arguments, such as
// huber's delta, is given in a lambda.
class LossFunction {
 public:
  LossFunction(Var (*loss)(In outputs, In labels, Reduction reduction)) {
    if (loss != nullptr)
      build_ = [loss](Var outputs, Var labels, Location where) {
        return loss({outputs, where}, {labels, where}, Reduction::mean);
      };
  }
  template <class F>
  requires std::is_invocable_r_v<Var, F&, Var, Var> LossFunction(F loss) {
    if (!detail::is_null(loss))
      build_ = [loss = std::move(loss)](Var outputs, Var labels, Location where) -> Var {
        return detail::call_at(loss, where, outputs, labels);
      };
  }

  // Nodes and errors of the library's losses carry the line of `where`.
  Var operator()(Var outputs, Var labels, Location where = Location::current()) const {
    return build_(outputs, labels, where);
  }
  explicit operator bool() const { return static_cast<bool>(build_); }

 private:
  std::function<Var(Var, Var, Location)> build_;
};

class Trainer {
 public:
  // Trains the parameters of `net`, which is anything that may stand where a layer is wanted, to
  // lower loss(net(x), y), a loss such as cross_entropy or mse. net(x) is what is evaluated. The
  // optimiser and where gradients come from are options:
  //
  //   dt::Trainer trainer(net, dt::cross_entropy, {.optimiser = dt::Adam{}});
  //
  // Throws what the other constructor does, and ValueError for an optimiser that another Trainer
  // was given with a copy of the options.
  Trainer(nn::Layer net, LossFunction loss, TrainerOptions options = {},
          Location where = Location::current());
  // For objectives that are no loss of a net's outputs, and for parameters that are not all of one
  // net. The optimiser must outlive the Trainer; GraphError if it was moved from. Throws ValueError
  // for an optimiser or gradients among the options, too, without parameters or schedule,
  // for a parameter that is listed twice and for one that is among the buffers, too, for two
  // parameters, buffers, callbacks or metrics of one name, for a callback or metric that is null,
  // and for cosine_every below 0. What is moved from may be assigned to, and else throws
  // GraphError.
  Trainer(ObjectiveFunction objective, std::vector<Parameter> parameters, GradientMethod method,
          Optimiser& optimiser, TrainerOptions options = {}, Location where = Location::current());
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;
  ~Trainer();

  // Trains until a rule stops it. A second call goes on with the next step number and the next
  // epoch, so keys and orders are not used twice; after an error it goes on in the epoch's midst,
  // if the batches are cut as they were. Throws ValueError for rules that are below 1, or of those
  // counted since the Trainer was made below 0, or that stop nothing, for batches that differ from
  // those of the epoch that is resumed or that are as those of the resumed run but drawn from
  // another key, and for a callback whose scalar nobody reports though others are: at once where
  // that can be seen, else at the end; ShapeError, TypeError or GraphError, at its line, for a loss
  // that is not one floating-point number of the inputs' graph and for logits that do not fit the
  // labels; GraphError where it is called from within itself, or the Trainer is moved meanwhile;
  // and what building and running the graph throws.
  TrainResult fit(const EpochFunction& epochs, const StopRules& rules, EpochLayout layout = {},
                  Location where = Location::current());
  template <BatchSource Source>
  TrainResult fit(Source& batches, const StopRules& rules, Location where = Location::current()) {
    EpochLayout layout;
    if constexpr (requires { batches.per_epoch(where); })
      static_cast<void>(batches.per_epoch(where));  // one that was moved from says so here
    if constexpr (LaidOut<Source>)
      layout = {batches.per_epoch(), batches.batch_size(), batches.dataset().count()};
    if constexpr (Keyed<Source>) layout.order = {true, batches.key()};
    return fit(
        [&batches, where](std::int64_t epoch, const VisitBatch& visit) {
          for (const auto& batch : detail::epoch_of(batches, epoch, where))
            if (!visit(batch.inputs, batch.labels)) return;
        },
        rules, layout, where);
  }

  // The present parameters on a data set, `rows_at_once` rows in a run, the rest in a smaller one.
  // Throws ShapeError unless inputs and labels have equally many rows, at least one, and what fit()
  // throws for an objective.
  Evaluation evaluate(const Tensor& inputs, const Tensor& labels, std::int64_t rows_at_once = 512,
                      Location where = Location::current());

  // The objective's logits or predictions for inputs alone, as in evaluation. Labels that were not
  // seen yet are taken for class numbers, or for floating numbers if the objective refuses these.
  // Throws ValueError for an objective without logits and for one whose logits depend on labels,
  // ShapeError without rows.
  Tensor predict(const Tensor& inputs, std::int64_t rows_at_once = 512,
                 Location where = Location::current());

  // The compiled step for batches of these types: for to_dot(), explain() and memory().
  const Program& step_program(const Type& inputs, const Type& labels,
                              Location where = Location::current());

  std::int64_t steps_done(Location where = Location::current()) const;
  std::int64_t epochs_begun(Location where = Location::current()) const;
  const std::vector<Parameter>& parameters(Location where = Location::current()) const;
  const std::vector<Parameter>& buffers(Location where = Location::current()) const;
  const std::vector<Metric>& metrics(Location where = Location::current()) const;
  void set_key(Key key, Location where = Location::current());  // of TrainerOptions
  // The user's line of the call under way, or of the last one: for what callbacks throw.
  Location line() const;

  // Tells all callbacks of a number, from within one or from outside of fit().
  void report(const std::string& name, double value, Location where = Location::current());

  // All that a resumed run needs, as named tensors: parameters and buffers under their names, the
  // optimiser's, the callbacks' and the trainer's own under "optimiser/", "callback/" and
  // "trainer/". They share the live memory. Throws ValueError if steps write Parameters that are
  // not among the buffers of the options.
  std::vector<NamedTensor> state(Location where = Location::current()) const;
  // Goes on from a state(): the next fit() goes on in the midst of the epoch, passing over the
  // batches that were done, with the bits of a run that had not stopped. The data and the options
  // must be those of then: fit() refuses batches of other sizes or from another key. Throws
  // ValueError for tensors missing, those of callbacks included, or of another type, before
  // anything has changed; the optimiser's may be found wrong when the first step is built.
  void restore(const std::vector<NamedTensor>& state, Location where = Location::current());

 private:
  struct Impl;
  struct NetParts {
    ObjectiveFunction objective;
    std::vector<Parameter> parameters;
    GradientMethod method;
    TrainerOptions options;
  };
  static NetParts parts_of(const nn::Layer& net, const LossFunction& loss, TrainerOptions options,
                           Location where);
  Trainer(NetParts parts, Location where);
  Impl& impl(const char* function, Location where) const;  // GraphError where it was moved from
  std::shared_ptr<Impl> impl_;                             // fit() has a hold on it, too
};

}  // namespace dualtape
