// What a Trainer makes of mistakes and of errors in its midst.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/data/batches.hpp>
#include <dualtape/models/callbacks.hpp>
#include <dualtape/models/clipping.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/models/nets.hpp>
#include <dualtape/models/normalise.hpp>
#include <dualtape/models/synthetic_gradients.hpp>
#include <dualtape/models/trainer.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <tests/errors.hpp>
#include <tests/models/iris.hpp>

using namespace dualtape;
using testing::error_of;
using testing::has;

namespace {

constexpr const char* here = "trainer_errors_test.cpp:";

struct Net {
  explicit Net(TrainerOptions options = {}, GradientMethod method = backpropagation())
      : trainer(objective(), mlp.parameters(), std::move(method), adam, std::move(options)) {}
  ObjectiveFunction objective() const {
    return [mlp = mlp](Var x, Var y) {
      const Var logits = mlp(x);
      return Objective(cross_entropy(logits, y), logits);
    };
  }
  std::vector<Tensor> weights() const {
    std::vector<Tensor> all;
    for (const Parameter& parameter : mlp.parameters()) all.push_back(parameter.value().copy());
    return all;
  }

  Mlp mlp{{4, 8, 3}, Key{1}};
  Adam adam = Adam();
  Dataset data = iris();
  Trainer trainer;
  Batches batches{data, 30, Key{4}};
};

// Throws once, as a checkpoint does whose disk is full.
struct FullDisk : Callback {
  explicit FullDisk(std::int64_t step) : at(step) {}
  bool step(Trainer&, const StepInfo& info) override {
    steps.push_back(info.step);
    epochs.push_back(info.epoch);
    return true;
  }
  void settled(Trainer& trainer) override {
    if (trainer.steps_done() == at && !std::exchange(thrown, true))
      throw std::runtime_error("no space left on device");
  }
  std::int64_t at;
  bool thrown = false;
  std::vector<std::int64_t> steps = {};
  std::vector<std::int64_t> epochs = {};
};

}  // namespace

TEST_CASE("after an error that was caught, fit() goes on in the epoch's midst") {
  Net whole;
  whole.trainer.fit(whole.batches, {.epochs = 3});
  for (std::int64_t at = 1; at <= 15; ++at) {
    CAPTURE(at);
    const auto disk = std::make_shared<FullDisk>(at);
    Net net({.callbacks = {disk}});
    CHECK_THROWS_AS(net.trainer.fit(net.batches, {.epochs = 3}), std::runtime_error);
    CHECK(net.trainer.steps_done() == at);
    net.trainer.fit(net.batches, {.until_epoch = 3});
    CHECK(net.trainer.steps_done() == 15);
    for (std::size_t i = 0; i < disk->steps.size(); ++i) {
      CHECK(disk->steps[i] == static_cast<std::int64_t>(i) + 1);
      CHECK(disk->epochs[i] == static_cast<std::int64_t>(i) / 5);
    }
    const std::vector<Tensor> found = net.weights();
    const std::vector<Tensor> wanted = whole.weights();
    for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(identical(found[i], wanted[i]));
  }
}

TEST_CASE("other batches after an error begin an epoch of their own") {
  Net net({.callbacks = {std::make_shared<FullDisk>(2)}});
  CHECK_THROWS_AS(net.trainer.fit(net.batches, {.epochs = 1}), std::runtime_error);
  Batches others(net.data, 50, Key{4});
  CHECK(net.trainer.fit(others, {.epochs = 1}).steps == 3);
  CHECK(net.trainer.epochs_begun() == 2);
}

TEST_CASE("a gradient method that returns another shape trains nothing") {
  const auto changed = [](const auto& change) -> GradientMethod {
    return [change](Var loss, const std::vector<Wrt>& parameters, Var) {
      const Gradients exact = reverse(loss, parameters);
      Gradients result;
      for (std::size_t i = 0; i < parameters.size(); ++i)
        result.add(parameters[i], parameters[i].in(loss.graph(), "test", {}),
                   change(exact.all()[i]));
      return result;
    };
  };
  const auto refused = [](const GradientMethod& method) {
    Net net({}, method);
    const std::vector<Tensor> before = net.weights();
    const std::string text = error_of<Error>([&] { net.trainer.fit(net.batches, {.epochs = 1}); });
    const std::vector<Tensor> after = net.weights();
    for (std::size_t i = 0; i < before.size(); ++i) CHECK(identical(after[i], before[i]));
    CHECK(has(text, here));
    return text;
  };
  CHECK(has(refused(changed([](Var g) { return sum(g); })), "layer1.weight"));
  CHECK(has(refused(changed([](Var g) { return sum(g, {0}, true); })), "layer1.weight"));
  CHECK(has(refused(changed([](Var g) { return cast(g, float64); })), "float64"));
  CHECK(has(refused(changed([](Var) { return Var(); })), "empty Var"));
}

