#include <dualtape/models/callbacks.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <dualtape/data/batches.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/ops/losses.hpp>
#include <tests/errors.hpp>
#include <tests/models/files.hpp>
#include <tests/models/iris.hpp>

using namespace dualtape;

namespace {

// Hears everything, and reports numbers of a list as "quality", one after each epoch.
class Ear : public Callback {
 public:
  explicit Ear(std::vector<double> reports = {}) : reports_(std::move(reports)) {}
  void begin(Trainer&, const StopRules& rules) override {
    heard.push_back("begin " + std::to_string(rules.epochs));
  }
  bool step(Trainer&, const StepInfo& info) override {
    heard.push_back("step " + std::to_string(info.step));
    rates.push_back(info.rate);
    return true;
  }
  bool epoch(Trainer& trainer, const EpochInfo& info) override {
    heard.push_back("epoch " + std::to_string(info.epoch));
    const auto number = static_cast<std::size_t>(info.epoch);
    if (number < reports_.size()) trainer.report("quality", reports_[number]);
    return true;
  }
  bool scalar(Trainer&, const Scalar& scalar) override {
    heard.push_back(scalar.name + " at " + std::to_string(scalar.step));
    values.push_back(scalar.value);
    return true;
  }
  void settled(Trainer&) override { heard.push_back("settled"); }
  void end(Trainer&, const TrainResult& result) override {
    heard.push_back("end " + std::string(name_of(result.stop)));
  }

  std::vector<std::string> heard;
  std::vector<double> values;
  std::vector<double> rates;

 private:
  std::vector<double> reports_;
};

struct Run {
  explicit Run(std::vector<std::shared_ptr<Callback>> callbacks, double rate = 0.1)
      : Run(std::move(callbacks), constant_rate(rate)) {}
  Run(std::vector<std::shared_ptr<Callback>> callbacks, Schedule schedule)
      : trainer(
            [mlp = mlp](Var x, Var y) {
              const Var logits = mlp(x);
              return Objective(cross_entropy(logits, y), logits);
            },
            mlp.parameters(), backpropagation(), sgd,
            {.schedule = std::move(schedule), .callbacks = std::move(callbacks)}) {}

  Mlp mlp{{4, 8, 3}, Key{1}};
  Sgd sgd;
  Dataset data = iris();
  Trainer trainer;
  Batches batches{data, 75, Key{4}};
};

}  // namespace

TEST_CASE("callbacks hear of everything in order") {
  const auto first = std::make_shared<Ear>(std::vector<double>{0.5});
  const auto second = std::make_shared<Ear>();
  Run run({first, second});
  run.trainer.fit(run.batches, {.epochs = 1});
  CHECK(second->heard == std::vector<std::string>{"begin 1", "step 1", "settled", "step 2",
                                                  "settled", "quality at 2", "epoch 0", "settled",
                                                  "end epochs"});
  CHECK(first->heard.size() == second->heard.size());
  run.trainer.report("outside", 3);
  CHECK(second->heard.back() == "outside at 2");
}

TEST_CASE("evaluations come when they are due, with the trainer's own numbers") {
  const auto ear = std::make_shared<Ear>();
  Dataset data = iris();
  Run run({std::make_shared<EvaluateEvery>(
               "test", data.inputs, data.labels,
               EvaluateOptions{.every_epochs = 2, .every_steps = 3, .rows_at_once = 64}),
           ear});
  run.trainer.fit(run.batches, {.epochs = 4});
  std::vector<std::string> numbers;
  for (const std::string& heard : ear->heard)
    if (heard.starts_with("test")) numbers.push_back(heard);
  CHECK(numbers == std::vector<std::string>{"test loss at 3", "test accuracy at 3",
                                            "test loss at 4", "test accuracy at 4",
                                            "test loss at 6", "test accuracy at 6",
                                            "test loss at 8", "test accuracy at 8"});
  const Evaluation last = run.trainer.evaluate(data.inputs, data.labels, 64);
  CHECK(ear->values[6] == last.loss);
  CHECK(ear->values[7] == last.accuracy);
  CHECK_THROWS_AS(EvaluateEvery("x", data.inputs, data.labels, {.every_epochs = 0}), ValueError);
}

