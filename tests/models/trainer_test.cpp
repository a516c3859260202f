#include <dualtape/models/trainer.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <dualtape/data/batches.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/models/metrics.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <tests/errors.hpp>
#include <tests/models/iris.hpp>

using namespace dualtape;
using testing::contains;
using testing::error_of;
using testing::has;

namespace {

template <class Model>
ObjectiveFunction classify(const Model& model) {
  return [model](Var x, Var y) {
    const Var logits = model(x);
    return Objective(cross_entropy(logits, y), logits);
  };
}

std::vector<Tensor> values_of(const std::vector<Parameter>& parameters) {
  std::vector<Tensor> values;
  values.reserve(parameters.size());
  for (const Parameter& p : parameters) values.push_back(p.value().copy());
  return values;
}

bool identical_all(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i) same = identical(a[i], b[i]);
  return same;
}

// Trains a small MLP on Iris for some epochs in batches of 64, 64 and 22 rows.
struct Outcome {
  std::vector<Tensor> start;
  std::vector<Tensor> end;
  std::vector<double> losses;  // of epochs
  std::vector<std::int64_t> steps;
  TrainResult result;
  Evaluation evaluation;
};

Outcome train(const GradientMethod& method, double rate, std::int64_t epochs,
              std::uint64_t seed = 3) {
  const Dataset data = iris();
  const Mlp mlp({4, 8, 3}, Key{1}, {.activation = Activation::tanh});
  Outcome outcome;
  outcome.start = values_of(mlp.parameters());
  Sgd sgd;
  Trainer trainer(classify(mlp), mlp.parameters(), method, sgd,
                  {.schedule = constant_rate(rate),
                   .key = Key{seed},
                   .on_step =
                       [&](const StepInfo& info) {
                         outcome.steps.push_back(info.step);
                         return true;
                       },
                   .on_epoch =
                       [&](const EpochInfo& info) {
                         outcome.losses.push_back(info.loss);
                         return true;
                       }});
  Batches batches(data, 64, Key{4});
  outcome.result = trainer.fit(batches, {.epochs = epochs});
  outcome.end = values_of(mlp.parameters());
  outcome.evaluation = trainer.evaluate(data.inputs, data.labels);
  return outcome;
}

}  // namespace

TEST_CASE("both modes lower the loss on Iris from bitwise equal starts") {
  const Outcome by_reverse = train(backpropagation(), 0.3, 40);
  const Outcome by_forward = train(forward_gradients(), 0.02, 100);
  const Outcome by_many = train(forward_gradients({.count = 16}), 0.1, 60);
  CHECK(identical_all(by_reverse.start, by_forward.start));
  CHECK(identical_all(by_reverse.start, by_many.start));
  for (const Outcome* outcome : {&by_reverse, &by_forward, &by_many}) {
    CHECK(outcome->losses.back() < 0.6 * outcome->losses.front());
    CHECK(outcome->evaluation.accuracy > 0.8);
    CHECK(outcome->result.stop == Stop::epochs);
    CHECK(!identical_all(outcome->start, outcome->end));
  }
  CHECK(by_reverse.result.epochs == 40);
  CHECK(by_reverse.result.steps == 120);
  CHECK(by_reverse.steps.front() == 1);
  CHECK(by_reverse.steps.back() == 120);
}

TEST_CASE("equal keys give equal bits, other keys other directions") {
  const Outcome a = train(forward_gradients(), 0.02, 3);
  const Outcome b = train(forward_gradients(), 0.02, 3);
  const Outcome c = train(forward_gradients(), 0.02, 3, 99);
  CHECK(a.losses == b.losses);
  CHECK(identical_all(a.end, b.end));
  CHECK(!identical_all(a.end, c.end));
  // Backpropagation draws nothing.
  CHECK(identical_all(train(backpropagation(), 0.1, 3).end,
                      train(backpropagation(), 0.1, 3, 99).end));
}

