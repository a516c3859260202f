// Builds and trains a graph against the installed library: logistic regression on points of the
// plane, by backpropagation and by forward gradients. Returns 1 where either does not learn.
#include <dualtape/dualtape.hpp>
#include <iostream>

namespace dt = dualtape;

namespace {

constexpr std::int64_t rows = 256;

// Points of the square [-1, 1]^2, labelled by the side of the line 2 a - b = 0.25 they lie on.
dt::Tensor points() { return dt::uniform(dt::Key{1}, {rows, 2}, -1.0, 1.0); }
dt::Tensor labels_of(const dt::Tensor& x) {
  dt::Tensor labels = dt::zeros({rows, 1});
  for (std::int64_t i = 0; i < rows; ++i)
    labels.data<float>()[static_cast<std::size_t>(i)] =
        2 * x.at({i, 0}) - x.at({i, 1}) > 0.25 ? 1.0F : 0.0F;
  return labels;
}

struct Result {
  double first_loss = 0;
  double loss = 0;
  double accuracy = 0;
};

Result train(bool backpropagation, int steps, double rate) {
  dt::Parameter w("w", dt::zeros({2, 1}));
  dt::Parameter b("b", dt::zeros({1}));
  dt::Graph g;
  const dt::Var x = g.input("x", {rows, 2});
  const dt::Var y = g.input("y", {rows, 1});
  const dt::Var key = g.input("key", {}, dt::int64);
  const dt::Var logits = (dt::matmul(x, w) + b).named("logits");
  const dt::Var loss = dt::binary_cross_entropy_with_logits(logits, y);
  const dt::Var right = dt::equal(dt::cast(logits > 0.0, dt::float32), y);
  const dt::Var accuracy = dt::mean(dt::cast(right, dt::float32));
  const dt::Gradients gradients =
      backpropagation ? dt::reverse(loss, {w, b})
                      : dt::forward_gradient(loss, {w, b}, key, {.count = 4}).gradients;
  dt::Program step =
      dt::compile({loss, accuracy}, {dt::assign(w, g.read(w) - rate * gradients[w]),
                                     dt::assign(b, g.read(b) - rate * gradients[b])});

  const dt::Tensor data = points();
  const dt::Tensor labels = labels_of(data);
  Result result;
  for (int i = 0; i < steps; ++i) {
    const dt::Tensor draw = dt::Key(7).fold(static_cast<std::uint64_t>(i)).to_tensor();
    const dt::Outputs out = step.run({{x, data}, {y, labels}, {key, draw}});
    result.loss = out[loss].item();
    result.accuracy = out[accuracy].item();
    if (i == 0) result.first_loss = result.loss;
  }
  std::cout << (backpropagation ? "backpropagation" : "forward gradients") << ": loss "
            << result.first_loss << " to " << result.loss << ", accuracy " << result.accuracy
            << '\n';
  return result;
}

// Starts at log 2, for all logits are 0 then.
bool learned(const Result& result) {
  return result.first_loss > 0.693 && result.first_loss < 0.6932 && result.loss < 0.2 &&
         result.accuracy > 0.95;
}

}  // namespace

int main() {
  const bool reverse = learned(train(true, 400, 1.0));
  const bool forward = learned(train(false, 400, 1.0));
  return reverse && forward ? 0 : 1;
}
