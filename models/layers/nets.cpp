#include <dualtape/models/nets.hpp>

#include <string>
#include <utility>
#include <vector>

#include <dualtape/models/attention.hpp>
#include <dualtape/models/convolution.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/models/normalise.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape::nets {
namespace {

// Two convolutions 3 x 3 with batch norm beside a shortcut, which is a convolution 1 x 1 where the
// size changes.
nn::Sequential residual_block(const std::string& name, std::int64_t in, std::int64_t out,
                              std::int64_t stride, Key key) {
  const nn::Conv2dOptions first{.stride = stride, .padding = 1, .bias = false};
  const nn::Conv2dOptions second{.padding = 1, .bias = false};
  const nn::Sequential detour{nn::Conv2d(name + ".conv1", in, out, 3, key, first),
                              nn::BatchNorm2d(name + ".norm1", out), relu,
                              nn::Conv2d(name + ".conv2", out, out, 3, key, second),
                              nn::BatchNorm2d(name + ".norm2", out)};
  if (in == out && stride == 1) return {nn::Residual(detour), relu};
  const nn::Conv2dOptions direct{.stride = stride, .bias = false};
  const nn::Sequential shortcut{nn::Conv2d(name + ".conv0", in, out, 1, key, direct),
                                nn::BatchNorm2d(name + ".norm0", out)};
  return {nn::Residual(detour, shortcut), relu};
}

}  // namespace

using nn::Conv2d;
using nn::Flatten;
using nn::Linear;
using nn::MaxPool2d;
using nn::Sequential;

Sequential mnist_mlp(Key key) {
  return {Flatten(), Linear("fc1", 784, 1024, key),  relu, Linear("fc2", 1024, 1024, key),
          relu,      Linear("logits", 1024, 10, key)};
}

Sequential conv_net(Key key, const ConvNetOptions& options) {
  const nn::Conv2dOptions conv{.padding = options.padded ? 1 : 0};
  // 28 x 28 pixels come to 7 x 7, without padding to 4 x 4.
  const std::int64_t features = 64 * (options.padded ? 49 : 16);
  return {Conv2d("conv1", 1, 64, 3, key, conv),
          relu,
          Conv2d("conv2", 64, 64, 3, key, conv),
          relu,
          MaxPool2d(2),
          Conv2d("conv3", 64, 64, 3, key, conv),
          relu,
          Conv2d("conv4", 64, 64, 3, key, conv),
          relu,
          MaxPool2d(2),
          Flatten(),
          Linear("fc1", features, 1024, key),
          relu,
          Linear("logits", 1024, 10, key)};
}

Sequential cifar_net(Key key) {
  const nn::Conv2dOptions conv{.padding = 1};
  return {Conv2d("conv1", 3, 64, 3, key, conv),
          relu,
          Conv2d("conv2", 64, 64, 3, key, conv),
          relu,
          MaxPool2d(2),
          Conv2d("conv3", 64, 128, 3, key, conv),
          relu,
          Conv2d("conv4", 128, 128, 3, key, conv),
          relu,
          MaxPool2d(2),
          Conv2d("conv5", 128, 256, 3, key, conv),
          relu,
          Conv2d("conv6", 256, 256, 3, key, conv),
          relu,
          MaxPool2d(2),
          Flatten(),
          Linear("fc1", 4096, 4096, key),
          relu,
          Linear("logits", 4096, 10, key)};
}

Sequential kmnist_cnn(Key key) {
  const nn::Conv2dOptions conv{.padding = 1};
  return {Conv2d("conv1", 1, 2, 3, key, conv),
          relu,
          Conv2d("conv2", 2, 4, 3, key, conv),
          relu,
          MaxPool2d(2),
          Flatten(),
          Linear("fc1", 784, 64, key),
          relu,
          Linear("logits", 64, 10, key)};
}

Sequential lenet5(Key key, std::int64_t classes, Location where) {
  return {Conv2d("conv1", 1, 6, 5, key, {.padding = 2}),
          relu,
          MaxPool2d(2),
          Conv2d("conv2", 6, 16, 5, key),
          relu,
          MaxPool2d(2),
          Flatten(),
          Linear("fc1", 400, 120, key),
          relu,
          Linear("fc2", 120, 84, key),
          relu,
          Linear("logits", 84, classes, key, {}, where)};
}

Sequential small_resnet(Key key, const ResnetOptions& options, Location where) {
  return {Conv2d("conv", options.channels, 16, 3, key, {.padding = 1, .bias = false}, where),
          nn::BatchNorm2d("norm", 16),
          relu,
          residual_block("block1", 16, 16, 1, key),
          residual_block("block2", 16, 32, 2, key),
          residual_block("block3", 32, 64, 2, key),
          global_avg_pool,
          Linear("logits", 64, options.classes, key, {}, where)};
}

Sequential small_transformer(Key key, const TransformerOptions& options, Location where) {
  const auto to_sequence = [length = options.length, features = options.features](Var x,
                                                                                  Location here) {
    return reshape({x, here}, {-1, length, features});
  };
  if (options.blocks < 0)
    fail<ValueError>({.op = "small_transformer",
                      .what = "there cannot be " + std::to_string(options.blocks) + " blocks",
                      .where = where,
                      .help = "give 0 or more"});
  std::vector<nn::Layer> layers{
      to_sequence, Linear("in", options.features, options.width, key, {}, where),
      nn::PositionEmbedding("positions", options.length, options.width, key, {}, where)};
  for (std::int64_t i = 1; i <= options.blocks; ++i)
    layers.emplace_back(nn::TransformerBlock("block" + std::to_string(i), options.width,
                                             options.heads, options.hidden, key,
                                             {.dropout = options.dropout}, where));
  layers.emplace_back(nn::LayerNorm("norm", options.width, {}, where));
  layers.emplace_back([](Var x, Location here) { return mean({x, here}, {1}); });
  layers.emplace_back(Linear("logits", options.width, options.classes, key, {}, where));
  return Sequential(std::move(layers));
}

}  // namespace dualtape::nets
