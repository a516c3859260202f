// Tutorial 10: your own data and your own layer. From files to a Dataset, batches made ahead,
// layers as plain structs, and a training that is watched, stopped, resumed and traced.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dualtape/dualtape.hpp>

#include "common/files.hpp"
#include "common/text.hpp"
#include "common/tutorial.hpp"

namespace dt = dualtape;
namespace fs = std::filesystem;
namespace nn = dualtape::nn;
using dt::docs::fixed;
using dt::docs::pad_left;
using dt::docs::pad_right;

namespace {

// Pages show the file's name, not the folder it happens to lie in.
std::string without_folder(std::string text, const fs::path& folder) {
  const std::string prefix = (folder / "").string();
  for (std::size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix, at))
    text.erase(at, prefix.size());
  return text;
}

template <class Attempt>
void show_error(const fs::path& folder, Attempt attempt) {
  try {
    attempt();
    std::cout << "no error\n";
  } catch (const dt::Error& error) {
    std::cout << without_folder(error.what(), folder) << "\n";
  }
}

// For what optional libraries do: where one is missing, its error is shown and the tour goes on.
template <class Part>
void optional_part(const dt::docs::Tutorial& t, const char* what, Part part) {
  try {
    part();
  } catch (const dt::DataError& error) {
    t.aside();
    std::cout << what << " is left out: " << error.what() << "\n";
  }
}

// [table]
const char* const pears_csv =
    "variety,weight (g),length (mm),picked by\n"
    "conference,165,104,Ada\n"
    "williams,182,96,\"Kay, Alan\"\n"
    "conference,171,NA,Ada\n"
    "williams,190,98,Grace\n"
    "conference,158,101,Grace\n";

dt::Dataset read_pears(const fs::path& path) {
  const dt::Table all = dt::read_csv(path);
  const std::array features = {all.column("weight (g)"), all.column("length (mm)")};
  const dt::Table table = all.without_missing(features);
  dt::Dataset pears;
  pears.name = "pears";
  pears.feature_names = {"weight", "length"};
  pears.inputs = table.numbers(features);                                     // (rows, 2) float32
  pears.labels = table.categories(all.column("variety"), pears.class_names);  // (rows,) int64
  return pears;
}
// [/table]

void show_table(const dt::docs::Tutorial& t) {
  const fs::path path = t.out() / "pears.csv";
  dt::docs::write_file(path, pears_csv);
  t.section("table");
  const dt::Dataset pears = read_pears(path);
  std::cout << pears.count() << " pears\ninputs  " << to_string(pears.inputs.type()) << "\n"
            << pears.inputs << "\nlabels  " << pears.labels << "\nclasses";
  for (const std::string& name : pears.class_names) std::cout << " " << name;
  std::cout << "\n";
  t.aside();
}

void show_broken(const dt::docs::Tutorial& t) {
  const fs::path path = t.out() / "broken.csv";
  t.section("broken");
  for (const char* row :
       {"conference,about 160,101,Grace\n", "conference,160,101\n", "williams,160,1\"01,Ada\n"}) {
    dt::docs::write_file(path, std::string(pears_csv) + row);
    show_error(t.out(), [&] { read_pears(path); });
  }
  show_error(t.out(), [&] { dt::read_csv(t.out() / "pears.csv").column("weight"); });
  t.aside();

  // [cut-idx]
  const fs::path images = t.out() / "cut-images";
  // Says it holds three images of 28 x 28 bytes, and ends after the first two bytes of them.
  std::string bytes = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 28, 0, 0, 0, 28, 1, 2};
  dt::docs::write_file(images, bytes);
  // [/cut-idx]
  t.section("broken-idx");
  show_error(t.out(), [&] { dt::load_idx(images); });
  t.aside();
}

void show_npz(const dt::docs::Tutorial& t) {
  const fs::path path = t.out() / "pears.npz";
  optional_part(t, "npz", [&] {
    const dt::Dataset pears = read_pears(t.out() / "pears.csv");
    dt::save_npz(path, std::vector<dt::NamedTensor>{{"x", pears.inputs}, {"y", pears.labels}});
    t.section("npz");
    // [npz]
    for (const dt::NamedTensor& array : dt::load_npz(path))  // written by np.savez, say
      std::cout << array.name << " " << to_string(array.tensor.type()) << "\n";
    // [/npz]
    show_error(t.out(), [&] { dt::load_npz(path, "labels"); });
    t.aside();
  });
}

