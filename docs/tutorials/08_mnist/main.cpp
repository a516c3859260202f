// Tutorial 8: MNIST with a net of 1.86 million parameters, by backpropagation and by forward
// gradients, and a runner for grids of learning rates and decays that can be stopped and resumed.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <dualtape/dualtape.hpp>

#include "common/files.hpp"
#include "common/gnuplot.hpp"
#include "common/text.hpp"
#include "common/tutorial.hpp"

namespace dt = dualtape;
using dt::docs::csv_number;
using dt::docs::fixed;
using dt::docs::pad_left;
using dt::docs::pad_right;

namespace {

using Numbers = std::vector<double>;

// [data]
struct Images {
  dt::Dataset train, validation, test;
  bool digits = false;  // the small ones in the place of MNIST
};

Images load_images(bool quick) {
  if (!quick) {
    try {
      // 50 000 to train with, 10 000 to choose a rate by, 10 000 to test what was chosen.
      dt::Split split = dt::split(dt::load_mnist(dt::Part::train), 1.0 / 6, dt::Key{0});
      return {split.train, split.test, dt::load_mnist(dt::Part::test)};
    } catch (const dt::DataError&) {
      std::cout << "MNIST is not there; `./run fetch mnist` downloads it. Here are 8 x 8 digits "
                   "instead.\n";
    }
  }
  dt::Dataset digits = dt::load_digits();
  digits.inputs = dt::eval([](dt::Var x) { return x / 16; }, digits.inputs);
  const dt::Split outer = dt::split(digits, 0.2, dt::Key{0});
  const dt::Split inner = dt::split(outer.train, 0.2, dt::Key{1});
  return {inner.train, inner.test, outer.test, true};
}
// [/data]

// [point]
enum class Rule { sgd, nesterov, adam };
// One training run: what to do, and all that its result depends on beside the data.
struct Point {
  bool convolutional = false;  // nets::conv_net in the place of nets::mnist_mlp
  bool forward = false;        // a forward gradient along one joint normal direction
  Rule rule = Rule::sgd;
  double rate = 0.1;
  double decay = 0;     // the rate at step t is rate e^(-decay t)
  double momentum = 0;  // of nesterov
  double limit = 0;     // directional derivatives are cut off to [-limit, limit]; 0: they are not
  std::int64_t epochs = 1;
};
// [/point]

std::string name_of(const Point& p) {
  const char* rules[] = {"sgd", "nesterov", "adam"};
  std::ostringstream name;
  name << (p.convolutional ? "conv-" : "") << (p.forward ? "forward-" : "backward-")
       << rules[static_cast<int>(p.rule)] << "-rate" << p.rate << "-decay" << p.decay << "-momentum"
       << p.momentum << "-limit" << p.limit << "-epochs" << p.epochs;
  return name.str();
}

dt::nn::Sequential net_for(const Images& images, const Point& point, dt::Key key) {
  if (images.digits)
    return {dt::nn::Linear("fc1", 64, 64, key), dt::relu, dt::nn::Linear("fc2", 64, 64, key),
            dt::relu, dt::nn::Linear("logits", 64, 10, key)};
  return point.convolutional ? dt::nets::conv_net(key) : dt::nets::mnist_mlp(key);
}

// What a point came to.
struct Result {
  Numbers loss, accuracy;  // on validation images, after each epoch
  double test_loss = 0;    // at the end
  double test_accuracy = 0;
  Numbers slopes;      // the directional derivative of each step
  Numbers train_loss;  // mean of every 50 steps
};

// [step]
// A compiled step for batches of one size.
struct Step {
  dt::Graph graph;
  dt::Var x, labels, key, rate, loss, slope;
  std::optional<dt::Program> program;
};

void build(Step& step, const dt::nn::Sequential& net, dt::Optimiser& optimiser, const Point& point,
           const dt::Batch& batch) {
  step.x = step.graph.input("x", batch.inputs.shape());
  step.labels = step.graph.input("labels", batch.labels.shape(), dt::int64);
  step.key = step.graph.input("key", {}, dt::int64);
  step.rate = step.graph.input("rate", {});
  // The published loss: as cross_entropy, but no image costs more than 15.94.
  step.loss = dt::clamped_cross_entropy(net(step.x), step.labels);
  const std::vector<dt::Parameter> weights = net.parameters();
  dt::Gradients gradients;
  step.slope = step.rate;  // for backpropagation, which has none
  if (point.forward) {
    dt::ForwardGradientOptions options;
    if (point.limit > 0) options.slope_limit = point.limit;
    dt::ForwardGradient found =
        dt::forward_gradient(step.loss, {weights.begin(), weights.end()}, step.key, options);
    gradients = found.gradients;
    step.slope = found.slopes[0];
  } else {
    gradients = dt::reverse(step.loss, {weights.begin(), weights.end()});
  }
  step.program.emplace(
      dt::compile({step.loss, step.slope}, optimiser.update(weights, gradients, step.rate)));
}
// [/step]

// Loss and accuracy on all images of a set.
class Judge {
 public:
  explicit Judge(const dt::nn::Sequential& net) : net_(net) {}
  std::pair<double, double> operator()(const dt::Dataset& data) const {
    dt::RunningMean loss, right;
    for (std::int64_t row = 0; row < data.count(); row += 1000) {
      const std::int64_t end = std::min(row + 1000, data.count());
      const dt::Tensor labels = data.labels.rows(row, end);
      const dt::Tensor logits =
          dt::eval([&](dt::Var x) { return net_(x); }, data.inputs.rows(row, end));
      const auto rows = static_cast<double>(end - row);
      loss.add(
          dt::eval([&](dt::Var z) { return dt::clamped_cross_entropy(z, labels); }, logits).item(),
          rows);
      right.add(dt::accuracy(logits, labels), rows);
    }
    return {loss.mean(), right.mean()};
  }

