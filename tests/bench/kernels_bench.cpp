// Times single operators, each as a program of its own with its operands fed.
#include <functional>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/softmax.hpp>

namespace dualtape::bench {
namespace {

using Build = std::function<Var(const std::vector<Var>&)>;

struct Kernel {
  std::string name;
  std::vector<Shape> in;
  Build build;
  double flops = 0;
};

void run_kernel(benchmark::State& state, const Kernel& kernel) {
  Graph graph;
  std::vector<Var> in;
  std::vector<Feed> feeds;
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < kernel.in.size(); ++i) {
    in.push_back(graph.input("x" + std::to_string(i), kernel.in[i]));
    feeds.emplace_back(in.back(), normal(Key{7}.fold(i), kernel.in[i]));
    bytes += static_cast<std::int64_t>(feeds.back().value.bytes());
  }
  const Var out = kernel.build(in);
  bytes += static_cast<std::int64_t>(bytes_of(out.type()));
  Program program = compile({out});
  program.run(feeds);
  for (auto _ : state) program.run(feeds);
  state.SetBytesProcessed(state.iterations() * bytes);
  if (kernel.flops > 0)
    state.counters["flops"] =
        benchmark::Counter(kernel.flops, benchmark::Counter::kIsIterationInvariantRate);
}

Kernel unary(const std::string& name, Shape shape, Var (*function)(In)) {
  return {name + '/' + to_string(shape), {shape}, [function](const auto& in) {
            return function(in[0]);
          }};
}

Kernel product(std::int64_t m, std::int64_t k, std::int64_t n, MatmulOptions options = {}) {
  Shape a = options.transpose_a ? Shape{k, m} : Shape{m, k};
  Shape b = options.transpose_b ? Shape{n, k} : Shape{k, n};
  const std::string name = "matmul/" + to_string(a) + (options.transpose_a ? "^T" : "") + " x " +
                           to_string(b) + (options.transpose_b ? "^T" : "");
  return {name,
          {std::move(a), std::move(b)},
          [options](const auto& in) { return matmul(in[0], in[1], options); },
          2.0 * static_cast<double>(m * k * n)};
}

std::vector<Kernel> kernels() {
  const Shape matrix{64, 1024};
  std::vector<Kernel> all{
      {"add/(64, 1024)", {matrix, matrix}, [](const auto& in) { return in[0] + in[1]; }},
      {"add_row/(64, 1024)", {matrix, {1024}}, [](const auto& in) { return in[0] + in[1]; }},
      {"add_column/(64, 1024)", {matrix, {64, 1}}, [](const auto& in) { return in[0] + in[1]; }},
      {"add_scalar/(64, 1024)", {matrix, {}}, [](const auto& in) { return in[0] + in[1]; }},
      unary("exp", matrix, exp),
      unary("tanh", matrix, tanh),
      unary("sigmoid", matrix, sigmoid),
      unary("relu", matrix, relu),
      {"sum/(64, 1024)", {matrix}, [](const auto& in) { return sum(in[0]); }},
      {"sum_rows/(64, 1024)", {matrix}, [](const auto& in) { return sum(in[0], {0}); }},
      {"sum_columns/(64, 1024)", {matrix}, [](const auto& in) { return sum(in[0], {1}); }}};
  for (const std::int64_t classes : {10, 1000})
    all.push_back({"softmax/" + to_string(Shape{64, classes}), {{64, classes}}, [](const auto& in) {
                     return softmax(in[0]);
                   }});
  for (const std::int64_t size : {64, 256, 512}) all.push_back(product(size, size, size));
  all.push_back(product(64, 784, 10));
  all.push_back(product(64, 784, 1024));
  all.push_back(product(64, 1024, 1024));
  all.push_back(product(64, 1024, 1024, {false, true}));
  all.push_back(product(784, 64, 1024, {true, false}));
  all.push_back(product(100, 2, 32));
  return all;
}

template <class Fill>
void run_fill(benchmark::State& state, Fill fill) {
  std::vector<float> out(65536);
  std::uint64_t key = 1;
  for (auto _ : state) {
    fill(std::span<float>(out), Key{key++});
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(out.size()));
}

bool register_kernels() {
  for (const Kernel& kernel : kernels())
    benchmark::RegisterBenchmark(("kernel/" + kernel.name).c_str(), run_kernel, kernel)
        ->Unit(benchmark::kMicrosecond);
  const auto add_fill = [](const char* name, auto fill) {
    benchmark::RegisterBenchmark(name, [fill](benchmark::State& state) {
      run_fill(state, fill);
    })->Unit(benchmark::kMicrosecond);
  };
  add_fill("random/normal/65536", [](std::span<float> out, Key key) { fill_normal(out, key); });
  add_fill("random/uniform/65536", [](std::span<float> out, Key key) { fill_uniform(out, key); });
  add_fill("random/rademacher/65536",
           [](std::span<float> out, Key key) { fill_rademacher(out, key); });
  return true;
}
const bool registered = register_kernels();

}  // namespace
}  // namespace dualtape::bench
