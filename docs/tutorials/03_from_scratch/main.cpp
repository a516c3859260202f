// Tutorial 3: a net whose backward pass is written by hand, against both modes and against the
// figures that two published tutorials print.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/dualtape.hpp>

#include "common/text.hpp"
#include "common/tutorial.hpp"

namespace dt = dualtape;
using dt::docs::fixed;
using dt::docs::pad_left;

namespace {

// [data]
struct Flowers {
  dt::Tensor x;  // (rows, 2)
  dt::Tensor y;  // (rows, 1): the class numbers, as targets
};

// Sepal length and width of the first flowers, each row scaled to length 1.
Flowers flowers(std::int64_t rows) {
  const dt::Dataset iris = dt::load_iris();
  dt::Tensor sepals = dt::zeros({rows, 2});
  for (std::int64_t i = 0; i < rows; ++i) sepals.row(i).assign(iris.inputs.row(i).rows(0, 2));
  return {dt::normalise_rows(sepals), iris.labels.rows(0, rows).to(dt::float32).reshape({rows, 1})};
}
// [/data]

// [net]
struct Net {
  dt::Parameter w1;  // (2, 32)
  dt::Parameter w2;  // (32, 1)
};

Net draw_net(dt::TorchGenerator& generator) {
  return {{"w1", generator.randn({2, 32})}, {"w2", generator.randn({32, 1})}};
}

struct Pass {
  dt::Var x, y;    // what is fed
  dt::Var w1, w2;  // the weights, as this graph reads them
  dt::Var h, p;    // hidden units and outputs
};

Pass forward_pass(dt::Graph& g, const Net& net, std::int64_t rows) {
  Pass s;
  s.x = g.input("x", {rows, 2});
  s.y = g.input("y", {rows, 1});
  s.w1 = g.read(net.w1);
  s.w2 = g.read(net.w2);
  s.h = dt::sigmoid(dt::matmul(s.x, s.w1));
  s.p = dt::sigmoid(dt::matmul(s.h, s.w2));
  return s;
}
// [/net]

// [hand]
struct Gradient {
  dt::Var w1, w2;
};

Gradient by_hand(const Pass& s) {
  const dt::Var delta2 = (s.p - s.y) * s.p * (1 - s.p);
  const dt::Var delta1 = dt::matmul(delta2, s.w2, {.transpose_b = true}) * s.h * (1 - s.h);
  return {dt::matmul(s.x, delta1, {.transpose_a = true}),
          dt::matmul(s.h, delta2, {.transpose_a = true})};
}
// [/hand]

// [losses]
dt::Var half_squares(const Pass& s) { return dt::half_sum_of_squares(s.p, s.y); }
dt::Var cross_entropy_sum(const Pass& s) {
  return dt::binary_cross_entropy(s.p, s.y, dt::Reduction::sum);
}
dt::Var cross_entropy_mean(const Pass& s) { return dt::binary_cross_entropy(s.p, s.y); }
// [/losses]

// [reverse]
Gradient by_reverse(dt::Var loss, const Pass& s) {
  const dt::Gradients gradients = dt::reverse(loss, {s.w1, s.w2});
  return {gradients[s.w1], gradients[s.w2]};
}
// [/reverse]

// [forward]
// One run of a program for each weight: the slope of the loss along that weight alone.
std::vector<double> by_forward(dt::Graph& g, dt::Var loss, const Pass& s, const Flowers& data) {
  const dt::Var v1 = g.input("v1", s.w1.shape());
  const dt::Var v2 = g.input("v2", s.w2.shape());
  const dt::Var slope = dt::forward(loss, {s.w1, s.w2}, {v1, v2});
  dt::Program program = dt::compile({slope});

  dt::Tensor d1 = dt::zeros(s.w1.shape());
  dt::Tensor d2 = dt::zeros(s.w2.shape());
  std::vector<double> gradient;
  for (dt::Tensor* d : {&d1, &d2}) {
    for (float& entry : d->data<float>()) {
      entry = 1;
      const auto out = program.run({{s.x, data.x}, {s.y, data.y}, {v1, d1}, {v2, d2}});
      gradient.push_back(out[slope].item());
      entry = 0;
    }
  }
  return gradient;
}
// [/forward]

// [train]
struct Run {
  std::vector<double> loss;  // the mean cross-entropy before each update
  double accuracy = 0;
};

enum class Way { hand, reverse, corrected };

Run train(const Net& net, const Flowers& data, std::size_t epochs, Way way) {
  dt::Graph g;
  const Pass s = forward_pass(g, net, data.x.size(0));
  const dt::Var shown = cross_entropy_mean(s);
  const Gradient gradient = way == Way::hand      ? by_hand(s)
                            : way == Way::reverse ? by_reverse(half_squares(s), s)
                                                  : by_reverse(cross_entropy_sum(s), s);
  dt::Program step = dt::compile({shown, s.p}, {dt::assign(net.w1, s.w1 - 0.001 * gradient.w1),
                                                dt::assign(net.w2, s.w2 - 0.001 * gradient.w2)});
  Run run;
  for (std::size_t epoch = 0; epoch < epochs; ++epoch) {
    const auto out = step.run({{s.x, data.x}, {s.y, data.y}});
    run.loss.push_back(out[shown].item());
    if (epoch + 1 < epochs) continue;
    std::int64_t right = 0;
    for (std::int64_t i = 0; i < data.x.size(0); ++i)
      right += (out[s.p].at({i, 0}) > 0.5) == (data.y.at({i, 0}) > 0.5) ? 1 : 0;
    run.accuracy = static_cast<double>(right) / static_cast<double>(data.x.size(0));
  }
  return run;
}
// [/train]

// [start]
// The published page draws a (2, 32) tensor only to show its size, and then the net.
Net start_of_page() {
  dt::TorchGenerator generator(2);
  generator.randn({2, 32});
  return draw_net(generator);
}
// The notebook that grew from it does not.
Net start_of_notebook() {
  dt::TorchGenerator generator(2);
  return draw_net(generator);
}
// [/start]

const std::vector<double> page_losses = {0.922823, 0.696676, 0.671492,
                                         0.668614, 0.666690, 0.664810};
const std::vector<double> notebook_losses = {
    0.104004, 0.098047, 0.093287, 0.089359, 0.086038, 0.083176, 0.080670, 0.078447, 0.076455,
    0.074653, 0.073011, 0.071503, 0.070111, 0.068820, 0.067615, 0.066487, 0.065428, 0.064429,
    0.063484, 0.062588, 0.061736, 0.060924, 0.060148, 0.059406, 0.058694};

const std::vector<double> synthetic_losses = {
    1.648817, 3.291052, 3.455176, 0.100384, 0.022134, 0.020747, 0.027922, 0.028839, 0.033190,
    0.032893, 0.027912, 0.022655, 0.019368, 0.016808, 0.013695, 0.010338, 0.008052, 0.006605,
    0.005640, 0.004940, 0.004516, 0.004154, 0.003880, 0.003616, 0.003483};

double length(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

double largest_gap(const std::vector<double>& a, const std::vector<double>& b) {
  double gap = 0;
  for (std::size_t i = 0; i < a.size(); ++i) gap = std::max(gap, std::abs(a[i] - b[i]));
  return gap;
}

void compare_gradients(const dt::docs::Tutorial& t) {
  const Flowers data = flowers(100);
  const Net net = start_of_page();
  dt::Graph g;
  const Pass s = forward_pass(g, net, 100);
  const auto both = [&](const Gradient& gradient) {
    dt::Program program = dt::compile({gradient.w1, gradient.w2});
    const auto out = program.run({{s.x, data.x}, {s.y, data.y}});
    std::vector<double> values;
    for (const dt::Var var : {gradient.w1, gradient.w2})
      for (const float value : out[var].data<float>()) values.push_back(value);
    return values;
  };
  const std::vector<double> hand = both(by_hand(s));
  const std::vector<std::pair<std::string, std::vector<double>>> rows = {
      {"by hand", hand},
      {"reverse, half the sum of squares", both(by_reverse(half_squares(s), s))},
      {"forward, half the sum of squares", by_forward(g, half_squares(s), s, data)},
      {"reverse, cross-entropy", both(by_reverse(cross_entropy_sum(s), s))},
  };
  t.section("gradients");
  std::cout << "gradient                              |dw1|     |dw2|   as by hand?\n";
  for (const auto& [name, values] : rows) {
    const std::vector<double> w1(values.begin(), values.begin() + 64);
    const std::vector<double> w2(values.begin() + 64, values.end());
    std::cout << dt::docs::pad_right(name, 34) << pad_left(fixed(length(w1), 4), 9)
              << pad_left(fixed(length(w2), 4), 10) << "   "
              << (largest_gap(values, hand) < 1e-5 ? "yes, to 1e-5" : "no") << "\n";
  }
  t.aside();
}

// Every 20th loss beside the published one. Returns the largest relative difference.
double print_beside(const std::vector<double>& published, const std::vector<double>& ours) {
  double worst = 0;
  std::cout << "epoch   published        ours\n";
  for (std::size_t i = 0; i < published.size(); ++i) {
    const double got = ours.at(20 * i);
    worst = std::max(worst, std::abs(got / published[i] - 1));
    std::cout << pad_left(std::to_string(20 * i), 5) << pad_left(fixed(published[i], 6), 12)
              << pad_left(fixed(got, 6), 12) << "\n";
  }
  return worst;
}

std::vector<double> every_20th(std::size_t count) {
  return dt::docs::linear_steps(0, 20.0 * static_cast<double>(count - 1), count);
}
std::vector<double> epochs_of(const std::vector<double>& loss) {
  return dt::docs::linear_steps(0, static_cast<double>(loss.size() - 1), loss.size());
}

void follow_page(const dt::docs::Tutorial& t) {
  // [page]
  const Flowers data = flowers(100);
  const Run hand = train(start_of_page(), data, 101, Way::hand);
  const Run reverse = train(start_of_page(), data, 101, Way::reverse);
  // [/page]
  t.section("page_curve");
  const double worst = print_beside(page_losses, hand.loss);
  t.section("page_verdict");
  std::cout << "published digits, to 1e-5:         " << (worst < 1e-5 ? "yes" : "NO") << "\n"
            << "by hand and by reverse mode alike: "
            << (largest_gap(hand.loss, reverse.loss) < 1e-6 ? "yes" : "NO") << "\n"
            << "accuracy after 101 epochs:         " << fixed(hand.accuracy, 2) << "\n";
  t.aside();

  dt::docs::Figure figure("page", "The published losses and ours");
  figure.labels("epoch", "mean cross-entropy");
  figure.line("ours", epochs_of(hand.loss), hand.loss)
      .points("published", every_20th(page_losses.size()), page_losses, dt::docs::Mark::circle,
              {.colour = 1});
  t.draw(figure);
}

void correct(const dt::docs::Tutorial& t) {
  // [correct]
  const Flowers data = flowers(100);
  const std::size_t epochs = 5001;
  const Run as_published = train(start_of_page(), data, epochs, Way::hand);
  const Run corrected = train(start_of_page(), data, epochs, Way::corrected);
  // [/correct]
  t.section("corrected");
  std::cout << "epoch   as published   corrected\n";
  for (const std::size_t epoch : {0U, 100U, 500U, 1000U, 2000U, 5000U}) {
    std::cout << pad_left(std::to_string(epoch), 5)
              << pad_left(fixed(as_published.loss[epoch], 4), 15)
              << pad_left(fixed(corrected.loss[epoch], 4), 12) << "\n";
  }
  std::cout << "accuracy" << pad_left(fixed(as_published.accuracy, 2), 12)
            << pad_left(fixed(corrected.accuracy, 2), 12) << "\n";
  t.aside();

  dt::docs::Figure figure("corrected", "Gradient as published and corrected");
  figure.labels("epoch", "mean cross-entropy").y_range(0, 1);
  figure
      .line("gradient of half the sum of squares", epochs_of(as_published.loss), as_published.loss)
      .line("gradient of the cross-entropy", epochs_of(corrected.loss), corrected.loss,
            {.colour = 2});
  t.draw(figure);
}

void follow_notebook(const dt::docs::Tutorial& t) {
  // [notebook]
  const Flowers data = flowers(150);  // labels 0, 1 and 2
  const Run run = train(start_of_notebook(), data, 500, Way::hand);
  // [/notebook]
  t.section("notebook_curve");
  const double worst = print_beside(notebook_losses, run.loss);
  t.section("notebook_verdict");
  std::cout << "published digits, to 2e-5 of each: " << (worst < 2e-5 ? "yes" : "NO") << "\n";
  t.aside();

  // [constant]
  // What a net may gain that says the same of every flower.
  dt::Graph g;
  const dt::Var p = g.input("p", {});
  const dt::Var y = g.constant(data.y);
  const dt::Var loss = dt::mean(-(y * dt::log(p) + (1 - y) * dt::log(1 - p)));
  dt::Program program = dt::compile({loss});
  // [/constant]
  t.section("constant");
  std::cout << "answer for all   \"loss\"\n";
  for (const double answer : {0.5, 0.9, 0.99, 0.999})
    std::cout << pad_left(fixed(answer, 3), 14)
              << pad_left(fixed(program.run({{p, answer}})[loss].item(), 4), 9) << "\n";
  t.aside();

  dt::docs::Figure figure("notebook", "Three classes for one output");
  figure.labels("epoch", "mean cross-entropy, labels 0, 1, 2");
  figure.line("ours", epochs_of(run.loss), run.loss)
      .points("published", every_20th(notebook_losses.size()), notebook_losses,
              dt::docs::Mark::circle, {.colour = 1});
  t.draw(figure);
}

// [modules]
// Each layer has a module (m, b) that guesses, from the layer's output alone, the signal that would
// come back to it.
struct Synthetic {
  dt::Parameter w1, m1, b1, w2, m2, b2;
};
Synthetic draw_synthetic(dt::TorchGenerator& g) {
  return {{"w1", g.randn({2, 32})}, {"m1", g.randn({32, 32})}, {"b1", g.randn({32})},
          {"w2", g.randn({32, 1})}, {"m2", g.randn({1, 1})},   {"b2", g.randn({1})}};
}
// [/modules]

struct SyntheticRun {
  std::vector<double> loss;
  dt::Tensor outputs;  // of all flowers, at the end
};

// [synthetic]
SyntheticRun train_synthetic(const Synthetic& net, const Flowers& data) {
  dt::Graph g;
  const dt::Var x = g.constant(data.x);
  const dt::Var y = g.constant(data.y);
  const dt::Var h = dt::sigmoid(dt::matmul(x, net.w1) + net.b1);
  const dt::Var p = dt::sigmoid(dt::matmul(h, net.w2));
  const dt::Var loss = dt::binary_cross_entropy(p, y);
  // w1, b1, w2 and b2 after signals s1 and s2 in front of the two sigmoids.
  const auto moved = [&](dt::Var s1, dt::Var s2, const std::vector<dt::Var>& from) {
    return std::vector<dt::Var>{from[0] - 0.001 * dt::matmul(x, s1, {.transpose_a = true}),
                                from[1] - 0.001 * dt::mean(s1, {0}),
                                from[2] - 0.001 * dt::matmul(h, s2, {.transpose_a = true}),
                                from[3] - 0.001 * dt::mean(s2, {0})};
  };
  const std::vector<dt::Parameter> layers = {net.w1, net.b1, net.w2, net.b2};
  const std::vector<dt::Var> old = {g.read(net.w1), g.read(net.b1), g.read(net.w2), g.read(net.b2)};

  const std::vector<dt::Var> guessed = moved((dt::matmul(h, net.m1) + net.b1) * h * (1 - h),
                                             (dt::matmul(p, net.m2) + net.b2) * p * (1 - p), old);
  const dt::Var d2 = (p - y) * p * (1 - p);
  const std::vector<dt::Var> checked = moved(d2 * h * (1 - h), d2, guessed);  // w2 is missing
  // [/synthetic]
  std::vector<dt::Assign> first;
  std::vector<dt::Assign> second;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    first.push_back(dt::assign(layers[i], guessed[i]));
    second.push_back(dt::assign(layers[i], checked[i]));
  }
  dt::Program guess = dt::compile({loss}, first);
  dt::Program guess_and_check = dt::compile({p}, second);
  SyntheticRun run;
  for (int epoch = 0; epoch < 500; ++epoch) {
    run.loss.push_back(guess.run()[loss].item());
    run.outputs = guess_and_check.run()[p].copy();
  }
  return run;
}

void follow_synthetic(const dt::docs::Tutorial& t) {
  dt::TorchGenerator generator(2);
  draw_net(generator);  // the notebook's first net
  const SyntheticRun run = train_synthetic(draw_synthetic(generator), flowers(150));
  t.section("synthetic_curve");
  const double worst = print_beside(synthetic_losses, run.loss);
  t.section("synthetic_verdict");
  const auto outputs = run.outputs.data<float>();
  const auto [low, high] = std::ranges::minmax(outputs);
  std::cout << "published digits, to 5e-4 of each:   " << (worst < 5e-4 ? "yes" : "NO") << "\n"
            << "smallest and largest of 150 outputs: " << fixed(low, 4) << ", " << fixed(high, 4)
            << "\n";
  t.aside();

  dt::docs::Figure figure("synthetic", "Synthetic gradients as published");
  figure.labels("epoch", "mean cross-entropy, labels 0, 1, 2").log_y();
  figure.line("ours", epochs_of(run.loss), run.loss)
      .points("published", every_20th(synthetic_losses.size()), synthetic_losses,
              dt::docs::Mark::circle, {.colour = 1});
  t.draw(figure);
}

void body(const dt::docs::Tutorial& t) {
  compare_gradients(t);
  follow_page(t);
  correct(t);
  follow_notebook(t);
  follow_synthetic(t);
}

}  // namespace

int main(int argc, char** argv) {
  return dt::docs::run_tutorial(argc, argv, "A net from scratch", body);
}