// [digits]
struct Digits {
  dt::Dataset train, test;
  dt::Augmentation augmentation;  // of the training images
};

Digits load() {
  dt::Dataset all = dt::load_digits();
  all.inputs = all.inputs.reshape({all.count(), 1, 8, 8});
  auto [train, test] = dt::split(all, 0.2, dt::Key{1}, dt::Stratify::yes);
  // Mean and deviation of the images that are trained on, for the others as well.
  const double mean = dt::eval([](dt::Var x) { return dt::mean(x); }, train.inputs).item();
  const double square =
      dt::eval([](dt::Var x) { return dt::mean(dt::square(x)); }, train.inputs).item();
  const dt::Augmentation normalise = {
      .mean = {static_cast<float>(mean)},
      .deviation = {static_cast<float>(std::sqrt(square - mean * mean))}};
  test.inputs = dt::augment(test.inputs, normalise, dt::Key{0});
  dt::Augmentation augmentation = normalise;
  augmentation.crop_padding = 1;
  return {train, test, augmentation};
}
// [/digits]

// One image of (n, 1, 8, 8) as eight lines of characters, darker for larger.
std::vector<std::string> drawn(const dt::Tensor& images, std::size_t n, double mean, double scale) {
  std::vector<std::string> lines(8);
  const auto pixels = images.data<float>().subspan(64 * n, 64);
  for (std::size_t i = 0; i < 64; ++i) {
    const double value = static_cast<double>(pixels[i]) * scale + mean;  // 0 to 16
    lines[i / 8] += std::string(2, " .:-=+*#@"[static_cast<std::size_t>(value / 2 + 0.25)]);
  }
  return lines;
}

void show_batches(const dt::docs::Tutorial& t, const Digits& digits) {
  const double mean = static_cast<double>(digits.augmentation.mean[0]);
  const double scale = static_cast<double>(digits.augmentation.deviation[0]);
  std::vector<std::vector<std::string>> pictures = {drawn(digits.train.inputs, 2, 0, 1)};
  // [loader]
  dt::Loader loader(digits.train, 64, dt::Key{2},
                    {.ahead = 4, .shuffle = false, .augmentation = digits.augmentation});
  for (std::int64_t epoch = 0; epoch < 3; ++epoch)
    for (const dt::Batch& batch : loader.epoch(epoch))
      if (batch.index == 0) pictures.push_back(drawn(batch.inputs, 2, mean, scale));
  // [/loader]
  t.section("batches");
  std::cout << loader.per_epoch() << " batches an epoch\n\n"
            << pad_right("  as it is", 22) << pad_right("  epoch 0", 22)
            << pad_right("  epoch 1", 22) << "  epoch 2\n";
  for (std::size_t line = 0; line < 8; ++line) {
    std::string row;
    for (const auto& picture : pictures) row += "|" + picture[line] + "|    ";
    std::cout << row.substr(0, row.size() - 4) << "\n";
  }
  t.section("ahead");
  // [ahead]
  dt::Loader one(digits.train, 64, dt::Key{2}, {.ahead = 1, .augmentation = digits.augmentation});
  dt::Loader eight(digits.train, 64, dt::Key{2}, {.ahead = 8, .augmentation = digits.augmentation});
  bool same = true;
  auto other = eight.epoch(5).begin();
  for (const dt::Batch& batch : one.epoch(5)) {
    same = same && dt::identical(batch.inputs, other->inputs);
    ++other;
  }
  std::cout << "one batch ahead or eight: " << (same ? "equal bits" : "NOT EQUAL") << "\n";
  // [/ahead]
  t.aside();
}

// [squeeze]
// Weighs each channel by a number from 0 to 1 that depends on the means of all of them (Hu, Shen
// and Sun, "Squeeze-and-Excitation Networks", CVPR 2018). (N, C, H, W) to the same.
struct Squeeze {
  std::int64_t channels;
  nn::Linear down, up;

