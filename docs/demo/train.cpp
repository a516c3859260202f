#include "train.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>
#include <ostream>
#include <vector>

#include <dualtape/data/batches.hpp>
#include <dualtape/data/digits.hpp>
#include <dualtape/data/iris.hpp>
#include <dualtape/data/scale.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/models/schedules.hpp>
#include <dualtape/models/trainer.hpp>
#include <dualtape/ops/losses.hpp>

#include "common/files.hpp"
#include "common/text.hpp"
#include "progress.hpp"
#include "report.hpp"

namespace dualtape::demo {
using namespace docs;  // NOLINT(google-build-using-namespace)
namespace {

constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t evaluations = 40;  // of both accuracies, at most, in one training
constexpr std::int64_t cosines = 300;     // the same of the cosine with the true gradient

// Everything the methods have in common.
struct Task {
  Split data;
  std::vector<std::int64_t> sizes;  // of the MLP's layers
  std::int64_t epochs = 0;
  std::int64_t batch = 0;
  std::int64_t steps = 0;  // at most, in one training
  Key key{0};

  Mlp model() const { return {sizes, key.fold("parameters"), {.activation = Activation::relu}}; }
};

Task make_task(const Options& options) {
  Task task;
  task.key = Key(options.seed);
  const bool iris = options.data == DataSet::iris;
  task.data = split(iris ? load_iris() : load_digits(), 0.2, task.key.fold("split"), Stratify::yes);
  const Scaling scaling = Standardise::fit(task.data.train.inputs);
  task.data.train.inputs = scaling.apply(task.data.train.inputs);
  task.data.test.inputs = scaling.apply(task.data.test.inputs);
  task.sizes =
      iris ? std::vector<std::int64_t>{4, 16, 3} : std::vector<std::int64_t>{64, 64, 32, 10};
  task.batch = static_cast<std::int64_t>(options.batch);
  const std::int64_t per_epoch = (task.data.train.count() + task.batch - 1) / task.batch;
  task.epochs = static_cast<std::int64_t>(options.epochs);
  task.steps = task.epochs * per_epoch;
  if (options.steps) {
    const auto steps = static_cast<std::int64_t>(*options.steps);
    task.steps = task.epochs == 0 ? steps : std::min(task.steps, steps);
    task.epochs = (task.steps + per_epoch - 1) / per_epoch;
  }
  return task;
}

GradientMethod gradients_of(const Method& method) {
  if (method.mode == Mode::reverse) return backpropagation();
  return forward_gradients({.perturbation = Perturbation::rademacher,
                            .count = static_cast<std::int64_t>(method.directions)});
}

Schedule schedule_of(const Options& options, double rate, std::int64_t steps) {
  if (options.decay == Decay::none) return constant_rate(rate);
  if (options.decay == Decay::natural) return natural_decay(rate, options.decay_k);
  return cosine_decay(rate, steps);
}

// One way of training, from its start to its row in the table.
class Training {
 public:
  Training(const Options& options, const Task& task, const Method& method)
      : task_(task),
        stop_below_(options.stop_below.value_or(-std::numeric_limits<double>::infinity())),
        model_(task.model()),
        trainer_(
            [this](Var x, Var y) {
              const Var logits = model_(x);
              return Objective(cross_entropy(logits, y).named("loss"), logits);
            },
            model_.parameters(), gradients_of(method), sgd_,
            {.schedule = schedule_of(options, method.lr, task.steps),
             .key = task.key.fold("directions"),
             .cosine_every = std::max<std::int64_t>(1, task.steps / cosines),
             .on_step = [this](const StepInfo& info) { return on_step(info); },
             .on_epoch = [this](const EpochInfo& info) { return on_epoch(info); }}) {
    run_.name = method.name();
    const Mlp start = task.model();
    for (std::size_t i = 0; i < start.parameters().size(); ++i)
      if (!identical(start.parameters()[i].value(), model_.parameters()[i].value()))
        throw ValueError("the methods do not start from equal parameters");
  }
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;

  // The program of a whole batch's step.
  const Program& program() {
    const auto rows = [&](const Tensor& all) {
      const Tensor some = rows_like(all, std::min(task_.batch, all.size(0)));
      return some.type();
    };
    return trainer_.step_program(rows(task_.data.train.inputs), rows(task_.data.train.labels));
  }

  Run run(std::size_t label_width) {
    Progress progress(run_.name, static_cast<std::size_t>(task_.steps), label_width);
    progress_ = &progress;
    Batches batches(task_.data.train, task_.batch, task_.key.fold("batches"));
    const TrainResult result = trainer_.fit(
        batches, {.epochs = task_.epochs, .steps = task_.steps, .loss_below = stop_below_});
    summarise(result);
    progress.update(static_cast<std::size_t>(result.steps), run_.summary.loss,
                    run_.summary.test_accuracy);
    progress.finish();
    return std::move(run_);
  }

 private:
  bool on_step(const StepInfo& info) {
    run_.step.push_back(static_cast<double>(info.step));
    run_.seconds.push_back(info.seconds);
    run_.loss.push_back(info.loss);
    run_.train_accuracy.push_back(not_measured);
    run_.test_accuracy.push_back(not_measured);
    if (std::isfinite(info.cosine)) {
      run_.cosine_step.push_back(static_cast<double>(info.step));
      run_.cosine.push_back(info.cosine);
    }
    progress_->update(static_cast<std::size_t>(info.step), info.loss);
    return true;
  }

