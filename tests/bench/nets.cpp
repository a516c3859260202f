#include <tests/bench/nets.hpp>

#include <algorithm>
#include <cmath>

#include <dualtape/core/random.hpp>

namespace dualtape::bench {
namespace {

const Key seed{2022};

Net chain(std::int64_t layers) {
  return {"chain" + std::to_string(layers),
          std::vector<std::int64_t>(static_cast<std::size_t>(layers) + 1, 256), 64, false,
          std::sqrt(6.0)};
}

std::vector<float> normal_draws(Key key, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  fill_normal(std::span<float>(values), key);
  return values;
}

struct Layer {
  std::int64_t in = 0;  // that each output sums over
  std::int64_t out = 0;
};

std::vector<Layer> layers_of(const Net& net) {
  std::vector<Layer> all;
  for (const Convolution& c : net.convolutions) all.push_back({c.fan_in(), c.out});
  for (std::size_t i = 0; i < net.layers(); ++i) all.push_back({net.sizes[i], net.sizes[i + 1]});
  return all;
}

std::vector<float> uniform_draws(Key key, std::int64_t count, double bound) {
  std::vector<float> values(static_cast<std::size_t>(count));
  fill_uniform(std::span<float>(values), key, -bound, bound);
  return values;
}

}  // namespace

const std::vector<Net>& nets() {
  static const std::vector<Net> all{{"W1", {784, 10}},
                                    {"W2", {784, 1024, 1024, 10}},
                                    {"W2s", {784, 100, 50, 10}},
                                    {.name = "W3",
                                     .sizes = {3136, 1024, 10},
                                     .convolutions = {{1, 64, 3, 1, false},
                                                      {64, 64, 3, 1, true},
                                                      {64, 64, 3, 1, false},
                                                      {64, 64, 3, 1, true}}},
                                    {.name = "W3s",
                                     .sizes = {256, 10},
                                     .convolutions = {{1, 8, 5, 0, true}, {8, 16, 5, 0, true}}},
                                    {"W4", {2, 32, 1}, 100, true},
                                    chain(4),
                                    chain(16),
                                    chain(64),
                                    chain(256)};
  return all;
}

const Net* find_net(const std::string& name) {
  const auto found = std::ranges::find(nets(), name, &Net::name);
  return found == nets().end() ? nullptr : &*found;
}

std::vector<std::int64_t> Net::input_sizes() const {
  if (convolutions.empty()) return {sizes.front()};
  return {convolutions.front().in, pixels, pixels};
}

std::vector<float> make_inputs(const Net& net) {
  std::int64_t count = net.batch;
  for (const std::int64_t size : net.input_sizes()) count *= size;
  std::vector<float> x(static_cast<std::size_t>(count));
  fill_uniform(std::span<float>(x), seed.fold("x"));
  return x;
}

std::vector<std::int64_t> make_labels(const Net& net) {
  std::vector<std::int64_t> labels(static_cast<std::size_t>(net.batch));
  for (std::size_t i = 0; i < labels.size(); ++i)
    labels[i] = static_cast<std::int64_t>(i * 7 + 3) % net.sizes.back();
  return labels;
}

std::vector<float> make_targets(const Net& net) {
  std::vector<float> targets(static_cast<std::size_t>(net.batch * net.sizes.back()));
  for (std::size_t i = 0; i < targets.size(); ++i) targets[i] = static_cast<float>(i % 2);
  return targets;
}

std::vector<std::vector<float>> make_parameters(const Net& net) {
  std::vector<std::vector<float>> parameters;
  std::uint64_t i = 0;
  for (const auto& [in, out] : layers_of(net)) {
    const double bound = 1 / std::sqrt(static_cast<double>(in));
    parameters.push_back(uniform_draws(seed.fold("weight").fold(i), in * out, net.gain * bound));
    parameters.push_back(uniform_draws(seed.fold("bias").fold(i), out, bound));
    ++i;
  }
  return parameters;
}

std::vector<std::vector<float>> make_directions(const Net& net) {
  std::vector<std::vector<float>> directions;
  for (const auto& [in, out] : layers_of(net))
    for (const std::int64_t rows : {in, std::int64_t{1}})
      directions.push_back(
          normal_draws(seed.fold("direction").fold(directions.size() + 1), rows * out));
  return directions;
}

std::vector<float> make_sequences(const Recurrence& net) {
  return uniform_draws(seed.fold("sequences"), net.length * net.batch * net.size, 1);
}

std::vector<std::vector<float>> make_cells(const Recurrence& net) {
  const double bound = 1 / std::sqrt(static_cast<double>(net.size));
  std::vector<std::vector<float>> cells;
  for (std::int64_t layer = 0; layer < net.layers; ++layer)
    for (const std::int64_t columns : {net.size, net.size, std::int64_t{1}, std::int64_t{1}})
      cells.push_back(
          uniform_draws(seed.fold("cell").fold(cells.size()), 4 * net.size * columns, bound));
  return cells;
}

}  // namespace dualtape::bench
