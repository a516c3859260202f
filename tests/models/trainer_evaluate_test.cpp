// Evaluations of regressions, metrics of one's own, and predictions.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <dualtape/data/batches.hpp>
#include <dualtape/models/callbacks.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/models/metrics.hpp>
#include <dualtape/models/trainer.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/shapes.hpp>
#include <tests/errors.hpp>
#include <tests/models/iris.hpp>

using namespace dualtape;
using testing::error_of;
using testing::has;

namespace {

// Predicts 2 x of rows of one number, exactly in float64.
struct Doubling {
  Parameter factor{"factor", Tensor::from(std::vector<double>{2}, Shape{1, 1})};
  Sgd sgd = Sgd();

  Trainer trainer(std::vector<Metric> metrics = {}) {
    return Trainer(
        [this](Var x, Var y) {
          const Var predictions = matmul(x, factor);
          return Objective(mse(predictions, y), predictions);
        },
        {factor}, backpropagation(), sgd, {.metrics = std::move(metrics)});
  }
};

Tensor column(const std::vector<double>& values) {
  return Tensor::from(values, Shape{static_cast<std::int64_t>(values.size()), 1});
}

}  // namespace

TEST_CASE("a regression is evaluated by its errors, in pieces as at once") {
  Doubling model;
  Trainer trainer = model.trainer(
      {{"largest", [](const Tensor& outputs, const Tensor& labels) {
          double largest = 0;
          for (std::int64_t i = 0; i < labels.size(0); ++i)
            largest = std::max(largest, std::abs(outputs.at({i, 0}) - labels.at({i, 0})));
          return largest;
        }}});
  const Tensor x = column({1, 2, 3, 4});
  const Tensor y = column({2, 4, 7, 5});  // errors 0, 0, -1, 3
  for (const std::int64_t rows : {1, 3, 4, 100}) {
    CAPTURE(rows);
    const Evaluation found = trainer.evaluate(x, y, rows);
    CHECK(found.mae == 1);
    CHECK(found.mse == 2.5);
    CHECK(found.loss == doctest::Approx(2.5).epsilon(1e-14));
    // The mean is 4.5, the squares around it 6.25 + 0.25 + 6.25 + 0.25.
    CHECK(found.r2 == doctest::Approx(1 - 10.0 / 13).epsilon(1e-14));
    CHECK(std::isnan(found.accuracy));
    CHECK(found.rows == 4);
    REQUIRE(found.metrics.size() == 1);
    CHECK(found.metrics[0] == std::pair<std::string, double>("largest", 3));
    std::vector<std::string> names;
    for (const auto& [name, value] : found.named()) names.push_back(name);
    CHECK(names == std::vector<std::string>{"loss", "mae", "mse", "r2", "largest"});
  }
}

TEST_CASE("a classifier has its accuracy, and metrics of the logits") {
  const Dataset data = iris();
  const Mlp mlp({4, 8, 3}, Key{1});
  Sgd sgd;
  Trainer trainer(
      [&](Var x, Var y) {
        const Var logits = mlp(x);
        return Objective(cross_entropy(logits, y), logits);
      },
      mlp.parameters(), backpropagation(), sgd,
      {.metrics = {{"top 2", [](const Tensor& logits, const Tensor& labels) {
                      return top_k_accuracy(logits, labels, 2);
                    }}}});
  const Evaluation found = trainer.evaluate(data.inputs, data.labels, 64);
  const Tensor logits = trainer.predict(data.inputs, 64);
  CHECK(found.accuracy == accuracy(logits, data.labels));
  CHECK(found.metrics.at(0).second == top_k_accuracy(logits, data.labels, 2));
  CHECK(!found.regression);
  CHECK(found.named().size() == 3);
}

TEST_CASE("evaluations report all numbers by name") {
  Doubling model;
  const Dataset data{column({1, 2, 3}), column({2, 4, 7}), {}, {}, "line"};
  struct Ear : Callback {
    bool scalar(Trainer&, const Scalar& scalar) override {
      heard.push_back(scalar.name);
      return true;
    }
    std::vector<std::string> heard;
  };
  const auto ear = std::make_shared<Ear>();
  Sgd sgd;
  Trainer trainer(
      [&](Var x, Var y) {
        const Var predictions = matmul(x, model.factor);
        return Objective(mse(predictions, y), predictions);
      },
      {model.factor}, backpropagation(), sgd,
      {.callbacks = {std::make_shared<EvaluateEvery>("val", data.inputs, data.labels),
                     std::make_shared<EarlyStopping>(
                         "val r2", EarlyStoppingOptions{.larger_is_better = true}),
                     std::make_shared<ReduceRate>("val bias",
                                                  std::make_shared<Plateau>(constant_rate(0.01))),
                     ear},
       .metrics = {{"bias", [](const Tensor&, const Tensor&) { return 0.5; }}}});
  Batches batches(data, 3);
  trainer.fit(batches, {.epochs = 1});
  CHECK(ear->heard ==
        std::vector<std::string>{"val loss", "val mae", "val mse", "val r2", "val bias"});
}