  Squeeze(const std::string& name, std::int64_t c, std::int64_t inner, dt::Key key,
          dt::DType dtype = dt::float32)
      : channels(c),
        down(name + ".down", c, inner, key, {.dtype = dtype}),
        up(name + ".up", inner, c, key, {.dtype = dtype}) {}

  dt::Var operator()(dt::Var x) const {
    const dt::Var means = dt::mean(x, {2, 3});  // (N, C)
    const dt::Var weights = dt::sigmoid(up(dt::relu(down(means))));
    return x * dt::reshape(weights, {-1, channels, 1, 1});
  }
  std::vector<dt::Parameter> parameters() const { return nn::parameters_of(down, up); }
};
// [/squeeze]

// [noise]
// Adds noise in training, and nothing otherwise.
struct Noise {
  double deviation;

  dt::Var operator()(dt::Var x, nn::Context& context) const {
    if (!context.training) return x;
    return x + dt::random_normal(context.next_key(), x.shape(), 0, deviation);
  }
};
// [/noise]

// [net]
nn::Sequential digit_net(dt::Key key) {
  return {Noise{0.1},
          nn::Conv2d("conv1", 1, 8, 3, key, {.padding = 1}),
          dt::relu,
          nn::Conv2d("conv2", 8, 16, 3, key, {.padding = 1}),
          Squeeze("squeeze", 16, 4, key),
          dt::relu,
          nn::MaxPool2d(2),
          nn::Flatten(),
          nn::Linear("logits", 256, 10, key)};
}
// [/net]

void show_layers(const dt::docs::Tutorial& t, const Digits& digits) {
  t.section("layers");
  const nn::Sequential net = digit_net(dt::Key{1});
  for (const dt::Parameter& p : net.parameters())
    std::cout << pad_right(p.name(), 22) << p.shape() << "\n";
  std::cout << net.parameter_count() << " numbers\n";
  t.aside();

  t.section("check-layer");
  // [check-layer]
  const Squeeze layer("squeeze", 3, 2, dt::Key{1}, dt::float64);
  dt::require(
      dt::check_gradients([&](std::span<const dt::Var> in) { return std::vector{layer(in[0])}; },
                          {{dt::Shape{2, 3, 4, 4}}}));
  std::cout << "both modes agree with differences\n";
  // [/check-layer]
  t.aside();

  t.section("noise");
  // [contexts]
  dt::Graph graph;
  const dt::Var x = graph.input("x", {64, 1, 8, 8});
  const dt::Var key = graph.input("key", {}, dt::int64);
  nn::Context training{.training = true, .key = key};
  const dt::Var noisy = net(x, training);
  const dt::Var plain = net.evaluate(x);
  auto program = dt::compile({noisy, plain});
  // [/contexts]
  dt::Batches batches(digits.test, 64);
  const dt::Tensor images = (*batches.begin()).inputs;
  const auto run = [&](std::uint64_t n) {
    const auto out = program.run({{x, images}, {key, dt::Key{n}.to_tensor()}});
    return std::pair{out[noisy].copy(), out[plain].copy()};
  };
  const auto a = run(1), again = run(1), b = run(2);
  const auto tell = [](bool same) { return same ? "the same\n" : "not the same\n"; };
  std::cout << "in training, another key: " << tell(dt::identical(a.first, b.first))
            << "in training, equal keys:  " << tell(dt::identical(a.first, again.first))
            << "in evaluation:            " << tell(dt::identical(a.second, b.second));
  t.aside();

  t.section("misfit");
  // [misfit]
  show_error(t.out(), [&] {
    dt::Graph flat;
    net.evaluate(flat.input("digits", {64, 64}));
  });
  // [/misfit]
  // [same-name]
  show_error(t.out(), [&] {
    nn::Sequential{nn::Linear("hidden", 8, 8, dt::Key{1}), dt::relu,
                   nn::Linear("hidden", 8, 8, dt::Key{1})};
  });
  // [/same-name]
  t.aside();
}

// [curve]
// Keeps what the trainer reports by name.
struct Curves : dt::Callback {
  std::map<std::string, std::vector<double>> by_name;

