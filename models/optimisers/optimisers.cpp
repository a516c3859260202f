#include <dualtape/models/optimisers.hpp>

#include <algorithm>
#include <utility>

#include <dualtape/models/files/counts.hpp>
#include <dualtape/models/optimisers/optimiser_parts.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {

using namespace detail;

namespace {

constexpr const char* steps_name = "steps";  // of what count() remembers

// A number of steps is the one whole number that is remembered.
void check_steps(const NamedTensor& named, Location where) {
  const bool counts = named.tensor.type() == Type{Shape{}, int64} &&
                      named.name.ends_with("." + std::string(steps_name));
  if (!counts || is_count(std::as_const(named.tensor).data<std::int64_t>()[0])) return;
  fail<ValueError>({.op = "Optimiser",
                    .label = named.name,
                    .what = "the state to restore has '" + named.name + "' " +
                            std::to_string(std::as_const(named.tensor).data<std::int64_t>()[0]) +
                            ", which is no number of steps",
                    .where = where,
                    .help = "restore from a file that is whole"});
}

void check_restored(const std::string& name, const Type& got, const Type& wanted,
                    Location where = {}) {
  if (got == wanted) return;
  fail<ValueError>({.op = "Optimiser",
                    .label = name,
                    .what = "the restored '" + name + "' is " + to_string(got) + ", but " +
                            to_string(wanted) + " is needed",
                    .where = where,
                    .help = "restore into the optimiser, with the options, that was saved"});
}

// Broadcasting would make an update of a gradient of another shape, though not the one meant.
void check_gradient(const Parameter& parameter, Var gradient, Location where) {
  if (gradient.type() == parameter.type()) return;
  const Complaint complaint{
      .op = "update",
      .label = parameter.name(),
      .what = "the gradient of '" + parameter.name() + "' is " + to_string(gradient.type()) +
              ", but the parameter is " + to_string(parameter.type()),
      .where = where,
      .help =
          "a gradient has the shape and dtype of what it is by; see what the gradient method "
          "returns"};
  if (gradient.shape() != parameter.shape()) fail<ShapeError>(complaint);
  fail<TypeError>(complaint);
}

// The scalar `lr` in the graph of the gradients.
Var scalar_in(Graph& graph, const In& lr) {
  Var var;
  switch (lr.form()) {
    case In::Form::var: var = lr.var(); break;
    case In::Form::parameter: var = graph.read(lr.parameter(), lr.where()); break;
    case In::Form::tensor: var = graph.constant(lr.tensor(), lr.where()); break;
    default: return graph.constant(lr.literal(), float64);
  }
  if (!var.defined() || var.shape().count() != 1)
    fail<ShapeError>({.op = "update",
                      .label = var.defined() ? var.label() : std::string(),
                      .what = var.defined() ? "the learning rate is " + to_string(var.type())
                                            : "the learning rate is an empty Var",
                      .where = lr.where(),
                      .help = "a learning rate is one number: graph.input(\"lr\", {})"});
  return var.rank() == 0 ? var : reshape(var, Shape{});
}

}  // namespace

Optimiser::Memory& Optimiser::memory(Location where) const {
  if (memory_ == nullptr)
    fail<GraphError>({.op = "Optimiser",
                      .what = "this one was moved from and remembers nothing",
                      .where = where,
                      .help = "use the one that it was moved to"});
  return *memory_;
}

std::vector<Assign> Optimiser::update(const std::vector<Parameter>& parameters,
                                      const Gradients& gradients, In lr) {
  std::vector<Assign> assigns;
  static_cast<void>(memory(lr.where()));
  if (parameters.empty()) return assigns;
  Graph& graph = gradients[Wrt(parameters.front(), lr.where())].graph();
  const Var rate = scalar_in(graph, lr);
  std::vector<Assign> state;
  for (const Parameter& parameter : parameters)
    check_gradient(parameter, gradients[Wrt(parameter, lr.where())], lr.where());
  for (const Parameter& parameter : parameters) {
    const Var value = graph.read(parameter, lr.where());
    const Var own_rate = rate.dtype() == parameter.dtype() ? rate : cast(rate, parameter.dtype());
    const Var next = step(parameter, value, gradients[parameter], own_rate, state);
    assigns.push_back(assign(parameter, next.named("new " + parameter.name()), lr.where()));
  }
  assigns.insert(assigns.end(), state.begin(), state.end());
  check_used(parameters);
  return assigns;
}

