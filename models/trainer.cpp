#include <dualtape/models/trainer.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include <dualtape/models/metrics.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/reduce.hpp>

namespace dualtape {
namespace {

// A graph with the inputs all programs share, and what was compiled from it.
struct Compiled {
  Compiled(const Type& inputs_type, const Type& labels_type)
      : graph(std::make_unique<Graph>()),
        inputs(graph->input("inputs", inputs_type.shape, inputs_type.dtype)),
        labels(graph->input("labels", labels_type.shape, labels_type.dtype)),
        rate(graph->input("learning rate", {}, float64)),
        key(graph->input("key", {}, int64)) {}

  bool fits(const Type& inputs_type, const Type& labels_type) const {
    return inputs.type() == inputs_type && labels.type() == labels_type;
  }

  std::unique_ptr<Graph> graph;
  Var inputs;
  Var labels;
  Var rate;
  Var key;
  std::vector<Var> outputs = {};
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
  if (rules.epochs == none.epochs && rules.steps == none.steps)
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

}  // namespace

GradientMethod backpropagation() {
  return
      [](Var loss, const std::vector<Wrt>& parameters, Var) { return reverse(loss, parameters); };
}

GradientMethod forward_gradients(ForwardGradientOptions options) {
  return [options](Var loss, const std::vector<Wrt>& parameters, Var key) {
    return forward_gradient(loss, parameters, key, options).gradients;
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

  void build_step(Compiled& c) const {
    const Objective made = objective(c.inputs, c.labels);
    const Gradients gradients = method(made.loss, wrt(), c.key);
    name_gradients(gradients);
    c.outputs = {made.loss};
    c.program.emplace(compile({made.loss}, optimiser->update(parameters, gradients, c.rate)));
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
    const Objective made = objective(c.inputs, c.labels);
    const Var cosine = cosine_of(method(made.loss, wrt(), c.key), reverse(made.loss, wrt()));
    c.outputs = {cosine};
    c.program.emplace(compile({cosine}));
  }

  void build_evaluation(Compiled& c) const {
    const Objective made = objective(c.inputs, c.labels);
    c.outputs = {made.loss};
    if (made.logits.defined()) c.outputs.push_back(accuracy(made.logits, c.labels));
    c.program.emplace(compile(c.outputs));
  }

  Outputs run(Compiled& c, const Tensor& inputs, const Tensor& labels) {
    return c.program->run({{c.inputs, inputs}, {c.labels, labels}, {c.rate, rate}, {c.key, key}});
  }

  StepInfo take_step(const Tensor& inputs, const Tensor& labels, double seconds_before) {
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
    const auto start = std::chrono::steady_clock::now();
    info.loss = run(c, inputs, labels)[c.outputs[0]].item();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    info.seconds = seconds_before + taken.count();
    info.step = ++step;
    return info;
  }
};

Trainer::Trainer(ObjectiveFunction objective, std::vector<Parameter> parameters,
                 GradientMethod method, Optimiser& optimiser, TrainerOptions options)
    : impl_(std::make_unique<Impl>(Impl{std::move(objective), std::move(parameters),
                                        std::move(method), &optimiser, std::move(options)})) {
  if (impl_->parameters.empty())
    fail<ValueError>({.op = "Trainer", .what = "there are no parameters to train"});
  if (!impl_->options.schedule || !impl_->objective || !impl_->method)
    fail<ValueError>({.op = "Trainer",
                      .what = "the objective, the method or the schedule is an empty function"});
}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

TrainResult Trainer::fit(const EpochFunction& epochs, const StopRules& rules) {
  check_rules(rules);
  Impl& impl = *impl_;
  TrainResult result;
  std::optional<Stop> stop;
  RunningMean mean;
  const VisitBatch visit = [&](const Tensor& inputs, const Tensor& labels) {
    // Asked here and not behind the step, so that an epoch that ends just now counts as completed.
    if (result.steps >= rules.steps) {
      stop = Stop::steps;
      return false;
    }
    const StepInfo info = impl.take_step(inputs, labels, result.seconds);
    result.seconds = info.seconds;
    result.loss = info.loss;
    ++result.steps;
    mean.add(info.loss, static_cast<double>(inputs.size(0)));
    if (impl.options.on_step && !impl.options.on_step(info)) stop = Stop::callback;
    if (!std::isfinite(info.loss)) stop = Stop::not_finite;
    return !stop;
  };
  while (!stop) {
    mean.reset();
    ++impl.epoch;
    epochs(impl.epoch - 1, visit);
    if (stop) break;
    if (mean.weight() == 0)
      fail<ValueError>({.op = "fit", .what = "an epoch has no batch to train on"});
    ++result.epochs;
    if (result.steps >= rules.steps) stop = Stop::steps;
    if (result.epochs >= rules.epochs) stop = Stop::epochs;
    if (mean.mean() < rules.loss_below) stop = Stop::loss_below;
    const EpochInfo info{impl.epoch - 1, impl.step, mean.mean(), result.seconds};
    if (impl.options.on_epoch && !impl.options.on_epoch(info)) stop = Stop::callback;
  }
  result.stop = *stop;
  return result;
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

}  // namespace dualtape
