#include <dualtape/models/layers.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include <dualtape/core/program.hpp>
#include <dualtape/models/attention.hpp>
#include <dualtape/models/convolution.hpp>
#include <dualtape/models/normalise.hpp>
#include <dualtape/models/sequential.hpp>
#include <tests/errors.hpp>
#include <tests/sanitizers.hpp>

using namespace dualtape;

namespace {

void set(Parameter parameter, const Tensor& value) { parameter.set(value); }

}  // namespace

TEST_CASE("a linear layer is x W + b") {
  const nn::Linear layer("out", 2, 3, Key{1});
  set(layer.weight(), Tensor{{1, 2, 3}, {4, 5, 6}});
  set(*layer.bias(), Tensor{10, 20, 30});
  Graph g;
  const Var y = layer(g.constant(Tensor{{1, 0}, {0, 1}, {1, -1}}));
  CHECK(identical(eval(y), Tensor{{11, 22, 33}, {14, 25, 36}, {7, 17, 27}}));
  CHECK(y.label() == "out");
  CHECK(layer.weight().name() == "out.weight");
  CHECK(layer.bias()->name() == "out.bias");
  CHECK(layer.parameters().size() == 2);

  const nn::Linear bare("out", 2, 3, Key{1}, {.bias = false});
  CHECK(bare.parameters().size() == 1);
  set(bare.weight(), layer.weight().value());
  CHECK(identical(eval(bare(g.constant(Tensor{{1, -1}}))), Tensor{{-3, -3, -3}}));
}

TEST_CASE("a layer that does not fit names the user's line") {
  const nn::Linear layer("out", 2, 3, Key{1});
  Graph g;
  const Var x = g.input("x", {4, 5});
  const std::string line = "layers_test.cpp:" + std::to_string(__LINE__ + 2);
  try {
    layer(x);
    FAIL("no error");
  } catch (const ShapeError& error) {
    CHECK(std::string(error.what()).find(line) != std::string::npos);
  }
  CHECK_THROWS_AS(nn::Linear("none", 0, 3, Key{1}), ShapeError);
}

TEST_CASE("an MLP chains its layers with the activation between them") {
  const double x = 0.7;
  const struct {
    Activation activation;
    double value;
  } cases[] = {{Activation::identity, x},
               {Activation::relu, x},
               {Activation::tanh, std::tanh(x)},
               {Activation::sigmoid, 1 / (1 + std::exp(-x))},
               {Activation::gelu, x * 0.5 * (1 + std::erf(x / std::sqrt(2.0)))}};
  for (const auto& wanted : cases) {
    const Activation activation = wanted.activation;
    const double value = wanted.value;
    CAPTURE(name_of(activation));
    const Mlp mlp({1, 2, 1}, Key{1}, {.activation = activation});
    set(mlp.layers()[0].weight(), Tensor{{1, -1}});
    set(mlp.layers()[1].weight(), Tensor({{2}, {0}}));
    Graph g;
    const Var y = mlp(g.constant(Tensor({{x}})));
    CHECK(eval(y).item() == doctest::Approx(2 * value).epsilon(1e-6));
  }
  Mlp squashed({1, 1}, Key{1}, {.output = Activation::relu});
  set(squashed.layers()[0].weight(), Tensor({{-1}}));
  Graph g;
  CHECK(eval(squashed(g.constant(Tensor({{3}})))).item() == 0);
}

TEST_CASE("an MLP names its parameters and nodes and counts its numbers") {
  const Mlp mlp({4, 8, 6, 3}, Key{1});
  CHECK(mlp.parameter_count() == 4 * 8 + 8 + 8 * 6 + 6 + 6 * 3 + 3);
  std::vector<std::string> names;
  for (const Parameter& p : mlp.parameters()) names.push_back(p.name());
  CHECK(names == std::vector<std::string>{"layer1.weight", "layer1.bias", "layer2.weight",
                                          "layer2.bias", "logits.weight", "logits.bias"});
  Graph g;
  const Var y = mlp(g.input("x", {5, 4}));
  CHECK(y.shape() == Shape{5, 3});
  CHECK(y.label() == "logits");
  CHECK(Mlp({4, 3}, Key{1}, {.bias = false, .dtype = float64}).parameters().size() == 1);
  CHECK_THROWS_AS(Mlp({4}, Key{1}), ValueError);
}