  bool on_epoch(const EpochInfo& info) {
    const std::int64_t every = std::max<std::int64_t>(1, task_.epochs / evaluations);
    std::optional<double> accuracy;
    if ((info.epoch + 1) % every == 0) {
      measure();
      accuracy = run_.test_accuracy.back();
    }
    progress_->update(static_cast<std::size_t>(info.step), info.loss, accuracy);
    return true;
  }

  // Both accuracies of the present parameters; returns the loss on all training rows.
  double measure() {
    const Evaluation train = evaluate(task_.data.train);
    run_.train_accuracy.back() = train.accuracy;
    run_.test_accuracy.back() = evaluate(task_.data.test).accuracy;
    return train.loss;
  }

  Evaluation evaluate(const Dataset& data) { return trainer_.evaluate(data.inputs, data.labels); }

  void summarise(const TrainResult& result) {
    Summary& summary = run_.summary;
    summary.method = run_.name;
    summary.steps = static_cast<std::size_t>(result.steps);
    summary.seconds = result.seconds;
    summary.ms_per_step = 1e3 * result.seconds / static_cast<double>(result.steps);
    if (result.stop == Stop::not_finite) return;  // the loss stays NaN
    summary.loss = measure();
    summary.train_accuracy = run_.train_accuracy.back();
    summary.test_accuracy = run_.test_accuracy.back();
    const auto rows = static_cast<double>(task_.data.test.count());
    summary.misclassified = std::round((1 - summary.test_accuracy) * rows);
  }

  const Task& task_;
  double stop_below_;
  Mlp model_;
  Sgd sgd_;
  Run run_;
  Progress* progress_ = nullptr;
  Trainer trainer_;
};

// "mlp.dot", or "mlp-forward-1-direction.dot" where there are several.
std::filesystem::path drawing_path(const Options& options, const Method& method) {
  std::filesystem::path path = *options.graph;
  if (options.methods.size() == 1) return path;
  return path.parent_path() /
         (path.stem().string() + "-" + slug(method.name()) + path.extension().string());
}

std::string join(const std::vector<std::int64_t>& sizes) {
  std::string text;
  for (const std::int64_t size : sizes) text += (text.empty() ? "" : "-") + std::to_string(size);
  return text;
}

std::string decay_text(const Options& options) {
  if (options.decay == Decay::none) return "stays";
  if (options.decay == Decay::natural)
    return "falls from its first value by e^(-" + csv_number(options.decay_k) + " step)";
  return "falls from its first value to 0 along half a cosine";
}

ReportInfo describe(const Options& options, const std::string& version, const Task& task) {
  ReportInfo info;
  const std::string data = options.data == DataSet::iris
                               ? "Iris, 150 flowers with 4 measures"
                               : "Handwritten digits, 1797 images of 8 x 8 pixels";
  info.title = "Backpropagation and forward gradients on " +
               std::string(options.data == DataSet::iris ? "Iris" : "handwritten digits");
  info.command = options.command();
  info.seed = options.seed;
  info.version = version;
  info.data = data + ": " + std::to_string(task.data.train.count()) + " to train on, " +
              std::to_string(task.data.test.count()) +
              " to test with, split by class; each input scaled to mean 0 and deviation 1.";
  info.model = "Multilayer perceptron " + join(task.sizes) + " with relu, " +
               std::to_string(task.model().parameter_count()) +
               " parameters in float32, the same bits at the start of every training.";
  std::string rates;
  for (const Method& method : options.methods)
    rates += (rates.empty() ? "" : ", ") + method.name() + " " + csv_number(method.lr);
  info.notes = {
      "Plain stochastic gradient descent, at most " + std::to_string(task.epochs) + " epochs or " +
          std::to_string(task.steps) + " steps with batches of " + std::to_string(task.batch) +
          "; the learning rate " + decay_text(options) + ". First values: " + rates + ".",
      "Seconds are those spent in training steps; measuring accuracies and cosines is not counted. "
      "Loss and accuracies in the table are of the final parameters, on all rows."};
  return info;
}

}  // namespace

void run_demo(const Options& options, const std::string& version, std::ostream& out) {
  const Task task = make_task(options);
  prepare_folder(options.out);
  write_file(std::filesystem::path(options.out) / "config.toml", options.config());
  if (options.graph) {
    for (const Method& method : options.methods) {
      const std::filesystem::path path = drawing_path(options, method);
      write_file(path, Training(options, task, method).program().to_dot());
      out << "Graph of " << method.name() << ": " << path.string() << "\n";
    }
  }
  ReportInfo info = describe(options, version, task);
  out << info.model << "\n" << info.data << "\n" << std::flush;

  std::size_t width = 0;
  for (const Method& method : options.methods) width = std::max(width, method.name().size());
  std::vector<Run> runs;
  std::vector<Summary> rows;
  std::string bytes;
  for (const Method& method : options.methods) {
    Training training(options, task, method);
    const auto peak = static_cast<double>(training.program().memory().peak_activation_bytes);
    bytes += (bytes.empty() ? "" : ", ") + method.name() + " " + fixed(peak / 1024, 1) + " KiB";
    runs.push_back(training.run(width));
    rows.push_back(runs.back().summary);
  }
  info.notes.push_back(
      "Most bytes of activations and their derivatives alive at one time in a step: " + bytes +
      ".");
  out << "\n" << text_table(rows) << "\n";
  write_file(std::filesystem::path(options.out) / "summary.csv", summary_csv(rows));
  const ReportResult report = write_report(options.out, info, runs);
  if (!report.message().empty()) out << report.message() << "\n";
  out << "Report: " << report.page.string() << "\n";
}

}  // namespace dualtape::demo
