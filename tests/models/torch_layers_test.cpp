// Whole layers against PyTorch's, with the same numbers in their parameters: fixtures/models.csv.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/models/attention.hpp>
#include <dualtape/models/convolution.hpp>
#include <dualtape/models/normalise.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/reduce.hpp>
#include <tests/fixtures/read.hpp>

using namespace dualtape;

namespace {

auto read(const std::string& name) { return fixtures::read_case("models.csv", name); }

// Number k of the fixtures.
Tensor waves(int k, const Shape& shape) { return fixtures::waves(k, shape, 0.5); }

void check_close(const Tensor& found, const std::vector<double>& wanted) {
  CHECK(all_close(found, Tensor::from(wanted, found.shape()), 1e-11, 1e-13));
}

// The parameters of PyTorch's layer in the order of the fixtures' numbers, from 1.
const std::vector<std::string> names{"norm1.weight",
                                     "norm1.bias",
                                     "attention.query.weight",
                                     "attention.query.bias",
                                     "attention.key.weight",
                                     "attention.key.bias",
                                     "attention.value.weight",
                                     "attention.value.bias",
                                     "attention.output.weight",
                                     "attention.output.bias",
                                     "norm2.weight",
                                     "norm2.bias",
                                     "fc1.weight",
                                     "fc1.bias",
                                     "fc2.weight",
                                     "fc2.bias"};

void check_transformer(const std::string& name, bool norm_first, Activation activation) {
  CAPTURE(name);
  const auto wanted = read(name);
  const nn::TransformerBlock block(
      "b", 6, 2, 10, Key{1},
      {.causal = true, .norm_first = norm_first, .activation = activation, .dtype = float64});
  CHECK(block.parameters().size() == names.size());
  Graph g;
  Var fc1;
  for (Parameter p : block.parameters())
    for (std::size_t k = 0; k < names.size(); ++k)
      if (p.name() == "b." + names[k]) {
        p.set(waves(static_cast<int>(k) + 1, p.shape()));
        if (names[k] == "fc1.weight") fc1 = g.read(p);
      }
  const Var x = g.constant(waves(0, {2, 4, 6}));
  const Var y = block.evaluate(x);
  const Gradients gradients = reverse(sum(g.constant(waves(17, y.shape())) * y), {x, fc1});
  check_close(eval(y), wanted.at("y"));
  check_close(eval(gradients[x]), wanted.at("dx"));
  check_close(eval(gradients[fc1]), wanted.at("dfc1"));
}

}  // namespace

TEST_CASE("a causal transformer block is PyTorch's TransformerEncoderLayer") {
  check_transformer("transformer first", true, Activation::gelu);
  check_transformer("transformer last", false, Activation::relu);
}

TEST_CASE("batch norm keeps PyTorch's running statistics") {
  const auto wanted = read("batch norm");
  const nn::BatchNorm2d layer("b", 3, {.epsilon = 1e-3, .momentum = 0.3, .dtype = float64});
  Parameter(layer.weight()).set(waves(1, {3}));
  Parameter(layer.bias()).set(waves(2, {3}));
  for (const int k : {3, 4}) {
    Graph g;
    nn::Context context{.training = true};
    const Var y = layer(g.constant(waves(k, {2, 3, 2, 2})), context);
    compile({y}, context.updates).run({});
  }
  check_close(layer.buffers()[0].value(), wanted.at("mean"));
  check_close(layer.buffers()[1].value(), wanted.at("var"));
  Graph g;
  check_close(eval(layer.evaluate(g.constant(waves(0, {1, 3, 2, 1})))), wanted.at("y"));
}

TEST_CASE("a transposed convolution with every option is PyTorch's") {
  const nn::ConvTranspose2d layer("c", 4, 6, {3, 2}, Key{1},
                                  {.stride = {2, 1},
                                   .padding = {1, 0},
                                   .output_padding = {1, 0},
                                   .dilation = {1, 2},
                                   .groups = 2,
                                   .dtype = float64});
  Parameter(layer.weight()).set(waves(1, {4, 3, 3, 2}));
  Parameter(*layer.bias()).set(waves(2, {6}));
  Graph g;
  check_close(eval(layer(g.constant(waves(0, {2, 4, 3, 4})))), read("conv transpose").at("y"));
}