TEST_CASE("equal keys make bitwise equal models; copying makes any two equal") {
  const Mlp a({4, 8, 3}, Key{1});
  const Mlp b({4, 8, 3}, Key{1});
  const Mlp c({4, 8, 3}, Key{2});
  const auto same = [](const Mlp& x, const Mlp& y) {
    bool all = true;
    for (std::size_t i = 0; i < x.parameters().size(); ++i)
      all = all && identical(x.parameters()[i].value(), y.parameters()[i].value());
    return all;
  };
  CHECK(same(a, b));
  CHECK(!same(a, c));
  // Layers of equal shape draw from streams of their own.
  const Mlp square({4, 4, 4}, Key{1});
  CHECK(!identical(square.parameters()[0].value(), square.parameters()[2].value()));

  copy_parameters(a.parameters(), c.parameters());
  CHECK(same(a, c));
  CHECK(!a.parameters()[0].value().shares_memory_with(c.parameters()[0].value()));
}

TEST_CASE("parameters that do not fit are not copied, not even in part") {
  const Mlp a({4, 8, 3}, Key{1});
  const Mlp b({4, 8, 2}, Key{2});
  const Tensor before = b.parameters()[0].value().copy();
  CHECK_THROWS_AS(copy_parameters(a.parameters(), b.parameters()), ShapeError);
  CHECK(identical(b.parameters()[0].value(), before));
  const Mlp wide({4, 8, 3}, Key{1}, {.dtype = float64});
  CHECK_THROWS_AS(copy_parameters(a.parameters(), wide.parameters()), TypeError);
  const Mlp deep({4, 8, 8, 3}, Key{1});
  CHECK_THROWS_AS(copy_parameters(a.parameters(), deep.parameters()), GraphError);
}

TEST_CASE("logistic regression starts with all classes equally likely") {
  const LogisticRegression model(4, 3);
  Graph g;
  const Var y = model(g.constant(ones({2, 4})));
  CHECK(identical(eval(y), zeros({2, 3})));
  CHECK(y.label() == "logits");
}

TEST_CASE("linear layers start as PyTorch's, within 1 / sqrt(fan_in)") {
  const nn::Linear layer("in", 100, 50, Key{1});
  for (const Parameter& p : layer.parameters()) {
    double largest = 0;
    for (const float value : p.value().data<float>())
      largest = std::max(largest, std::abs(static_cast<double>(value)));
    CHECK(largest <= 0.1);
    CHECK(largest > 0.09);
  }
}

TEST_CASE("flatten keeps the batch") {
  Graph g;
  const Var x = g.input("x", {2, 3, 4, 5});
  CHECK(nn::Flatten()(x).shape() == Shape{2, 60});
  CHECK(nn::Flatten(0, 1)(x).shape() == Shape{6, 4, 5});
}

TEST_CASE("an embedding looks rows up") {
  const nn::Embedding words("words", 3, 2, Key{1});
  CHECK(words.parameters()[0].name() == "words.weight");
  set(words.weight(), Tensor{{1, 2}, {3, 4}, {5, 6}});
  Graph g;
  const Var y = words(g.constant(Tensor::from<std::int64_t>({2, 0, 2}, {3})));
  CHECK(identical(eval(y), Tensor{{5, 6}, {1, 2}, {5, 6}}));
  CHECK_THROWS_AS(nn::Embedding("none", 0, 2, Key{1}), ShapeError);
  CHECK(nn::Embedding("wide", 3, 2, Key{1}, {.dtype = float64}).weight().dtype() == float64);
}

