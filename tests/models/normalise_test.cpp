#include <dualtape/models/normalise.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>

#include <dualtape/core/program.hpp>
#include <dualtape/models/sequential.hpp>

using namespace dualtape;

namespace {

void set(Parameter parameter, const Tensor& value) { parameter.set(value); }

}  // namespace

TEST_CASE("layer and RMS normalisation scale rows; group normalisation groups of channels") {
  const nn::LayerNorm layer("norm", 2);
  set(layer.weight(), Tensor{10, 100});
  set(layer.bias(), Tensor{1, 2});
  Graph g;
  const Var x = g.constant(Tensor{{1, 3}, {5, -5}});
  CHECK(all_close(eval(layer(x)), Tensor{{-9, 102}, {11, -98}}, 1e-4));
  CHECK(layer(x).label() == "norm");
  CHECK(layer.parameters()[0].name() == "norm.weight");
  CHECK(layer.parameters()[1].name() == "norm.bias");

  const nn::RmsNorm rms("rms", 2);
  set(rms.weight(), Tensor{10, 100});
  const float share = 1 / std::sqrt(5.0F);
  CHECK(all_close(eval(rms(x)), Tensor{{10 * share, 300 * share}, {10, -100}}, 1e-4));
  CHECK(rms.parameters().size() == 1);

  const nn::GroupNorm group("group", 2, 4);
  const Var y = group(g.constant(Tensor{{1, 3, 10, 20}}));
  CHECK(all_close(eval(y), Tensor{{-1, 1, -1, 1}}, 1e-4));
  CHECK_THROWS_AS(nn::GroupNorm("group", 3, 4), ShapeError);
  CHECK_THROWS_AS(nn::LayerNorm("norm", 0), ShapeError);
  CHECK_THROWS_AS(nn::RmsNorm("norm", -1), ShapeError);
  CHECK(nn::LayerNorm("norm", 2, {.dtype = float64}).bias().dtype() == float64);
}

TEST_CASE("batch norm takes the batch's statistics in training, the running ones else") {
  const nn::BatchNorm1d layer("norm", 2, {.epsilon = 0, .momentum = 0.25});
  Graph g;
  const Var x = g.constant(Tensor{{1, 10}, {3, 30}, {2, 20}, {2, 20}});
  // Untrained it is the identity: mean 0 and variance 1.
  CHECK(all_close(eval(layer.evaluate(x)), eval(x)));

  nn::Context context{.training = true};
  const Var y = layer(x, context);
  REQUIRE(context.updates.size() == 2);
  Program step = compile({y}, context.updates);
  const float r = std::sqrt(2.0F);  // the deviation divided by n is sqrt(1/2)
  CHECK(all_close(step.run({})[y].copy(), Tensor{{-r, -r}, {r, r}, {0, 0}, {0, 0}}, 1e-5, 1e-5));
  // Means 2 and 20, variances divided by n - 1: 2/3 and 200/3.
  const std::vector<Parameter> running = layer.buffers();
  CHECK(running[0].name() == "norm.running_mean");
  CHECK(running[1].name() == "norm.running_var");
  CHECK(all_close(running[0].value(), Tensor{0.5, 5.0}));
  CHECK(all_close(running[1].value(), Tensor{0.75 + 0.25 * 2 / 3, 0.75 + 0.25 * 200 / 3}));
  step.run({});
  CHECK(all_close(running[0].value(), Tensor{0.875, 8.75}));

  nn::Context evaluation;
  CHECK(identical(eval(layer(x, evaluation)), eval(layer.evaluate(x))));
  CHECK(evaluation.updates.empty());
  const Tensor now = eval(layer.evaluate(x));
  const double deviation = std::sqrt(running[1].value().data<float>()[0]);
  CHECK(static_cast<double>(now.data<float>()[0]) == doctest::Approx((1 - 0.875) / deviation));
}

TEST_CASE("batch norm that is not told whether to train says so") {
  const nn::BatchNorm1d layer("norm", 2);
  Graph g;
  const Var x = g.constant(Tensor{{1, 10}, {3, 30}});
  std::string text;
  try {
    layer(x);
  } catch (const GraphError& error) {
    text = error.what();
  }
  CHECK(text.find("[BatchNorm1d 'norm']") != std::string::npos);
  CHECK(text.find("nn::Context& context") != std::string::npos);
  CHECK(text.find("layer.evaluate(x)") != std::string::npos);
  CHECK(text.find("normalise_test.cpp") != std::string::npos);
}

TEST_CASE("a batch norm in two places goes on from its first update") {
  const nn::BatchNorm1d layer("norm", 1, {.momentum = 0.5});
  Graph g;
  nn::Context context{.training = true};
  const Var a = layer(g.constant(Tensor{{0}, {8}}), context);
  const Var b = layer(g.constant(Tensor{{2}, {2}}), context);
  REQUIRE(context.updates.size() == 2);
  compile({a, b}, context.updates).run({});
  CHECK(layer.buffers()[0].value().data<float>()[0] == 2);  // (0 + 4) / 2, then (2 + 2) / 2
}

TEST_CASE("batch norm of images is over batch, rows and columns; wrong shapes are errors") {
  const nn::BatchNorm2d layer("norm", 1);
  Graph g;
  nn::Context context{.training = true};
  Tensor images(Shape{2, 1, 1, 2});
  const float values[] = {1, 2, 3, 4};
  std::copy(std::begin(values), std::end(values), images.data<float>().begin());
  const Var y = layer(g.constant(images), context);
  const double unit = 1 / std::sqrt(1.25 + 1e-5);
  const Tensor out = eval(y);
  for (std::size_t i = 0; i < 4; ++i)
    CHECK(static_cast<double>(out.data<float>()[i]) ==
          doctest::Approx((static_cast<double>(i) - 1.5) * unit));

  CHECK_THROWS_AS(layer.evaluate(g.input("two", {2, 1})), ShapeError);
  CHECK_THROWS_AS(layer.evaluate(g.input("channels", {2, 3, 4, 4})), ShapeError);
  CHECK_THROWS_AS(nn::BatchNorm1d("n", 1).evaluate(g.input("four", {2, 1, 4, 4})), ShapeError);
  CHECK_THROWS_AS(layer(g.input("single", {1, 1, 1, 1}), context), ShapeError);
  CHECK_NOTHROW(layer.evaluate(g.input("single in evaluation", {1, 1, 1, 1})));
  CHECK_THROWS_AS(nn::BatchNorm2d("n", 1, {.momentum = 1.5}), ValueError);
  const nn::Sequential net{layer};
  CHECK(nn::state_of(net).size() == 4);
}

TEST_CASE("RmsNorm keeps its epsilon of 1e-6 whatever else its options say") {
  Graph g;
  const Var x = g.constant(Tensor::from(std::vector<double>{1e-3}, Shape{1}));
  const nn::RmsNorm layer("rms", 1, {.dtype = float64});
  CHECK(eval(layer(x)).item() == doctest::Approx(std::sqrt(0.5)).epsilon(1e-12));
}
