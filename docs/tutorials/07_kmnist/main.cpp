// Tutorial 7: a small convolutional net on 500 handwritten Japanese letters, by backpropagation and
// by forward gradients, as published and as it should have been.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <span>
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

struct Images {
  dt::Dataset train, test;
  bool letters = true;  // false: the digits in their place
};

// The file of labels that belongs to one of images.
std::filesystem::path labels_of(std::filesystem::path images) {
  std::string name = images.filename().string();
  name.replace(name.find("images-idx3"), 11, "labels-idx1");
  return images.replace_filename(name);
}

// [data]
Images load_letters() {
  // All 60 000 training images, or the beginning of them: the first 500 are the same.
  const std::filesystem::path images =
      dt::find_data({"kmnist/train-images-idx3-ubyte.gz", "kmnist/train-images-idx3-ubyte",
                     "kmnist/train-first7000-images-idx3-ubyte.gz"});
  const dt::Dataset test = dt::load_kmnist(dt::Part::test);
  dt::Dataset train = dt::load_idx_images(images, labels_of(images), test.class_names, "kmnist");
  train.inputs = train.inputs.rows(0, 500);
  train.labels = train.labels.rows(0, 500);
  return {train, test};
}
// [/data]

// The digits of 8 x 8 that come with the library, every pixel three times as large, in the middle
// of 28 x 28.
Images load_digits_instead() {
  dt::Dataset digits = dt::load_digits();
  dt::Tensor large = dt::zeros({digits.count(), 1, 28, 28});
  const std::span<const float> from = std::as_const(digits.inputs).data<float>();
  const std::span<float> to = large.data<float>();
  for (std::size_t image = 0; image < from.size() / 64; ++image)
    for (std::size_t y = 0; y < 24; ++y)
      for (std::size_t x = 0; x < 24; ++x)
        to[784 * image + 28 * (y + 2) + x + 2] = from[64 * image + 8 * (y / 3) + x / 3] / 16;
  digits.inputs = large;
  Images images{digits, digits, false};
  images.train.inputs = large.rows(0, 500);
  images.train.labels = digits.labels.rows(0, 500);
  images.test.inputs = large.rows(500, digits.count());
  images.test.labels = digits.labels.rows(500, digits.count());
  return images;
}

// A quick run is the same everywhere, and so does not look for KMNIST.
Images load_images(bool quick) {
  if (quick) return load_digits_instead();
  try {
    return load_letters();
  } catch (const dt::DataError&) {
    std::cout << "KMNIST is not there; `./run fetch kmnist` downloads it. Here are 8 x 8 digits "
                 "instead.\n";
    return load_digits_instead();
  }
}

// [runs]
enum class Loss { of_logits, of_softmax };  // cross-entropy; of_softmax: softmax is taken twice
struct Run {
  std::string name;
  dt::GradientMethod gradients;
  std::int64_t rows;    // in a batch
  std::int64_t passes;  // over the 500 images
  double rate;
  bool adam;
  Loss loss = Loss::of_logits;
  bool last_layer_alone = false;
};

std::vector<Run> runs_of(const dt::docs::Tutorial& t) {
  const auto back = dt::backpropagation();
  const auto joint = dt::forward_gradients();
  const auto each = dt::forward_gradients({.directions = dt::Directions::per_parameter});
  const std::int64_t one = t.choose(1, 50);
  const std::int64_t short_run = t.choose(100, 20);
  const std::int64_t long_run = t.choose(300, 3);
  return {{"backpropagation, Adam", back, one, short_run, 1e-3, true},
          {"the same, softmax twice", back, one, short_run, 1e-3, true, Loss::of_softmax},
          {"forward, as published", joint, 500, short_run, 1e-3, false},
          {"forward, each, SGD", each, 50, long_run, 0.01, false},
          {"forward, each, Adam", each, 50, long_run, 1e-3, true},
          {"last layer alone, Adam", back, 50, long_run, 1e-3, true, Loss::of_logits, true}};
}
// [/runs]
constexpr std::size_t adam_run = 0, twice_run = 1, published_run = 2, last_run = 5;
constexpr std::int64_t shown_test_images = 1000;  // after each pass; at the end all

// What one run came to; entry k of the curves is after k passes.
struct Curve {
  Numbers train_loss, train_accuracy, test_accuracy;
  dt::ConfusionMatrix matrix{10};  // of all test images at the end
  double seconds_per_step = 0;
};