TEST_CASE("early stopping bears what it should") {
  const auto epochs = [](std::vector<double> reports, const EarlyStoppingOptions& options) {
    Run run({std::make_shared<Ear>(std::move(reports)),
             std::make_shared<EarlyStopping>("quality", options)});
    const TrainResult result = run.trainer.fit(run.batches, {.epochs = 8});
    CHECK((result.epochs == 8 || result.stop == Stop::callback));
    return result.epochs;
  };
  // As Keras and PyTorch Lightning count: the report that makes `patience` bad ones in a row stops.
  CHECK(epochs({5, 4, 4, 3, 3, 3, 3, 3}, {.patience = 2}) == 6);
  CHECK(epochs({5, 4, 4, 3, 3, 3, 3, 3}, {.patience = 1}) == 3);
  CHECK(epochs({5, 4, 4, 3, 3, 3, 3, 3}, {.patience = 0}) == 3);
  CHECK(epochs({5, 5, 5, 5, 5, 5, 5, 5}, {.patience = 6}) == 7);
  CHECK(epochs({5, 4, 3, 2, 1, 0, -1, -2}, {.patience = 0}) == 8);
  CHECK(epochs({5, 4, 3, 2, 1, 0, -1, -2}, {.patience = 3, .larger_is_better = true}) == 4);
  CHECK(epochs({5, 4.9, 4.8, 4.7, 4, 3.9, 3.8, 3.7}, {.patience = 2, .least_change = 0.5}) == 3);
  CHECK(epochs({5, NAN, NAN, 4, NAN, NAN, NAN, 3}, {.patience = 3}) == 7);
  CHECK_THROWS_AS(EarlyStopping("x", {.patience = -1}), ValueError);
}

TEST_CASE("early stopping gives the best weights back") {
  const auto weights = [](const Run& run) {
    std::vector<Tensor> all;
    for (const Parameter& parameter : run.mlp.parameters()) all.push_back(parameter.value().copy());
    return all;
  };
  const auto same = [](const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
    return std::ranges::equal(a, b,
                              [](const Tensor& x, const Tensor& y) { return identical(x, y); });
  };
  const std::vector<double> reports{3, 1, 2, 2, 2, 9};
  const auto trained = [&](std::int64_t epochs, const EarlyStoppingOptions& options) {
    Run run({std::make_shared<Ear>(reports), std::make_shared<EarlyStopping>("quality", options)});
    run.trainer.fit(run.batches, {.epochs = epochs});
    return weights(run);
  };
  const std::vector<Tensor> best = trained(2, {});
  const std::vector<Tensor> last = trained(5, {.restore_best = false});
  CHECK(!same(best, last));
  CHECK(same(trained(5, {}), best));  // ends by itself
  CHECK(same(trained(8, {.patience = 3}), best));
  CHECK(same(trained(8, {.patience = 3, .restore_best = false}), last));
  // The largest number is the last one, which is within its patience.
  CHECK(same(trained(6, {.patience = 5, .larger_is_better = true}),
             trained(6, {.restore_best = false})));
}

