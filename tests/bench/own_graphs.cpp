// What comes before and between the kernels: building graphs, planning them, starting steps.
#include <algorithm>
#include <memory>

#include <dualtape/core/pass.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>

#include <tests/bench/own.hpp>

namespace dualtape::bench {
namespace {

constexpr std::int64_t chain_length = 10000;

// x + step + step ...
struct Chain {
  Graph graph;
  Var x = graph.input("x", {});
  Var step = graph.input("step", {});
  Var y = x;

  explicit Chain(std::int64_t length = chain_length) {
    for (std::int64_t i = 0; i < length; ++i) y = y + step;
  }
};

// Each node reads the one before and one some way back; every fifth is a product.
struct Mixed {
  Graph graph;
  Var y;

  explicit Mixed(std::size_t nodes) {
    std::vector<Var> all{graph.input("x", {8, 8})};
    while (all.size() < nodes) {
      const Var last = all.back();
      const Var other = all[all.size() - std::min<std::size_t>(all.size(), 7)];
      switch (all.size() % 5) {
        case 0: all.push_back(matmul(last, other)); break;
        case 1: all.push_back(tanh(last)); break;
        case 2: all.push_back(last + other); break;
        case 3: all.push_back(last * other); break;
        default: all.push_back(last - other); break;
      }
    }
    y = all.back();
  }
};

// A network's training step up to the point where it is compiled.
struct TrainingStep {
  Graph graph;
  Built built;
  std::vector<Assign> assigns;

  explicit TrainingStep(const Net& net) : built(build_net(graph, net)) {
    const Var rate = graph.input("rate", {});
    const Gradients gradients = reverse(built.loss, built.parameters);
    for (const Parameter& p : built.parameters)
      assigns.push_back(assign(p, graph.read(p) - rate * gradients[p]));
  }
};

Mode repeat(const std::string& name, double items, const std::function<void()>& body) {
  return {name,
          [body](std::int64_t times) {
            for (std::int64_t i = 0; i < times; ++i) body();
          },
          {},
          0,
          items};
}

Work build_work() {
  Work work;
  work.modes = {repeat("chain", chain_length, [] { Chain chain; }),
                repeat("chain_reverse", chain_length,
                       [] {
                         Chain chain;
                         reverse(chain.y, {chain.x, chain.step});
                       }),
                repeat("W2_step_reverse", 0, [] { TrainingStep step(*find_net("W2")); })};
  return work;
}

Work plan_work() {
  static const Net deep{"mlp30", std::vector<std::int64_t>(31, 64)};
  const auto step = std::make_shared<TrainingStep>(deep);
  const auto w2 = std::make_shared<TrainingStep>(*find_net("W2"));
  const auto mixed = std::make_shared<Mixed>(100000);
  const auto planned = [](const std::shared_ptr<TrainingStep>& one) {
    return [one] { compile({one->built.loss}, one->assigns); };
  };
  Work work;
  work.modes = {repeat("mlp30_step_reverse", 0, planned(step)),
                repeat("W2_step_reverse", 0, planned(w2)),
                repeat("mixed100k", 100000, [mixed] { compile({mixed->y}); })};
  return work;
}

// A chain of additions of scalars, fused or one step a node.
Mode chain_mode(const std::string& name, const std::vector<std::string>& without) {
  constexpr std::int64_t length = 1000;
  struct State {
    Chain chain{length};
    std::vector<Feed> feeds{{chain.x, Tensor(1.0)}, {chain.step, Tensor(1e-6)}};
    std::unique_ptr<Program> program;
  };
  const auto state = std::make_shared<State>();
  state->program =
      std::make_unique<Program>(compile({state->chain.y}, {}, CompileOptions{without}));
  return repeat(name, static_cast<double>(length), [state] { state->program->run(state->feeds); });
}

Work dispatch_work() {
  Work work;
  work.modes.push_back(chain_mode("chain", {}));
  // What would make one step of many nodes stays out.
  std::vector<std::string> without;
  for (const Pass& pass : passes())
    if (pass.optional && pass.name == "fuse") without.emplace_back(pass.name);
  work.modes.push_back(chain_mode("chain_unfused", without));
  const auto graph = std::make_shared<Graph>();
  const Var x = graph->input("x", {});
  const auto program = std::make_shared<Program>(compile({x + 1.0}));
  const auto feeds = std::make_shared<std::vector<Feed>>();
  feeds->emplace_back(x, Tensor(1.0));
  work.modes.push_back(
      repeat("run_of_one_node", 1, [graph, program, feeds] { program->run(*feeds); }));
  return work;
}

}  // namespace

std::vector<Workload> graph_workloads() {
  return {{"build", build_work}, {"plan", plan_work}, {"dispatch", dispatch_work}};
}

std::vector<Workload> own_workloads() {
  std::vector<Workload> all;
  for (auto part : {net_workloads(), convolution_workloads(), scalar_workloads(),
                    bandwidth_workloads(), row_workloads(), batching_workloads(), loop_workloads(),
                    taylor_workloads(), sparsity_workloads(), graph_workloads()})
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

}  // namespace dualtape::bench