TEST_CASE("predictions are the objective's logits, with no labels at all") {
  Doubling model;
  const Tensor x = column({1, 2, 3, 4, 5});
  for (const std::int64_t rows : {1, 2, 5, 9}) {
    Trainer trainer = model.trainer();  // labels of shape (rows, 1) are found out
    CHECK(identical(trainer.predict(x, rows), column({2, 4, 6, 8, 10})));
    trainer.evaluate(x, x);
    CHECK(identical(trainer.predict(x, rows), column({2, 4, 6, 8, 10})));
  }
  CHECK(identical(model.trainer().predict(column({-3})), column({-6})));

  // In evaluation: dropout does nothing.
  const nn::Dropout dropout(0.5);
  Sgd sgd;
  Trainer noisy(
      [&](Var inputs, Var y, nn::Context& context) {
        const Var predictions = dropout(matmul(inputs, model.factor), context);
        return Objective(mse(predictions, y), predictions);
      },
      {model.factor}, backpropagation(), sgd);
  CHECK(identical(noisy.predict(x), column({2, 4, 6, 8, 10})));
}

TEST_CASE("predictions that cannot be are refused at the user's line") {
  Doubling model;
  const Tensor x = column({1, 2});
  Sgd sgd;
  Trainer alone([&](Var in, Var y) { return mse(matmul(in, model.factor), y); }, {model.factor},
                backpropagation(), sgd);
  const std::string no_logits = error_of<ValueError>([&] { alone.predict(x); });
  CHECK(has(no_logits, "trainer_evaluate_test.cpp:"));
  CHECK(has(no_logits, "loss alone"));
  Trainer measured([&](Var in, Var y) { return mse(matmul(in, model.factor), y); }, {model.factor},
                   backpropagation(), sgd,
                   {.metrics = {{"bias", [](const Tensor&, const Tensor&) { return 0.0; }}}});
  CHECK(has(error_of<ValueError>([&] { measured.evaluate(x, x); }), "loss alone"));
  Trainer cheating(
      [&](Var in, Var y) {
        const Var predictions = matmul(in, model.factor) + y;
        return Objective(mse(predictions, y), predictions);
      },
      {model.factor}, backpropagation(), sgd);
  cheating.evaluate(x, x);
  CHECK(has(error_of<ValueError>([&] { cheating.predict(x); }), "labels"));
  Trainer trainer = model.trainer();
  CHECK(has(error_of<ShapeError>([&] { trainer.predict(Tensor::scalar(1.0)); }), "no rows"));
  CHECK(has(error_of<ShapeError>([&] { trainer.predict(column({})); }), "no rows"));
  CHECK(has(error_of<ValueError>([&] { trainer.predict(x, 0); }), "rows_at_once"));
  CHECK(has(error_of<ValueError>([&] { trainer.evaluate(x, x, -1); }), "rows_at_once"));
}

TEST_CASE("what the layers say of inputs that do not fit is told before labels were seen") {
  const nn::Linear layer("layer", 3, 1, Key{1});
  Sgd sgd;
  Trainer trainer(
      [&](Var x, Var y) {
        const Var predictions = layer(x);
        return Objective(mse(predictions, y), predictions);
      },
      layer.parameters(), backpropagation(), sgd);
  const std::string direct = error_of<ShapeError>([&] {
    Graph g;
    layer(g.input("x", {2, 5}));
  });
  const std::string text = error_of<ShapeError>([&] { trainer.predict(ones({2, 5})); });
  CHECK(text.substr(0, text.find('\n')) == direct.substr(0, direct.find('\n')));
  CHECK(!testing::contains(text, "labels"));
  CHECK(trainer.predict(ones({2, 3})).shape() == Shape{2, 1});
}

TEST_CASE("whole labels of a regression are told by their dtype, with the mend") {
  Doubling model;
  Trainer trainer = Trainer(
      [&](Var x, Var y) {
        const Var predictions = matmul(x, model.factor);
        return Objective(mse(predictions, cast(y, float64)), predictions);
      },
      {model.factor}, backpropagation(), model.sgd);
  const Tensor x = column({1, 2});
  const std::string text = error_of<ShapeError>([&] {
    trainer.evaluate(x, column({2, 4}).to(int64));
  });
  CHECK(has(text, "logits float64 (2, 1) do not fit the labels int64 (2, 1)"));
  CHECK(has(text, "labels.to(dt::float64)"));
  CHECK(trainer.evaluate(x, column({2, 4})).mse == 0);
}
