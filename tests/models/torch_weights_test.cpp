#include <dualtape/models/torch_weights.hpp>

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/models/attention.hpp>
#include <dualtape/models/checkpoint.hpp>
#include <dualtape/models/convolution.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/models/normalise.hpp>
#include <dualtape/models/safetensors.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/shapes.hpp>
#include <tests/errors.hpp>
#include <tests/models/files.hpp>

using namespace dualtape;
using testing::error_of;
using testing::has;

namespace {

// y = x W^T + b, as PyTorch computes a Linear.
Tensor torch_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  Graph g;
  return eval(matmul(g.constant(x), transpose(g.constant(weight))) + bias);
}

}  // namespace

TEST_CASE("a Linear's weight is transposed, square or not, and computes what PyTorch does") {
  for (const std::int64_t out : {2, 3, 5}) {
    CAPTURE(out);
    const nn::Linear layer("fc", 3, out, Key{1}, {.dtype = float64});
    const Tensor weight = normal(Key{2}, {out, 3}, 0, 1, float64);
    const Tensor bias = normal(Key{3}, {out}, 0, 1, float64);
    set_torch_parameters({{"fc.weight", weight}, {"fc.bias", bias}}, layer.parameters());
    const Tensor x = normal(Key{4}, {4, 3}, 0, 1, float64);
    Graph g;
    CHECK(all_close(eval(layer(g.constant(x))), torch_linear(x, weight, bias), 1e-14, 1e-14));
  }
}

TEST_CASE("tables, kernels and norms stand as they are") {
  const nn::Sequential net{nn::Embedding("tokens", 3, 3, Key{1}),
                           nn::PositionEmbedding("places", 4, 3, Key{1}),
                           nn::Linear("fc", 3, 3, Key{1}), nn::BatchNorm1d("norm", 3)};
  CHECK(net.tables().size() == 2);
  const Tensor square = normal(Key{5}, {3, 3});
  const Tensor places = normal(Key{6}, {4, 3});
  const std::vector<NamedTensor> file{{"module.tokens.weight", square},
                                      {"module.places.weight", places},
                                      {"module.fc.weight", square},
                                      {"module.fc.bias", normal(Key{7}, {3})},
                                      {"module.norm.weight", ones({3})},
                                      {"module.norm.bias", zeros({3})},
                                      {"module.norm.running_mean", ones({3})},
                                      {"module.norm.running_var", ones({3})},
                                      {"module.norm.num_batches_tracked", Tensor(std::int64_t{7})}};
  if (built_with_json()) {
    const Folder folder;
    save_safetensors(folder / "torch", {file, {{"format", "pt"}}});
    load_torch(folder / "torch", net, {.prefix = "module."});
  } else {
    set_torch_parameters(file, nn::state_of(net), {.prefix = "module.", .tables = net.tables()});
  }
  const auto value = [&](const std::string& name) -> Tensor {
    for (const Parameter& parameter : nn::state_of(net))
      if (parameter.name() == name) return parameter.value();
    return {};
  };
  CHECK(identical(value("tokens.weight"), square));
  CHECK(identical(value("places.weight"), places));
  for (std::int64_t i = 0; i < 3; ++i)
    for (std::int64_t j = 0; j < 3; ++j) CHECK(value("fc.weight").at({i, j}) == square.at({j, i}));
  CHECK(identical(value("norm.running_mean"), ones({3})));

  const nn::Conv2d kernel("conv", 2, 2, 2, Key{1});
  const Tensor weight = normal(Key{8}, {2, 2, 2, 2});
  set_torch_parameters({{"conv.weight", weight}, {"conv.bias", ones({2})}}, kernel.parameters());
  CHECK(identical(kernel.weight().value(), weight));
}

TEST_CASE("attention is taken from PyTorch's joint projection and its names") {
  const nn::TransformerBlock block("layers.0", 2, 1, 3, Key{1});
  const Tensor in_weight = normal(Key{9}, {6, 2});
  const Tensor in_bias = normal(Key{10}, {6});
  const Tensor out = normal(Key{11}, {2, 2});
  const Tensor first = normal(Key{12}, {3, 2});
  set_torch_parameters({{"layers.0.self_attn.in_proj_weight", in_weight},
                        {"layers.0.self_attn.in_proj_bias", in_bias},
                        {"layers.0.self_attn.out_proj.weight", out},
                        {"layers.0.self_attn.out_proj.bias", zeros({2})},
                        {"layers.0.linear1.weight", first},
                        {"layers.0.linear1.bias", zeros({3})},
                        {"layers.0.linear2.weight", ones({2, 3})},
                        {"layers.0.linear2.bias", zeros({2})},
                        {"layers.0.norm1.weight", ones({2})},
                        {"layers.0.norm1.bias", zeros({2})},
                        {"layers.0.norm2.weight", ones({2})},
                        {"layers.0.norm2.bias", zeros({2})}},
                       block.parameters());
  for (const Parameter& parameter : block.parameters()) {
    const std::string& name = parameter.name();
    CAPTURE(name);
    const Tensor& value = parameter.value();
    const std::string kinds[] = {"query", "key", "value"};
    for (std::int64_t k = 0; k < 3; ++k) {
      if (name == "layers.0.attention." + kinds[k] + ".weight")
        for (std::int64_t i = 0; i < 2; ++i)
          for (std::int64_t j = 0; j < 2; ++j)
            CHECK(value.at({i, j}) == in_weight.at({2 * k + j, i}));
      if (name == "layers.0.attention." + kinds[k] + ".bias")
        CHECK(identical(value, in_bias.rows(2 * k, 2 * k + 2)));
    }
    if (name == "layers.0.attention.output.weight") CHECK(value.at({0, 1}) == out.at({1, 0}));
    if (name == "layers.0.fc1.weight") CHECK(value.at({1, 2}) == first.at({2, 1}));
  }
}

