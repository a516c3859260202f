// Tutorial 9: synthetic gradients. Layers that learn from a prediction of their gradient instead of
// waiting for it, beside backpropagation, forward gradients and not learning at all.
#include <cmath>
#include <cstdint>
#include <functional>
#include <iostream>
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

// [net]
// Two hidden layers and a model of the gradient after each.
struct Net {
  Net(std::int64_t inputs, std::int64_t width, std::int64_t classes, dt::Key key,
      const dt::GradientModelOptions& options)
      : first("first", inputs, width, key),
        second("second", width, width, key),
        last("last", width, classes, key),
        low("low", width, key, options),
        high("high", width, key, options) {}

  dt::nn::Linear first, second, last;
  dt::GradientModel low, high;
};
// [/net]

enum class Method { backpropagation, synthetic, conditional, forward, fixed_features };
const std::vector<Method> methods = {Method::backpropagation, Method::synthetic,
                                     Method::conditional, Method::forward, Method::fixed_features};
std::string name_of(Method method) {
  switch (method) {
    case Method::backpropagation: return "backpropagation";
    case Method::synthetic: return "synthetic";
    case Method::conditional: return "synthetic, conditional";
    case Method::forward: return "forward gradient";
    case Method::fixed_features: return "last layer alone";
  }
  return {};
}

struct Task {
  std::int64_t inputs, width, classes;
  double rate;
  std::vector<std::int64_t> model;  // hidden sizes of the models of gradients
};

// What a method updates, and by what.
struct Learning {
  std::vector<dt::Parameter> parameters;
  dt::Gradients gradients;
};

// One method's graph on batches of one size.
class Study {
 public:
  Study(const Task& task, Method method, std::int64_t rows, std::uint64_t seed)
      : net_(task.inputs, task.width, task.classes, dt::Key(seed),
             {.hidden = task.model, .classes = method == Method::conditional ? task.classes : 0}) {
    x_ = graph_.input("x", {rows, task.inputs});
    y_ = graph_.input("y", {rows}, dt::int64);
    key_ = graph_.input("key", {}, dt::int64);
    h1_ = dt::tanh(net_.first(x_));
    h2_ = dt::tanh(net_.second(h1_));
    loss_ = dt::cross_entropy(net_.last(h2_), y_);
    const Learning learning = learn(method);
    likeness_ = likeness(learning.gradients, method);
    step_.emplace(dt::compile({loss_, likeness_},
                              adam_.update(learning.parameters, learning.gradients, task.rate)));
  }

  // The loss before the step, and the cosine of the first layer's gradient with the true one.
  std::pair<double, double> step(const dt::Tensor& x, const dt::Tensor& y, dt::Key key) {
    const auto out = step_->run({{x_, x}, {y_, y}, {key_, key.to_tensor()}});
    return {out[loss_].item(), out[likeness_].item()};
  }

  double accuracy(const dt::Dataset& data) const {
    return dt::accuracy(
        dt::eval(
            [this](dt::Var x) { return net_.last(dt::tanh(net_.second(dt::tanh(net_.first(x))))); },
            data.inputs),
        data.labels);
  }

 private:
  Learning learn(Method method) {
    const std::vector<dt::Parameter> lowest = net_.first.parameters();
    const std::vector<dt::Parameter> middle = net_.second.parameters();
    const std::vector<dt::Parameter> top = net_.last.parameters();
    std::vector<dt::Parameter> all = lowest;
    all.insert(all.end(), middle.begin(), middle.end());
    all.insert(all.end(), top.begin(), top.end());
    if (method == Method::backpropagation) return {all, dt::reverse(loss_, all)};
    if (method == Method::fixed_features) return {top, dt::reverse(loss_, top)};
    if (method == Method::forward)
      return {all, dt::forward_gradients({.directions = dt::Directions::per_parameter})(
                       loss_, {all.begin(), all.end()}, key_)};
    // [cuts]
    const dt::Var labels = method == Method::conditional ? y_ : dt::Var{};
    const dt::DecoupledGradients decoupled = dt::decoupled_gradients(
        loss_, {{h1_, lowest, net_.low, labels}, {h2_, middle, net_.high, labels}}, top);
    return {decoupled.parameters, decoupled.gradients};
    // [/cuts]
  }

