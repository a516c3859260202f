// Tutorial 5: penguins told apart by logistic regression and by a small net, trained by
// backpropagation and by forward gradients, over many starts, splits and directions.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/dualtape.hpp>

#include "common/text.hpp"
#include "common/tutorial.hpp"

namespace dt = dualtape;
using dt::docs::fixed;
using dt::docs::pad_left;
using dt::docs::pad_right;

namespace {

using Numbers = std::vector<double>;

// [tasks]
struct Task {
  std::string name;
  std::vector<std::int64_t> sizes;
  double rate;
  double threshold;  // of the training loss
  bool normal;       // starts from N(0, 1), else from U(-1, 1)
  int most;          // steps; then the run is given up
  int shown;         // steps in the drawing
};
const Task regression = {"logistic regression", {4, 3}, 0.2, 0.3, true, 1500, 600};
const Task small_net = {"net", {4, 64, 8, 3}, 0.05, 0.2, false, 1500, 400};
// [/tasks]
struct Method {
  std::string name;
  dt::GradientMethod gradients;
};
// [methods]
std::vector<Method> methods() {
  const dt::ForwardGradientOptions each = {.directions = dt::Directions::per_parameter};
  dt::ForwardGradientOptions standardised = each;
  standardised.standardise = true;
  return {{"backpropagation", dt::backpropagation()},
          {"forward, each", dt::forward_gradients(each)},
          {"forward, each, standardised", dt::forward_gradients(standardised)},
          {"forward, joint", dt::forward_gradients({.directions = dt::Directions::joint})}};
}
// [/methods]

// What one seed's training came to.
struct Outcome {
  int steps = 0;  // until the training loss was at the threshold; 0 if it never was
  Numbers curve;  // training loss at the first steps
  double accuracy = 0;
  dt::Tensor logits;  // of the test rows, once the threshold was reached
  double seconds = 0;
  int steps_run = 0;
};

// [study]
// One compiled program serves all seeds: start, split and key are set or fed.
class Study {
 public:
  Study(const Task& task, const dt::GradientMethod& method)
      : task_(task), mlp_(task.sizes, dt::Key{0}) {
    x_ = graph_.input("x", {250, 4});
    labels_ = graph_.input("labels", {250}, dt::int64);
    key_ = graph_.input("key", {}, dt::int64);
    loss_ = dt::cross_entropy(mlp_(x_), labels_);
    const std::vector<dt::Parameter> weights = mlp_.parameters();
    const dt::Gradients gradients = method(loss_, {weights.begin(), weights.end()}, key_);
    step_.emplace(dt::compile({loss_}, sgd_.update(weights, gradients, task.rate)));

    test_x_ = test_graph_.input("x", {84, 4});
    logits_ = mlp_(test_x_);
    test_.emplace(dt::compile({logits_}));
  }

  Outcome run(std::uint64_t seed);