std::vector<Parameter> Optimiser::state(Location where) const {
  std::vector<Parameter> all;
  for (const Slot& slot : memory(where).slots) all.push_back(slot.value);
  return all;
}

std::vector<NamedTensor> Optimiser::named_state(Location where) const {
  std::vector<NamedTensor> all;
  for (const Slot& slot : memory(where).slots)
    all.push_back({slot.value.name(), slot.value.value()});
  for (const auto& [name, value] : memory().restored) all.push_back({name, value});
  return all;
}

Parameter Optimiser::remembered(const Parameter& of, const std::string& name, const Type& type) {
  for (const Slot& slot : memory().slots)
    if (slot.of == of && slot.name == name) return slot.value;
  Tensor start(type);
  const std::string full = of.name() + "." + name;
  const auto kept = memory().restored.find(full);
  if (kept != memory().restored.end()) {
    check_restored(full, kept->second.type(), type);
    start = kept->second;
  } else if (!memory().anew) {
    fail<ValueError>({.op = "Optimiser",
                      .label = full,
                      .what = "the restored state has no '" + full + "'",
                      .help = "restore into the optimiser, with the options, that was saved"});
  }
  memory().slots.push_back({of, name, Parameter(full, start)});
  if (kept != memory().restored.end()) memory().restored.erase(kept);
  return memory().slots.back().value;
}

void Optimiser::restore(const std::vector<NamedTensor>& state, Location where) {
  prepare_restore(state, where)();
}

std::function<void()> Optimiser::prepare_restore(const std::vector<NamedTensor>& state,
                                                 Location where) {
  const auto refuse = [&](const std::string& name, const std::string& what) {
    fail<ValueError>({.op = "Optimiser",
                      .label = name,
                      .what = "the state to restore has " + what,
                      .where = where,
                      .help = "restore into the optimiser, with the options, that was saved"});
  };
  static_cast<void>(memory(where));
  std::map<std::string, Tensor> kept;
  for (const NamedTensor& named : state) {
    check_steps(named, where);
    if (!kept.emplace(named.name, named.tensor.copy()).second)
      refuse(named.name, "two tensors of the name '" + named.name + "'");
  }
  std::vector<Tensor> values;  // of the slots, in their order
  for (const Slot& slot : memory().slots) {
    const std::string& name = slot.value.name();
    const auto found = kept.find(name);
    if (found == kept.end() && !state.empty()) refuse(name, "no '" + name + "'");
    if (found == kept.end()) {
      values.emplace_back(slot.value.type());
    } else {
      check_restored(name, found->second.type(), slot.value.type(), where);
      values.push_back(found->second);
    }
  }
  for (const Slot& slot : memory().slots) kept.erase(slot.value.name());
  return [memory = memory_, kept = std::move(kept), values = std::move(values),
          anew = state.empty()]() mutable {
    for (std::size_t i = 0; i < values.size(); ++i) memory->slots[i].value.set(values[i]);
    memory->restored.swap(kept);
    memory->anew = anew;
  };
}

// What is kept for these parameters and nobody asked for was another optimiser's.
void Optimiser::check_used(const std::vector<Parameter>& parameters) const {
  for (const auto& [name, value] : memory().restored)
    for (const Parameter& parameter : parameters)
      if (name.starts_with(parameter.name() + ".") &&
          name.find('.', parameter.name().size() + 1) == std::string::npos)
        fail<ValueError>({.op = "Optimiser",
                          .label = name,
                          .what = "the restored state has '" + name +
                                  "', which this optimiser does not remember",
                          .help = "restore into the optimiser, with the options, that was saved"});
}

Var Optimiser::average(const Parameter& moment, Var news, double beta, std::vector<Assign>& state) {
  const Var next = beta * news.graph().read(moment) + (1 - beta) * news;
  state.push_back(assign(moment, next.named("new " + moment.name())));
  return next;
}