  // [likeness]
  dt::Var likeness(const dt::Gradients& found, Method method) {
    const dt::Parameter& w = net_.first.weight();
    const dt::Var truth = dt::reverse(loss_, {w})[w];
    if (method == Method::fixed_features) return loss_ * 0.0;  // its first layer has none
    const dt::Var guess = found[w];
    const dt::Var lengths = dt::sqrt(dt::sum(dt::square(truth)) * dt::sum(dt::square(guess)));
    return dt::sum(truth * guess) / dt::maximum(lengths, 1e-30);
  }
  // [/likeness]

  Net net_;
  dt::Adam adam_;
  dt::Graph graph_;
  dt::Var x_, y_, key_, h1_, h2_, loss_, likeness_;
  std::optional<dt::Program> step_;
};

struct Curve {
  Numbers loss, cosine;
  double accuracy = 0;
};

const Task iris = {4, 16, 3, 0.003, {32}};
constexpr int shown_steps = 1000;

dt::Dataset flowers() {
  dt::Dataset data = dt::load_iris();
  data.inputs = dt::standardise(data.inputs);
  return data;
}

std::vector<Curve> on_iris(Method method, std::size_t seeds) {
  return dt::docs::over_seeds(0, seeds, [method] {
    return [method, data = flowers()](std::uint64_t seed) {
      Study study(iris, method, data.count(), seed);
      Curve curve;
      for (int i = 0; i < shown_steps; ++i) {
        const auto [loss, cosine] =
            study.step(data.inputs, data.labels, dt::Key(seed).fold(static_cast<std::uint64_t>(i)));
        curve.loss.push_back(loss);
        curve.cosine.push_back(cosine);
      }
      curve.accuracy = study.accuracy(data);
      return curve;
    };
  });
}

double mean_between(const Numbers& values, std::size_t from, std::size_t to) {
  double total = 0;
  for (std::size_t i = from; i < to; ++i) total += values[i];
  return total / static_cast<double>(to - from);
}

Numbers each(const std::vector<Curve>& curves, const std::function<double(const Curve&)>& of) {
  Numbers values;
  for (const Curve& curve : curves) values.push_back(of(curve));
  return values;
}

void follow_iris(const dt::docs::Tutorial& t) {
  const auto seeds = t.choose<std::size_t>(20, 4);
  std::vector<std::vector<Curve>> all;
  for (const Method method : methods) all.push_back(on_iris(method, seeds));

  t.section("iris");
  std::cout
      << "150 irises, " << shown_steps << " steps, medians over " << seeds << " starts\n\n"
      << "                             loss at the end   accuracy   cosine, first 100 steps\n";
  for (std::size_t m = 0; m < methods.size(); ++m) {
    const double loss =
        dt::docs::median(each(all[m], [](const Curve& c) { return c.loss.back(); }));
    const double right = dt::docs::median(each(all[m], [](const Curve& c) { return c.accuracy; }));
    const double cosine = dt::docs::median(
        each(all[m], [](const Curve& c) { return mean_between(c.cosine, 1, 100); }));
    std::cout << pad_right(name_of(methods[m]), 29) << pad_left(fixed(loss, 3), 15)
              << pad_left(fixed(right, 3), 11);
    if (methods[m] != Method::fixed_features) std::cout << pad_left(fixed(cosine, 2), 26);
    std::cout << "\n";
  }
  t.section("verdict");
  const auto end = [&](std::size_t m) {
    return dt::docs::median(each(all[m], [](const Curve& c) { return c.loss.back(); }));
  };
  std::cout << "the lower layers learn from predictions that know the label: "
            << (end(2) < end(4) ? "yes" : "NO") << "\n"
            << "knowing the label helps:                                     "
            << (end(2) < end(1) ? "yes" : "NO") << "\n";
  t.aside();

  dt::docs::Figure figure("iris", "Training loss on Iris");
  figure.labels("step", "training loss").log_y().y_range(0.003, 2);
  const Numbers steps = dt::docs::linear_steps(1, shown_steps, shown_steps);
  for (std::size_t m = 0; m < methods.size(); ++m) {
    std::vector<Numbers> curves;
    for (const Curve& curve : all[m]) curves.push_back(curve.loss);
    const dt::docs::Bands bands = dt::docs::bands(curves);
    const int colour = methods[m] == Method::fixed_features ? dt::docs::ink : static_cast<int>(m);
    if (colour != dt::docs::ink) figure.band(steps, bands.low, bands.high, colour);
    figure.line(name_of(methods[m]), steps, bands.mid,
                {.colour = colour, .dashed = colour == dt::docs::ink});
  }
  t.draw(figure);
}

