// Loops as nodes: what a step costs, and a loop against its steps written out.
#include <chrono>
#include <memory>

#include <dualtape/core/program.hpp>
#include <dualtape/models/recurrent.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/loops.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/subscript.hpp>

#include <tests/bench/own.hpp>

namespace dualtape::bench {
namespace {

// A program and what it is fed; made when it is run first.
struct Ready {
  Graph graph;
  std::vector<Feed> feeds;
  std::unique_ptr<Program> program;
};

Mode timed(const std::string& name, const std::function<void(Ready&)>& make, double items = 0) {
  const auto ready = std::make_shared<Ready>();
  const auto prepared = [ready, make]() -> Ready& {
    if (!ready->program) make(*ready);
    return *ready;
  };
  return {name,
          [prepared](std::int64_t times) {
            Ready& one = prepared();
            for (std::int64_t i = 0; i < times; ++i) one.program->run(one.feeds);
          },
          [prepared] {
            const MemoryUse memory = prepared().program->memory();
            return static_cast<std::int64_t>(memory.arena_bytes);
          },
          0, items};
}

// To build, plan and run once.
Mode from_scratch(const std::string& name, const std::function<void(Ready&)>& make) {
  return {name, [make](std::int64_t times) {
            for (std::int64_t i = 0; i < times; ++i) {
              Ready once;
              make(once);
              once.program->run(once.feeds);
            }
          }};
}

// ---- one small operator a step ------------------------------------------------------------------

constexpr std::int64_t many = 10000;

void make_small_steps(Ready& ready) {
  const Var x = ready.graph.input("x", {});
  const Var y = fori(0, many, x, [](Var, Var s) { return s * 1.0001; });
  ready.feeds.emplace_back(x, Tensor(1.0F));
  ready.program = std::make_unique<Program>(compile({y}));
}

// ---- a forward sweep ----------------------------------------------------------------------------

std::function<void(Ready&)> forward_sweep(std::int64_t steps) {
  return [steps](Ready& ready) {
    const Var x = ready.graph.input("x", {1024});
    const Var v = ready.graph.input("v", {1024});
    const Var y = fori(0, steps, x, [](Var, Var s) { return sin(s) * 1.1; });
    ready.feeds.emplace_back(x, full({1024}, 0.5));
    ready.feeds.emplace_back(v, full({1024}, 1.0));
    ready.program = std::make_unique<Program>(compile({y, forward(y, {x}, {v})}));
  };
}
Mode planned(const std::string& name, std::int64_t steps) {
  const auto make = forward_sweep(steps);
  return {name, [make](std::int64_t times) {
            for (std::int64_t i = 0; i < times; ++i) {
              Ready once;
              make(once);
            }
          }};
}

// ---- Lotka and Volterra's equations by Runge and Kutta's fourth order ---------------------------

constexpr std::int64_t steps_of_ode = 1000;

Var growth(Var y, Var p) {
  const Var prey = y[0];
  const Var hunters = y[1];
  return stack(std::vector<Var>{prey * (p[0] - p[1] * hunters), hunters * (p[2] * prey - p[3])});
}
Var step_of_ode(Var y, Var p) {
  constexpr double h = 0.01;
  const Var a = growth(y, p);
  const Var b = growth(y + a * (h / 2), p);
  const Var c = growth(y + b * (h / 2), p);
  const Var d = growth(y + c * h, p);
  return y + (a + 2.0 * b + 2.0 * c + d) * (h / 6);
}
std::function<void(Ready&)> lotka_volterra(bool as_loop) {
  return [as_loop](Ready& ready) {
    const Var p = ready.graph.input("p", {4}, float64);
    Var y = ready.graph.constant(Tensor::of({1.0, 1.0}, float64));
    if (as_loop)
      y = fori(0, steps_of_ode, y, [&](Var, Var s) { return step_of_ode(s, p); });
    else
      for (std::int64_t i = 0; i < steps_of_ode; ++i) y = step_of_ode(y, p);
    const Var loss = sum(square(y));
    ready.feeds.emplace_back(p, Tensor::of({1.5, 1.0, 1.0, 3.0}, float64));
    ready.program = std::make_unique<Program>(compile({loss, reverse(loss, {p})[p]}));
  };
}

// ---- long short-term memory ---------------------------------------------------------------------

constexpr Recurrence recurrence;

struct Recurring {
  Var loss;
  std::vector<Parameter> parameters;
};
Recurring recurring(Ready& ready) {
  const nn::LSTM lstm("lstm", recurrence.size, recurrence.size, Key{1},
                      {.layers = recurrence.layers, .batch_first = false});
  const std::vector<std::vector<float>> values = make_cells(recurrence);
  std::vector<Parameter> parameters = lstm.parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i)
    parameters[i].set(Tensor::from(values[i], parameters[i].shape()));
  const Var x = ready.graph.input("x", {recurrence.length, recurrence.batch, recurrence.size});
  ready.feeds.emplace_back(x, Tensor::from(make_sequences(recurrence), x.shape()));
  return {mean(square(lstm(x))), parameters};
}
void make_recurrent_loss(Ready& ready) {
  ready.program = std::make_unique<Program>(compile({recurring(ready).loss}));
}
void make_recurrent_step(Ready& ready) {
  const Recurring net = recurring(ready);
  const Gradients gradients = reverse(net.loss, net.parameters);
  std::vector<Assign> steps;
  for (const Parameter& p : net.parameters)
    steps.push_back(assign(p, ready.graph.read(p) - learning_rate * gradients[p]));
  ready.program = std::make_unique<Program>(compile({net.loss}, steps));
}
// The slopes are those along the parameters themselves.
Agreement recurrent_check() {
  Ready ready;
  const Recurring net = recurring(ready);
  const Gradients gradients = reverse(net.loss, net.parameters);
  std::vector<Var> along;
  Var slope, length;
  for (const Parameter& p : net.parameters) {
    along.push_back(ready.graph.read(p));
    const Var g = cast(gradients[p], float64);
    const Var one = sum(g * cast(along.back(), float64)), two = sum(square(g));
    slope = slope.defined() ? slope + one : one;
    length = length.defined() ? length + two : two;
  }
  const Var jvp = forward(net.loss, net.parameters, along);
  const Var norm = sqrt(length);
  Program program = compile({net.loss, slope, jvp, norm});
  const Outputs out = program.run(ready.feeds);
  return {out[net.loss].item(), out[slope].item(), out[jvp].item(), out[norm].item()};
}
Work recurrent_work() {
  Work work;
  work.modes = {timed("base", make_recurrent_loss), timed("step_reverse", make_recurrent_step)};
  work.check = recurrent_check;
  return work;
}

Work loop_work() {
  Work work;
  work.modes = {timed("small_steps", make_small_steps, static_cast<double>(many)),
                timed("forward_10", forward_sweep(10)),
                timed("forward_10000", forward_sweep(10000)),
                planned("plan_10", 10),
                planned("plan_10000", 10000),
                timed("ode_scan", lotka_volterra(true)),
                timed("ode_unrolled", lotka_volterra(false)),
                from_scratch("ode_scan_from_scratch", lotka_volterra(true)),
                from_scratch("ode_unrolled_from_scratch", lotka_volterra(false))};
  return work;
}

}  // namespace

std::vector<Workload> loop_workloads() { return {{"loops", loop_work}, {"lstm", recurrent_work}}; }

}  // namespace dualtape::bench