// [follow]
Curve follow(const Run& run, const Images& images, std::uint64_t seed) {
  const dt::nn::Sequential net = dt::nets::kmnist_cnn(dt::Key(seed).fold("start"));
  std::vector<dt::Parameter> trained = net.parameters();
  if (run.last_layer_alone) trained.erase(trained.begin(), trained.end() - 2);
  const auto objective = [&](dt::Var x, dt::Var labels) {
    const dt::Var logits = net(x);
    const dt::Var scores = run.loss == Loss::of_softmax ? dt::softmax(logits) : logits;
    return dt::Objective{dt::cross_entropy(scores, labels), logits};
  };
  dt::Sgd sgd;
  dt::Adam adam;
  dt::Optimiser& optimiser = run.adam ? static_cast<dt::Optimiser&>(adam) : sgd;
  dt::Trainer trainer(
      objective, trained, run.gradients, optimiser,
      {.schedule = dt::constant_rate(run.rate), .key = dt::Key(seed).fold("directions")});
  dt::Batches batches(images.train, run.rows, dt::Key(seed).fold("order"));
  // [/follow]
  const dt::Tensor some = images.test.inputs.rows(0, shown_test_images);
  const dt::Tensor their = images.test.labels.rows(0, shown_test_images);
  Curve curve;
  double seconds = 0;
  for (std::int64_t pass = 0; pass <= run.passes; ++pass) {
    if (pass > 0) seconds += trainer.fit(batches, {.epochs = 1}).seconds;
    const dt::Evaluation train = trainer.evaluate(images.train.inputs, images.train.labels, 500);
    curve.train_loss.push_back(train.loss);
    curve.train_accuracy.push_back(train.accuracy);
    curve.test_accuracy.push_back(trainer.evaluate(some, their, 500).accuracy);
  }
  curve.seconds_per_step = seconds / static_cast<double>(trainer.steps_done());
  curve.matrix = dt::ConfusionMatrix(10, images.test.class_names);
  for (std::int64_t row = 0; row < images.test.count(); row += 1000) {
    const std::int64_t end = std::min(row + 1000, images.test.count());
    const dt::Tensor logits =
        dt::eval([&](dt::Var x) { return net(x); }, images.test.inputs.rows(row, end));
    curve.matrix.add(logits, images.test.labels.rows(row, end));
  }
  return curve;
}

void print_runs(const std::vector<Run>& runs, const std::vector<Curve>& curves) {
  std::cout << "                           steps   training loss     accuracy\n"
               "                                    start     end   training    test\n";
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const std::int64_t steps = runs[r].passes * 500 / runs[r].rows;
    std::cout << pad_right(runs[r].name, 25) << pad_left(std::to_string(steps), 7)
              << pad_left(fixed(curves[r].train_loss.front(), 3), 9)
              << pad_left(fixed(curves[r].train_loss.back(), 3), 8)
              << pad_left(fixed(curves[r].train_accuracy.back(), 3), 10)
              << pad_left(fixed(curves[r].matrix.accuracy(), 3), 9) << "\n";
  }
}

// [slope]
// |gradient|^2 at a start. Along a joint direction, a small step of rate lr lowers the loss by
// lr |gradient|^2 on average.
double squared_gradient(const Images& images, std::uint64_t seed) {
  const dt::nn::Sequential net = dt::nets::kmnist_cnn(dt::Key(seed).fold("start"));
  dt::Graph g;
  const dt::Var loss = dt::cross_entropy(net(g.constant(images.train.inputs)), images.train.labels);
  const dt::Var length = dt::global_norm(dt::reverse(loss, net.parameters()));
  return dt::eval(dt::square(length)).item();
}
// [/slope]

// The published forward run from several starts.
struct Repeated {
  Numbers start, change, expected;
};
Repeated repeat(const dt::docs::Tutorial& t, const Run& run, const Images& images) {
  const auto seeds = t.choose<std::size_t>(10, 2);
  Repeated all;
  const auto curves = dt::docs::over_seeds(0, seeds, [&] {
    return [&](std::uint64_t seed) {
      const Curve curve = follow(run, images, seed);
      const double steps = static_cast<double>(run.passes);
      return std::vector<double>{curve.train_loss.front(),
                                 curve.train_loss.back() - curve.train_loss.front(),
                                 -steps * run.rate * squared_gradient(images, seed)};
    };
  });
  for (const Numbers& one : curves) {
    all.start.push_back(one[0]);
    all.change.push_back(one[1]);
    all.expected.push_back(one[2]);
  }
  return all;
}

void print_repeated(const Repeated& all) {
  std::cout << "                      lowest   median   highest   of " << all.start.size()
            << " starts\n";
  const auto row = [](const std::string& what, const Numbers& values) {
    std::cout << pad_right(what, 20);
    for (const double share : {0.0, 0.5, 1.0})
      std::cout << pad_left(fixed(dt::docs::quantile(values, share), 4), 9);
    std::cout << "\n";
  };
  row("loss at the start", all.start);
  row("change of the loss", all.change);
  row("change by theory", all.expected);
}