TEST_CASE("a step of logistic regression is the closed form") {
  // From zero weights: dL/dW = X^T (1/3 - onehot) / n, dL/db = mean(1/3 - onehot).
  const Dataset data = iris();
  const LogisticRegression model(4, 3);
  Sgd sgd;
  Trainer trainer(classify(model), model.parameters(), backpropagation(), sgd,
                  {.schedule = constant_rate(0.5)});
  Batches batches(data, 150);
  const TrainResult result = trainer.fit(batches, {.steps = 1});
  CHECK(result.loss == doctest::Approx(std::log(3.0)).epsilon(1e-6));
  for (std::int64_t feature = 0; feature < 4; ++feature)
    for (std::int64_t c = 0; c < 3; ++c) {
      double gradient = 0;
      for (std::int64_t row = 0; row < 150; ++row) {
        const double error = 1.0 / 3 - (data.labels.at({row}) == static_cast<double>(c) ? 1 : 0);
        gradient += data.inputs.at({row, feature}) * error / 150;
      }
      CHECK(model.weight().value().at({feature, c}) ==
            doctest::Approx(-0.5 * gradient).epsilon(1e-5));
    }
}

TEST_CASE("the last smaller batch counts by its rows") {
  // With rate 0 the epoch's mean is the mean over all rows, whatever the batches.
  const Dataset data = iris();
  const Mlp mlp({4, 5, 3}, Key{1});
  const auto epoch_loss = [&](std::int64_t batch, std::int64_t steps) {
    Sgd sgd;
    double loss = 0;
    Trainer trainer(classify(mlp), mlp.parameters(), backpropagation(), sgd,
                    {.schedule = constant_rate(0), .on_epoch = [&](const EpochInfo& info) {
                       loss = info.loss;
                       return true;
                     }});
    Batches batches(data, batch, Key{4});
    CHECK(trainer.fit(batches, {.epochs = 1}).steps == steps);
    CHECK(trainer.evaluate(data.inputs, data.labels).loss == doctest::Approx(loss).epsilon(1e-6));
    return loss;
  };
  const double whole = epoch_loss(150, 1);
  CHECK(epoch_loss(64, 3) == doctest::Approx(whole).epsilon(1e-6));
  CHECK(epoch_loss(149, 2) == doctest::Approx(whole).epsilon(1e-6));
}

TEST_CASE("evaluation is the same in pieces and agrees with the metrics") {
  const Dataset data = iris();
  const Mlp mlp({4, 5, 3}, Key{1});
  Sgd sgd;
  Trainer trainer(classify(mlp), mlp.parameters(), backpropagation(), sgd);
  const Evaluation whole = trainer.evaluate(data.inputs, data.labels);
  const Evaluation pieces = trainer.evaluate(data.inputs, data.labels, 64);
  CHECK(whole.rows == 150);
  CHECK(pieces.loss == doctest::Approx(whole.loss).epsilon(1e-6));
  CHECK(pieces.accuracy == whole.accuracy);
  Graph g;
  CHECK(whole.accuracy == accuracy(eval(mlp(g.constant(data.inputs))), data.labels));
  CHECK_THROWS_AS(trainer.evaluate(data.inputs, data.labels.rows(0, 3)), ShapeError);
  CHECK_THROWS_AS(trainer.evaluate(data.inputs, data.labels, 0), ValueError);
}