TEST_CASE("a fit() names its own line, whatever callbacks called meanwhile") {
  struct Curious : Callback {
    bool step(Trainer& trainer, const StepInfo&) override { return !trainer.parameters().empty(); }
  };
  int built = 0;
  const GradientMethod late = [&](Var loss, const std::vector<Wrt>& parameters, Var) {
    const Gradients exact = reverse(loss, parameters);
    if (++built == 1) return exact;
    return Gradients();
  };
  Net net({.callbacks = {std::make_shared<Curious>()}}, late);
  Batches uneven(net.data, 100, Key{4});  // of 100 and 50 rows: two programs
  const int line = __LINE__ + 1;
  const std::string text = error_of<Error>([&] { net.trainer.fit(uneven, {.epochs = 1}); });
  CHECK(has(text, here + std::to_string(line)));
}

TEST_CASE("null functions and callbacks are refused when the trainer is made") {
  const auto refused = [](TrainerOptions options) {
    return error_of<ValueError>([&] { Net net(std::move(options)); });
  };
  CHECK(has(refused({.callbacks = {nullptr}}), "callback 0"));
  CHECK(has(refused({.schedule = {}}), "empty function"));
  CHECK(has(refused({.metrics = {{"top 5", nullptr}}}), "top 5"));
  Net net;
  const auto made = [&](ObjectiveFunction objective, GradientMethod method) {
    const std::string text = error_of<ValueError>([&] {
      Trainer trainer(std::move(objective), net.mlp.parameters(), std::move(method), net.adam);
    });
    CHECK(has(text, here));
  };
  made(net.objective(), nullptr);
  made(nullptr, backpropagation());
  made(std::function<Objective(Var, Var)>(), backpropagation());
  made(static_cast<Objective (*)(Var, Var)>(nullptr), backpropagation());
  made(std::function<Objective(Var, Var, nn::Context&)>(), backpropagation());
  for (const auto& clip : {&clipped_by_norm, &clipped_by_value})
    CHECK(has(error_of<ValueError>([&] { clip(nullptr, 1, Location::current()); }), here));
  CHECK(has(error_of<ValueError>([&] { net.trainer.fit(EpochFunction(), {.epochs = 1}); }), here));
}

TEST_CASE("a trainer that was moved from says so at the line of each call") {
  Net net;
  Trainer other = std::move(net.trainer);
  Trainer& gone = net.trainer;
  const Tensor& x = net.data.inputs;
  const Tensor& y = net.data.labels;
  const auto check = [](const char* name, const auto& call) {
    CAPTURE(name);
    const std::string text = error_of<GraphError>(call);
    CHECK(has(text, std::string("[") + name + "]"));
    CHECK(has(text, "moved from"));
    CHECK(has(text, here));
  };
  check("fit", [&] { gone.fit(net.batches, {.epochs = 1}); });
  check("evaluate", [&] { gone.evaluate(x, y); });
  check("predict", [&] { gone.predict(x); });
  check("step_program", [&] { gone.step_program(x.type(), y.type()); });
  check("steps_done", [&] { gone.steps_done(); });
  check("epochs_begun", [&] { gone.epochs_begun(); });
  check("parameters", [&] { gone.parameters(); });
  check("buffers", [&] { gone.buffers(); });
  check("metrics", [&] { gone.metrics(); });
  check("set_key", [&] { gone.set_key(Key{1}); });
  check("report", [&] { gone.report("loss", 1); });
  check("state", [&] { gone.state(); });
  check("restore", [&] { gone.restore({}); });
  gone = std::move(other);
  CHECK(gone.fit(net.batches, {.epochs = 1}).epochs == 1);
}

TEST_CASE("errors of a trainer name the line of the call") {
  Net net;
  const auto check = [](const auto& call) { CHECK(has(error_of<Error>(call), here)); };
  check([&] { net.trainer.fit(net.batches, {}); });
  check([&] { net.trainer.fit(net.batches, {.epochs = 0}); });
  check([&] { net.trainer.fit([](std::int64_t, const VisitBatch&) {}, {.epochs = 1}); });
  check([&] { net.trainer.evaluate(net.data.inputs, ones({3}, int64)); });
  check([&] { net.trainer.evaluate(net.data.inputs, net.data.labels, 0); });
  check([&] { net.trainer.restore({}); });
  check([&] {
    const std::vector<Parameter> twice{net.mlp.parameters()[0], net.mlp.parameters()[0]};
    Trainer trainer(net.objective(), twice, backpropagation(), net.adam);
  });
  check([&] { Trainer trainer(net.objective(), {}, backpropagation(), net.adam); });
}

