// The networks that are timed and their made-up data, for every program of the benchmark, so that
// all of them start from the same numbers. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dualtape::bench {

// A convolution of square windows with relu behind it, and max-pooling 2 x 2 behind that if wanted.
struct Convolution {
  std::int64_t in = 1;
  std::int64_t out = 1;
  std::int64_t window = 3;
  std::int64_t padding = 0;
  bool pooled = false;

  std::int64_t fan_in() const { return in * window * window; }
};

// A multilayer perceptron of the sizes given, input first, behind convolutions if there are any.
struct Net {
  std::string name;
  std::vector<std::int64_t> sizes;
  std::int64_t batch = 64;
  // False: relu between the layers and mean cross-entropy with integer labels behind the last.
  // True: sigmoid behind every layer and the mean squared error.
  bool regression = false;
  // Weights uniform within gain / sqrt(inputs): the square root of 6 keeps the signal of a deep
  // relu network alive (He et al., ICCV 2015), 1 is what PyTorch's linear layers start from.
  double gain = 1;
  std::vector<Convolution> convolutions = {};  // of images of `pixels` x `pixels`
  std::int64_t pixels = 28;

  std::size_t layers() const { return sizes.size() - 1; }  // of the perceptron
  // Of one input: (features) or (channels, pixels, pixels).
  std::vector<std::int64_t> input_sizes() const;
};

// W1 logistic regression, W2 and W2s relu networks, W3 and W3s networks with convolutions, W4 a
// network so small that overheads show, and chains of 4 to 256 layers.
const std::vector<Net>& nets();
const Net* find_net(const std::string& name);  // null if there is none

std::vector<float> make_inputs(const Net& net);         // (batch, input sizes), row-major
std::vector<std::int64_t> make_labels(const Net& net);  // (batch)
std::vector<float> make_targets(const Net& net);        // (batch, sizes.back()), 0 or 1
// Weights and biases, layer by layer: w1, b1, w2, b2 ... Those of convolutions come first, of shape
// (out, in, window, window) and (out); the others are (in, out) and (out).
std::vector<std::vector<float>> make_parameters(const Net& net);
// A normal direction for each of them.
std::vector<std::vector<float>> make_directions(const Net& net);

// A recurrent network of long short-term memory cells, and sequences for it. The loss is the mean
// of the squares of what the last layer gives.
struct Recurrence {
  std::int64_t layers = 2;
  std::int64_t size = 256;  // of inputs and of states
  std::int64_t length = 128;
  std::int64_t batch = 32;
};
std::vector<float> make_sequences(const Recurrence& net);  // (length, batch, size)
// Layer by layer: two matrices (4 size, size), by inputs and by states, and two biases (4 size).
std::vector<std::vector<float>> make_cells(const Recurrence& net);

// So small that timing for minutes leaves the network as it is.
inline constexpr double learning_rate = 1e-6;

// Where the scalar functions are evaluated, and along which direction.
struct Point {
  double x = 1.3, y = 0.7;
  double dx = 0.6, dy = -0.8;
};

}  // namespace dualtape::bench
