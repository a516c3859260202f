// The program in docs/models.md that stops early and goes on after an interruption; a test holds
// the page equal to it and to what it prints.
// [program]
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <memory>

#include <dualtape/dualtape.hpp>
namespace dt = dualtape;
namespace nn = dualtape::nn;

// One start of a program that trains: it goes on from the file, if there is
// one, until a rule stops it. Returns a weight of the net.
dt::Tensor start(const dt::Split& data, const std::filesystem::path& file,
                 const dt::StopRules& rules) {
  const nn::Sequential net{nn::Linear("in", 4, 16, dt::Key{2}), dt::tanh,
                           nn::Linear("out", 16, 3, dt::Key{3})};
  const auto objective = [&](dt::Var x, dt::Var labels) {
    const dt::Var logits = net(x);
    return dt::Objective{dt::cross_entropy(logits, labels), logits};
  };
  const dt::EarlyStoppingOptions ten{.patience = 10};
  dt::Adam adam;
  dt::Trainer trainer(objective, net.parameters(), dt::backpropagation(), adam,
                      {.schedule = dt::constant_rate(0.02),
                       .callbacks = {std::make_shared<dt::EvaluateEvery>(
                                         "validation", data.test.inputs, data.test.labels),
                                     std::make_shared<dt::EarlyStopping>("validation loss", ten),
                                     std::make_shared<dt::Checkpoints>(file)}});
  dt::Batches batches(data.train, 32, dt::Key{4});

  dt::resume(file, trainer);  // false if there is no file yet
  std::cout << "from step " << trainer.steps_done();
  const dt::TrainResult result = trainer.fit(batches, rules);
  const dt::Evaluation now = trainer.evaluate(data.test.inputs, data.test.labels);
  std::cout << " to " << trainer.steps_done() << ", stopped by " << dt::name_of(result.stop)
            << "; validation loss now " << std::setprecision(2) << now.loss << '\n';
  return net.parameters().front().value().copy();
}

int main() {
  const auto folder = std::filesystem::temp_directory_path() / "dualtape_example_resuming";
  std::filesystem::remove_all(folder);  // of an earlier run
  std::filesystem::create_directories(folder);
  const dt::Split data = dt::split(dt::load_iris(), 0.3, dt::Key{1}, dt::Stratify::yes);

  const dt::Tensor whole = start(data, folder / "whole.safetensors", {.until_epoch = 200});
  // The same in two parts, the first of which is interrupted after ten steps.
  start(data, folder / "parts.safetensors", {.steps = 10, .until_epoch = 200});
  const dt::Tensor parts = start(data, folder / "parts.safetensors", {.until_epoch = 200});
  std::cout << "equal bits: " << (dt::identical(whole, parts) ? "yes" : "no") << '\n';
  std::filesystem::remove_all(folder);
}
// [/program]