TEST_CASE("each stop rule stops, and says which it was") {
  const Dataset data = iris();
  const Mlp mlp({4, 8, 3}, Key{1});
  const auto fit = [&](const StopRules& rules, double rate = 0.3,
                       const std::function<bool(const StepInfo&)>& on_step = {}) {
    copy_parameters(Mlp({4, 8, 3}, Key{1}).parameters(), mlp.parameters());
    Sgd sgd;
    Trainer trainer(classify(mlp), mlp.parameters(), backpropagation(), sgd,
                    {.schedule = constant_rate(rate), .on_step = on_step});
    Batches batches(data, 64, Key{4});
    return trainer.fit(batches, rules);
  };
  const TrainResult by_epochs = fit({.epochs = 2, .steps = 100});
  CHECK(by_epochs.stop == Stop::epochs);
  CHECK(by_epochs.epochs == 2);
  CHECK(by_epochs.steps == 6);

  const TrainResult by_steps = fit({.epochs = 100, .steps = 7});
  CHECK(by_steps.stop == Stop::steps);
  CHECK(by_steps.epochs == 2);
  CHECK(by_steps.steps == 7);
  // Where an epoch ends with the last step, it counts.
  CHECK(fit({.steps = 6}).epochs == 2);

  const TrainResult by_loss = fit({.epochs = 1000, .loss_below = 0.3});
  CHECK(by_loss.stop == Stop::loss_below);
  CHECK(by_loss.epochs > 1);
  CHECK(by_loss.epochs < 1000);
  CHECK(fit({.epochs = by_loss.epochs - 1, .loss_below = 0.3}).stop == Stop::epochs);

  const TrainResult by_callback =
      fit({.epochs = 9}, 0.3, [](const StepInfo& info) { return info.step < 5; });
  CHECK(by_callback.stop == Stop::callback);
  CHECK(by_callback.steps == 5);
  CHECK(by_callback.stopped_by == "TrainerOptions::on_step");
  CHECK(by_loss.stopped_by.empty());

  CHECK_THROWS_AS(fit({}), ValueError);
  CHECK_THROWS_AS(fit({.loss_below = 0.1}), ValueError);
  CHECK_THROWS_AS(fit({.epochs = 0}), ValueError);
}

TEST_CASE("a loss that is not finite ends the training") {
  const Dataset data = iris();
  const Mlp mlp({4, 8, 3}, Key{1});
  Sgd sgd;
  std::int64_t told = 0;
  Trainer trainer(classify(mlp), mlp.parameters(), backpropagation(), sgd,
                  {.schedule = constant_rate(1e30), .on_step = [&](const StepInfo& info) {
                     told = info.step;
                     return true;
                   }});
  Batches batches(data, 64, Key{4});
  const TrainResult result = trainer.fit(batches, {.epochs = 50});
  CHECK(result.stop == Stop::not_finite);
  CHECK(!std::isfinite(result.loss));
  CHECK(result.steps < 150);
  CHECK(told == result.steps);
}

TEST_CASE("a second fit goes on where the first one stopped") {
  const Dataset data = iris();
  const auto run = [&](const std::vector<std::int64_t>& parts) {
    const Mlp mlp({4, 8, 3}, Key{1});
    Sgd sgd({.momentum = 0.9});
    Trainer trainer(classify(mlp), mlp.parameters(), forward_gradients(), sgd,
                    {.schedule = exponential_decay(0.02, 0.9)});
    Batches batches(data, 64, Key{4});
    for (const std::int64_t epochs : parts) trainer.fit(batches, {.epochs = epochs});
    CHECK(trainer.steps_done() == 12);
    return values_of(mlp.parameters());
  };
  CHECK(identical_all(run({4}), run({1, 3})));
}

TEST_CASE("the schedule is fed step by step") {
  const Dataset data = iris();
  const Mlp mlp({4, 3}, Key{1});
  Sgd sgd;
  std::vector<double> rates;
  Trainer trainer(classify(mlp), mlp.parameters(), backpropagation(), sgd,
                  {.schedule = exponential_decay(0.5, 0.5), .on_step = [&](const StepInfo& info) {
                     rates.push_back(info.rate);
                     return true;
                   }});
  Batches batches(data, 64, Key{4});
  trainer.fit(batches, {.steps = 4});
  CHECK(rates == std::vector<double>{0.5, 0.25, 0.125, 0.0625});
}