  bool epoch(dt::Trainer&, const dt::EpochInfo& info) override {
    by_name["training loss"].push_back(info.loss);
    return true;  // false would stop
  }
  bool scalar(dt::Trainer&, const dt::Scalar& scalar) override {
    by_name[scalar.name].push_back(scalar.value);
    return true;
  }
};
// [/curve]

// [study]
using Callbacks = std::vector<std::shared_ptr<dt::Callback>>;

// A net and what trains it.
struct Study {
  Study(dt::Key start, const dt::GradientMethod& method, double rate, const Callbacks& callbacks)
      : net(digit_net(start)),
        trainer(
            [this](dt::Var x, dt::Var labels, nn::Context& context) {
              const dt::Var logits = net(x, context);
              return dt::Objective{dt::cross_entropy(logits, labels), logits};
            },
            net.parameters(), method, adam,
            {.schedule = dt::constant_rate(rate), .key = dt::Key{3}, .callbacks = callbacks}) {}
  Study(const Study&) = delete;

  nn::Sequential net;
  dt::Adam adam;
  dt::Trainer trainer;
};

dt::Loader batches_of(const Digits& digits) {
  return {digits.train, 64, dt::Key{2}, {.augmentation = digits.augmentation}};
}
// [/study]

struct Run {
  std::string name;
  dt::TrainResult result;
  std::shared_ptr<Curves> curves;
};

// [watch]
Run watch(const std::string& name, const dt::GradientMethod& method, double rate,
          const Digits& digits, std::int64_t epochs) {
  auto curves = std::make_shared<Curves>();
  Study study(
      dt::Key{1}, method, rate,
      {std::make_shared<dt::EvaluateEvery>("test", digits.test.inputs, digits.test.labels),
       std::make_shared<dt::EarlyStopping>("test loss", dt::EarlyStoppingOptions{.patience = 9}),
       std::make_shared<dt::ProgressBar>(), curves});
  dt::Loader batches = batches_of(digits);
  const dt::TrainResult result = study.trainer.fit(batches, {.epochs = epochs});
  return {name, result, curves};
}
// [/watch]

void show_training(const dt::docs::Tutorial& t, const Digits& digits) {
  const auto epochs = t.choose<std::int64_t>(100, 3);
  const std::vector<Run> runs = {
      watch("backpropagation", dt::backpropagation(), 0.003, digits, epochs),
      watch("forward gradients", dt::forward_gradients({.count = 8}), 0.003, digits, epochs)};

  t.section("training");
  std::cout << "                     epochs  stopped by   test loss  best  accuracy\n";
  for (const Run& run : runs) {
    const std::vector<double>& loss = run.curves->by_name.at("test loss");
    std::cout << pad_right(run.name, 21) << pad_left(std::to_string(run.result.epochs), 6) << "  "
              << pad_right(dt::name_of(run.result.stop), 11) << pad_left(fixed(loss.back(), 3), 11)
              << pad_left(fixed(*std::ranges::min_element(loss), 3), 7)
              << pad_left(fixed(run.curves->by_name.at("test accuracy").back(), 3), 9) << "\n";
  }
  t.section("verdict");
  for (const Run& run : runs) {
    const std::vector<double>& loss = run.curves->by_name.at("test loss");
    std::cout << pad_right(run.name, 18)
              << "learns: " << (loss.back() < loss.front() ? "yes" : "NO") << "\n";
  }
  t.aside();
  std::cout << "milliseconds a step:";
  for (const Run& run : runs)
    std::cout << "  " << run.name << " "
              << fixed(1e3 * run.result.seconds / static_cast<double>(run.result.steps), 2);
  std::cout << "\n";

  dt::docs::Figure figure("loss", "Losses on the digits");
  figure.labels("epoch", "loss").log_y().y_range(0.03, 3);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto& by_name = runs[i].curves->by_name;
    const std::vector<double>& test = by_name.at("test loss");
    const std::vector<double>& train = by_name.at("training loss");
    const auto upto = [](const std::vector<double>& y) {
      return dt::docs::linear_steps(1, static_cast<double>(y.size()), y.size());
    };
    const int colour = static_cast<int>(i);
    figure.line(runs[i].name + ", test", upto(test), test, {.colour = colour});
    figure.line(runs[i].name + ", training", upto(train), train,
                {.colour = colour, .dashed = true});
  }
  t.draw(figure);
}

