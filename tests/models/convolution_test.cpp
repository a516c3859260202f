#include <dualtape/models/convolution.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include <dualtape/core/program.hpp>

using namespace dualtape;

namespace {

void set(Parameter parameter, const Tensor& value) { parameter.set(value); }

// 0, 1, 2 ...
Tensor counting(const Shape& shape) {
  Tensor numbers(shape);
  float next = 0;
  for (float& number : numbers.data<float>()) number = next++;
  return numbers;
}

double largest(const Parameter& parameter) {
  double most = 0;
  for (const float value : parameter.value().data<float>())
    most = std::max(most, std::abs(static_cast<double>(value)));
  return most;
}

}  // namespace

TEST_CASE("a convolution of images weighs windows and adds its bias to each channel") {
  const nn::Conv2d layer("conv", 1, 2, 2, Key{1});
  set(layer.weight(), Tensor::from<float>({1, 1, 1, 1, 1, 0, 0, -1}, {2, 1, 2, 2}));
  set(*layer.bias(), Tensor{100, 200});
  Graph g;
  const Var y = layer(g.constant(counting({1, 1, 3, 3})));
  CHECK(identical(eval(y),
                  Tensor::from<float>({108, 112, 120, 124, 196, 196, 196, 196}, {1, 2, 2, 2})));
  CHECK(y.label() == "conv");
  CHECK(layer.parameters()[0].name() == "conv.weight");
  CHECK(layer.parameters()[1].name() == "conv.bias");
}

TEST_CASE("options reach the convolution, by shapes") {
  Graph g;
  const Var x = g.input("x", {2, 4, 10, 9});
  const auto shape = [&](const nn::Conv2d& layer) { return layer(x).shape(); };
  CHECK(shape(nn::Conv2d("c", 4, 6, {3, 5}, Key{1})) == Shape{2, 6, 8, 5});
  CHECK(shape(nn::Conv2d("c", 4, 6, 3, Key{1}, {.stride = 2, .padding = {1, 0}})) ==
        Shape{2, 6, 5, 4});
  CHECK(shape(nn::Conv2d("c", 4, 6, 3, Key{1}, {.padding = Padding::same()})) ==
        Shape{2, 6, 10, 9});
  CHECK(shape(nn::Conv2d("c", 4, 6, 3, Key{1}, {.dilation = 3})) == Shape{2, 6, 4, 3});
  const nn::Conv2d depthwise("c", 4, 8, 3, Key{1}, {.groups = 4, .bias = false});
  CHECK(depthwise.weight().shape() == Shape{8, 1, 3, 3});
  CHECK(depthwise.parameters().size() == 1);
  CHECK(shape(depthwise) == Shape{2, 8, 8, 7});
  CHECK(depthwise(x).label() == "c");
  CHECK(nn::Conv2d("c", 1, 1, 1, Key{1}, {.dtype = float64}).bias()->dtype() == float64);
}

TEST_CASE("convolutions start within 1 / sqrt(fan_in), as PyTorch's") {
  // fan_in: 8 / 2 * 5 * 5 = 100, 4 * 25 = 100, 8 * 5 * 5 / 2 = 100.
  const nn::Conv2d image("a", 8, 40, 5, Key{1}, {.groups = 2});
  const nn::Conv1d sequence("b", 4, 90, 25, Key{1});
  const nn::ConvTranspose2d back("c", 40, 8, 5, Key{1}, {.groups = 2});
  for (const nn::Weighted* layer :
       {static_cast<const nn::Weighted*>(&image), static_cast<const nn::Weighted*>(&sequence),
        static_cast<const nn::Weighted*>(&back)})
    for (const Parameter& p : layer->parameters()) {
      CAPTURE(p.name());
      CHECK(largest(p) <= 0.1);
      CHECK(largest(p) > (p.count() > 100 ? 0.099 : 0.07));
    }
}

TEST_CASE("sequences have layers of their own") {
  const nn::Conv1d layer("conv", 1, 1, 2, Key{1}, {.stride = 2, .padding = 1});
  set(layer.weight(), Tensor::from<float>({1, 10}, {1, 1, 2}));
  set(*layer.bias(), Tensor{5});
  Graph g;
  // Zeros around 0 1 2 3: (0, 0), (1, 2), (3, 0).
  const Var y = layer(g.constant(counting({1, 1, 4})));
  CHECK(identical(eval(y), Tensor::from<float>({5, 26, 8}, {1, 1, 3})));
}