TEST_CASE("after an end with the best weights, training goes on from the last ones") {
  const std::vector<double> reports{3, 1, 2, 2, 2.5, 2};
  const auto make = [&](bool restores) {
    return std::make_unique<Run>(std::vector<std::shared_ptr<Callback>>{
        std::make_shared<Ear>(reports),
        std::make_shared<EarlyStopping>("quality", EarlyStoppingOptions{.restore_best = restores}),
        std::make_shared<Ear>()});
  };
  const auto first_weight = [](const auto& run) { return run->mlp.parameters()[0].value().copy(); };
  const auto plain = make(false);
  plain->trainer.fit(plain->batches, {.epochs = 2});
  const Tensor best = first_weight(plain);
  // The steps' losses are those of one run, however it is cut, and each part ends with the best.
  const auto whole = make(true);
  const double wanted = whole->trainer.fit(whole->batches, {.epochs = 6}).loss;
  CHECK(identical(first_weight(whole), best));
  const auto parts = make(true);
  parts->trainer.fit(parts->batches, {.epochs = 3});
  CHECK(identical(first_weight(parts), best));
  // Through a state as well, which is taken after the end.
  const auto resumed = make(true);
  std::vector<NamedTensor> state = parts->trainer.state();
  for (NamedTensor& named : state) named.tensor = named.tensor.copy();
  CHECK(parts->trainer.fit(parts->batches, {.steps = 6}).loss == wanted);
  CHECK(identical(first_weight(parts), best));
  resumed->trainer.restore(state);
  CHECK(identical(first_weight(resumed), best));
  CHECK(resumed->trainer.fit(resumed->batches, {.until_epoch = 6}).loss == wanted);
  // Weights that were set in between are kept.
  const auto changed = make(true);
  changed->trainer.fit(changed->batches, {.epochs = 3});
  for (Parameter parameter : changed->mlp.parameters()) parameter.set(Tensor(parameter.type()));
  CHECK(changed->trainer.fit(changed->batches, {.steps = 1}).loss ==
        doctest::Approx(std::log(3.0)));
}

TEST_CASE("early stopping gives the best weights back also where the loss is lost with it") {
  Run run({std::make_shared<Ear>(std::vector<double>{1, 2, 2, 2}),
           std::make_shared<EarlyStopping>("quality", EarlyStoppingOptions{.patience = 1})});
  Run best({});
  best.trainer.fit(best.batches, {.epochs = 1});
  run.trainer.fit(run.batches, {.epochs = 4});
  for (std::size_t i = 0; i < 4; ++i)
    CHECK(identical(run.mlp.parameters()[i].value(), best.mlp.parameters()[i].value()));
  // A stop that nothing settles after: end() hears of it.
  EarlyStopping stopping("quality", {.patience = 1});
  Run other({});
  CHECK(stopping.scalar(other.trainer, {"quality", 1, 0, 0}));
  const Tensor start = other.mlp.parameters()[0].value().copy();
  other.trainer.fit(other.batches, {.epochs = 1});
  CHECK(!stopping.scalar(other.trainer, {"quality", NAN, 0, 0}));
  stopping.end(other.trainer, TrainResult{.stop = Stop::not_finite});
  CHECK(identical(other.mlp.parameters()[0].value(), start));
}

TEST_CASE("early stopping remembers the best weights through a checkpoint, and reads older ones") {
  EarlyStopping stopping("quality");
  Run run({});
  CHECK(stopping.scalar(run.trainer, {"quality", 2.5, 1, 0}));
  const Tensor best = run.mlp.parameters()[0].value().copy();
  const Tensor state = stopping.state().copy();
  run.trainer.fit(run.batches, {.epochs = 1});
  EarlyStopping again("quality", {.patience = 1});
  again.restore(state);
  CHECK(!again.scalar(run.trainer, {"quality", 2.5, 2, 0}));
  again.settled(run.trainer);
  CHECK(identical(run.mlp.parameters()[0].value(), best));
  // The form before weights were kept: the best number and the count.
  EarlyStopping older("quality", {.patience = 3});
  older.restore(Tensor::from(std::vector<double>{1.5, 2}, Shape{2}));
  CHECK(!older.scalar(run.trainer, {"quality", 1.5, 2, 0}));
  CHECK_THROWS_AS(older.restore(Tensor::of({1, 2})), ValueError);
  CHECK_THROWS_AS(older.restore(Tensor::of({1, 2, 800, 4})), ValueError);
  CHECK_THROWS_AS(older.restore(Tensor::of({1, -2, 0})), ValueError);
}

