// The programs of docs/models.md that keep a net and its scalings and load them; a test holds the
// page equal.
#include <cmath>
#include <filesystem>
#include <iostream>
#include <vector>

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

// [scalings]
// A regression scales its targets as well. Both scalings go into one file, under two names.
void keep_scalings(const std::filesystem::path& file, const dt::Scaling& of_inputs,
                   const dt::Scaling& of_targets) {
  std::vector<dt::NamedTensor> both = of_inputs.state("inputs");
  for (const dt::NamedTensor& tensor : of_targets.state("targets")) both.push_back(tensor);
  dt::save_safetensors(file, {both});
}

// Scales the inputs, and brings predictions back to the targets' units.
dt::Tensor predict(const std::filesystem::path& file, const nn::Sequential& net,
                   const dt::Tensor& inputs) {
  const std::vector<dt::NamedTensor> both = dt::load_safetensors(file).tensors;
  const auto of_inputs = dt::Scaling::from_state(both, "inputs");
  const auto of_targets = dt::Scaling::from_state(both, "targets");
  const auto run = dt::jit([&](dt::Var x) { return net.evaluate(x); });
  return of_targets.invert(run(of_inputs.apply(inputs)));
}
// [/scalings]

// Learns how degrees Celsius become Fahrenheit, and whether 10 are 50 by the kept scalings.
bool convert(const std::filesystem::path& folder) {
  const dt::Tensor celsius{{-40}, {0}, {20}, {37}, {100}};
  const dt::Tensor fahrenheit{{-40}, {32}, {68}, {98.6}, {212}};
  const auto of_inputs = dt::Standardise::fit(celsius);
  const auto of_targets = dt::Standardise::fit(fahrenheit);
  const nn::Sequential net{nn::Linear("line", 1, 1, dt::Key{5})};
  dt::Sgd sgd;
  dt::Trainer trainer([&](dt::Var x, dt::Var y) { return dt::mse(net(x), y); }, net.parameters(),
                      dt::backpropagation(), sgd, {.schedule = dt::constant_rate(0.4)});
  dt::Batches batches({of_inputs.apply(celsius), of_targets.apply(fahrenheit), {}, {}, "degrees"},
                      5, dt::Key{6});
  trainer.fit(batches, {.epochs = 30});
  const std::filesystem::path file = folder / "scalings.safetensors";
  keep_scalings(file, of_inputs, of_targets);
  const double found = predict(file, net, dt::Tensor{{10}}).item();
  std::cout << "10 degrees Celsius are " << found << " Fahrenheit\n";
  return std::abs(found - 50) < 0.01;
}

}  // namespace

int main() {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / "dualtape_example_keeping";
  std::filesystem::create_directories(folder);
  train_and_keep(folder);
  load_and_predict(folder);
  const bool right = convert(folder);
  std::filesystem::remove_all(folder);
  return right ? 0 : 1;
}