void show_log(const dt::docs::Tutorial& t, const Digits& digits) {
  const fs::path path = t.out() / "log.jsonl";
  fs::remove(path);  // the log appends
  optional_part(t, "the log", [&] {
    // [log]
    Study study(
        dt::Key{1}, dt::backpropagation(), 0.003,
        {std::make_shared<dt::JsonLog>(path),
         std::make_shared<dt::EvaluateEvery>("test", digits.test.inputs, digits.test.labels)});
    dt::Loader batches = batches_of(digits);
    study.trainer.fit(batches, {.epochs = 2});
    // [/log]
    std::map<std::string, int> events;
    std::vector<std::string> lines;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line); lines.push_back(line))
      ++events[line.substr(0, line.find(','))];
    t.section("log");
    for (const auto& [event, count] : events) std::cout << event << ",...  " << count << "\n";
    t.aside();
    for (std::size_t i = 0; i < 3; ++i) std::cout << lines[i] << "\n";
  });
}

void show_resume(const dt::docs::Tutorial& t, const Digits& digits) {
  const fs::path path = t.out() / "last.safetensors";
  fs::remove(path);
  optional_part(t, "resuming", [&] {
    // [resume]
    dt::Loader batches = batches_of(digits);
    Study whole(dt::Key{1}, dt::backpropagation(), 0.003, {});
    const double loss = whole.trainer.fit(batches, {.until_epoch = 3}).loss;

    Study first(dt::Key{1}, dt::backpropagation(), 0.003,
                {std::make_shared<dt::Checkpoints>(path)});
    first.trainer.fit(batches, {.steps = 40});  // stopped within the second epoch

    Study second(dt::Key{77}, dt::backpropagation(), 0.003, {});  // another start
    const bool found = dt::resume(path, second.trainer);
    const std::int64_t steps = second.trainer.steps_done();
    const double resumed = second.trainer.fit(batches, {.until_epoch = 3}).loss;
    // [/resume]
    bool same = true;
    for (std::size_t i = 0; i < whole.trainer.parameters().size(); ++i)
      same = same && dt::identical(whole.trainer.parameters()[i].value(),
                                   second.trainer.parameters()[i].value());
    t.section("resume");
    std::cout << "found a checkpoint: " << (found ? "yes" : "NO") << ", of step " << steps << " of "
              << 3 * batches.per_epoch() << "\n"
              << "equal losses:       " << (loss == resumed ? "yes" : "NO") << "\n"
              << "equal parameters:   " << (same ? "yes" : "NO") << "\n";
    t.aside();
    std::cout << "loss " << loss << " and " << resumed << "\n";
  });
}

// [log-layer]
// A layer with a mistake: many pixels are 0, and log 0 is -inf.
struct Logarithm {
  dt::Var operator()(dt::Var x) const { return dt::log(x).named("brightness"); }
};
// [/log-layer]

void show_not_finite(const dt::docs::Tutorial& t, const Digits& digits) {
  t.section("not-finite");
  // [not-finite]
  const nn::Sequential net{Logarithm{}, nn::Flatten(), nn::Linear("logits", 64, 10, dt::Key{1})};
  dt::Adam adam;
  dt::Trainer trainer([&](dt::Var x, dt::Var labels) { return dt::cross_entropy(net(x), labels); },
                      net.parameters(), dt::backpropagation(), adam, {.trace_not_finite = true});
  dt::Batches batches(digits.train, 64, dt::Key{2});
  const dt::TrainResult result = trainer.fit(batches, {.epochs = 10});
  std::cout << "stopped by " << dt::name_of(result.stop) << " after " << result.steps << " steps\n"
            << result.fault << "\n";
  // [/not-finite]
  t.aside();
}

void body(const dt::docs::Tutorial& t) {
  show_table(t);
  show_broken(t);
  show_npz(t);
  const Digits digits = load();
  show_batches(t, digits);
  show_layers(t, digits);
  show_training(t, digits);
  show_log(t, digits);
  show_resume(t, digits);
  show_not_finite(t, digits);
}

}  // namespace

int main(int argc, char** argv) {
  return dt::docs::run_tutorial(argc, argv, "Your own data and layers", body);
}
