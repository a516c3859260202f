#include <dualtape/models/trainer.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include <dualtape/models/detail/epoch_layout.hpp>
#include <dualtape/models/detail/objective.hpp>
#include <dualtape/models/metrics.hpp>
#include <dualtape/models/not_finite.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>

namespace dualtape {
namespace {

using detail::order_of;
using detail::same_sizes;
using detail::to_string;
using detail::to_tensor;

// A graph with the inputs all programs share, and what was compiled from it. No line of the user's
// made these inputs, so errors name none.
struct Compiled {
  Compiled(const Type& inputs_type, const Type& labels_type)
      : graph(std::make_unique<Graph>()),
        inputs(graph->input("inputs", inputs_type.shape, inputs_type.dtype, Location{})),
        labels(graph->input("labels", labels_type.shape, labels_type.dtype, Location{})),
        rate(graph->input("learning rate", {}, float64, Location{})),
        key(graph->input("key", {}, int64, Location{})) {}

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

void check_rules(const StopRules& rules) {
  const StopRules none;
  if (rules.epochs == none.epochs && rules.steps == none.steps &&
      rules.until_epoch == none.until_epoch && rules.until_step == none.until_step)
    fail<ValueError>({.op = "fit",
                      .what = "nothing bounds the training",
                      .help = "set .epochs or .steps, beside .loss_below if you like"});
  if (rules.epochs < 1 || rules.steps < 1)
    fail<ValueError>({.op = "fit",
                      .what = "the training would end before it begins: epochs = " +
                              std::to_string(rules.epochs) +
                              ", steps = " + std::to_string(rules.steps),
                      .help = "both must be at least 1"});
}

// Names of what checkpoints hold beside the parameters.
constexpr std::string_view optimiser_prefix = "optimiser/";
const std::string callback_prefix = "callback/";
const std::string position_name = "trainer/position";  // step, epoch, batch, in the epoch or not
const std::string key_name = "trainer/key";
const std::string mean_name = "trainer/epoch_loss";  // sum and weight, which counts rows
// Of an EpochLayout; older files have the first or neither.
const std::string layout_name = "trainer/batches";  // its sizes
const std::string order_name = "trainer/order";     // its order

bool all_finite(const std::vector<Parameter>& parameters) {
  return std::ranges::all_of(parameters, [](const Parameter& parameter) {
    if (!is_floating(parameter.dtype())) return true;
    return dispatch(parameter.dtype(), [&]<class T>() {
      return std::ranges::all_of(parameter.value().data<T>(),
                                 [](T value) { return std::isfinite(static_cast<double>(value)); });
    });
  });
}

std::string untraced_fault(const StepInfo& info) {
  // A NaN of either sign is one and the same mishap.
  const std::string loss = std::isnan(info.loss) ? "nan" : std::to_string(info.loss);
  return "step " + std::to_string(info.step) + ": the loss is " + loss +
         "\n  try: resume from the last checkpoint with TrainerOptions::trace_not_finite, which "
         "names the operator";
}

// Where errors about the gradients of `loss` are told.
Location line_of(Var loss) { return loss.defined() ? loss.node().where : Location{}; }

Gradients true_gradient(Var loss, const std::vector<Wrt>& parameters) {
  return reverse(loss, parameters, Unreachable::error, line_of(loss));
}

}  // namespace

GradientMethod backpropagation() {
  return [](Var loss, const std::vector<Wrt>& parameters, Var) {
    return true_gradient(loss, parameters);
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

struct Trainer::Impl {
  ObjectiveFunction objective;
  std::vector<Parameter> parameters;
  GradientMethod method;
  Optimiser* optimiser = nullptr;
  TrainerOptions options;

  Cache steps = {};
  Cache cosines = {};
  Cache evaluations = {};
  std::int64_t step = 0;   // done
  std::int64_t epoch = 0;  // begun
  bool in_epoch = false;   // that epoch has not ended
  std::int64_t batch = 0;  // done of it
  RunningMean mean = {};   // of its losses
  EpochLayout layout = {};
  bool resumed = false;  // the next fit() goes on in that epoch
  bool told_to_stop = false;
  std::string stopped_by = {};                    // the first that told so
  std::vector<std::string> reported = {};         // names of scalars
  mutable std::vector<std::string> unsaved = {};  // Parameters that steps write and nobody saves
  Tensor rate = Tensor({}, float64);
  Tensor key = Tensor({}, int64);

  // The Compiled for these types, made by `build` where there is none yet.
  Compiled& find(Cache& cache, const Type& inputs, const Type& labels,
                 void (Impl::*build)(Compiled&) const) {
    const auto known =
        std::ranges::find_if(cache, [&](const Compiled& c) { return c.fits(inputs, labels); });
    if (known != cache.end()) return *known;
    Compiled fresh(inputs, labels);
    (this->*build)(fresh);
    cache.push_back(std::move(fresh));
    return cache.back();
  }

  std::vector<Wrt> wrt() const { return {parameters.begin(), parameters.end()}; }

  // In a step, layers draw from another sub-stream than directions, which fold in 0, 1, ...
  Objective make_objective(const Compiled& c, nn::Context& context, bool training) const {
    context.training = training;
    context.key = training ? fold_key(c.key, std::int64_t{-1}) : c.key;
    Objective made = objective(c.inputs, c.labels, context);
    detail::check_objective(made, c.labels, training);
    return made;
  }

  void build_step(Compiled& c) const {
    nn::Context context;
    const Objective made = make_objective(c, context, true);
    const Gradients gradients = method(made.loss, wrt(), c.key);
    name_gradients(gradients);
    c.outputs = {made.loss};
    c.assigns = optimiser->update(parameters, gradients, c.rate);
    for (const Assign& update : context.updates) {
      c.assigns.push_back(update);
      if (std::ranges::find(options.buffers, update.parameter) == options.buffers.end())
        unsaved.push_back(update.parameter.name());
    }
    c.program.emplace(compile(c.outputs, c.assigns));
  }

  // For drawings. A gradient may be a node of the user's, whose name stays.
  void name_gradients(const Gradients& gradients) const {
    for (const Parameter& parameter : parameters) {
      const Var gradient = gradients[parameter];
      if (gradient.label().empty() || gradient.node().role == Role::cotangent)
        gradient.named("gradient of " + parameter.name());
    }
  }

  void build_cosine(Compiled& c) const {
    nn::Context context;
    const Objective made = make_objective(c, context, true);
    const Var cosine = cosine_of(method(made.loss, wrt(), c.key), true_gradient(made.loss, wrt()));
    c.outputs = {cosine};
    c.program.emplace(compile({cosine}));
  }

  void build_evaluation(Compiled& c) const {
    nn::Context context;
    const Objective made = make_objective(c, context, false);
    c.outputs = {made.loss};
    if (made.logits.defined()) c.outputs.push_back(accuracy(made.logits, c.labels));
    c.program.emplace(compile(c.outputs));
  }

  std::vector<Feed> feeds(const Compiled& c, const Tensor& inputs, const Tensor& labels) const {
    return {{c.inputs, inputs}, {c.labels, labels}, {c.rate, rate}, {c.key, key}};
  }
  Outputs run(Compiled& c, const Tensor& inputs, const Tensor& labels) {
    return c.program->run({{c.inputs, inputs}, {c.labels, labels}, {c.rate, rate}, {c.key, key}});
  }

  // Calls what is to be told after a step or an epoch; false if one of them wants to stop.
  template <class Info>
  bool tell(Trainer& trainer, const char* name, const std::function<bool(const Info&)>& function,
            const Info& info, bool (Callback::*member)(Trainer&, const Info&)) {
    if (function && !function(info)) stop_for("TrainerOptions::" + std::string(name));
    for (std::size_t i = 0; i < options.callbacks.size(); ++i)
      if (!(options.callbacks[i].get()->*member)(trainer, info)) stop_for(i);
    return !told_to_stop;
  }
  void stop_for(const std::string& who) {
    told_to_stop = true;
    if (stopped_by.empty()) stopped_by = who;
  }
  void stop_for(std::size_t number) {
    const Callback& callback = *options.callbacks[number];
    const std::string name = callback.name();
    const std::string why = callback.why();
    stop_for((name.empty() ? "callback " + std::to_string(number) : name) +
             (why.empty() ? "" : ": " + why));
  }
  void settle(Trainer& trainer) {
    for (const auto& callback : options.callbacks) callback->settled(trainer);
  }

  // The epoch is to be gone on with by batches that are not those of then.
  [[noreturn]] void refuse(const std::string& difference) {
    resumed = true;  // for one more try, with the right ones
    fail<ValueError>({.op = "fit",
                      .what = "the run was stopped behind batch " + std::to_string(batch) +
                              " of an epoch, " + difference,
                      .help = "resume with the batches of then; others may begin with an epoch"});
  }

  // Whether the run that is resumed may go on with batches of this layout.
  void check_resumed(const EpochLayout& now) {
    const EpochLayout unknown;
    if (!same_sizes(now, layout) && !same_sizes(now, unknown) && !same_sizes(layout, unknown)) {
      if (in_epoch && batch > 0)
        refuse("which had " + to_string(layout) + "; now it has " + to_string(now));
      return;  // other data, in an order of theirs
    }
    if (!now.order.known || !layout.order.known || now.order == layout.order) return;
    fail<ValueError>({.op = "fit",
                      .what = "the batches of the run that is resumed are drawn from " +
                              to_string(layout.order) + ", those given now from " +
                              to_string(now.order),
                      .help = "make them with the key of then; if another order is wanted, give "
                              "fit() a function that visits the batches, whose key it cannot see"});
  }

  // What no callback hears of is a misspelt name, unless the one who reports it was not due.
  void check_awaited() const {
    if (reported.empty()) return;
    for (const auto& waiting : options.callbacks) {
      const std::string name = waiting->awaits();
      if (name.empty() || std::ranges::find(reported, name) != reported.end()) continue;
      if (std::ranges::any_of(options.callbacks,
                              [&](const auto& other) { return other->may_report(name); }))
        continue;
      std::string names;
      for (const std::string& one : reported)
        names.append(names.empty() ? "'" : ", '").append(one).append("'");
      fail<ValueError>({.op = "fit",
                        .label = name,
                        .what = "a callback waits for '" + name +
                                "', which was never reported, so it did nothing; reported were " +
                                names,
                        .help = "give the callback one of these names"});
    }
  }

  // All that a step may change.
  std::vector<Parameter> changing() const {
    std::vector<Parameter> all = parameters;
    all.insert(all.end(), options.buffers.begin(), options.buffers.end());
    const std::vector<Parameter> own = optimiser->state();
    all.insert(all.end(), own.begin(), own.end());
    return all;
  }

  // A step's loss, and what went wrong where it is traced; then nothing has changed.
  struct Taken {
    StepInfo info;
    std::string fault = {};
  };

  Taken take_step(const Tensor& inputs, const Tensor& labels, double seconds_before) {
    StepInfo info;
    info.epoch = epoch - 1;
    info.rate = options.schedule(step);
    rate.data<double>()[0] = info.rate;
    key.data<std::int64_t>()[0] =
        static_cast<std::int64_t>(options.key.fold(static_cast<std::uint64_t>(step)).value());
    // Measured before the update, on the parameters and the directions of the step itself.
    if (options.cosine_every > 0 && step % options.cosine_every == 0) {
      Compiled& c = find(cosines, inputs.type(), labels.type(), &Impl::build_cosine);
      info.cosine = run(c, inputs, labels)[c.outputs[0]].item();
    }
    Compiled& c = find(steps, inputs.type(), labels.type(), &Impl::build_step);
    std::vector<Parameter> watched;
    std::vector<Tensor> before;
    if (options.trace_not_finite) {
      watched = changing();
      for (const Parameter& parameter : watched) before.push_back(parameter.value().copy());
    }
    const auto start = std::chrono::steady_clock::now();
    info.loss = run(c, inputs, labels)[c.outputs[0]].item();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    info.seconds = seconds_before + taken.count();
    info.step = step + 1;
    if (options.trace_not_finite && !(std::isfinite(info.loss) && all_finite(watched))) {
      for (std::size_t i = 0; i < watched.size(); ++i) watched[i].set(before[i]);
      return {info, fault_of(c, info.step, feeds(c, inputs, labels))};
    }
    ++step;
    ++batch;
    mean.add(info.loss, static_cast<double>(inputs.size(0)));
    return {info};
  }

  static std::string fault_of(const Compiled& c, std::int64_t step,
                              const std::vector<Feed>& feeds) {
    const std::optional<NotFinite> found = find_not_finite(c.outputs, c.assigns, feeds);
    return "step " + std::to_string(step) + ": " +
           (found
                ? to_string(*found)
                : std::string("the loss or a new value is not finite, but only as it is compiled; "
                              "node by node all is finite"));
  }
};

Trainer::Trainer(ObjectiveFunction objective, std::vector<Parameter> parameters,
                 GradientMethod method, Optimiser& optimiser, TrainerOptions options)
    : impl_(std::make_unique<Impl>(Impl{std::move(objective), std::move(parameters),
                                        std::move(method), &optimiser, std::move(options)})) {
  if (impl_->parameters.empty())
    fail<ValueError>({.op = "Trainer",
                      .what = "there are no parameters to train",
                      .help = "list the model's parameters()"});
  if (!impl_->options.schedule || !impl_->objective || !impl_->method)
    fail<ValueError>({.op = "Trainer",
                      .what = "the objective, the method or the schedule is an empty function"});
  detail::check_listed_once(impl_->parameters, impl_->options.buffers);
}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

TrainResult Trainer::fit(const EpochFunction& epochs, const StopRules& rules, EpochLayout layout) {
  check_rules(rules);
  Impl& impl = *impl_;
  TrainResult result;
  if (impl.resumed) impl.check_resumed(layout);
  impl.told_to_stop = false;
  impl.stopped_by.clear();
  const bool resumed = std::exchange(impl.resumed, false);
  impl.in_epoch = impl.in_epoch && resumed;
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
    // Asked here and not behind the step, so that an epoch that ends just now counts as completed.
    if (steps_are_done()) {
      stop = Stop::steps;
      return false;
    }
    impl.layout = layout;
    const Impl::Taken taken = impl.take_step(inputs, labels, result.seconds);
    const StepInfo& info = taken.info;
    result.seconds = info.seconds;
    result.loss = info.loss;
    ++result.steps;
    if (!impl.tell(*this, "on_step", impl.options.on_step, info, &Callback::step))
      stop = Stop::callback;
    if (!taken.fault.empty() || !std::isfinite(info.loss)) {
      stop = Stop::not_finite;
      result.fault = taken.fault.empty() ? untraced_fault(info) : taken.fault;
    } else {
      impl.settle(*this);
    }
    return !stop;
  };
  for (const auto& callback : impl.options.callbacks) callback->begin(*this, rules);
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
    epochs(impl.epoch - 1, visit);
    if (stop) break;
    if (to_pass > 0) impl.refuse("which now has " + std::to_string(impl.batch - to_pass));
    if (impl.mean.weight() == 0)
      fail<ValueError>({.op = "fit", .what = "an epoch has no batch to train on"});
    ++result.epochs;
    impl.in_epoch = false;
    if (steps_are_done()) stop = Stop::steps;
    if (result.epochs >= rules.epochs || impl.epoch >= rules.until_epoch) stop = Stop::epochs;
    if (impl.mean.mean() < rules.loss_below) stop = Stop::loss_below;
    const EpochInfo info{impl.epoch - 1, impl.step, impl.mean.mean(), result.seconds};
    if (!impl.tell(*this, "on_epoch", impl.options.on_epoch, info, &Callback::epoch))
      stop = Stop::callback;
    impl.settle(*this);
  }
  result.stop = *stop;
  if (result.stop == Stop::callback) result.stopped_by = impl.stopped_by;
  for (const auto& callback : impl.options.callbacks) callback->end(*this, result);
  if (result.stop != Stop::not_finite) impl.check_awaited();
  return result;
}

void Trainer::report(const std::string& name, double value) {
  Impl& impl = *impl_;
  if (std::ranges::find(impl.reported, name) == impl.reported.end()) impl.reported.push_back(name);
  const Scalar scalar{name, value, impl.step, std::max<std::int64_t>(impl.epoch - 1, 0)};
  for (std::size_t i = 0; i < impl.options.callbacks.size(); ++i)
    if (!impl.options.callbacks[i]->scalar(*this, scalar)) impl.stop_for(i);
}

Evaluation Trainer::evaluate(const Tensor& inputs, const Tensor& labels,
                             std::int64_t rows_at_once) {
  if (inputs.rank() < 1 || labels.rank() < 1 || inputs.size(0) != labels.size(0) ||
      inputs.size(0) < 1)
    fail<ShapeError>({.op = "evaluate",
                      .what = "inputs " + to_string(inputs.type()) + " and labels " +
                              to_string(labels.type()) + " make no data set",
                      .help = "give both one row for each example, and at least one"});
  if (rows_at_once < 1)
    fail<ValueError>({.op = "evaluate", .what = "rows_at_once is " + std::to_string(rows_at_once)});
  Impl& impl = *impl_;
  RunningMean loss;
  double right = std::numeric_limits<double>::quiet_NaN();
  for (std::int64_t begin = 0; begin < inputs.size(0); begin += rows_at_once) {
    const std::int64_t end = std::min(begin + rows_at_once, inputs.size(0));
    const auto rows = static_cast<double>(end - begin);
    const Tensor some = inputs.rows(begin, end);
    const Tensor their = labels.rows(begin, end);
    Compiled& c = impl.find(impl.evaluations, some.type(), their.type(), &Impl::build_evaluation);
    const Outputs out = impl.run(c, some, their);
    loss.add(out[c.outputs[0]].item(), rows);
    if (c.outputs.size() > 1) {
      // The count of right rows is whole; float32 means are not.
      const double count = std::round(out[c.outputs[1]].item() * rows);
      right = begin == 0 ? count : right + count;
    }
  }
  return {loss.mean(), right / loss.weight(), inputs.size(0)};
}

const Program& Trainer::step_program(const Type& inputs, const Type& labels) {
  return *impl_->find(impl_->steps, inputs, labels, &Impl::build_step).program;
}

std::int64_t Trainer::steps_done() const { return impl_->step; }
std::int64_t Trainer::epochs_begun() const { return impl_->epoch; }
const std::vector<Parameter>& Trainer::parameters() const { return impl_->parameters; }
void Trainer::set_key(Key key) { impl_->options.key = key; }

std::vector<NamedTensor> Trainer::state() const {
  const Impl& impl = *impl_;
  if (!impl.unsaved.empty())
    fail<ValueError>(
        {.op = "Trainer",
         .label = impl.unsaved.front(),
         .what = "steps write '" + impl.unsaved.front() + "', which is not among the buffers",
         .help = "set TrainerOptions::buffers to the model's buffers()"});
  std::vector<NamedTensor> all;
  for (const Parameter& parameter : impl.parameters)
    all.push_back({parameter.name(), parameter.value()});
  for (const Parameter& buffer : impl.options.buffers)
    all.push_back({buffer.name(), buffer.value()});
  for (const NamedTensor& own : impl.optimiser->named_state())
    all.push_back({std::string(optimiser_prefix) + own.name, own.tensor});
  for (const auto& callback : impl.options.callbacks)
    if (!callback->name().empty())
      all.push_back({callback_prefix + callback->name(), callback->state()});
  all.push_back(
      {position_name, Tensor::of({impl.step, impl.epoch, impl.batch, impl.in_epoch ? 1 : 0})});
  all.push_back({key_name, impl.options.key.to_tensor()});
  all.push_back({mean_name,
                 Tensor::from(std::vector<double>{impl.mean.sum(), impl.mean.weight()}, Shape{2})});
  all.push_back(
      {layout_name, Tensor::of({impl.layout.batches, impl.layout.batch_size, impl.layout.rows})});
  all.push_back({order_name, to_tensor(impl.layout.order)});
  return all;
}

void Trainer::restore(const std::vector<NamedTensor>& state) {
  Impl& impl = *impl_;
  const auto find = [&](const std::string& name) -> const Tensor* {
    const auto found = std::ranges::find(state, name, &NamedTensor::name);
    return found == state.end() ? nullptr : &found->tensor;
  };
  const auto need = [&](const std::string& name, const Type& type) -> const Tensor& {
    const Tensor* found = find(name);
    if (found != nullptr && found->type() == type) return *found;
    fail<ValueError>({.op = "Trainer",
                      .label = name,
                      .what = "the state to restore has " +
                              (found == nullptr ? "no '" + name + "'"
                                                : "'" + name + "' as " + to_string(found->type())) +
                              ", but " + to_string(type) + " is needed",
                      .help = "restore into the model that was saved"});
  };
  std::vector<Parameter> values = impl.parameters;
  values.insert(values.end(), impl.options.buffers.begin(), impl.options.buffers.end());
  for (const Parameter& parameter : values) need(parameter.name(), parameter.type());
  const Tensor& position = need(position_name, {Shape{4}, int64});
  const Tensor& key = need(key_name, {Shape{}, int64});
  const Tensor& mean = need(mean_name, {Shape{2}, float64});
  EpochLayout layout;
  if (find(layout_name) != nullptr) {
    const auto sizes = need(layout_name, {Shape{3}, int64}).data<std::int64_t>();
    layout = {sizes[0], sizes[1], sizes[2]};
  }
  if (find(order_name) != nullptr) layout.order = order_of(need(order_name, {Shape{2}, int64}));
  std::vector<NamedTensor> own;
  for (const NamedTensor& named : state)
    if (named.name.starts_with(optimiser_prefix))
      own.push_back({named.name.substr(optimiser_prefix.size()), named.tensor});
  impl.optimiser->restore(own);
  for (Parameter& parameter : values) parameter.set(need(parameter.name(), parameter.type()));
  const auto counts = position.data<std::int64_t>();
  impl.step = counts[0];
  impl.epoch = counts[1];
  impl.batch = counts[2];
  impl.in_epoch = counts[3] != 0;
  impl.layout = layout;
  impl.resumed = true;
  impl.options.key = Key::from_tensor(key);
  impl.mean = RunningMean(mean.at({0}), mean.at({1}));
  for (const auto& callback : impl.options.callbacks) {
    if (callback->name().empty()) continue;
    // One that was added since has nothing to go on from.
    if (const Tensor* found = find(callback_prefix + callback->name())) callback->restore(*found);
  }
}

}  // namespace dualtape
