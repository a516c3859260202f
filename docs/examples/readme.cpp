// The program in README.md; a test holds the two equal.
// [program]
#include <iostream>

#include <dualtape/dualtape.hpp>
namespace dt = dualtape;

int main() {
  const dt::Dataset iris = dt::load_iris();  // 150 flowers of 3 kinds
  const dt::Parameter w{"w", dt::glorot_uniform(dt::Key{7}, {4, 3})};
  const dt::Parameter b{"b", dt::zeros({3})};

  dt::Graph g;  // built once, run many times
  const dt::Var x = g.input("x", {150, 4});
  const dt::Var labels = g.input("labels", {150}, dt::int64);
  const dt::Var lr = g.input("lr", {});
  const dt::Var key = g.input("key", {}, dt::int64);
  const dt::Var loss = dt::cross_entropy(dt::matmul(x, w) + b, labels).named("loss");

  const auto exact = dt::reverse(loss, {w, b});                // the tape, played backwards
  const auto guess = dt::forward_gradient(loss, {w, b}, key);  // the same graph, tangents

  const auto& grad = guess.gradients;  // or: exact
  auto step = dt::compile({loss, exact[w]},
                          {dt::assign(w, w - lr * grad[w]), dt::assign(b, b - lr * grad[b])});
  for (std::uint64_t i = 0; i <= 2000; ++i) {
    const auto out = step.run(
        {{x, iris.inputs}, {labels, iris.labels}, {lr, 0.02f}, {key, dt::Key{i}.to_tensor()}});
    if (i % 500 == 0) std::cout << "step " << i << "  loss " << out[loss] << '\n';
  }
}
// [/program]