TEST_CASE("dropout drops in training alone, each layer by its own key") {
  const nn::Dropout half;
  Graph g;
  const Var x = g.constant(ones({1000}));
  CHECK(half.evaluate(x) == x);
  nn::Context evaluation;
  CHECK(half(x, evaluation) == x);
  nn::Context context{.training = true, .key = g.constant(Key{1}.to_tensor())};
  CHECK(nn::Dropout(0)(x, context) == x);
  CHECK(context.draws == 0);
  const Tensor a = eval(half(x, context));
  const Tensor b = eval(half(x, context));
  CHECK(!identical(a, b));
  std::int64_t kept = 0;
  for (const float value : a.data<float>()) {
    CHECK((value == 0 || value == 2));
    kept += value == 2;
  }
  CHECK(kept > 400);
  CHECK(kept < 600);
  nn::Context again{.training = true, .key = context.key};
  CHECK(identical(a, eval(half(x, again))));
  CHECK_THROWS_AS(nn::Dropout(1)(x, context), ValueError);
}

TEST_CASE("dropout that is not told whether to train says so") {
  Graph g;
  const Var x = g.constant(ones({4}));
  const auto error_of = [&](const auto& layer) -> std::string {
    try {
      layer(x);
    } catch (const GraphError& error) {
      return error.what();
    }
    return "";
  };
  const nn::Dropout half;
  CHECK(half.needs_context());
  const std::string text = error_of(half);
  CHECK(text.find("[Dropout]") != std::string::npos);
  CHECK(text.find("nn::Context& context") != std::string::npos);
  CHECK(text.find("layer.evaluate(x)") != std::string::npos);
  CHECK(text.find("layers_test.cpp") != std::string::npos);
  // What holds it and does not pass a context on is told so, too, though a context was there.
  struct Forgetful {
    nn::Dropout drop{0.5};
    Var operator()(Var y) const { return drop(y); }
  };
  nn::Context context{.training = true, .key = g.constant(Key{1}.to_tensor())};
  CHECK_THROWS_AS(nn::Sequential{Forgetful{}}(x, context), GraphError);
  CHECK(nn::Dropout(0)(x) == x);
}

TEST_CASE("a linear layer that does not fit names itself, the shapes and the mend") {
  const nn::Linear layer("fc1", 64, 10, Key{1});
  Graph g;
  const auto error_of = [&](const Shape& shape) -> std::string {
    const Var x = g.input("x of " + to_string(shape), shape);
    try {
      layer(x);
    } catch (const ShapeError& error) {
      return error.what();
    }
    return "";
  };
  const std::string image = error_of({5, 1, 8, 8});
  CHECK(image.find("[Linear 'fc1'] x is float32 (5, 1, 8, 8)") != std::string::npos);
  CHECK(image.find("must be 64") != std::string::npos);
  CHECK(image.find("nn::Flatten()") != std::string::npos);
  CHECK(image.find("(5, 64)") != std::string::npos);
  CHECK(image.find("layers_test.cpp") != std::string::npos);
  CHECK(image.find("transpose") == std::string::npos);
  const std::string other = error_of({5, 1, 8, 9});
  CHECK(other.find("(..., 64)") != std::string::npos);
  CHECK(other.find("Flatten") == std::string::npos);
  CHECK(error_of({}).find("'fc1'") != std::string::npos);
  CHECK(error_of({64}).empty());
}

TEST_CASE("layers that are given an empty Var name the line of the call") {
  const auto refused = [](const std::string& name, const auto& call) {
    CAPTURE(name);
    const std::string text = testing::error_of<GraphError>(call);
    CHECK(testing::has(text, "layers_test.cpp:"));
    CHECK(!testing::contains(text, "models/layers/layers.cpp:"));
  };
  const Var none;
  refused("Linear", [&] { nn::Linear("l", 2, 2, Key{1})(none); });
  refused("Mlp", [&] { Mlp({2, 2}, Key{1})(none); });
  refused("Conv1d", [&] { nn::Conv1d("c", 2, 2, 1, Key{1})(none); });
  refused("Conv2d", [&] { nn::Conv2d("c", 2, 2, {1, 1}, Key{1})(none); });
  refused("BatchNorm1d", [&] { nn::BatchNorm1d("b", 2).evaluate(none); });
  refused("LayerNorm", [&] { nn::LayerNorm("n", 2)(none); });
  refused("Embedding", [&] { nn::Embedding("e", 2, 2, Key{1})(none); });
  refused("Flatten", [&] { nn::Flatten()(none); });
  refused("MultiHeadAttention", [&] { nn::MultiHeadAttention("a", 4, 2, Key{1})(none); });
  refused("PositionEmbedding", [&] { nn::PositionEmbedding("p", 2, 2, Key{1})(none); });
  refused("Residual", [&] { nn::Residual(nn::Sequential{})(none); });
  refused("Sequential", [&] { nn::Sequential{nn::Linear("l", 2, 2, Key{1})}(none); });
}