Var Optimiser::count(const Parameter& of, Graph& graph, std::vector<Assign>& state) {
  const Parameter steps = remembered(of, steps_name, {Shape{}, int64});
  const Var t = graph.read(steps) + 1;
  state.push_back(assign(steps, t.named("new " + steps.name())));
  return cast(t, float64);
}

void OwnedOptimiser::check_whole(Location where) const {
  if (held_ == nullptr)
    fail<ValueError>(
        {.op = "OwnedOptimiser",
         .what = "the pointer to the optimiser is null: it was never set, or moved from",
         .where = where,
         .help = "std::make_shared<dt::Adam>(), or dt::Adam{} without a pointer"});
  static_cast<void>(held_->state(where));
}

void OwnedOptimiser::check_free(Location where) const {
  if (held_ == nullptr && given_)
    fail<GraphError>(
        {.op = "Trainer",
         .what = "TrainerOptions::optimiser was moved from and holds none",
         .where = where,
         .help = "give the options an optimiser again, as in .optimiser = dt::Adam{}"});
  if (held_ != nullptr) static_cast<void>(held_->state(where));
  if (taken_ != nullptr && *taken_)
    fail<ValueError>({.op = "Trainer",
                      .what = "TrainerOptions::optimiser is another Trainer's already: copies of "
                              "options hold the same optimiser, and it remembers that training",
                      .where = where,
                      .help = "give each Trainer's options an optimiser of their own; if one is to "
                              "be shared, give it as a std::shared_ptr"});
}

Sgd::Sgd(const SgdOptions& options, Location where) : options_(options) {
  require(is_share(options.momentum), "Sgd", "momentum", options.momentum, "in [0, 1)", where);
  require(is_amount(options.weight_decay), "Sgd", "weight_decay", options.weight_decay,
          "at least 0", where);
  require(!options.nesterov || options.momentum > 0, "Sgd", "momentum", options.momentum,
          "above 0 for Nesterov's momentum", where);
}

Var Sgd::step(const Parameter& parameter, Var p, Var g, Var lr, std::vector<Assign>& state) {
  const Var h = decayed(g, p, options_.weight_decay);
  if (options_.momentum == 0) return p - lr * h;
  const Parameter velocity = remembered(parameter, "velocity", parameter.type());
  const Var step_of_now = options_.rate_in_velocity ? -(lr * h) : h;
  const Var v = options_.momentum * p.graph().read(velocity) + step_of_now;
  state.push_back(assign(velocity, v.named("new " + velocity.name())));
  if (options_.rate_in_velocity)
    return p + (options_.nesterov ? step_of_now + options_.momentum * v : v);
  return p - lr * (options_.nesterov ? h + options_.momentum * v : v);
}

Adam::Adam(const AdamOptions& options, Location where) : options_(options) {
  require(is_share(options.beta1), "Adam", "beta1", options.beta1, "in [0, 1)", where);
  require(is_share(options.beta2), "Adam", "beta2", options.beta2, "in [0, 1)", where);
  require(options.epsilon > 0 && std::isfinite(options.epsilon), "Adam", "epsilon", options.epsilon,
          "above 0 and finite", where);
  require(is_amount(options.weight_decay), "Adam", "weight_decay", options.weight_decay,
          "at least 0", where);
}

Var Adam::step(const Parameter& parameter, Var p, Var g, Var lr, std::vector<Assign>& state) {
  const Var h = options_.decoupled ? g : decayed(g, p, options_.weight_decay);
  const Var start = options_.decoupled ? shrunk(p, lr, options_.weight_decay) : p;
  const Parameter first = remembered(parameter, "first_moment", parameter.type());
  const Parameter second = remembered(parameter, "second_moment", parameter.type());
  const Var m = average(first, h, options_.beta1, state);
  const Var s = average(second, square(h), options_.beta2, state);
  const Var t = count(parameter, p.graph(), state);
  const Var rate = cast(cast(lr, float64) / bias_correction(options_.beta1, t), p.dtype());
  const Var correction = bias_correction(options_.beta2, t);
  if (options_.epsilon_in_root)
    return start - rate * m / sqrt(s / cast(correction, p.dtype()) + options_.epsilon);
  return start - rate * m / (sqrt(s) / cast(sqrt(correction), p.dtype()) + options_.epsilon);
}

}  // namespace dualtape