 private:
  Task task_;
  dt::Mlp mlp_;
  dt::Sgd sgd_;
  dt::Graph graph_, test_graph_;
  dt::Var x_, labels_, key_, loss_, test_x_, logits_;
  std::optional<dt::Program> step_, test_;
};
// [/study]

// [start]
dt::Split split_of(std::uint64_t seed) {
  const dt::Key key = dt::Key(seed).fold("split");
  return dt::split(dt::load_penguins(), 0.25, key, dt::Stratify::yes);  // 250 and 84
}

// Weights and biases alike, and the same for every method.
void draw_start(const dt::Mlp& mlp, bool normal, std::uint64_t seed) {
  for (dt::Parameter parameter : mlp.parameters()) {
    const dt::Key key = dt::Key(seed).fold(parameter.name());
    parameter.set(normal ? dt::normal(key, parameter.shape())
                         : dt::uniform(key, parameter.shape(), -1, 1));
  }
}
// [/start]

// [run]
Outcome Study::run(std::uint64_t seed) {
  const dt::Split data = split_of(seed);
  draw_start(mlp_, task_.normal, seed);
  const dt::Key directions = dt::Key(seed).fold("directions");
  Outcome outcome;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < task_.most; ++i) {
    const dt::Key key = directions.fold(static_cast<std::uint64_t>(i));
    const auto out = step_->run(
        {{x_, data.train.inputs}, {labels_, data.train.labels}, {key_, key.to_tensor()}});
    const double loss = out[loss_].item();
    outcome.steps_run = i + 1;
    outcome.curve.push_back(loss);
    if (!std::isfinite(loss)) break;
    if (loss <= task_.threshold && outcome.steps == 0) {
      outcome.steps = i + 1;
      outcome.logits = test_->run({{test_x_, data.test.inputs}})[logits_].copy();
      outcome.accuracy = dt::accuracy(outcome.logits, data.test.labels);
    }
    if (outcome.steps > 0 && i + 1 >= task_.shown) break;
  }
  // [/run]
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  outcome.curve.resize(static_cast<std::size_t>(task_.shown), std::nan(""));
  return outcome;
}

// [seeds]
std::vector<Outcome> study(const Task& task, const dt::GradientMethod& method, std::size_t seeds) {
  return dt::docs::over_seeds(0, seeds, [&] {
    return [study = std::make_unique<Study>(task, method)](std::uint64_t seed) {
      return study->run(seed);
    };
  });
}
// [/seeds]

std::size_t reached(const std::vector<Outcome>& outcomes) {
  return static_cast<std::size_t>(
      std::ranges::count_if(outcomes, [](const Outcome& o) { return o.steps > 0; }));
}

constexpr const char* header =
    "                             reached   steps: 5 % 50 % 95 %   accuracy  lowest  published\n";
// One row of the table; `published` is the number of steps of the one published run.
void print_row(const std::string& method, const std::vector<Outcome>& outcomes,
               const std::string& published) {
  Numbers steps;
  double accuracy = 0;
  double lowest = 1;
  for (const Outcome& outcome : outcomes) {
    if (outcome.steps == 0) continue;
    steps.push_back(outcome.steps);
    accuracy += outcome.accuracy;
    lowest = std::min(lowest, outcome.accuracy);
  }
  std::cout << pad_right(method, 28) << pad_left(std::to_string(steps.size()), 4) << " of "
            << pad_right(std::to_string(outcomes.size()), 3);
  if (!steps.empty()) {
    for (const double share : {0.05, 0.5, 0.95})
      std::cout << pad_left(fixed(dt::docs::quantile(steps, share), 0), 6);
    std::cout << pad_left(fixed(accuracy / static_cast<double>(steps.size()), 3), 10)
              << pad_left(fixed(lowest, 3), 8) << pad_left(published, 11);
  }
  std::cout << "\n";
}

void draw_curves(const dt::docs::Tutorial& t, const Task& task, const std::string& name,
                 const std::vector<Method>& all, const std::vector<std::vector<Outcome>>& outcomes,
                 double bottom, double top) {
  dt::docs::Figure figure(name, "Training loss of the " + task.name);
  figure.labels("step", "training loss").log_y().y_range(bottom, top);
  const Numbers steps = dt::docs::linear_steps(1, task.shown, static_cast<std::size_t>(task.shown));
  const int colours[] = {0, 1, 2, 3};
  for (const std::size_t m : {3U, 1U, 0U}) {
    std::vector<Numbers> curves;
    for (const Outcome& outcome : outcomes[m]) curves.push_back(outcome.curve);
    dt::docs::Bands bands = dt::docs::bands(curves);
    // What left the axes, or is no number, is drawn at their upper end.
    for (Numbers* edge : {&bands.low, &bands.mid, &bands.high})
      for (double& value : *edge) value = std::isfinite(value) ? std::min(value, top) : top;
    figure.band(steps, bands.low, bands.high, colours[m])
        .line(all[m].name, steps, bands.mid, {.colour = colours[m]});
  }
  figure.line("threshold", {1, static_cast<double>(task.shown)}, {task.threshold, task.threshold},
              {.colour = dt::docs::ink, .width = 1, .dashed = true});
  t.draw(figure);
}