TEST_CASE("errors of layers and optimisers name the line where they are made") {
  const auto check = [](const auto& make) { CHECK(has(error_of<Error>(make), here)); };
  check([] { nn::Linear("l", 0, 3, Key{1}); });
  check([] { nn::Linear("l", 3, 3, Key{1}, {.dtype = int64}); });
  check([] { nn::Linear("l", 3, 3, Key{1}, {.initialiser = {Initialiser::Rule::normal, -1}}); });
  check([] { nn::Embedding("e", 3, 0, Key{1}); });
  check([] { Mlp({3}, Key{1}); });
  check([] { Mlp({3, -2, 1}, Key{1}); });
  check([] { glorot_uniform(Key{1}, {3}); });
  check([] { Sgd({.momentum = 2}); });
  check([] { Adam({.beta1 = 2}); });
  check([] { AdamW({.epsilon = 0}); });
  check([] { Adam({.epsilon = std::numeric_limits<double>::infinity()}); });
  check([] { nn::Dropout(1.0); });
  check([] { static_cast<void>(nn::Dropout(std::numeric_limits<double>::quiet_NaN())); });
  check([] { nn::LayerNorm("l", 4, {.dtype = boolean}); });
  check([] { nn::RmsNorm("l", 4, {.dtype = int32}); });
  check([] { nets::lenet5(Key{1}, -1); });
  check([] { nets::small_resnet(Key{1}, {.channels = -1}); });
  check([] { nets::small_transformer(Key{1}, {.blocks = -1}); });
  check([] { nets::small_transformer(Key{1}, {.dropout = 2}); });
  check([] {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    GradientModel("m", most, Key{1}, {.classes = most});
  });
  Graph g;
  const Var x = g.input("x", {2, 3});
  check([&] { activate(static_cast<Activation>(99), x); });
}

TEST_CASE("a callback that trains its own trainer is refused, and training goes on after it") {
  Trainer* self = nullptr;
  Batches* batches = nullptr;
  std::string text;
  TrainerOptions options;
  options.on_step = [&](const StepInfo& info) {
    if (info.step == 2) text = error_of<GraphError>([&] { self->fit(*batches, {.steps = 1}); });
    return true;
  };
  Net net(std::move(options));
  self = &net.trainer;
  batches = &net.batches;
  CHECK(net.trainer.fit(net.batches, {.steps = 3}).steps == 3);
  CHECK(has(text, "from within its own fit()"));
  CHECK(has(text, here));
  CHECK(net.trainer.steps_done() == 3);
  CHECK(net.trainer.fit(net.batches, {.steps = 1}).steps == 1);
  // After an error as well.
  CHECK_THROWS_AS(net.trainer.fit([](std::int64_t, const VisitBatch&) {}, {.epochs = 1}), Error);
  CHECK(net.trainer.fit(net.batches, {.steps = 1}).steps == 1);
}

TEST_CASE("a trainer that is moved while it trains says so") {
  for (const bool by_step : {true, false}) {
    CAPTURE(by_step);
    Trainer* self = nullptr;
    std::optional<Trainer> moved;
    TrainerOptions options;
    if (by_step)
      options.on_step = [&](const StepInfo&) {
        moved.emplace(std::move(*self));
        moved.reset();  // what fit() works on must not end with it
        return true;
      };
    else
      options.on_epoch = [&](const EpochInfo&) {
        moved.emplace(std::move(*self));
        return true;
      };
    Net net(std::move(options));
    self = &net.trainer;
    const std::string text =
        error_of<GraphError>([&] { net.trainer.fit(net.batches, {.epochs = 2}); });
    CHECK(has(text, "while it trained"));
    CHECK(has(text, here));
  }
}

TEST_CASE("a state is not restored while the trainer trains") {
  Trainer* self = nullptr;
  std::vector<NamedTensor> saved;
  std::string text;
  TrainerOptions options;
  options.on_step = [&](const StepInfo& info) {
    if (info.step == 1) saved = self->state();
    if (info.step == 3) text = error_of<GraphError>([&] { self->restore(saved); });
    return true;
  };
  Net net(std::move(options));
  self = &net.trainer;
  CHECK(net.trainer.fit(net.batches, {.steps = 4}).steps == 4);
  CHECK(has(text, "restore() is called from within its own fit()"));
  CHECK(has(text, here));
  CHECK(net.trainer.steps_done() == 4);
  net.trainer.restore(saved);
  CHECK(net.trainer.steps_done() == 1);
}