TEST_CASE("a transposed convolution spreads pixels") {
  const nn::ConvTranspose2d layer("up", 1, 2, 2, Key{1}, {.stride = 2});
  CHECK(layer.weight().shape() == Shape{1, 2, 2, 2});
  set(layer.weight(), Tensor::from<float>({1, 2, 3, 4, 0, 0, 0, 1}, {1, 2, 2, 2}));
  set(*layer.bias(), Tensor{0, 7});
  Graph g;
  const Var y = layer(g.constant(Tensor::from<float>({1, 10}, {1, 1, 1, 2})));
  CHECK(identical(eval(y), Tensor::from<float>({1, 2, 10, 20, 3, 4, 30, 40,  //
                                                7, 7, 7, 7, 7, 8, 7, 17},
                                               {1, 2, 2, 4})));
}

TEST_CASE("pooling layers are their operators") {
  Graph g;
  const Var x = g.constant(counting({1, 1, 4, 4}));
  CHECK(identical(eval(nn::MaxPool2d(2)(x)), Tensor::from<float>({5, 7, 13, 15}, {1, 1, 2, 2})));
  CHECK(identical(eval(nn::AvgPool2d(2)(x)),
                  Tensor::from<float>({2.5, 4.5, 10.5, 12.5}, {1, 1, 2, 2})));
  CHECK(eval(nn::AdaptiveAvgPool2d(1)(x)).item() == 7.5);
  CHECK(nn::MaxPool2d(3, {.stride = 1, .padding = 1})(x).shape() == Shape{1, 1, 4, 4});
}

TEST_CASE("channels that do not fit are errors that say so") {
  CHECK_THROWS_AS(nn::Conv2d("c", 3, 4, 3, Key{1}, {.groups = 2}), ShapeError);
  CHECK_THROWS_AS(nn::Conv2d("c", 0, 4, 3, Key{1}), ShapeError);
  CHECK_THROWS_AS(nn::Conv2d("c", 4, 4, 0, Key{1}), ShapeError);
  CHECK_THROWS_AS(nn::Conv1d("c", 4, 3, 3, Key{1}, {.groups = 2}), ShapeError);
  CHECK_THROWS_AS(nn::ConvTranspose2d("c", 4, 4, 3, Key{1}, {.groups = 0}), ShapeError);
  const nn::Conv2d layer("conv", 3, 4, 3, Key{1});
  Graph g;
  const Var x = g.input("x", {1, 2, 5, 5});
  const std::string line = "convolution_test.cpp:" + std::to_string(__LINE__ + 2);
  try {
    layer(x);
    FAIL("no error");
  } catch (const ShapeError& error) {
    CHECK(std::string(error.what()).find(line) != std::string::npos);
  }
  const auto error_of = [](const auto& act) -> std::string {
    try {
      act();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const auto says = [&](const std::string& text, const std::string& what) {
    CAPTURE(text);
    CHECK(text.find(what) != std::string::npos);
    CHECK(text.find("convolution_test.cpp") != std::string::npos);
  };
  says(error_of([&] { layer(x); }), "[Conv2d 'conv'] x is float32 (1, 2, 5, 5)");
  says(error_of([&] { layer(x); }), "(N, 3, H, W)");
  const Var last = g.input("last", {1, 5, 5, 3});
  says(error_of([&] { layer(last); }), "last axis");
  says(error_of([&] { nn::Conv2d("g", 4, 4, 3, Key{1}, {.groups = 2})(x); }), "(N, 4, H, W)");
  says(error_of([&] { nn::Conv1d("seq", 2, 4, 3, Key{1})(x); }), "[Conv1d 'seq']");
  says(error_of([&] { nn::ConvTranspose2d("up", 3, 4, 3, Key{1})(x); }), "[ConvTranspose2d 'up']");
  // What the operator itself finds has the layer's name, too.
  says(error_of([&] { nn::Conv2d("wide", 2, 4, 9, Key{1})(x); }), "[Conv2d 'wide'] [conv2d]");
}
