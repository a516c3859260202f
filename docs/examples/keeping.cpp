// The two programs of docs/models.md that keep a net and load it; a test holds the page equal.
#include <filesystem>
#include <iostream>

#include <dualtape/dualtape.hpp>
namespace dt = dualtape;
namespace nn = dualtape::nn;

namespace {

// [net]
// The same net in both programs: the file holds its numbers alone.
nn::Sequential make_net() {
  return {nn::Linear("in", 4, 16, dt::Key{2}), dt::tanh, nn::Linear("out", 16, 3, dt::Key{3})};
}
// [/net]

// [keep]
void train_and_keep(const std::filesystem::path& folder) {
  const dt::Dataset iris = dt::load_iris();
  const auto scale = dt::Standardise::fit(iris.inputs);
  const dt::Dataset scaled{scale.apply(iris.inputs), iris.labels, {}, {}, "scaled iris"};
  const nn::Sequential net = make_net();
  const auto objective = [&](dt::Var x, dt::Var labels) {
    const dt::Var logits = net(x);
    return dt::Objective{dt::cross_entropy(logits, labels), logits};
  };
  dt::Adam adam;
  dt::Trainer trainer(objective, net.parameters(), dt::backpropagation(), adam,
                      {.schedule = dt::constant_rate(0.01)});
  dt::Batches batches(scaled, 32, dt::Key{4});
  trainer.fit(batches, {.epochs = 40});
  dt::save_parameters(folder / "net.safetensors", nn::state_of(net));  // buffers as well
  dt::save_safetensors(folder / "scale.safetensors", {scale.state("inputs")});
}
// [/keep]

// [predict]
void load_and_predict(const std::filesystem::path& folder) {
  const nn::Sequential net = make_net();
  dt::load_parameters(folder / "net.safetensors", nn::state_of(net));
  const auto scale =
      dt::Scaling::from_state(dt::load_safetensors(folder / "scale.safetensors").tensors, "inputs");
  const auto predict = dt::jit([net](dt::Var x) { return dt::softmax(net.evaluate(x), -1); });
  const dt::Tensor flowers{{5.1, 3.5, 1.4, 0.2}, {6.7, 3.1, 5.6, 2.4}};
  const dt::Tensor chances = predict(scale.apply(flowers));
  for (std::int64_t row = 0; row < 2; ++row)
    std::cout << "flower " << row << ": setosa "
              << (chances.at({row, 0}) > 0.5 ? "likely" : "unlikely") << '\n';
}
// [/predict]

}  // namespace

int main() {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / "dualtape_example_keeping";
  std::filesystem::create_directories(folder);
  train_and_keep(folder);
  load_and_predict(folder);
  std::filesystem::remove_all(folder);
  return 0;
}