TEST_CASE("a scalar's misspelt name is told before the first step, with the one that was meant") {
  const Dataset data = iris();
  const auto refused = [&](const std::string& name, std::vector<std::shared_ptr<Callback>> more) {
    more.push_back(std::make_shared<EvaluateEvery>("val", data.inputs, data.labels));
    more.push_back(std::make_shared<EarlyStopping>(name));
    Run run(std::move(more));
    const int line = __LINE__ + 2;
    try {
      run.trainer.fit(run.batches, {.epochs = 1});
    } catch (const ValueError& error) {
      const std::string text = error.what();
      CHECK(text.find("callbacks_test.cpp:" + std::to_string(line)) != std::string::npos);
      CHECK(text.find("'" + name + "'") != std::string::npos);
      return std::to_string(run.trainer.steps_done()) + " steps" +
             text.substr(text.find("try: ") + 4);
    }
    return std::string("no error");
  };
  CHECK(refused("val loss", {}) == "no error");
  CHECK(refused("val accuracy", {}) == "no error");
  CHECK(refused("val_loss", {}) == "0 steps did you mean 'val loss'?");
  CHECK(refused("Val-Accuracy", {}) == "0 steps did you mean 'val accuracy'?");
  CHECK(refused("val los", {}) == "0 steps did you mean 'val loss'?");
  CHECK(refused("quality", {}) == "0 steps give the callback one of these names");
  CHECK(refused("val mae", {}).starts_with("0 steps"));  // these labels are classes
  // A callback that does not say what it reports may report it.
  const std::vector<double> reports{1};
  CHECK(refused("quality", {std::make_shared<Ear>(reports)}) == "no error");
  CHECK(refused("val_loss", {std::make_shared<Ear>(reports)}) ==
        "0 steps did you mean 'val loss'?");
  CHECK(refused("another", {std::make_shared<Ear>(reports)}).starts_with("2 steps"));
}

TEST_CASE("the result says which callback stopped the run, and why") {
  const auto early =
      std::make_shared<EarlyStopping>("quality", EarlyStoppingOptions{.patience = 2});
  Run run({std::make_shared<Ear>(std::vector<double>{5, 4.25, 4.5, 4.5, 3}), early});
  const TrainResult result = run.trainer.fit(run.batches, {.epochs = 8});
  CHECK(result.stop == Stop::callback);
  CHECK(result.stopped_by == "early stopping by quality: 2 reports without improvement on 4.25");
  // The next fit() is stopped by something else.
  CHECK(run.trainer.fit(run.batches, {.epochs = 1}).stopped_by.empty());

  // One without a name is told by its place; the first that stops is meant.
  struct Stopper : Callback {
    bool step(Trainer&, const StepInfo&) override { return false; }
  };
  Run nameless({std::make_shared<Ear>(), std::make_shared<Stopper>(), std::make_shared<Stopper>()});
  CHECK(nameless.trainer.fit(nameless.batches, {.epochs = 1}).stopped_by == "callback 1");
}

TEST_CASE("a plateau follows the trainer's numbers") {
  const auto plateau =
      std::make_shared<Plateau>(constant_rate(0.4), PlateauOptions{.factor = 0.5, .patience = 0});
  const auto ear = std::make_shared<Ear>(std::vector<double>{3, 3, 2, 2});
  Run run({ear, std::make_shared<ReduceRate>("quality", plateau)}, plateau->schedule());
  run.trainer.fit(run.batches, {.epochs = 5});
  CHECK(ear->rates == std::vector<double>{0.4, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.2, 0.1, 0.1});
}