TEST_CASE("a function for batches that outlives its fit says so and trains nothing") {
  std::optional<Net> net(std::in_place);
  const Tensor x = zeros({2, 4});
  const Tensor y = Tensor::of({0, 1});
  VisitBatch kept;
  const auto keep = [&](std::int64_t, const VisitBatch& visit) {
    kept = visit;
    visit(x, y);
  };
  CHECK(net->trainer.fit(keep, {.steps = 1}).steps == 1);
  CHECK(has(error_of<GraphError>([&] { kept(x, y); }), "called after its epoch ended"));
  CHECK(net->trainer.steps_done() == 1);
  // Nor in a later epoch of the same fit().
  std::string text;
  const auto next = [&](std::int64_t, const VisitBatch& visit) {
    if (kept != nullptr && text.empty()) text = error_of<GraphError>([&] { kept(x, y); });
    keep(0, visit);
  };
  CHECK(net->trainer.fit(next, {.epochs = 2}).steps == 2);
  CHECK(has(text, "called after its epoch ended"));
  net.reset();
  CHECK(has(error_of<GraphError>([&] { kept(x, y); }), here));
}

TEST_CASE("a loss_below that is NaN is refused") {
  Net net;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(has(
      error_of<ValueError>([&] { net.trainer.fit(net.batches, {.epochs = 1, .loss_below = nan}); }),
      "loss_below is NaN"));
}

TEST_CASE("rules, options and schedules that make no sense are refused") {
  Net net;
  const auto rules = [&](const StopRules& given) {
    const std::string text = error_of<ValueError>([&] { net.trainer.fit(net.batches, given); });
    CHECK(has(text, here));
    return text;
  };
  CHECK(has(rules({.until_step = -1}), "until_step = -1"));
  CHECK(has(rules({.epochs = 1, .until_epoch = -2}), "until_epoch = -2"));
  CHECK(net.trainer.fit(net.batches, {.until_step = 0}).steps == 0);
  const std::string every = error_of<ValueError>([] { Net({.cosine_every = -1}); });
  CHECK(has(every, "[Trainer] cosine_every is -1"));
  CHECK(has(every, here));
  for (const double rate :
       {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}) {
    Net wild({.schedule = [rate](std::int64_t step) { return step == 1 ? rate : 0.1; }});
    const std::string text =
        error_of<ValueError>([&] { wild.trainer.fit(wild.batches, {.epochs = 1}); });
    CHECK(has(text, "at step 1"));
    CHECK(has(text, here));
    CHECK(wild.trainer.steps_done() == 1);
    for (const Tensor& weight : wild.weights())
      CHECK(std::ranges::all_of(weight.data<float>(), [](float x) { return std::isfinite(x); }));
  }
}

TEST_CASE("two parameters, buffers, callbacks or metrics of one name are refused at once") {
  const Parameter w("w", ones({4}));
  const Parameter same("w", ones({4}));
  Sgd sgd;
  const ObjectiveFunction objective = [&](Var x, Var) { return Objective(sum(x * w * same)); };
  const auto refused = [&](std::vector<Parameter> parameters, TrainerOptions options) {
    const std::string text = error_of<ValueError>([&] {
      Trainer(objective, std::move(parameters), backpropagation(), sgd, std::move(options));
    });
    CHECK(has(text, here));
    return text;
  };
  CHECK(has(refused({w, same}, {}), "[Trainer 'w'] two parameters or buffers"));
  CHECK(has(refused({w}, {.buffers = {same}}), "[Trainer 'w'] two parameters or buffers"));
  const auto stops = [] { return std::make_shared<EarlyStopping>("test loss"); };
  CHECK(has(refused({w}, {.callbacks = {stops(), stops()}}),
            "two callbacks have the name 'early stopping by test loss'"));
  const auto zero = [](const Tensor&, const Tensor&) { return 0.0; };
  CHECK(has(refused({w}, {.metrics = {{"top", zero}, {"top", zero}}}), "two metrics"));
  const auto full = std::make_shared<FullDisk>(1);
  CHECK(has(refused({w}, {.callbacks = {full, full}}), "callback 1 (from 0) is listed twice"));
  // Callbacks without a name are not saved.
  const std::vector<std::shared_ptr<Callback>> nameless{std::make_shared<FullDisk>(1),
                                                        std::make_shared<FullDisk>(2)};
  CHECK_NOTHROW(Trainer(objective, {w}, backpropagation(), sgd, {.callbacks = nameless}));
}
