// What a Trainer refuses in a loss, at the loss's line.
#include <dualtape/models/trainer.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <dualtape/data/batches.hpp>
#include <dualtape/models/layers.hpp>
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

TEST_CASE("a trainer without parameters is refused") {
  Sgd sgd;
  CHECK_THROWS_AS(Trainer([](Var x, Var) { return x; }, {}, backpropagation(), sgd), ValueError);
}

namespace {

// What a Trainer of `objective` says to a step or an evaluation; labels are three class numbers.
template <class E>
std::string refusal(const ObjectiveFunction& objective, const std::vector<Parameter>& parameters,
                    const GradientMethod& method, bool evaluate = false, bool cosine = false) {
  const Dataset data{ones({3, 2}), Tensor::of({0, 1, 1}), {}, {}, "three"};
  Sgd sgd;
  return error_of<E>([&] {
    Trainer trainer(objective, parameters, method, sgd, {.cosine_every = cosine ? 1 : 0});
    Batches batches(data, 3);
    if (evaluate)
      trainer.evaluate(data.inputs, data.labels);
    else
      trainer.fit(batches, {.steps = 1});
  });
}

std::string here(int line) { return "trainer_refusals_test.cpp:" + std::to_string(line); }
bool names_library(const std::string& text) {
  return contains(text, "models/training/trainer.cpp");
}

}  // namespace

TEST_CASE("what is wrong with a loss is told at its line, in steps and evaluations") {
  const Parameter w("w", ones({2}));
  for (const GradientMethod& method : {backpropagation(), forward_gradients()}) {
    for (const bool evaluate : {false, true}) {
      CAPTURE(evaluate);
      int line = 0;
      const ObjectiveFunction rows = [&](Var x, Var) {
        line = __LINE__ + 1;
        return Objective((x * w).named("costs"));
      };
      const std::string text = refusal<ShapeError>(rows, {w}, method, evaluate);
      CHECK(has(text, "'costs'"));
      CHECK(has(text, "float32 (3, 2)"));
      CHECK(has(text, here(line)));
      CHECK(!names_library(text));
      // One of the trainer's own nodes has no line of the user's.
      const ObjectiveFunction unused = [](Var x, Var) { return Objective(x); };
      const std::string own = refusal<ShapeError>(unused, {w}, method, evaluate);
      CHECK(has(own, "float32 (3, 2)"));
      CHECK(!names_library(own));
      const ObjectiveFunction none = [](Var, Var) { return Objective(Var()); };
      const std::string empty = refusal<GraphError>(none, {w}, method, evaluate);
      CHECK(has(empty, "objective"));
      CHECK(!names_library(empty));
      Graph other;
      const ObjectiveFunction elsewhere = [&](Var, Var) {
        line = __LINE__ + 1;
        return Objective(sum(other.read(w)).named("stray"));
      };
      const std::string stray = refusal<GraphError>(elsewhere, {w}, method, evaluate);
      CHECK(has(stray, "'stray'"));
      CHECK(has(stray, here(line)));
      CHECK(!names_library(stray));
    }
    int line = 0;
    const ObjectiveFunction whole = [&](Var x, Var) {
      line = __LINE__ + 1;
      return Objective(cast(sum(x * w), int64).named("count"));
    };
    const std::string text = refusal<TypeError>(whole, {w}, method);
    CHECK(has(text, "'count'"));
    CHECK(has(text, here(line)));
    CHECK(!names_library(text));
  }
}

