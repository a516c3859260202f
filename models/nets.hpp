// Networks that are known by name, as nn::Sequential. Parameters start as PyTorch's and are drawn
// from `key`; all end in logits of shape (N, classes), for cross_entropy, and take images of shape
// (N, C, H, W). Graphs are built by one thread at a time.
#pragma once

#include <cstdint>

#include <dualtape/core/random.hpp>
#include <dualtape/models/sequential.hpp>

namespace dualtape::nets {

// A perceptron for 28 x 28 images: 784-1024-1024-10 with relu between. 1 863 690 numbers.
// Takes (N, 784) as well. Baydin et al., "Gradients without Backpropagation", 2022, section 5.2.
nn::Sequential mnist_mlp(Key key);

struct ConvNetOptions {
  bool padded = false;  // keep the size of images in convolutions, as the paper's variant does
};
// For (N, 1, 28, 28): twice two convolutions 3 x 3 of 64 channels and max-pooling 2, then
// 1024-1024-10 (padded: 3136-1024-10), relu between. 1 171 274 numbers; padded 3 333 962. The same
// paper, section 5.3.
nn::Sequential conv_net(Key key, const ConvNetOptions& options = {});

// For (N, 3, 32, 32): pairs of padded convolutions 3 x 3 of 64, 128 and 256 channels, max-pooling 2
// after each, then 4096-4096-10. 17 967 690 numbers.
nn::Sequential cifar_net(Key key);

// For (N, 1, 28, 28): padded convolutions 3 x 3 of 2 and 4 channels, max-pooling 2, then 784-64-10.
// 50 986 numbers.
nn::Sequential kmnist_cnn(Key key);

// LeNet-5 for (N, 1, 28, 28), with relu and max-pooling in the place of the tanh and the trained
// subsampling of 1998 (LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to
// Document Recognition"): convolutions 5 x 5 of 6 (padding 2) and 16 channels, 400-120-84-10.
// 61 706 numbers.
nn::Sequential lenet5(Key key, std::int64_t classes = 10, Location where = Location::current());

struct ResnetOptions {
  std::int64_t channels = 3;  // of the images
  std::int64_t classes = 10;
};
// The smallest of the residual networks for CIFAR-10, of 8 layers (He, Zhang, Ren and Sun, "Deep
// Residual Learning", CVPR 2016, section 4.2 with n = 1, its shortcuts by convolutions 1 x 1): a
// convolution and one block each of 16, 32 and 64 channels with batch norm, the mean over the
// image, a linear layer. For images of any size from 4 x 4. 78 042 numbers.
nn::Sequential small_resnet(Key key, const ResnetOptions& options = {},
                            Location where = Location::current());

struct TransformerOptions {
  std::int64_t length = 28;  // places in a sequence
  std::int64_t features = 28;
  std::int64_t width = 64;
  std::int64_t heads = 4;
  std::int64_t blocks = 2;
  std::int64_t hidden = 256;
  std::int64_t classes = 10;
  double dropout = 0.1;
};
// Sequences (N, length, features), such as the rows of images (N, 1, 28, 28), which it takes as
// well: a linear layer, learned positions, transformer blocks, a layer norm, the mean over places,
// a linear layer. 104 394 numbers.
nn::Sequential small_transformer(Key key, const TransformerOptions& options = {},
                                 Location where = Location::current());

}  // namespace dualtape::nets