TEST_CASE("the last and the best checkpoint are on disk") {
  if (!built_with_json()) return;
  const Folder folder;
  const auto last = folder / "last";
  const auto best = folder / "best";
  // Which steps the files are of, looked at after every step and epoch.
  class Look : public Callback {
   public:
    Look(std::filesystem::path a, std::filesystem::path b) : paths{std::move(a), std::move(b)} {}
    void settled(Trainer&) override {
      for (std::size_t i = 0; i < 2; ++i)
        if (std::filesystem::exists(paths[i]))
          steps[i].insert(load_safetensors(paths[i]).metadata[1].second);
    }
    std::filesystem::path paths[2];
    std::set<std::string> steps[2];
  };
  const auto look = std::make_shared<Look>(last, best);
  Run run({std::make_shared<Ear>(std::vector<double>{3, 5, 2, 4, 6}),
           std::make_shared<Checkpoints>(last, CheckpointsOptions{.every_steps = 5}),
           std::make_shared<BestCheckpoint>(best, "quality"), look});
  run.trainer.fit(run.batches, {.steps = 9});
  CHECK(look->steps[0] == std::set<std::string>{"2", "4", "5", "6", "8"});
  CHECK(look->steps[1] == std::set<std::string>{"2", "6"});
  CHECK(load_safetensors(last).metadata[1].second == "9");

  Run again({std::make_shared<BestCheckpoint>(best, "quality")});
  load_checkpoint(last, again.trainer);
  again.trainer.report("quality", 2.5);  // worse than the 2 that the file remembers
  again.trainer.fit(again.batches, {.until_step = 10});
  CHECK(load_safetensors(best).metadata[1].second == "6");
}

TEST_CASE("a run with plateau and early stopping resumes with the same bits") {
  if (!built_with_json()) return;
  const Folder folder;
  const std::vector<double> reports{5, 4, 4.5, 4.5, 3, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5};
  const auto make = [&](std::vector<std::shared_ptr<Callback>> more = {}) {
    const auto plateau =
        std::make_shared<Plateau>(constant_rate(0.4), PlateauOptions{.factor = 0.5, .patience = 1});
    more.push_back(std::make_shared<Ear>(reports));
    more.push_back(std::make_shared<ReduceRate>("quality", plateau));
    more.push_back(std::make_shared<EarlyStopping>("quality", EarlyStoppingOptions{.patience = 4}));
    return std::make_unique<Run>(std::move(more), plateau->schedule());
  };
  const auto whole = make();
  const TrainResult wanted = whole->trainer.fit(whole->batches, {.until_epoch = 11});
  CHECK(wanted.stop == Stop::callback);
  CHECK(wanted.epochs == 9);
  for (std::int64_t cut = 1; cut < wanted.steps; ++cut) {
    CAPTURE(cut);
    const auto first = make({std::make_shared<Checkpoints>(folder / "a")});
    first->trainer.fit(first->batches, {.steps = cut});
    const auto second = make();
    load_checkpoint(folder / "a", second->trainer);
    const TrainResult result = second->trainer.fit(second->batches, {.until_epoch = 11});
    CHECK(result.stop == Stop::callback);
    CHECK(result.steps == wanted.steps - cut);
    const auto a = whole->trainer.state();
    const auto b = second->trainer.state();
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(identical(a[i].tensor, b[i].tensor));
  }
}

TEST_CASE("waiting for a number that nobody reports is an error that lists those reported") {
  const Dataset data = iris();
  const auto test = [&](const EvaluateOptions& options = {}) {
    return std::make_shared<EvaluateEvery>("test", data.inputs, data.labels, options);
  };
  const auto error_of = [&](std::vector<std::shared_ptr<Callback>> callbacks) -> std::string {
    Run run(std::move(callbacks));
    try {
      run.trainer.fit(run.batches, {.epochs = 2});
    } catch (const ValueError& error) {
      CHECK(run.trainer.steps_done() == 0);  // all say what they report
      return error.what();
    }
    return "";
  };
  const auto plateau = std::make_shared<Plateau>(constant_rate(0.1), PlateauOptions{});
  const std::vector<std::shared_ptr<Callback>> all{
      std::make_shared<EarlyStopping>("tset loss"),
      std::make_shared<BestCheckpoint>("unwritten", "tset loss"),
      std::make_shared<ReduceRate>("tset loss", plateau)};
  for (const auto& callback : all) {
    const std::string text = error_of({callback, test()});
    CHECK(text.find("'tset loss'") != std::string::npos);
    CHECK(text.find("'test loss', 'test accuracy'") != std::string::npos);
  }
  // Nobody reports anything.
  for (const auto& callback : all) {
    const std::string text = error_of({callback, std::make_shared<Checkpoints>("unwritten")});
    CHECK(text.find("'tset loss', but nothing reports any number") != std::string::npos);
    CHECK(text.find("add dt::EvaluateEvery") != std::string::npos);
    CHECK(text.find("trainer.report(\"tset loss\", info.loss)") != std::string::npos);
  }
  // No mistakes: the evaluation that is not due yet, and one that may report anything.
  const auto waiting = std::make_shared<EarlyStopping>("test loss");
  CHECK(error_of(
            {waiting, test({.every_epochs = 5}), std::make_shared<Ear>(std::vector<double>{1, 2})})
            .empty());
  CHECK(error_of({waiting, test()}).empty());
  // It was due, and there is no such number.
  CHECK(error_of({std::make_shared<EarlyStopping>("test recall"), test()}).find("test recall") !=
        std::string::npos);
}

