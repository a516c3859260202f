// Times what comes before and between the kernels: building graphs, compiling them, and starting a
// step of a program.
#include <benchmark/benchmark.h>

#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>

#include <tests/bench/workloads.hpp>

namespace dualtape::bench {
namespace {

constexpr std::int64_t chain_length = 10000;

struct Chain {
  Graph graph;
  Var x = graph.input("x", {});
  Var step = graph.input("step", {});
  Var y = x;

  Chain() {
    for (std::int64_t i = 0; i < chain_length; ++i) y = y + step;
  }
};

void build_w2(benchmark::State& state) {
  const Workload& workload = workloads()[1];
  const Mlp model = make_model(workload);
  for (auto _ : state) {
    Graph graph;
    const Built built = build_loss(graph, workload, model);
    const std::vector<Parameter> parameters = model.parameters();
    const Gradients gradients =
        reverse(built.loss, std::vector<Wrt>(parameters.begin(), parameters.end()));
    benchmark::DoNotOptimize(gradients.size());
  }
}
BENCHMARK(build_w2)->Name("graph/build_and_reverse/W2")->Unit(benchmark::kMicrosecond);

void compile_w2(benchmark::State& state) {
  const Workload& workload = workloads()[1];
  const Mlp model = make_model(workload);
  Graph graph;
  const Built built = build_loss(graph, workload, model);
  const std::vector<Parameter> parameters = model.parameters();
  std::vector<Var> outputs =
      reverse(built.loss, std::vector<Wrt>(parameters.begin(), parameters.end())).all();
  outputs.push_back(built.loss);
  for (auto _ : state) benchmark::DoNotOptimize(compile(outputs).steps());
}
BENCHMARK(compile_w2)->Name("graph/compile/W2")->Unit(benchmark::kMicrosecond);

void build_chain(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(Chain().graph.size());
  state.SetItemsProcessed(state.iterations() * chain_length);
}
BENCHMARK(build_chain)->Name("graph/build/chain")->Unit(benchmark::kMicrosecond);

void reverse_chain(benchmark::State& state) {
  for (auto _ : state) {
    Chain chain;
    benchmark::DoNotOptimize(reverse(chain.y, {chain.x, chain.step}).size());
  }
  state.SetItemsProcessed(state.iterations() * chain_length);
}
BENCHMARK(reverse_chain)->Name("graph/build_and_reverse/chain")->Unit(benchmark::kMicrosecond);

void compile_chain(benchmark::State& state) {
  const Chain chain;
  for (auto _ : state) benchmark::DoNotOptimize(compile({chain.y}).steps());
  state.SetItemsProcessed(state.iterations() * chain_length);
}
BENCHMARK(compile_chain)->Name("graph/compile/chain")->Unit(benchmark::kMicrosecond);

// The time per item is what a step costs beside its arithmetic.
void run_chain(benchmark::State& state) {
  const Chain chain;
  Program program = compile({chain.y});
  const std::vector<Feed> feeds{{chain.x, Tensor(1.0)}, {chain.step, Tensor(1e-6)}};
  program.run(feeds);
  for (auto _ : state) program.run(feeds);
  state.SetItemsProcessed(state.iterations() * chain_length);
}
BENCHMARK(run_chain)->Name("graph/run/chain")->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace dualtape::bench