// What the table of images shows of one method.
struct Shown {
  double loss = 0;      // mean of the last epoch
  double accuracy = 0;  // on the test rows
  Numbers cosine;       // mean of each epoch
};

// [images]
Shown on_images(const Task& task, Method method, const dt::Dataset& train, const dt::Dataset& test,
                int epochs) {
  Study study(task, method, 64, 1);
  dt::Batches batches(train, 64, dt::Key{2}, dt::LastBatch::drop);
  Shown shown;
  std::uint64_t n = 0;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    Numbers losses, cosines;
    for (const dt::Batch& batch : batches.epoch(epoch)) {
      const auto [loss, cosine] = study.step(batch.inputs, batch.labels, dt::Key{3}.fold(n++));
      losses.push_back(loss);
      cosines.push_back(cosine);
    }
    shown.loss = mean_between(losses, 0, losses.size());
    shown.cosine.push_back(mean_between(cosines, 0, cosines.size()));
  }
  shown.accuracy = study.accuracy(test);
  return shown;
}
// [/images]

void print_images(const Task& task, const dt::Dataset& train, const dt::Dataset& test, int epochs) {
  std::cout
      << "                          loss, last epoch   test accuracy   cosine: first, last epoch\n";
  for (const Method method : methods) {
    const Shown shown = on_images(task, method, train, test, epochs);
    std::cout << pad_right(name_of(method), 26) << pad_left(fixed(shown.loss, 3), 15)
              << pad_left(fixed(shown.accuracy, 3), 16);
    if (method != Method::fixed_features)
      std::cout << pad_left(fixed(shown.cosine.front(), 3), 18)
                << pad_left(fixed(shown.cosine.back(), 3), 7);
    std::cout << "\n";
  }
}

void follow_digits(const dt::docs::Tutorial& t) {
  const dt::Split digits = dt::split(dt::load_digits(), 0.25, dt::Key{4}, dt::Stratify::yes);
  t.section("digits");
  std::cout << "1797 digits of 8 x 8\n\n";
  print_images({64, 64, 10, 0.002, {}}, digits.train, digits.test, t.choose(40, 3));
  t.aside();
}

dt::Dataset flat(dt::Dataset data) {
  data.inputs = data.inputs.reshape({data.count(), 784});
  return data;
}

void follow_mnist(const dt::docs::Tutorial& t) {
  if (t.quick()) return;
  try {
    const dt::Dataset train = flat(dt::load_mnist(dt::Part::train));
    const dt::Dataset test = flat(dt::load_mnist(dt::Part::test));
    t.section("mnist");
    std::cout << "60000 digits of 28 x 28\n\n";
    print_images({784, 256, 10, 0.001, {}}, train, test, 5);
    t.aside();
  } catch (const dt::DataError& error) {
    t.aside();
    std::cout << "MNIST is left out: " << error.what() << "\n";
  }
}

void body(const dt::docs::Tutorial& t) {
  follow_iris(t);
  follow_digits(t);
  follow_mnist(t);
}

}  // namespace

int main(int argc, char** argv) {
  return dt::docs::run_tutorial(argc, argv, "Synthetic gradients", body);
}
