#include <dualtape/models/trainer.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <dualtape/models/files/saved_state.hpp>
#include <dualtape/models/training/at_work.hpp>
#include <dualtape/models/training/awaited.hpp>
#include <dualtape/models/training/objective.hpp>
#include <dualtape/models/training/trainer_impl.hpp>
#include <dualtape/modes/reverse.hpp>

namespace dualtape {
namespace {

using detail::line_of;
using detail::order_of;
using detail::to_tensor;
using detail::TrainerParts;

void check_rules(const StopRules& rules, Location where) {
  const StopRules none;
  if (rules.epochs == none.epochs && rules.steps == none.steps &&
      rules.until_epoch == none.until_epoch && rules.until_step == none.until_step)
    fail<ValueError>({.op = "fit",
                      .what = "nothing bounds the training",
                      .where = where,
                      .help = "set .epochs or .steps, beside .loss_below if you like"});
  if (rules.epochs < 1 || rules.steps < 1)
    fail<ValueError>({.op = "fit",
                      .what = "the training would end before it begins: epochs = " +
                              std::to_string(rules.epochs) +
                              ", steps = " + std::to_string(rules.steps),
                      .where = where,
                      .help = "both must be at least 1"});
  if (rules.until_epoch < 0 || rules.until_step < 0)
    fail<ValueError>(
        {.op = "fit",
         .what = "no training comes to until_epoch = " + std::to_string(rules.until_epoch) +
                 ", until_step = " + std::to_string(rules.until_step),
         .where = where,
         .help = "both count from 0"});
  if (std::isnan(rules.loss_below))
    fail<ValueError>({.op = "fit",
                      .what = "loss_below is NaN, which no loss is below",
                      .where = where,
                      .help = "leave it out, or give a number"});
}

std::string untraced_fault(const StepInfo& info) {
  // A NaN of either sign is one and the same mishap.
  const std::string loss = std::isnan(info.loss) ? "nan" : std::to_string(info.loss);
  return "step " + std::to_string(info.step) + ": the loss is " + loss +
         "\n  try: resume from the last checkpoint with TrainerOptions::trace_not_finite, which "
         "names the operator";
}

}  // namespace

GradientMethod backpropagation() {
  return [](Var loss, const std::vector<Wrt>& parameters, Var) {
    return reverse(loss, parameters, Unreachable::error, line_of(loss));
  };
}

GradientMethod forward_gradients(ForwardGradientOptions options) {
  return [options](Var loss, const std::vector<Wrt>& parameters, Var key) {
    return forward_gradient(loss, parameters, key, options, line_of(loss)).gradients;
  };
}

std::string_view name_of(Stop stop) {
  switch (stop) {
    case Stop::epochs: return "epochs";
    case Stop::steps: return "steps";
    case Stop::loss_below: return "loss_below";
    case Stop::callback: return "callback";
    case Stop::not_finite: return "not_finite";
  }
  return "";
}

Trainer::Trainer(ObjectiveFunction objective, std::vector<Parameter> parameters,
                 GradientMethod method, Optimiser& optimiser, TrainerOptions options,
                 Location where)
    : impl_(std::make_shared<Impl>(
          Impl{{std::move(objective), std::move(parameters), std::move(method), &optimiser,
                std::move(options), where}})) {
  const auto require = [&](bool good, const char* what, const char* help = "") {
    if (!good) fail<ValueError>({.op = "Trainer", .what = what, .where = where, .help = help});
  };
  const TrainerOptions& given = impl_->options;
  const std::shared_ptr<Optimiser>& owned = given.optimiser.get();
  require(owned == nullptr || owned.get() == &optimiser,
          "TrainerOptions::optimiser is given beside the optimiser",
          "leave it out here: it is for a Trainer that is made of a net and a loss");
  static_cast<void>(optimiser.state(where));  // refuses one that was moved from
  require(!given.gradients, "TrainerOptions::gradients is given beside the method",
          "give it as the method, the argument before the optimiser: the option is for a Trainer "
          "that is made of a net and a loss");
  require(given.cosine_every >= 0,
          ("cosine_every is " + std::to_string(given.cosine_every)).c_str(),
          "0 measures no cosine, 1 that of each step");
  require(!impl_->parameters.empty(), "there are no parameters to train",
          "list the model's parameters()");
  require(given.schedule && impl_->objective && impl_->method,
          "the objective, the method or the schedule is an empty function");
  for (std::size_t i = 0; i < given.callbacks.size(); ++i)
    require(given.callbacks[i] != nullptr,
            ("callback " + std::to_string(i) + " (from 0) is a null pointer").c_str(),
            "make it with std::make_shared");
  for (const Metric& metric : given.metrics) {
    require(static_cast<bool>(metric.of),
            ("the metric '" + metric.name + "' is an empty function").c_str());
    require(!metric.name.empty(), "a metric has no name");
  }
  detail::check_listed_once(impl_->parameters, given.buffers, where);
  detail::check_names(impl_->parameters, given, where);
}
Trainer::NetParts Trainer::parts_of(const nn::Layer& net, const LossFunction& loss,
                                    TrainerOptions options, Location where) {
  options.optimiser.check_free(where);
  if (options.optimiser.get() == nullptr) options.optimiser = Sgd();
  GradientMethod method = options.gradients ? options.gradients : backpropagation();
  options.gradients = nullptr;
  for (const Parameter& buffer : net.buffers())
    if (std::ranges::find(options.buffers, buffer) == options.buffers.end())
      options.buffers.push_back(buffer);
  ObjectiveFunction objective;
  if (loss)
    objective = [net, loss, where](Var x, Var y, nn::Context& context) {
      const Var outputs = net(x, context, where);
      return Objective(loss(outputs, y, where), outputs);
    };
  return {std::move(objective), net.parameters(), std::move(method), std::move(options)};
}
Trainer::Trainer(nn::Layer net, LossFunction loss, TrainerOptions options, Location where)
    : Trainer(parts_of(net, loss, std::move(options), where), where) {}
Trainer::Trainer(NetParts parts, Location where)
    : Trainer(std::move(parts.objective), std::move(parts.parameters), std::move(parts.method),
              *parts.options.optimiser.get(), parts.options, where) {
  if (parts.options.optimiser.taken_) *parts.options.optimiser.taken_ = true;
}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

Trainer::Impl& Trainer::impl(const char* function, Location where) const {
  if (impl_ == nullptr)
    fail<GraphError>({.op = function,
                      .what = "this Trainer was moved from and has nothing to train",
                      .where = where,
                      .help = "call the Trainer that it was moved to"});
  // A call of the library's own, on behalf of the one under way, has none.
  if (where.known()) impl_->where = where;
  return *impl_;
}

// Lets an epoch's function take batches for as long as the epoch lasts: it may keep what it is
// given, which refers to variables of fit().
void visit_epoch(const EpochFunction& epochs, std::int64_t epoch, const VisitBatch& visit,
                 Location where) {
  struct Lasting {
    std::shared_ptr<bool> flag = std::make_shared<bool>(true);
    ~Lasting() { *flag = false; }
  };
  const Lasting now;
  epochs(epoch, [&visit, where, lasts = now.flag](const Tensor& inputs, const Tensor& labels) {
    if (!*lasts)
      fail<GraphError>({.op = "fit",
                        .what = "the function that takes a batch was called after its epoch ended",
                        .where = where,
                        .help = "visit batches within the function that was given to fit()"});
    return visit(inputs, labels);
  });
}

TrainResult Trainer::fit(const EpochFunction& epochs, const StopRules& rules, EpochLayout layout,
                         Location where) {
  Impl& impl = this->impl("fit", where);
  check_rules(rules, where);
  if (!epochs)
    fail<ValueError>({.op = "fit",
                      .what = "the function that visits an epoch's batches is empty",
                      .where = where});
  const std::shared_ptr<Impl> held = impl_;  // a callback may move this Trainer away
  const detail::AtWork at_work(impl.running, "fit", where);
  const auto check_there = [&] {
    if (impl_ == held) return;
    fail<GraphError>({.op = "fit",
                      .what = "the Trainer was moved, or another was assigned to it, while it "
                              "trained",
                      .where = where,
                      .help = "move a Trainer before or after fit(), not in a callback"});
  };
  TrainResult result;
  if (impl.resumed) impl.check_resumed(layout);
  impl.told_to_stop = false;
  impl.stopped_by.clear();
  impl.goes_on = !impl.resumed && impl.interrupted && layout == impl.layout;
  impl.in_epoch = impl.in_epoch && (std::exchange(impl.resumed, false) || impl.goes_on);
  impl.interrupted = true;  // unless the end is reached
  std::optional<Stop> stop;
  std::int64_t to_pass = 0;
  double passed = 0;
  const auto steps_are_done = [&] {
    return result.steps >= rules.steps || impl.step >= rules.until_step;
  };
  const VisitBatch visit = [&](const Tensor& inputs, const Tensor& labels) {
    if (to_pass > 0) {
      passed += static_cast<double>(inputs.size(0));
      if (--to_pass == 0 && passed != impl.mean.weight())
        impl.refuse("and " + std::to_string(std::llround(impl.mean.weight())) +
                    " rows; now these batches have " + std::to_string(std::llround(passed)));
      return true;
    }
    // Asked here and not after the step, so that an epoch that ends just now counts as completed.
    if (steps_are_done()) {
      stop = Stop::steps;
      return false;
    }
    impl.layout = layout;
    impl.labels_seen = labels.type();
    impl.where = where;  // not that of what a callback called meanwhile
    const Impl::Taken taken = impl.take_step(inputs, labels, result.seconds);
    const StepInfo& info = taken.info;
    result.seconds = info.seconds;
    result.loss = info.loss;
    ++result.steps;
    if (!impl.tell(*this, "on_step", impl.options.on_step, info, &Callback::step))
      stop = Stop::callback;
    check_there();
    if (!taken.fault.empty() || !std::isfinite(info.loss)) {
      stop = Stop::not_finite;
      result.fault = taken.fault.empty() ? untraced_fault(info) : taken.fault;
    } else {
      impl.settle(*this);
    }
    return !stop;
  };
  for (const auto& callback : impl.options.callbacks) callback->begin(*this, rules);
  detail::check_announced(impl.options, impl.reported, where);
  if (impl.step >= rules.until_step) stop = Stop::steps;
  if (!impl.in_epoch && impl.epoch >= rules.until_epoch) stop = Stop::epochs;
  while (!stop) {
    if (!impl.in_epoch) {
      impl.mean.reset();
      impl.batch = 0;
      impl.in_epoch = true;
      ++impl.epoch;
    }
    to_pass = impl.batch;
    passed = 0;
    visit_epoch(epochs, impl.epoch - 1, visit, where);
    check_there();
    if (stop) break;
    if (to_pass > 0) impl.refuse("which now has " + std::to_string(impl.batch - to_pass));
    if (impl.mean.weight() == 0)
      fail<ValueError>({.op = "fit", .what = "an epoch has no batch to train on", .where = where});
    ++result.epochs;
    impl.in_epoch = false;
    if (steps_are_done()) stop = Stop::steps;
    if (result.epochs >= rules.epochs || impl.epoch >= rules.until_epoch) stop = Stop::epochs;
    if (impl.mean.mean() < rules.loss_below) stop = Stop::loss_below;
    const EpochInfo info{impl.epoch - 1, impl.step, impl.mean.mean(), result.seconds};
    if (!impl.tell(*this, "on_epoch", impl.options.on_epoch, info, &Callback::epoch))
      stop = Stop::callback;
    check_there();
    impl.settle(*this);
    check_there();
  }
  result.stop = *stop;
  if (result.stop == Stop::callback) result.stopped_by = impl.stopped_by;
  for (const auto& callback : impl.options.callbacks) callback->end(*this, result);
  impl.interrupted = false;
  if (result.stop != Stop::not_finite) detail::check_heard(impl.options, impl.reported, where);
  return result;
}

void Trainer::report(const std::string& name, double value, Location where) {
  Impl& impl = this->impl("report", where);
  if (std::ranges::find(impl.reported, name) == impl.reported.end()) impl.reported.push_back(name);
  const Scalar scalar{name, value, impl.step, std::max<std::int64_t>(impl.epoch - 1, 0)};
  for (std::size_t i = 0; i < impl.options.callbacks.size(); ++i)
    if (!impl.options.callbacks[i]->scalar(*this, scalar)) impl.stop_for(i);
}

const Program& Trainer::step_program(const Type& inputs, const Type& labels, Location where) {
  Impl& impl = this->impl("step_program", where);
  return *impl.find(impl.steps, inputs, labels, &TrainerParts::build_step).program;
}

std::int64_t Trainer::steps_done(Location where) const { return impl("steps_done", where).step; }
std::int64_t Trainer::epochs_begun(Location where) const {
  return impl("epochs_begun", where).epoch;
}
const std::vector<Parameter>& Trainer::parameters(Location where) const {
  return impl("parameters", where).parameters;
}
const std::vector<Parameter>& Trainer::buffers(Location where) const {
  return impl("buffers", where).options.buffers;
}
const std::vector<Metric>& Trainer::metrics(Location where) const {
  return impl("metrics", where).options.metrics;
}
Location Trainer::line() const { return impl("line", {}).where; }
void Trainer::set_key(Key key, Location where) { impl("set_key", where).options.key = key; }

std::vector<NamedTensor> Trainer::state(Location where) const {
  const Impl& impl = this->impl("state", where);
  if (!impl.unsaved.empty())
    fail<ValueError>(
        {.op = "Trainer",
         .label = impl.unsaved.front(),
         .what = "steps write '" + impl.unsaved.front() + "', which is not among the buffers",
         .where = impl.where,
         .help = "set TrainerOptions::buffers to the model's buffers()"});
  std::vector<NamedTensor> all;
  for (const Parameter& parameter : impl.parameters)
    all.push_back({parameter.name(), parameter.value()});
  for (const Parameter& buffer : impl.options.buffers)
    all.push_back({buffer.name(), buffer.value()});
  for (const NamedTensor& own : impl.optimiser->named_state(where))
    all.push_back({std::string(detail::optimiser_prefix) + own.name, own.tensor});
  for (const auto& callback : impl.options.callbacks)
    if (!callback->name().empty())
      all.push_back({std::string(detail::callback_prefix) + callback->name(), callback->state()});
  const detail::SavedRun run{impl.step,        impl.epoch, impl.batch, impl.in_epoch,
                             impl.options.key, impl.mean,  impl.layout};
  for (NamedTensor& own : detail::to_tensors(run)) all.push_back(std::move(own));
  return all;
}

namespace {

// What a callback has counted elsewhere is nothing to go on from.
void check_all_saved(const std::vector<std::shared_ptr<Callback>>& callbacks,
                     const detail::SavedState& saved, Location where) {
  for (const auto& callback : callbacks) {
    const std::string name = std::string(detail::callback_prefix) + callback->name();
    if (!callback->name().empty() && saved.find(name) == nullptr)
      fail<ValueError>({.op = "restore",
                        .label = name,
                        .what = "the state to restore has no '" + name + "'",
                        .where = where,
                        .help = "restore with the callbacks of then; to add one, put its own "
                                "state() under that name into the list for restore()"});
  }
}

// All of them, or none: those that took theirs are given back what they had.
void restore_callbacks(const std::vector<std::shared_ptr<Callback>>& callbacks,
                       const detail::SavedState& saved, Location where) {
  std::string name;  // of what is being restored
  std::vector<std::pair<Callback*, Tensor>> before;
  before.reserve(callbacks.size());
  const auto take_back = [&] {
    for (const auto& [callback, state] : before) {
      try {
        callback->restore(state);
      } catch (...) {  // the first error is the one that is thrown
        continue;
      }
    }
  };
  try {
    for (const auto& callback : callbacks) {
      if (callback->name().empty()) continue;
      name = std::string(detail::callback_prefix) + callback->name();
      before.emplace_back(callback.get(), callback->state().copy());
      callback->restore(*saved.find(name));
    }
  } catch (const ValueError& error) {  // which knows no line
    take_back();
    fail<ValueError>({.op = "restore", .label = name, .what = error.what(), .where = where});
  } catch (...) {
    take_back();
    throw;
  }
}

}  // namespace

// All that can fail comes first; what is changed after it cannot.
void Trainer::restore(const std::vector<NamedTensor>& state, Location where) {
  Impl& impl = this->impl("restore", where);
  detail::refuse_while(impl.running, "fit", "restore", where);
  const detail::SavedState saved(state, where);
  std::vector<Parameter> values = impl.parameters;
  values.insert(values.end(), impl.options.buffers.begin(), impl.options.buffers.end());
  std::vector<const Tensor*> tensors;
  for (const Parameter& parameter : values)
    tensors.push_back(&saved.need(parameter.name(), parameter.type()));
  const detail::SavedRun run = saved.run();
  const std::function<void()> restore_optimiser =
      impl.optimiser->prepare_restore(saved.under(detail::optimiser_prefix), where);
  check_all_saved(impl.options.callbacks, saved, where);
  restore_callbacks(impl.options.callbacks, saved, where);
  restore_optimiser();
  for (std::size_t i = 0; i < values.size(); ++i) values[i].set(*tensors[i], where);
  impl.step = run.step;
  impl.epoch = run.epoch;
  impl.batch = run.batch;
  impl.in_epoch = run.in_epoch;
  impl.layout = run.layout;
  impl.resumed = true;
  impl.interrupted = false;
  impl.options.key = run.key;
  impl.mean = run.mean;
}

}  // namespace dualtape
