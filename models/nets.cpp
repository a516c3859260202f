#include <dualtape/models/nets.hpp>

#include <dualtape/models/convolution.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/ops/activations.hpp>

namespace dualtape::nets {

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

Sequential lenet5(Key key, std::int64_t classes) {
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
          Linear("logits", 84, classes, key)};
}

}  // namespace dualtape::nets
