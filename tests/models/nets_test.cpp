#include <dualtape/models/nets.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>

#include <dualtape/core/program.hpp>
#include <dualtape/models/optimisers.hpp>
#include <dualtape/models/trainer.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/losses.hpp>

using namespace dualtape;

namespace {

struct Known {
  std::string name;
  std::function<nn::Sequential(Key)> make;
  Shape inputs;
  std::int64_t count;
  double spread;  // of the first loss around log 10
};

const std::vector<Known>& known_nets() {
  static const std::vector<Known> all{
      {"mnist_mlp", nets::mnist_mlp, {3, 1, 28, 28}, 1863690, 0.1},
      {"conv_net", [](Key key) { return nets::conv_net(key); }, {2, 1, 28, 28}, 1171274, 0.1},
      {"padded conv_net",
       [](Key key) { return nets::conv_net(key, {.padded = true}); },
       {2, 1, 28, 28},
       3333962,
       0.1},
      {"cifar_net", nets::cifar_net, {2, 3, 32, 32}, 17967690, 0.1},
      {"kmnist_cnn", nets::kmnist_cnn, {3, 1, 28, 28}, 50986, 0.3},
      {"lenet5", [](Key key) { return nets::lenet5(key); }, {3, 1, 28, 28}, 61706, 0.3},
      {"small_resnet", [](Key key) { return nets::small_resnet(key); }, {4, 3, 16, 16}, 78042, 1},
      {"small_transformer",
       [](Key key) { return nets::small_transformer(key); },
       {3, 1, 28, 28},
       104394,
       1},
  };
  return all;
}

// A net in a graph with a batch of its own.
struct Trial {
  explicit Trial(const Known& wanted)
      : net(wanted.make(Key{3})),
        x(graph.input("x", wanted.inputs)),
        y(graph.input("y", {wanted.inputs[0]}, int64)),
        context{.training = true, .key = graph.constant(Key{4}.to_tensor())},
        loss(cross_entropy(net(x, context), y)) {
    Tensor labels({wanted.inputs[0]}, int64);
    std::int64_t next = 0;
    for (std::int64_t& label : labels.data<std::int64_t>()) label = next++;
    feeds = {{x, uniform(Key{5}, wanted.inputs)}, {y, labels}};
  }

  std::vector<Assign> descend(double rate, const Gradients& gradients) {
    std::vector<Assign> assigns = context.updates;
    for (const Parameter& p : net.parameters())
      assigns.push_back(assign(p, graph.read(p) - rate * gradients[p]));
    return assigns;
  }

  nn::Sequential net;
  Graph graph;
  Var x, y;
  nn::Context context;
  Var loss;
  std::vector<Feed> feeds;
};

}  // namespace

TEST_CASE("nets have the sizes they are known for and start undecided") {
  for (const Known& wanted : known_nets()) {
    CAPTURE(wanted.name);
    Trial trial(wanted);
    CHECK(trial.net.parameter_count() == wanted.count);
    CHECK(trial.net.evaluate(trial.x).shape() == Shape{wanted.inputs[0], 10});
    Program program = compile({trial.loss});
    const double loss = program.run(trial.feeds)[trial.loss].item();
    CHECK(std::abs(loss - std::log(10.0)) < wanted.spread);
  }
}

TEST_CASE("the slope of every net's loss is the same in both modes") {
  for (const Known& wanted : known_nets()) {
    CAPTURE(wanted.name);
    Trial trial(wanted);
    const std::vector<Parameter> parameters = trial.net.parameters();
    std::vector<Var> directions;
    std::vector<Tensor> values;
    for (const Parameter& p : parameters) {
      values.push_back(normal(Key{6}.fold(p.name()), p.shape()));
      directions.push_back(trial.graph.constant(values.back()));
    }
    const Var slope = forward(trial.loss, parameters, directions);
    std::vector<Var> outputs = reverse(trial.loss, parameters).all();
    outputs.push_back(slope);
    Program program = compile(outputs);
    const Outputs out = program.run(trial.feeds);
    double inner = 0, squares = 0;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const auto g = out[outputs[i]].data<float>();
      const auto v = values[i].data<float>();
      for (std::size_t j = 0; j < g.size(); ++j) {
        inner += static_cast<double>(g[j]) * static_cast<double>(v[j]);
        squares += static_cast<double>(g[j]) * static_cast<double>(g[j]);
      }
    }
    // The slope is a sum of random signs that nearly cancel: held to the gradient's length.
    CHECK(squares > 0);
    CHECK(std::abs(out[slope].item() - inner) < 1e-4 * std::sqrt(squares));
  }
}

TEST_CASE("steps of training lower every net's loss in both modes") {
  for (const Known& wanted : known_nets())
    for (const bool by_forward : {false, true}) {
      CAPTURE(wanted.name);
      CAPTURE(by_forward);
      Trial trial(wanted);
      const WrtList wrt = trial.net.parameters();
      const Gradients gradients =
          by_forward ? forward_gradient(trial.loss, wrt, trial.context.key, {.count = 4}).gradients
                     : reverse(trial.loss, wrt);
      // Random directions are as long as the net is large, and so must the step be short.
      const double rate = !by_forward ? 1e-2 : wanted.count < 1000000 ? 1e-4 : 1e-5;
      Program step = compile({trial.loss}, trial.descend(rate, gradients));
      const double before = step.run(trial.feeds)[trial.loss].item();
      const double after = step.run(trial.feeds)[trial.loss].item();
      CHECK(after < before);
    }
}

TEST_CASE("the trainer trains by batch statistics and evaluates by running ones") {
  const Tensor inputs = uniform(Key{1}, {64, 1, 28, 28});
  Tensor labels({64}, int64);
  std::int64_t next = 0;
  for (std::int64_t& label : labels.data<std::int64_t>()) label = next++ % 10;
  const nn::Sequential net = nets::small_resnet(Key{2}, {.channels = 1});
  const ObjectiveFunction objective = [&](Var x, Var y, nn::Context& context) {
    const Var logits = net(x, context);
    return Objective(cross_entropy(logits, y), logits);
  };
  Adam adam;
  Trainer trainer(objective, net.parameters(), backpropagation(), adam,
                  {.schedule = constant_rate(0.01), .buffers = net.buffers()});
  const Tensor mean = net.buffers()[0].value().copy();
  const Evaluation before = trainer.evaluate(inputs, labels);
  CHECK(identical(mean, net.buffers()[0].value()));
  const EpochFunction whole = [&](std::int64_t, const VisitBatch& visit) { visit(inputs, labels); };
  trainer.fit(whole, {.steps = 40});
  CHECK(!identical(mean, net.buffers()[0].value()));
  const Evaluation after = trainer.evaluate(inputs, labels);
  CHECK(after.loss < before.loss / 2);
  // Evaluation looks at each row alone: in parts it is the same.
  CHECK(trainer.evaluate(inputs, labels, 3).loss == doctest::Approx(after.loss).epsilon(1e-4));
}
