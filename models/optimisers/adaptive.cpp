#include <dualtape/models/adaptive.hpp>

#include <dualtape/models/optimisers/optimiser_parts.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/math.hpp>

namespace dualtape {

using namespace detail;

RmsProp::RmsProp(const RmsPropOptions& options, Location where) : options_(options) {
  require(is_share(options.alpha), "RmsProp", "alpha", options.alpha, "in [0, 1)", where);
  require(is_share(options.momentum), "RmsProp", "momentum", options.momentum, "in [0, 1)", where);
  require(options.epsilon > 0 && std::isfinite(options.epsilon), "RmsProp", "epsilon",
          options.epsilon, "above 0 and finite", where);
  require(is_amount(options.weight_decay), "RmsProp", "weight_decay", options.weight_decay,
          "at least 0", where);
}

Var RmsProp::step(const Parameter& parameter, Var p, Var g, Var lr, std::vector<Assign>& state) {
  const Var h = decayed(g, p, options_.weight_decay);
  const Parameter squares = remembered(parameter, "mean_square", parameter.type());
  Var s = average(squares, square(h), options_.alpha, state);
  if (options_.centred) {
    const Parameter mean = remembered(parameter, "mean_gradient", parameter.type());
    s = maximum(s - square(average(mean, h, options_.alpha, state)), 0);
  }
  const Var u = h / (sqrt(s) + options_.epsilon);
  if (options_.momentum == 0) return p - lr * u;
  const Parameter velocity = remembered(parameter, "velocity", parameter.type());
  const Var v = options_.momentum * p.graph().read(velocity) + u;
  state.push_back(assign(velocity, v.named("new " + velocity.name())));
  return p - lr * v;
}

Adagrad::Adagrad(const AdagradOptions& options, Location where) : options_(options) {
  require(options.epsilon > 0 && std::isfinite(options.epsilon), "Adagrad", "epsilon",
          options.epsilon, "above 0 and finite", where);
  require(is_amount(options.rate_decay), "Adagrad", "rate_decay", options.rate_decay, "at least 0",
          where);
  require(is_amount(options.initial_sum), "Adagrad", "initial_sum", options.initial_sum,
          "at least 0", where);
  require(is_amount(options.weight_decay), "Adagrad", "weight_decay", options.weight_decay,
          "at least 0", where);
}

Var Adagrad::step(const Parameter& parameter, Var p, Var g, Var lr, std::vector<Assign>& state) {
  const Var h = decayed(g, p, options_.weight_decay);
  const Parameter sum = remembered(parameter, "sum_of_squares", parameter.type());
  const Var s = p.graph().read(sum) + square(h);
  state.push_back(assign(sum, s.named("new " + sum.name())));
  const Var root = sqrt(options_.initial_sum == 0 ? s : s + options_.initial_sum);
  Var rate = lr;
  if (options_.rate_decay > 0) {
    const Var t = count(parameter, p.graph(), state);
    rate = cast(cast(lr, float64) / (1 + (t - 1) * options_.rate_decay), p.dtype());
  }
  return p - rate * h / (root + options_.epsilon);
}

AdaBelief::AdaBelief(const AdaBeliefOptions& options, Location where) : options_(options) {
  require(is_share(options.beta1), "AdaBelief", "beta1", options.beta1, "in [0, 1)", where);
  require(is_share(options.beta2), "AdaBelief", "beta2", options.beta2, "in [0, 1)", where);
  require(options.epsilon > 0 && std::isfinite(options.epsilon), "AdaBelief", "epsilon",
          options.epsilon, "above 0 and finite", where);
  require(is_amount(options.weight_decay), "AdaBelief", "weight_decay", options.weight_decay,
          "at least 0", where);
}

Var AdaBelief::step(const Parameter& parameter, Var p, Var g, Var lr, std::vector<Assign>& state) {
  const Parameter first = remembered(parameter, "first_moment", parameter.type());
  const Parameter belief = remembered(parameter, "deviation", parameter.type());
  const Var m = average(first, g, options_.beta1, state);
  // epsilon is added at every step, so that it gathers: s counts from epsilon / (1 - beta2).
  const Var s = options_.beta2 * p.graph().read(belief) + (1 - options_.beta2) * square(g - m) +
                options_.epsilon;
  state.push_back(assign(belief, s.named("new " + belief.name())));
  const Var t = count(parameter, p.graph(), state);
  const Var rate = cast(cast(lr, float64) / bias_correction(options_.beta1, t), p.dtype());
  const Var shrink = cast(sqrt(bias_correction(options_.beta2, t)), p.dtype());
  return shrunk(p, lr, options_.weight_decay) - rate * m / (sqrt(s) / shrink + options_.epsilon);
}

Lion::Lion(const LionOptions& options, Location where) : options_(options) {
  require(is_share(options.beta1), "Lion", "beta1", options.beta1, "in [0, 1)", where);
  require(is_share(options.beta2), "Lion", "beta2", options.beta2, "in [0, 1)", where);
  require(is_amount(options.weight_decay), "Lion", "weight_decay", options.weight_decay,
          "at least 0", where);
}

Var Lion::step(const Parameter& parameter, Var p, Var g, Var lr, std::vector<Assign>& state) {
  const Parameter mean = remembered(parameter, "mean_gradient", parameter.type());
  const Var blend = options_.beta1 * p.graph().read(mean) + (1 - options_.beta1) * g;
  average(mean, g, options_.beta2, state);
  return shrunk(p, lr, options_.weight_decay) - lr * sign(blend);
}

}  // namespace dualtape