TEST_CASE("layers that are too large name themselves, their label, their sizes and the line") {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const auto told = [](const char* layer, const char* sizes, const auto& make) {
    const std::string text = testing::error_of<ShapeError>(make);
    CHECK(testing::has(text, std::string("[") + layer + "'l'] "));
    CHECK(testing::has(text, sizes));
    CHECK(testing::has(text, "layers_test.cpp:"));
  };
  told("Linear ", "(9223372036854775807, 3)", [] { nn::Linear("l", most, 3, Key{1}); });
  told("Linear ", "(3, -1)", [] { nn::Linear("l", 3, -1, Key{1}); });
  told("Embedding ", "(3, 9223372036854775807)", [] { nn::Embedding("l", 3, most, Key{1}); });
  told("Conv2d ", "(4, 3, 9223372036854775807, 2)",
       [] { nn::Conv2d("l", 3, 4, Size2d(most, 2), Key{1}); });
  told("Conv2d ", "(4, 3, 0, 2)", [] { nn::Conv2d("l", 3, 4, Size2d(0, 2), Key{1}); });
  told("Conv1d ", "(4, 3, -7)", [] { nn::Conv1d("l", 3, 4, -7, Key{1}); });
  told("ConvTranspose2d ", "(3, 4, -1, -1)", [] { nn::ConvTranspose2d("l", 3, 4, -1, Key{1}); });
  told("LayerNorm ", "(9223372036854775807,)", [] { nn::LayerNorm("l", most); });
  told("RmsNorm ", "(-2,)", [] { nn::RmsNorm("l", -2); });
  told("BatchNorm2d ", "(0,)", [] { nn::BatchNorm2d("l", 0); });
  const std::string regression = testing::error_of<ShapeError>([] { LogisticRegression(-1, -1); });
  CHECK(testing::has(regression, "[Linear 'logits'] its weight would be (-1, -1)"));
  CHECK(testing::has(regression, "layers_test.cpp:"));
  const std::string dtype =
      testing::error_of<TypeError>([] { nn::Linear("l", 2, 3, Key{1}, {.dtype = DType(99)}); });
  CHECK(testing::has(dtype, "99"));
  CHECK(testing::has(dtype, "layers_test.cpp:"));
  const std::string copies =
      testing::error_of<GraphError>([] { copy_parameters({}, {Parameter("w", ones({1}))}); });
  CHECK(testing::has(copies, "layers_test.cpp:"));
}

TEST_CASE("a layer that memory does not hold names itself, its label and its sizes") {
  if (testing::address_sanitizer || testing::thread_sanitizer) {
    MESSAGE("[skipped] the sanitizers end the process where memory cannot be had");
    return;
  }
  const auto told = [](const char* layer, const char* type, const auto& make) {
    const std::string text = testing::error_of<MemoryError>(make);
    CHECK(testing::has(text, layer));
    CHECK(testing::has(text, type));
    CHECK(testing::has(text, "layers_test.cpp:"));
  };
  constexpr std::int64_t large = std::int64_t{1} << 52U;
  told("[Linear 'l']", "weight, float32 (4503599627370496, 2)",
       [] { nn::Linear("l", large, 2, Key{1}); });
  told("[Embedding 'l']", "float32 (4503599627370496, 2)",
       [] { nn::Embedding("l", large, 2, Key{1}); });
  told("[Conv1d 'l']", "float32 (2, 4503599627370496, 2)",
       [] { nn::Conv1d("l", large, 2, 2, Key{1}); });
  told("[LayerNorm 'l']", "float32 (4503599627370496,)", [] { nn::LayerNorm("l", large); });
}
