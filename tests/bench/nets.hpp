// The networks that are timed and their made-up data, for every program of the benchmark, so that
// all of them start from the same numbers. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dualtape::bench {

// A multilayer perceptron of the sizes given, input first.
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

  std::size_t layers() const { return sizes.size() - 1; }
};

// W1 logistic regression, W2 and W2s relu networks, W4 a network so small that overheads show, and
// chains of 4 to 256 layers.
const std::vector<Net>& nets();
const Net* find_net(const std::string& name);  // null if there is none

std::vector<float> make_inputs(const Net& net);         // (batch, sizes.front()), row-major
std::vector<std::int64_t> make_labels(const Net& net);  // (batch)
std::vector<float> make_targets(const Net& net);        // (batch, sizes.back()), 0 or 1
// Weights (in, out) and biases (out), layer by layer: w1, b1, w2, b2 ...
std::vector<std::vector<float>> make_parameters(const Net& net);
// A normal direction for each of them.
std::vector<std::vector<float>> make_directions(const Net& net);

// So small that timing for minutes leaves the network as it is.
inline constexpr double learning_rate = 1e-6;

// Where the scalar functions are evaluated, and along which direction.
struct Point {
  double x = 1.3, y = 0.7;
  double dx = 0.6, dy = -0.8;
};

}  // namespace dualtape::bench
