// Operators without modes, models and data.
#include <dualtape/core/program.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/matmul.hpp>

int main() {
  using namespace dualtape;
  Graph graph;
  const Var x = graph.input("x", {2});
  const Var y = 3 * dot(x, x);
  Program program = compile({y});
  return program.run({{x, Tensor{1, 2}}})[y].item<float>() == 15 ? 0 : 1;
}