TEST_CASE("what does not fit says why, at the user's line, and changes nothing") {
  const nn::Linear layer("fc", 3, 2, Key{1});
  const Tensor before = layer.weight().value().copy();
  const auto refused = [&](const std::vector<NamedTensor>& tensors, const TorchOptions& options) {
    const std::string text =
        error_of<DataError>([&] { set_torch_parameters(tensors, layer.parameters(), options); });
    CHECK(has(text, "torch_weights_test.cpp:"));
    CHECK(has(text, "'fc."));
    CHECK(identical(layer.weight().value(), before));
    return text;
  };
  const NamedTensor bias{"fc.bias", zeros({2})};
  const std::string ours = refused({{"fc.weight", ones({3, 2})}, bias}, {});
  CHECK(has(ours, "(out, in)"));
  CHECK(has(ours, "TorchOptions::tables"));
  CHECK(has(refused({{"fc.weight", ones({2, 3})}, bias}, {.tables = {layer.weight()}}), "(3, 2)"));
  CHECK(has(refused({{"fc.weight", ones({2, 3}, float64)}, bias}, {}), "float64"));
  CHECK(has(refused({{"model.fc.weight", ones({2, 3})}, bias}, {}), "'model.fc.weight'"));
  CHECK(has(refused({{"fc.weight", ones({2, 3})}}, {}), "no 'fc.bias'"));
  set_torch_parameters({{"m.W", ones({2, 3})}, {"m.b", zeros({2})}}, layer.parameters(),
                       {.prefix = "m.", .name = [](const std::string& name) {
                          return std::string(name == "fc.weight" ? "W" : "b");
                        }});
  CHECK(identical(layer.weight().value(), ones({3, 2})));
}

TEST_CASE("the matrices of a file that does not say who wrote it are not guessed at") {
  if (!built_with_json()) return;
  const Folder folder;
  const nn::Linear layer("fc", 2, 2, Key{1});
  const Tensor square{{1, 2}, {3, 4}};
  const Tensor turned{{1, 3}, {2, 4}};
  const std::vector<NamedTensor> tensors{{"fc.weight", square}, {"fc.bias", zeros({2})}};
  using Metadata = std::vector<std::pair<std::string, std::string>>;
  for (const Metadata& metadata : {Metadata{}, Metadata{{"format", "pt"}}}) {
    save_safetensors(folder / "file", {tensors, metadata});
    const Tensor before = layer.weight().value().copy();
    const std::string text =
        error_of<DataError>([&] { load_parameters(folder / "file", layer.parameters()); });
    CHECK(has(text, "torch_weights_test.cpp:"));
    CHECK(has(text, "Layout::torch"));
    CHECK(has(text, "save_parameters() or save_checkpoint() did not write this file"));
    CHECK(identical(layer.weight().value(), before));
    load_parameters(folder / "file", layer.parameters(), Layout::torch);
    CHECK(identical(layer.weight().value(), turned));
    load_parameters(folder / "file", layer.parameters(), Layout::dualtape);
    CHECK(identical(layer.weight().value(), square));
    // What is no matrix lies the same in both.
    load_parameters(folder / "file", {*layer.bias()});
  }
  save_parameters(folder / "own", layer.parameters());
  Parameter(layer.weight()).set(turned);
  load_parameters(folder / "own", layer.parameters());
  CHECK(identical(layer.weight().value(), square));
}

TEST_CASE("a file that dualtape wrote is not turned as if PyTorch had written it") {
  if (!built_with_json()) return;
  const Folder folder;
  const nn::Linear layer("fc", 2, 2, Key{1});
  save_parameters(folder / "file", nn::Linear("fc", 2, 2, Key{2}).parameters());
  const Tensor before = layer.weight().value().copy();
  const auto refused = [&](const auto& load) {
    const std::string text = error_of<DataError>(load);
    CHECK(has(text, "torch_weights_test.cpp:"));
    CHECK(has(text, "dualtape wrote this file"));
    CHECK(has(text, "use load_parameters(), and leave the layout out"));
    CHECK(identical(layer.weight().value(), before));
  };
  refused([&] { load_torch(folder / "file", layer); });
  refused([&] { load_torch_parameters(folder / "file", layer.parameters()); });
  refused([&] { load_parameters(folder / "file", layer.parameters(), Layout::torch); });
  load_parameters(folder / "file", layer.parameters());
  CHECK(identical(layer.weight().value(), nn::Linear("fc", 2, 2, Key{2}).weight().value()));
}

TEST_CASE("errors name the function that was called") {
  if (!built_with_json()) return;
  const Folder folder;
  const nn::Linear layer("fc", 2, 2, Key{1});
  save_safetensors(folder / "file", {{{"other", Tensor(1.0)}}, {}});
  CHECK(has(error_of<DataError>([&] { load_torch(folder / "file", layer); }), "[load_torch 'fc"));
  CHECK(has(error_of<DataError>(
                [&] { load_parameters(folder / "file", layer.parameters(), Layout::torch); }),
            "[load_parameters 'fc"));
  CHECK(has(error_of<DataError>([&] { set_torch_parameters({}, layer.parameters()); }),
            "[set_torch_parameters 'fc"));
}
