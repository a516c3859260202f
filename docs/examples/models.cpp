// The program in docs/models.md; a test holds the two equal.
// [program]
#include <iostream>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>
namespace dt = dualtape;
namespace nn = dualtape::nn;

// A layer of one's own is a struct that adds nodes to whatever graph its input
// lives in, and says what there is to train.
struct Gated {
  nn::Linear value, gate;

  Gated(const std::string& name, std::int64_t size, dt::Key key)
      : value(name + ".value", size, size, key), gate(name + ".gate", size, size, key) {}

  dt::Var operator()(dt::Var x) const { return dt::relu(value(x)) * dt::sigmoid(gate(x)); }
  std::vector<dt::Parameter> parameters() const { return nn::parameters_of(value, gate); }
};

nn::Sequential flower_net(dt::Key key) {
  return {nn::Linear("in", 4, 16, key), dt::tanh, nn::Residual(Gated("gated", 16, key)),
          nn::Linear("out", 16, 3, key)};
}

nn::Sequential digit_net(dt::Key key) {
  const auto images = [](dt::Var x) { return dt::reshape(x / 16, {-1, 1, 8, 8}); };
  return {images,
          nn::Conv2d("conv1", 1, 16, 3, key, {.padding = 1}),
          nn::BatchNorm2d("norm1", 16),
          dt::relu,
          nn::Conv2d("conv2", 16, 32, 3, key, {.padding = 1}),
          nn::BatchNorm2d("norm2", 32),
          dt::relu,
          nn::MaxPool2d(2),
          nn::Flatten(),
          nn::Dropout(0.25),
          nn::Linear("logits", 512, 10, key)};
}

// Trains a net and prints the accuracy on what it has not seen.
void study(const char* what, const nn::Sequential& net, const dt::Split& split, double rate,
           std::int64_t steps, const dt::GradientMethod& method) {
  dt::Trainer trainer(net, dt::cross_entropy,
                      {.optimiser = dt::Adam{},
                       .gradients = method,
                       .schedule = dt::cosine_decay(rate, steps),
                       .key = dt::Key{3}});
  dt::Batches batches(split.train, 32, dt::Key{4});
  const dt::TrainResult result = trainer.fit(batches, {.steps = steps});
  const auto test = trainer.evaluate(split.test.inputs, split.test.labels);
  std::cout << what << ": " << result.steps << " steps, test accuracy " << test.accuracy << '\n';
}

int main() {
  dt::Split iris = dt::split(dt::load_iris(), 0.2, dt::Key{1}, dt::Stratify::yes);
  const auto scale = dt::Standardise::fit(iris.train.inputs);
  iris.train.inputs = scale.apply(iris.train.inputs);
  iris.test.inputs = scale.apply(iris.test.inputs);
  // The same start for both.
  study("backpropagation", flower_net(dt::Key{2}), iris, 0.01, 1600, dt::backpropagation());
  study("forward gradients", flower_net(dt::Key{2}), iris, 0.01, 1600,
        dt::forward_gradients({.count = 4}));

  const dt::Split digits = dt::split(dt::load_digits(), 0.2, dt::Key{1}, dt::Stratify::yes);
  study("convolutions", digit_net(dt::Key{2}), digits, 0.003, 200, dt::backpropagation());
}
// [/program]
