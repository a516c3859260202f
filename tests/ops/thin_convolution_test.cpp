// Filters of low rank as two thin convolutions, with and without the pass.
#include <dualtape/ops/convolution.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/shapes.hpp>

using namespace dualtape;

namespace {

Tensor drawn(Shape shape, std::uint64_t key) {
  return normal(Key{key}, std::move(shape), 0, 1, float64);
}

std::int64_t count(const Program& program, std::string_view op) {
  return std::ranges::count_if(program.plan().nodes,
                               [&](const PlanNode& node) { return node.op->name() == op; });
}

void check_same(Var y, std::int64_t convolutions, std::int64_t products, bool reassociate = true) {
  Program with = compile({y}, {}, {.reassociate = reassociate});
  Program without = compile({y}, {}, {.without = {"thin"}});
  CHECK(count(with, "conv2d") == convolutions);
  CHECK(count(with, "matmul") == products);
  const Tensor a = with.run()[y].copy();
  const Tensor b = without.run()[y].copy();
  REQUIRE(a.shape() == b.shape());
  double worst = 0;
  double largest = 0;
  for (std::size_t i = 0; i < a.data<double>().size(); ++i) {
    worst = std::max(worst, std::abs(a.data<double>()[i] - b.data<double>()[i]));
    largest = std::max(largest, std::abs(b.data<double>()[i]));
  }
  CHECK(worst <= 1e-12 * largest);
}

}  // namespace

TEST_CASE("filters that are a thin product make two convolutions") {
  // Parameters, so that nothing is folded.
  const Parameter images{"x", drawn({2, 3, 9, 8}, 1)};
  const Parameter left{"a", drawn({12, 2}, 2)};
  const Parameter right{"b", drawn({2, 27}, 3)};
  for (const ConvOptions& options : {ConvOptions{}, ConvOptions{.stride = 2, .padding = 1},
                                     ConvOptions{.padding = Padding::same(), .dilation = 2}}) {
    Graph g;
    const Var w = reshape(matmul(left, g.read(right)), {12, 3, 3, 3});
    check_same(conv2d(g.read(images), w, options), 2, 0);
  }
}

TEST_CASE("filters of high rank, in groups, or split otherwise stay one convolution") {
  const Parameter images{"x", drawn({2, 4, 9, 8}, 1)};
  const Parameter left{"a", drawn({12, 8}, 2)};
  const Parameter right{"b", drawn({8, 36}, 3)};
  const Parameter thin{"c", drawn({12, 1}, 4)};
  const Parameter half{"d", drawn({1, 18}, 5)};
  const Parameter tall{"e", drawn({24, 1}, 6)};
  Graph g;
  const Var x = g.read(images);
  check_same(conv2d(x, reshape(matmul(left, g.read(right)), {12, 4, 3, 3})), 1, 1);
  check_same(conv2d(x, reshape(matmul(thin, g.read(half)), {12, 2, 3, 3}), {.groups = 2}), 1, 1);
  check_same(conv2d(x, reshape(matmul(tall, g.read(half)), {12, 4, 3, 3})), 1, 1);
}

TEST_CASE("a forward gradient of low rank forms no filters for its convolutions") {
  const Parameter images{"x", drawn({2, 3, 8, 8}, 1)};
  const Parameter w{"w", drawn({16, 3, 3, 3}, 2)};
  Graph g;
  const Var loss = mean(square(tanh(conv2d(g.read(images), w, {.padding = 1}))));
  const Parameter key{"key", Key{7}.to_tensor()};  // a constant one's direction would be folded
  const ForwardGradient found = forward_gradient(loss, {w}, g.read(key), {.rank = 1});
  // w itself, and the direction as two; the update alone forms their product.
  check_same(found.slopes[0], 3, 0, false);
}