// Every test penguin by its beak, with those that were taken for another species.
void draw_errors(const dt::docs::Tutorial& t, const dt::Dataset& test,
                 const std::vector<std::pair<std::string, dt::Tensor>>& models) {
  const auto length = [&](std::int64_t row) { return 32.1 + 27.5 * test.inputs.at({row, 0}); };
  const auto depth = [&](std::int64_t row) { return 13.1 + 8.4 * test.inputs.at({row, 1}); };
  dt::docs::Figure figure("errors", "Test penguins and mistakes");
  figure.labels("beak length, mm", "beak depth, mm");
  const int colours[] = {0, 1, 2};
  for (std::int64_t kind = 0; kind < 3; ++kind) {
    Numbers x, y;
    for (std::int64_t row = 0; row < test.count(); ++row) {
      if (test.labels.at({row}) != static_cast<double>(kind)) continue;
      x.push_back(length(row));
      y.push_back(depth(row));
    }
    figure.points(test.class_names[static_cast<std::size_t>(kind)], x, y, dt::docs::Mark::dot,
                  {.colour = colours[kind]});
  }
  for (std::size_t m = 0; m < models.size(); ++m) {
    Numbers x, y;
    for (std::int64_t row = 0; row < test.count(); ++row) {
      if (dt::accuracy(models[m].second.rows(row, row + 1), test.labels.rows(row, row + 1)) > 0.5)
        continue;
      x.push_back(length(row));
      y.push_back(depth(row));
    }
    figure.points("wrong by " + models[m].first, x, y,
                  m == 0 ? dt::docs::Mark::circle : dt::docs::Mark::cross,
                  {.colour = dt::docs::ink});
  }
  t.draw(figure);
}

void print_errors(const dt::docs::Tutorial& t, const std::vector<Method>& all,
                  const std::vector<std::vector<Outcome>>& outcomes) {
  const dt::Dataset test = split_of(0).test;
  std::vector<std::pair<std::string, dt::Tensor>> models;
  t.section("errors");
  for (const std::size_t m : {0U, 1U}) {
    // [errors]
    dt::ConfusionMatrix matrix(3, test.class_names);
    matrix.add(outcomes[m][0].logits, test.labels);
    std::cout << all[m].name << "\n" << matrix << "\n";
    // [/errors]
    models.emplace_back(all[m].name, outcomes[m][0].logits);
  }
  t.aside();
  draw_errors(t, test, models);
}

// [noise]
// The mean of |g|^2 over |gradient|^2 at a start: what normal directions make of it, by theory.
// Joint, with n parameters in all, it is n + 2. With a direction for each parameter tensor k,
// sum_k (n_k + 2) |gradient_k|^2 / |gradient|^2.
double noise_each(const Task& task, std::uint64_t seed) {
  const dt::Mlp mlp(task.sizes, dt::Key{0});
  draw_start(mlp, task.normal, seed);
  const dt::Dataset train = split_of(seed).train;
  dt::Graph g;
  const dt::Var loss = dt::cross_entropy(mlp(g.constant(train.inputs)), train.labels);
  const dt::Gradients gradients = dt::reverse(loss, mlp.parameters());
  double each = 0;
  double all = 0;
  for (const dt::Var part : gradients.all()) {
    const double squared = dt::eval(dt::sum(dt::square(part))).item();
    each += static_cast<double>(part.shape().count() + 2) * squared;
    all += squared;
  }
  return each / all;
}
// [/noise]

