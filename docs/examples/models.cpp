// The program in docs/models.md; a test holds the two equal.
// [program]
#include <iostream>
#include <vector>

#include <dualtape/dualtape.hpp>
namespace dt = dualtape;

// A model of one's own: it owns parameters, and adds nodes to whatever graph its input lives in.
class Residual {
 public:
  explicit Residual(dt::Key key)
      : in_("in", 4, 16, key.fold("in")),
        inner_("inner", 16, 16, key.fold("inner")),
        out_("out", 16, 3, key.fold("out")) {}

  dt::Var operator()(dt::Var x) const {
    const dt::Var h = dt::tanh(in_(x));
    return out_(h + dt::relu(inner_(h)));
  }
  std::vector<dt::Parameter> parameters() const {
    std::vector<dt::Parameter> all;
    for (const dt::nn::Linear* layer : {&in_, &inner_, &out_})
      for (const dt::Parameter& parameter : layer->parameters()) all.push_back(parameter);
    return all;
  }

 private:
  dt::nn::Linear in_, inner_, out_;
};

int main() {
  const dt::Split split = dt::split(dt::load_iris(), 0.2, dt::Key{1}, dt::Stratify::yes);
  const auto scale = dt::Standardise::fit(split.train.inputs);
  dt::Dataset train = split.train;
  train.inputs = scale.apply(split.train.inputs);

  for (const bool forward : {false, true}) {
    const Residual model(dt::Key{2});  // the same start for both
    const auto objective = [&](dt::Var x, dt::Var labels) {
      const dt::Var logits = model(x);
      return dt::Objective{dt::cross_entropy(logits, labels), logits};
    };
    dt::Adam adam;
    dt::Trainer trainer(objective, model.parameters(),
                        forward ? dt::forward_gradients({.count = 4}) : dt::backpropagation(), adam,
                        {.schedule = dt::cosine_decay(0.01, 1600), .key = dt::Key{3}});
    dt::Batches batches(train, 32, dt::Key{4});
    const dt::TrainResult result = trainer.fit(batches, {.epochs = 400});
    const auto test = trainer.evaluate(scale.apply(split.test.inputs), split.test.labels);
    std::cout << (forward ? "forward gradients" : "backpropagation") << ": " << result.steps
              << " steps, test accuracy " << test.accuracy << '\n';
  }
}
// [/program]
