// The workloads that are timed: small networks on made-up data, each in the modes compared.
// One Session per thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/models/layers.hpp>

namespace dualtape::bench {

// A multilayer perceptron of the sizes given, input first.
struct Workload {
  std::string name;
  std::vector<std::int64_t> sizes;
  std::int64_t batch = 64;
  // False: relu between the layers and cross-entropy with integer labels behind the last.
  // True: sigmoid behind every layer and the mean squared error.
  bool regression = false;
};

// W1 logistic regression, W2 and W2s relu networks, W4 a network so small that overheads show.
const std::vector<Workload>& workloads();

enum class Mode : std::uint8_t {
  base,                     // the loss
  reverse,                  // the loss and all gradients
  forward,                  // the loss and its derivative along directions that are fed
  step_reverse,             // the loss, and p <- p - lr gradient
  step_forward_normal,      // directions drawn, the loss, and p <- p - (lr slope) direction
  step_forward_rademacher,  // the same with directions of -1 and 1
};
const std::vector<Mode>& modes();
std::string name_of(Mode mode);

// The loss of a workload on its model, in `graph`, with inputs "x" and "y".
struct Built {
  Var x;
  Var y;
  Var loss;
};
Mlp make_model(const Workload& workload);
Built build_loss(Graph& graph, const Workload& workload, const Mlp& model);

// One workload compiled for one mode, ready to run.
class Session {
 public:
  Session(const Workload& workload, Mode mode);

  void run();  // one evaluation or training step; draws from another key each time
  const Program& program() const { return program_; }

 private:
  // Fills feeds_ on the way.
  Program build(const Workload& workload, Mode mode);
  void feed_data(const Workload& workload, const Built& built);
  Program compile_step(Mode mode, const Built& built);
  Program compile_forward(const Built& built);

  Graph graph_;
  Mlp model_;
  Tensor key_;
  std::vector<Feed> feeds_;
  Program program_;
};

}  // namespace dualtape::bench