void print_noise(const dt::docs::Tutorial& t) {
  t.section("noise");
  std::cout << "mean of |g|^2 / |gradient|^2   joint   each (median of 20 starts)\n";
  for (const Task& task : {regression, small_net}) {
    Numbers each;
    for (std::uint64_t seed = 0; seed < 20; ++seed) each.push_back(noise_each(task, seed));
    const auto n = dt::Mlp(task.sizes, dt::Key{0}).parameter_count();
    std::cout << pad_right(task.name, 29) << pad_left(std::to_string(n + 2), 7)
              << pad_left(fixed(dt::docs::median(each), 0), 7) << "\n";
  }
  t.aside();
}

void print_slower(const dt::docs::Tutorial& t) {
  // [slower]
  Task slower = small_net;
  slower.rate = 0.005;
  slower.most = 10000;
  const std::vector<Outcome> outcomes =
      study(slower, dt::forward_gradients(), t.choose<std::size_t>(20, 4));
  // [/slower]
  t.section("slower");
  std::cout << header;
  print_row("forward, joint, rate 0.005", outcomes, "");
  t.aside();
}

// Steps of all methods in turn, on one thread, at a rate so small that no run leaves its start.
void print_times(const std::vector<Method>& all) {
  std::cout << "\nmicroseconds per step on this machine   regression     net\n";
  std::vector<std::vector<Numbers>> micros(all.size(), std::vector<Numbers>(2));
  for (std::uint64_t round = 0; round < 5; ++round) {
    for (std::size_t m = 0; m < all.size(); ++m) {
      for (const std::size_t k : {0U, 1U}) {
        Task task = k == 0 ? regression : small_net;
        task.rate = 1e-9;
        const Outcome outcome = Study(task, all[m].gradients).run(round);
        micros[m][k].push_back(1e6 * outcome.seconds / outcome.steps_run);
      }
    }
  }
  for (std::size_t m = 0; m < all.size(); ++m)
    std::cout << pad_right(all[m].name, 39)
              << pad_left(fixed(dt::docs::median(micros[m][0]), 0), 11)
              << pad_left(fixed(dt::docs::median(micros[m][1]), 0), 8) << "\n";
}

void body(const dt::docs::Tutorial& t) {
  const std::vector<Method> all = methods();
  const auto seeds = t.choose<std::size_t>(100, 6);
  std::vector<std::vector<Outcome>> by_regression, by_net;
  for (const Method& method : all) {
    by_regression.push_back(study(regression, method.gradients, seeds));
    by_net.push_back(study(small_net, method.gradients, seeds));
  }
  const std::string published[2][4] = {{"399", "", "324", ""}, {"50", "", "44", ""}};
  t.section("regression");
  std::cout << header;
  for (std::size_t m = 0; m < all.size(); ++m)
    print_row(all[m].name, by_regression[m], published[0][m]);
  t.section("net");
  std::cout << header;
  for (std::size_t m = 0; m < all.size(); ++m) print_row(all[m].name, by_net[m], published[1][m]);
  const auto infinite = std::ranges::count_if(
      by_net[3], [](const Outcome& o) { return !std::isfinite(o.curve.back()); });
  std::cout << "joint directions: the loss overflows in " << infinite << " of " << seeds
            << " runs\n";
  t.section("verdict");
  const bool every = std::ranges::all_of(
      by_regression, [&](const auto& outcomes) { return reached(outcomes) == seeds; });
  std::cout << "logistic regression always arrives:               " << (every ? "yes" : "NO")
            << "\n"
            << "joint directions reach the net's goal less often: "
            << (2 * reached(by_net[3]) < reached(by_net[1]) ? "yes" : "NO") << "\n";
  t.aside();
  print_errors(t, all, by_regression);
  print_noise(t);
  print_slower(t);
  draw_curves(t, regression, "regression", all, by_regression, 0.1, 3);
  draw_curves(t, small_net, "net", all, by_net, 0.03, 10);

  print_times(all);
}

}  // namespace

int main(int argc, char** argv) { return dt::docs::run_tutorial(argc, argv, "Penguins", body); }