 private:
  const dt::nn::Sequential& net_;
};

std::unique_ptr<dt::Optimiser> optimiser_of(const Point& point) {
  if (point.rule == Rule::adam)
    return std::make_unique<dt::Adam>(
        dt::AdamOptions{.beta1 = point.forward ? 0.99 : 0.9, .epsilon_in_root = true});
  if (point.rule == Rule::nesterov)
    return std::make_unique<dt::Sgd>(
        dt::SgdOptions{.momentum = point.momentum, .nesterov = true, .rate_in_velocity = true});
  return std::make_unique<dt::Sgd>();
}

// [train]
Result train(const Point& point, const Images& images) {
  // All points start alike and see the same batches and directions.
  const dt::nn::Sequential net = net_for(images, point, dt::Key{2});
  const std::unique_ptr<dt::Optimiser> optimiser = optimiser_of(point);
  const dt::Schedule rate = dt::natural_decay(point.rate, point.decay);
  dt::Batches batches(images.train, 64, dt::Key{3});
  std::map<std::int64_t, Step> steps;  // by the rows of a batch: the last one is smaller
  const Judge judge(net);
  Result result;
  dt::RunningMean recent;
  std::int64_t n = 0;
  for (std::int64_t epoch = 0; epoch < point.epochs; ++epoch) {
    for (const dt::Batch& batch : batches.epoch(epoch)) {
      Step& step = steps[batch.count()];
      if (!step.program) build(step, net, *optimiser, point, batch);
      const dt::Key key = dt::Key{4}.fold(static_cast<std::uint64_t>(n));
      const auto out = step.program->run({{step.x, batch.inputs},
                                          {step.labels, batch.labels},
                                          {step.key, key.to_tensor()},
                                          {step.rate, dt::full({}, rate(n))}});
      if (point.forward) result.slopes.push_back(out[step.slope].item());
      recent.add(out[step.loss].item());
      if (++n % 50 == 0) {
        result.train_loss.push_back(recent.mean());
        recent.reset();
      }
    }
    const auto [loss, accuracy] = judge(images.validation);
    result.loss.push_back(loss);
    result.accuracy.push_back(accuracy);
  }
  std::tie(result.test_loss, result.test_accuracy) = judge(images.test);
  return result;
}
// [/train]

// [keep]
// A result as a file, written whole or not at all: lines of a name and numbers.
void save(const std::filesystem::path& path, const Result& result) {
  std::string text;
  const auto line = [&](const std::string& name, const Numbers& values) {
    text += name;
    for (const double value : values) text += " " + csv_number(value);
    text += "\n";
  };
  line("loss", result.loss);
  line("accuracy", result.accuracy);
  line("test", {result.test_loss, result.test_accuracy});
  line("slopes", result.slopes);
  line("train", result.train_loss);
  dt::docs::write_file(path, text);
}

std::optional<Result> load(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return {};
  std::istringstream text(dt::docs::read_file(path));
  std::map<std::string, Numbers> lines;
  for (std::string line; std::getline(text, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    for (double value = 0; words >> value;) lines[name].push_back(value);
  }
  if (lines["test"].size() != 2 || lines["loss"].empty()) return {};  // broken: train anew
  return Result{lines["loss"],    lines["accuracy"], lines["test"][0],
                lines["test"][1], lines["slopes"],   lines["train"]};
}
// [/keep]

// [grid]
// Runs all points on all cores, one thread each. A point whose file is there is not run again, so
// a grid that was stopped goes on where it was.
std::vector<Result> run_all(const std::vector<Point>& points, const Images& images,
                            const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  return dt::docs::over_seeds(0, points.size(), [&] {
    return [&](std::uint64_t i) {
      const std::filesystem::path path = folder / (name_of(points[i]) + ".txt");
      if (const std::optional<Result> done = load(path)) return *done;
      Result result = train(points[i], images);
      save(path, result);
      std::cerr << name_of(points[i]) << ": " << fixed(result.loss.back(), 3) << "\n";
      return result;
    };
  });
}
// [/grid]

// A grid of rates and decays, all else being as in `base`.
struct Grid {
  std::string name, title;
  Point base;
  Numbers rates, decays;
};

std::vector<Point> points_of(const Grid& grid) {
  std::vector<Point> points;
  for (const double rate : grid.rates) {
    for (const double decay : grid.decays) {
      points.push_back(grid.base);
      points.back().rate = rate;
      points.back().decay = decay;
    }
  }
  return points;
}

std::string short_number(double value) {
  std::ostringstream text;
  text.precision(3);
  text << value;
  return text.str();
}

void print_grid(const Grid& grid, const std::vector<Result>& results) {
  std::cout << grid.title << ", " << grid.base.epochs << " epoch"
            << (grid.base.epochs > 1 ? "s" : "") << "\n  rate \\ decay";
  for (const double decay : grid.decays) std::cout << pad_left(short_number(decay), 10);
  std::cout << "\n";
  for (std::size_t row = 0; row < grid.rates.size(); ++row) {
    std::cout << pad_left(short_number(grid.rates[row]), 14);
    for (std::size_t column = 0; column < grid.decays.size(); ++column)
      std::cout << pad_left(fixed(results[row * grid.decays.size() + column].loss.back(), 3), 10);
    std::cout << "\n";
  }
}

// A heat map: colour and number of each cell are the validation loss.
void draw_grid(const dt::docs::Tutorial& t, const Grid& grid, const std::vector<Result>& results) {
  std::string data = "$cells << EOD\n";
  std::string x_tics, y_tics;
  for (std::size_t row = 0; row < grid.rates.size(); ++row) {
    y_tics += (row > 0 ? ", '" : "'") + short_number(grid.rates[row]) + "' " + std::to_string(row);
    for (std::size_t column = 0; column < grid.decays.size(); ++column)
      data += std::to_string(column) + " " + std::to_string(row) + " " +
              csv_number(results[row * grid.decays.size() + column].loss.back()) + "\n";
  }
  for (std::size_t column = 0; column < grid.decays.size(); ++column)
    x_tics += (column > 0 ? ", '" : "'") + short_number(grid.decays[column]) + "' " +
              std::to_string(column);
  const std::string ink = "'" + std::string(dt::docs::ink_colour) + "'";
  const std::string script =
      dt::docs::script_preamble(grid.name, grid.title, 480, 340) + data +
      "EOD\nunset key\nunset grid\nset xlabel 'decay' textcolor rgb " + ink +
      "\nset ylabel 'rate' textcolor rgb " + ink + "\nset xtics (" + x_tics + ")\nset ytics (" +
      y_tics + ")\nset logscale cb\nset palette defined (0 '#56b4e9', 1 '#e69f00')\n" +
      "unset colorbox\n"
      "plot $cells using 1:2:3 with image pixels, "
      "'' using 1:2:(sprintf('%.3f', $3)) with labels textcolor rgb '#000000'\n";
  const std::filesystem::path path = t.out() / (grid.name + ".gp");
  dt::docs::write_file(path, script);
  const dt::docs::GnuplotResult drawn = dt::docs::draw(path, grid.name + ".svg");
  if (!drawn.problem.empty()) std::cerr << "not drawn: " << drawn.problem << "\n";
}

// [runs]
struct Named {
  std::string name;
  Point point;
};

// The published rates; `epochs` of backpropagation, `forward` of the rest.
std::vector<Named> comparison(std::int64_t epochs, std::int64_t forward) {
  return {
      {"backpropagation 0.1", {.rate = 0.1, .epochs = epochs}},
      {"forward 1e-4", {.forward = true, .rate = 1e-4, .epochs = forward}},
      {"forward 2.15e-4", {.forward = true, .rate = 2.15e-4, .epochs = forward}},
      {"forward 4.64e-4", {.forward = true, .rate = 4.64e-4, .decay = 1e-5, .epochs = forward}},
      {"forward 4.64e-4, limit 1",
       {.forward = true, .rate = 4.64e-4, .decay = 1e-5, .limit = 1, .epochs = forward}},
      {"forward 1e-3", {.forward = true, .rate = 1e-3, .epochs = forward}},
      {"forward Nesterov, limit 1",
       {.forward = true,
        .rule = Rule::nesterov,
        .rate = 3.2e-4,
        .decay = 1e-5,
        .momentum = 0.367,
        .limit = 1,
        .epochs = forward}},
      {"forward Adam, limit 1",
       {.forward = true,
        .rule = Rule::adam,
        .rate = 5e-4,
        .decay = 5e-5,
        .limit = 1,
        .epochs = forward}},
  };
}
// [/runs]

// To the published lengths, and with the published runs of the convolutional net.
void lengthen(std::vector<Named>& runs) {
  for (Named& run : runs) {
    if (run.point.limit > 0) run.point.epochs = 50;
    if (run.name == "forward 4.64e-4") run.point.epochs = 13;  // beyond 10 000 steps
  }
  runs.push_back({"conv, backpropagation 0.1", {.convolutional = true, .rate = 0.1, .epochs = 10}});
  runs.push_back(
      {"conv, forward 3.98e-4",
       {.convolutional = true, .forward = true, .rate = 3.98e-4, .decay = 1e-5, .epochs = 10}});
}

struct Plan {
  std::vector<Named> runs;
  std::vector<Grid> grids;
};
Plan plan_of(bool digits, bool published) {
  // Epochs over the digits, which are few, are short.
  const std::int64_t cell = digits ? 5 : published ? 10 : 1;
  Plan plan{digits ? comparison(40, 20) : published ? comparison(10, 10) : comparison(10, 3), {}};
  if (published && !digits) lengthen(plan.runs);
  const Numbers decays = {1e-6, 1e-5, 1e-4};
  plan.grids = {
      {"grid_backward", "backpropagation", {.epochs = cell}, {1e-3, 4.64e-3, 2.15e-2, 0.1}, decays},
      {"grid_forward",
       "forward gradient",
       {.forward = true, .epochs = cell},
       {1e-4, 2.15e-4, 4.64e-4, 1e-3},
       decays}};
  if (published)
    plan.grids.push_back({"grid_wide",
                          "forward gradient, rates from 1e-5 to 1e-3 in even ratios",
                          {.forward = true, .epochs = cell},
                          {1e-5, 2.512e-5, 6.31e-5, 1.585e-4, 3.981e-4, 1e-3},
                          decays});
  return plan;
}

void print_runs(const std::vector<Named>& runs, const std::vector<Result>& results) {
  std::cout << "                            epochs   validation loss   test loss   test accuracy\n";
  for (std::size_t r = 0; r < runs.size(); ++r)
    std::cout << pad_right(runs[r].name, 28) << pad_left(std::to_string(runs[r].point.epochs), 6)
              << pad_left(fixed(results[r].loss.back(), 3), 18)
              << pad_left(fixed(results[r].test_loss, 3), 12)
              << pad_left(fixed(results[r].test_accuracy, 4), 16) << "\n";
}

void print_slopes(const std::vector<Named>& runs, const std::vector<Result>& results) {
  std::cout << "size of the directional derivative     mean   deviation   largest\n";
  for (std::size_t r = 0; r < runs.size(); ++r) {
    Numbers slopes = results[r].slopes;
    if (slopes.empty()) continue;
    slopes.resize(std::min<std::size_t>(slopes.size(), 10000));  // as the study counts them
    double sum = 0, squares = 0, largest = 0;
    for (const double slope : slopes) {
      sum += std::abs(slope);
      squares += slope * slope;
      largest = std::max(largest, std::abs(slope));
    }
    const auto count = static_cast<double>(slopes.size());
    const double mean = sum / count;
    std::cout << pad_right(runs[r].name, 34) << pad_left(fixed(mean, 2), 9)
              << pad_left(fixed(std::sqrt(std::max(0.0, squares / count - mean * mean)), 2), 12)
              << pad_left(fixed(largest, 1), 10) << "\n";
  }
}

void draw_runs(const dt::docs::Tutorial& t, const std::vector<Named>& runs,
               const std::vector<Result>& results) {
  dt::docs::Figure loss("loss", "Training loss");
  loss.labels("step", "training loss, mean of 50 steps").y_range(0, 3);
  // As far as the forward runs go; one that explodes leaves the drawing.
  std::size_t shown = 2;
  for (std::size_t r = 0; r < runs.size(); ++r)
    if (runs[r].point.forward) shown = std::max(shown, results[r].train_loss.size());
  loss.x_range(0, 50.0 * static_cast<double>(shown));
  dt::docs::Figure slopes("slopes", "Directional derivatives");
  slopes.labels("step", "|directional derivative|").log_y().y_range(0.1, 100);
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const dt::docs::Looks looks = {.colour = static_cast<int>(r % 6), .dashed = r >= 6};
    const Numbers& values = results[r].train_loss;
    if (values.size() > 1)
      loss.line(
          runs[r].name,
          dt::docs::linear_steps(50, 50.0 * static_cast<double>(values.size()), values.size()),
          values, looks);
    if (!runs[r].point.forward || runs[r].point.rule != Rule::sgd) continue;
    Numbers means;  // of 50 steps
    for (std::size_t i = 0; i + 50 <= results[r].slopes.size(); i += 50) {
      double sum = 0;
      for (std::size_t k = i; k < i + 50; ++k) sum += std::abs(results[r].slopes[k]);
      means.push_back(sum / 50);
    }
    if (means.size() > 1)
      slopes.line(
          runs[r].name,
          dt::docs::linear_steps(50, 50.0 * static_cast<double>(means.size()), means.size()), means,
          looks);
  }
  t.draw(loss);
  t.draw(slopes);
}

void study(const dt::docs::Tutorial& t, bool published) {
  const Images images = load_images(t.quick());
  const Plan plan = plan_of(images.digits, published);
  const std::filesystem::path folder = t.out() / (images.digits ? "points-digits" : "points");
  std::vector<Point> points;
  for (const Named& run : plan.runs) points.push_back(run.point);
  for (const Grid& grid : plan.grids)
    for (const Point& point : points_of(grid)) points.push_back(point);
  const std::vector<Result> results = run_all(points, images, folder);

  t.section("runs");
  print_runs(plan.runs, results);
  t.section("slopes");
  print_slopes(plan.runs, results);
  std::size_t first = plan.runs.size();
  for (const Grid& grid : plan.grids) {
    const std::size_t count = grid.rates.size() * grid.decays.size();
    const std::vector<Result> cells(results.begin() + static_cast<std::ptrdiff_t>(first),
                                    results.begin() + static_cast<std::ptrdiff_t>(first + count));
    t.section(grid.name);
    print_grid(grid, cells);
    draw_grid(t, grid, cells);
    first += count;
  }
  t.section("verdict");
  const auto say = [](bool right) { return right ? "yes\n" : "NO\n"; };
  double best_forward = 0;
  for (std::size_t r = 0; r < plan.runs.size(); ++r)
    if (plan.runs[r].point.forward) best_forward = std::max(best_forward, results[r].test_accuracy);
  std::cout << "backpropagation classifies at least 85 % of the test images: "
            << say(results[0].test_accuracy >= 0.85)
            << "and more than any forward gradient in this time:             "
            << say(best_forward < results[0].test_accuracy);
  t.aside();
  draw_runs(t, plan.runs, results);
}

}  // namespace

// With --published, runs are as long as the published ones: hours.
int main(int argc, char** argv) {
  std::vector<const char*> words(argv, argv + argc);
  const auto removed = std::erase_if(
      words, [](const char* word) { return std::string_view(word) == "--published"; });
  return dt::docs::run_tutorial(
      static_cast<int>(words.size()), words.data(), "MNIST",
      removed > 0 ? [](const dt::docs::Tutorial& t) { study(t, true); }
                  : [](const dt::docs::Tutorial& t) { study(t, false); });
}