TEST_CASE("a loss that depends on no parameter is told at its line") {
  const Parameter w("w", ones({2}));
  bool read = false;
  int line = 0;
  const ObjectiveFunction fixed = [&](Var x, Var) {
    if (read) x.graph().read(w);
    line = __LINE__ + 1;
    return Objective(sum(x).named("fixed"));
  };
  const auto check = [&](const std::string& text) {
    CHECK(has(text, here(line)));
    CHECK(!names_library(text));
  };
  for (const GradientMethod& method : {backpropagation(), forward_gradients()})
    for (const bool cosine : {false, true}) {
      read = false;
      const std::string never = refusal<GraphError>(fixed, {w}, method, false, cosine);
      CHECK(has(never, "'w'"));
      check(never);
      read = true;
      const std::string apart = refusal<DerivativeError>(fixed, {w}, method, false, cosine);
      CHECK(has(apart, "does not depend on"));
      CHECK(has(apart, "fixed"));
      check(apart);
    }
  // Measured with a method that asks for nothing, the cosine's own gradient is the one to fail.
  const GradientMethod kind = [](Var loss, const std::vector<Wrt>& wrt, Var) {
    return reverse(loss, wrt, Unreachable::zero);
  };
  check(refusal<DerivativeError>(fixed, {w}, kind, false, true));
}

TEST_CASE("logits that do not fit the labels are refused in a step already, at their line") {
  const Parameter w("w", ones({2, 4}));
  for (const bool evaluate : {false, true}) {
    CAPTURE(evaluate);
    int line = 0;
    const ObjectiveFunction turned = [&](Var x, Var y) {
      const Var logits = matmul(x, w);
      line = __LINE__ + 1;
      return Objective(cross_entropy(logits, y), transpose(logits).named("scores"));
    };
    const std::string text = refusal<ShapeError>(turned, {w}, backpropagation(), evaluate);
    CHECK(has(text, "'scores'"));
    CHECK(has(text, "(4, 3)"));
    CHECK(has(text, "labels int64 (3,)"));
    CHECK(has(text, here(line)));
    CHECK(!names_library(text));
    const ObjectiveFunction number = [&](Var x, Var y) {
      const Var loss = cross_entropy(matmul(x, w), y);
      return Objective(loss, loss);
    };
    CHECK(has(refusal<ShapeError>(number, {w}, backpropagation(), evaluate), "logits"));
  }
  // Labels that are no class numbers are for the loss to understand, until more is to be evaluated.
  const Dataset shares{ones({3, 2}), ones({3, 1}), {}, {}, "shares"};
  Sgd sgd;
  Trainer trainer(
      [&](Var x, Var y) {
        const Var logits = matmul(x, w);
        return Objective(sum(square(logits - y)), logits);
      },
      {w}, backpropagation(), sgd);
  Batches batches(shares, 3);
  CHECK(trainer.fit(batches, {.steps = 1}).steps == 1);
  const std::string text =
      error_of<ShapeError>([&] { trainer.evaluate(shares.inputs, shares.labels); });
  CHECK(has(text, "logits"));
  CHECK(!names_library(text));
}

TEST_CASE("a parameter that is listed twice is refused by name") {
  const Parameter w("w", ones({2}));
  const Parameter b("b", ones({2}));
  Sgd sgd;
  const ObjectiveFunction objective = [&](Var x, Var) { return Objective(sum(x * w + b)); };
  const std::string twice = error_of<ValueError>([&] {
    Trainer(objective, {w, b, w}, backpropagation(), sgd);
  });
  CHECK(has(twice, "'w'"));
  CHECK(has(twice, "listed twice"));
  const std::string both = error_of<ValueError>([&] {
    Trainer(objective, {w, b}, backpropagation(), sgd, {.buffers = {b}});
  });
  CHECK(has(both, "'b'"));
  CHECK(has(both, "buffers"));
}

TEST_CASE("a loss that is not a number is nan, whatever its sign bit") {
  const Parameter w("w", ones({2}));
  for (const double sign : {1.0, -1.0}) {
    const Dataset data{ones({3, 2}), Tensor::of({0, 1, 1}), {}, {}, "three"};
    const double quiet = std::copysign(std::numeric_limits<double>::quiet_NaN(), sign);
    Sgd sgd;
    Trainer trainer(
        [&](Var x, Var) {
          return Objective(sum(x * w) * x.graph().constant(Tensor::scalar(quiet).to(float32)));
        },
        {w}, backpropagation(), sgd);
    Batches batches(data, 3);
    const TrainResult result = trainer.fit(batches, {.steps = 1});
    CHECK(result.stop == Stop::not_finite);
    CHECK(has(result.fault, "the loss is nan"));
  }
}