Numbers wrong_of(const Numbers& accuracy, double count) {
  Numbers wrong;
  for (const double right : accuracy) wrong.push_back(std::round((1 - right) * count));
  return wrong;
}

void draw_curves(const dt::docs::Tutorial& t, const std::vector<Run>& runs,
                 const std::vector<Curve>& curves) {
  dt::docs::Figure loss("loss", "Training loss on 500 letters");
  loss.labels("passes over the 500 images", "training loss")
      .log_x()
      .x_range(1, 300)
      .y_range(0, 2.5);
  dt::docs::Figure errors("errors", "Misclassified training letters");
  errors.labels("passes over the 500 images", "wrong of 500")
      .log_x()
      .x_range(1, 300)
      .y_range(0, 500);
  dt::docs::Figure accuracy("accuracy", "Accuracy on 1000 test letters");
  accuracy.labels("passes over the 500 images", "test accuracy")
      .log_x()
      .x_range(1, 300)
      .y_range(0, 0.8);
  const int colours[] = {0, 3, 1, 4, 2, dt::docs::ink};
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const auto from_first = [](Numbers values) {
      values.erase(values.begin());
      return values;
    };
    const auto passes = dt::docs::linear_steps(1, static_cast<double>(runs[r].passes),
                                               static_cast<std::size_t>(runs[r].passes));
    const dt::docs::Looks looks = {.colour = colours[r], .dashed = r == last_run};
    loss.line(runs[r].name, passes, from_first(curves[r].train_loss), looks);
    errors.line(runs[r].name, passes, from_first(wrong_of(curves[r].train_accuracy, 500)), looks);
    accuracy.line(runs[r].name, passes, from_first(curves[r].test_accuracy), looks);
  }
  t.draw(loss);
  t.draw(errors);
  t.draw(accuracy);
}

// Times of a step, taken in turn; on an idle machine they say something.
void print_times(const std::vector<Run>& runs, const Images& images) {
  std::cout << "\nmilliseconds per step on this machine, and per image\n";
  std::vector<Numbers> times(runs.size());
  for (std::uint64_t round = 0; round < 3; ++round) {
    for (std::size_t r = 0; r < runs.size(); ++r) {
      Run few = runs[r];
      few.passes = 3;
      times[r].push_back(1000 * follow(few, images, round).seconds_per_step);
    }
  }
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const double time = dt::docs::median(times[r]);
    std::cout << pad_right(runs[r].name, 25) << pad_left(fixed(time, 2), 10)
              << pad_left(fixed(time / static_cast<double>(runs[r].rows), 3), 10) << "\n";
  }
}

void body(const dt::docs::Tutorial& t) {
  const Images images = load_images(t.quick());
  const std::vector<Run> runs = runs_of(t);
  const std::vector<Curve> curves = dt::docs::over_seeds(
      0, runs.size(), [&] { return [&](std::uint64_t r) { return follow(runs[r], images, 0); }; });
  const Repeated repeated = repeat(t, runs[published_run], images);

  t.section("runs");
  print_runs(runs, curves);
  t.section("published");
  print_repeated(repeated);
  t.section("floor");
  // [floor]
  // The best a softmax can hand on: 1 for the right class and 0 for the nine others.
  const double floor = std::log(std::exp(1.0) + 9) - 1;
  std::cout << "lowest possible loss with softmax twice: " << fixed(floor, 5) << "\n";
  // [/floor]
  std::cout << "reached:                                 "
            << fixed(curves[twice_run].train_loss.back(), 5) << "\n";
  t.section("matrix");
  std::cout << curves[adam_run].matrix;
  t.section("verdict");
  const auto say = [](bool right) { return right ? "yes\n" : "NO\n"; };
  const double start = dt::docs::median(repeated.start);
  std::cout << "the loss starts at ln 10 = 2.303 within 0.02:      "
            << say(std::abs(start - std::log(10.0)) < 0.02)
            << "the published forward run gains less than 0.02:    "
            << say(dt::docs::median(repeated.change) > -0.02)
            << "Adam gets at least 95 % of the training set right: "
            << say(curves[adam_run].train_accuracy.back() >= 0.95)
            << "with softmax twice the loss stays above its floor: "
            << say(curves[twice_run].train_loss.back() >= floor);
  t.aside();
  draw_curves(t, runs, curves);
  if (!t.quick()) print_times(runs, images);
}

}  // namespace

int main(int argc, char** argv) { return dt::docs::run_tutorial(argc, argv, "KMNIST", body); }