TEST_CASE("names that differ by letters of another script are not taken for one, misspelt") {
  class Reports final : public Callback {
   public:
    bool epoch(Trainer& trainer, const EpochInfo&) override {
      trainer.report("\u03bc loss", 1);
      return true;
    }
  };
  const Dataset data = iris();
  Run run({std::make_shared<EarlyStopping>("\u03bc loss"), std::make_shared<Reports>(),
           std::make_shared<EvaluateEvery>("\u03bb", data.inputs, data.labels)});
  CHECK(run.trainer.fit(run.batches, {.epochs = 1}).epochs == 1);
}

TEST_CASE("what callbacks throw names the line of the fit()") {
  if (!built_with_json()) return;
  const Folder folder;
  const auto told = [](Run& run) {
    const std::string text =
        testing::error_of<Error>([&] { run.trainer.fit(run.batches, {.epochs = 1}); });
    CHECK(testing::has(text, "callbacks_test.cpp:"));
    CHECK(!testing::contains(text, "callbacks.cpp:"));
  };
  const auto nowhere = folder / "none" / "a";
  Run last({std::make_shared<Checkpoints>(nowhere)});
  told(last);
  Run by_steps({std::make_shared<Checkpoints>(nowhere, CheckpointsOptions{.every_steps = 1})});
  told(by_steps);
  Run best({std::make_shared<Ear>(std::vector<double>{1}),
            std::make_shared<BestCheckpoint>(nowhere, "quality")});
  told(best);
  // Of another model's run.
  const auto stopping = std::make_shared<EarlyStopping>("quality");
  stopping->restore(Tensor::of({0, 1, 16, 7, 7}));
  Run other({stopping});
  told(other);
}

TEST_CASE("callbacks that make no sense name the line where they are made, or none") {
  const auto told = [](const char* name, const auto& act) {
    const std::string text = testing::error_of<ValueError>(act);
    CHECK(testing::has(text, std::string("[") + name + "] "));
    CHECK(testing::has(text, "callbacks_test.cpp:"));
  };
  const Tensor x = ones({1});
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  told("EvaluateEvery", [&] { EvaluateEvery("t", x, x, {.every_epochs = -1}); });
  told("EvaluateEvery", [&] { EvaluateEvery("t", x, x, {.every_epochs = 0}); });
  told("EvaluateEvery", [&] { EvaluateEvery("t", x, x, {.rows_at_once = 0}); });
  CHECK_NOTHROW(EvaluateEvery("t", x, x, {.every_epochs = most, .every_steps = most}));
  told("EarlyStopping", [] { EarlyStopping("t", {.patience = -1}); });
  told("EarlyStopping", [] { EarlyStopping("t", {.least_change = NAN}); });
  told("EarlyStopping", [] { EarlyStopping(""); });
  told("ReduceRate", [] { ReduceRate("t", nullptr); });
  told("Checkpoints", [] { Checkpoints("t", {.every_steps = -1}); });
  told("BestCheckpoint", [] { BestCheckpoint("t", ""); });
  // One of the standard library's is none of the user's.
  const std::string made =
      testing::error_of<ValueError>([] { std::make_shared<ReduceRate>("t", nullptr); });
  CHECK(!testing::contains(made, "\n  at "));
}