TEST_CASE("the cosine with the true gradient is measured where asked and disturbs nothing") {
  const Dataset data = iris();
  const auto run = [&](const GradientMethod& method, std::int64_t every,
                       std::vector<double>& cosines) {
    const Mlp mlp({4, 8, 3}, Key{1});
    Sgd sgd;
    Trainer trainer(classify(mlp), mlp.parameters(), method, sgd,
                    {.schedule = constant_rate(0.01),
                     .cosine_every = every,
                     .on_step = [&](const StepInfo& info) {
                       cosines.push_back(info.cosine);
                       return true;
                     }});
    Batches batches(data, 64, Key{4});
    trainer.fit(batches, {.epochs = 100});
    return values_of(mlp.parameters());
  };
  std::vector<double> exact;
  run(backpropagation(), 3, exact);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    if (i % 3 == 0) CHECK(exact[i] == doctest::Approx(1).epsilon(1e-5));
    if (i % 3 != 0) CHECK(std::isnan(exact[i]));
  }
  // For v normal in n dimensions the cosine of (g . v) v with g is |cos(g, v)|, whose square has
  // mean 1 / n; here n = 67, and 300 draws leave 8 % of standard deviation.
  std::vector<double> noisy;
  const auto with = run(forward_gradients(), 1, noisy);
  double mean_square = 0;
  for (const double cosine : noisy) {
    CHECK(cosine >= 0);
    mean_square += cosine * cosine / static_cast<double>(noisy.size());
  }
  CHECK(mean_square == doctest::Approx(1.0 / 67).epsilon(0.35));
  std::vector<double> none;
  CHECK(identical_all(with, run(forward_gradients(), 0, none)));
}

TEST_CASE("an objective may be a regression without logits") {
  const Dataset data{Tensor{{1, 0}, {0, 1}, {1, 1}}, Tensor({{2}, {-1}, {1}}), {}, {}, "line"};
  const nn::Linear model("line", 2, 1, Key{1});
  Adam adam;
  Trainer trainer([&](Var x, Var y) { return mse(model(x), y); }, model.parameters(),
                  backpropagation(), adam, {.schedule = constant_rate(0.05)});
  Batches batches(data, 3);
  trainer.fit(batches, {.steps = 1500});
  const Evaluation evaluation = trainer.evaluate(data.inputs, data.labels);
  CHECK(evaluation.loss < 1e-6);
  CHECK(std::isnan(evaluation.accuracy));
}

TEST_CASE("an objective that takes a context trains with noise and running statistics") {
  // Noise from the context's key in training alone, and a count of steps as a running statistic.
  const Dataset data{ones({4, 3}), zeros({4, 3}), {}, {}, "ones"};
  struct Model {
    Parameter weight{"weight", ones({3})};
    Parameter steps{"steps", zeros({})};
    std::vector<bool> training = {};
  };
  const auto run = [&](Model& model, bool keep, const GradientMethod& method) {
    Sgd sgd;
    TrainerOptions options{.schedule = constant_rate(0.1), .key = Key{5}};
    if (keep) options.buffers = {model.steps};
    Trainer trainer(
        [&model](Var x, Var y, nn::Context& context) {
          model.training.push_back(context.training);
          Var out = x * model.weight;
          if (context.training) {
            out = out * random_rademacher(context.next_key(), {3});
            context.updates.push_back(assign(model.steps, x.graph().read(model.steps) + 1));
          }
          return mse(out, y + 1);
        },
        {model.weight}, method, sgd, options);
    Batches batches(data, 2);
    trainer.fit(batches, {.epochs = 3});
    trainer.evaluate(data.inputs, data.labels);
    CHECK(model.steps.value().item() == 6);
    return trainer.state().size();
  };
  Model a;
  Model b;
  CHECK(run(a, true, backpropagation()) == 7);
  CHECK(a.training == std::vector<bool>{true, false});
  run(b, true, backpropagation());
  CHECK(identical(a.weight.value(), b.weight.value()));
  // By each step's signs z the weight moves by -0.1 * 2/3 (w - z), for z^2 = 1.
  std::vector<double> expected(3, 1.0);
  for (std::uint64_t step = 0; step < 6; ++step) {
    Graph g;
    nn::Context context{.key =
                            fold_key(g.constant(Key(5).fold(step).to_tensor()), std::int64_t{-1})};
    const Tensor signs = eval(random_rademacher(context.next_key(), {3}));
    for (std::int64_t i = 0; i < 3; ++i) {
      double& w = expected[static_cast<std::size_t>(i)];
      w -= 0.1 * 2.0 / 3 * (w - signs.at({i}));
    }
  }
  for (std::int64_t i = 0; i < 3; ++i)
    CHECK(a.weight.value().at({i}) ==
          doctest::Approx(expected[static_cast<std::size_t>(i)]).epsilon(1e-5));
  Model c;
  CHECK_THROWS_AS(run(c, false, forward_gradients()), ValueError);  // a state that lacks "steps"
}
