// What must not depend on depth: the stack, and forward mode's memory.
#include <doctest/doctest.h>

#include <sys/resource.h>

#include <cmath>

#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>

#include "tests/sanitizers.hpp"

using namespace dualtape;

namespace {

// Many rows on narrow layers, so that activations outweigh the parameters' gradients.
constexpr std::int64_t batch = 64;
constexpr std::int64_t width = 8;

struct Net {
  Graph graph;
  std::vector<Wrt> parameters;
  Var loss;

  explicit Net(int layers) {
    Var h = graph.input("x", {batch, width});
    for (int i = 0; i < layers; ++i) {
      const std::string number = std::to_string(i);
      const Parameter w("w" + number, normal(Key{7}.fold(number), {width, width}, 0, 0.2));
      const Parameter b("b" + number, zeros({width}));
      h = relu(matmul(h, w) + b);
      parameters.emplace_back(w);
      parameters.emplace_back(b);
    }
    loss = cross_entropy(h, graph.input("labels", {batch}, int64));
  }
};

std::size_t forward_bytes(int layers) {
  Net net(layers);
  const Var key = net.graph.input("key", {}, int64);
  const Var slope = forward(net.loss, net.parameters, rademacher_tangents(key));
  return compile({net.loss, slope}).memory().peak_activation_bytes;
}

std::size_t reverse_bytes(int layers) {
  Net net(layers);
  const Gradients gradients = reverse(net.loss, net.parameters);
  std::vector<Var> outputs = gradients.all();
  outputs.push_back(net.loss);
  return compile(outputs).memory().peak_activation_bytes;
}

}  // namespace

TEST_CASE("forward mode's activations and tangents are flat in depth, reverse mode's are linear") {
  const std::size_t flat = forward_bytes(4);
  CHECK(forward_bytes(1) <= flat);
  for (const int layers : {16, 64, 256}) CHECK(forward_bytes(layers) == flat);

  const std::size_t at_64 = reverse_bytes(64);
  const std::size_t at_128 = reverse_bytes(128);
  const std::size_t at_256 = reverse_bytes(256);
  const double per_layer = static_cast<double>(at_128 - at_64) / 64;
  CHECK(per_layer >= batch * width * sizeof(float));  // one activation a layer must be kept
  CHECK(static_cast<double>(at_256 - at_128) / 128 == doctest::Approx(per_layer).epsilon(0.01));
  CHECK(at_256 > 20 * flat);
}

TEST_CASE("the directional derivative does not need the random directions to live together") {
  Net net(64);
  const Var key = net.graph.input("key", {}, int64);
  const Var slope = forward(net.loss, net.parameters, rademacher_tangents(key));
  const std::size_t one_layer = static_cast<std::size_t>(width * width + width) * sizeof(float);
  const std::size_t peak = compile({slope}).memory().peak_direction_bytes;
  CHECK(peak > 0);
  CHECK(peak <= 2 * one_layer);
}

TEST_CASE("a chain of a million nodes is built, differentiated in both modes, run and destroyed") {
  // What recurses ends the sanitizers' larger stack frames at a tenth of it.
  constexpr bool sanitized = testing::address_sanitizer || testing::thread_sanitizer;
  constexpr int depth = sanitized ? 100'000 : 1'000'000;
  {
    Graph g;
    const Var x = g.input("x", {}, float64);
    Var h = x;
    for (int i = 0; i < depth / 2; ++i) h = sin(h) * 1.000001;
    const Var v = g.constant(1.0, float64);
    const Var tangent = forward(h, {x}, {v});
    const Var gradient = reverse(h, {x})[x];
    Program program = compile({h, tangent, gradient});
    const Outputs out = program.run({{x, Tensor::scalar(0.5)}});
    // Both modes compute the product of the same million factors, in opposite orders.
    CHECK(out[tangent].item() == doctest::Approx(out[gradient].item()).epsilon(1e-9));
    double value = 0.5;
    double slope = 1;
    for (int i = 0; i < depth / 2; ++i) {
      slope *= std::cos(value) * 1.000001;
      value = std::sin(value) * 1.000001;
    }
    CHECK(out[h].item() == doctest::Approx(value).epsilon(1e-9));
    CHECK(out[tangent].item() == doctest::Approx(slope).epsilon(1e-6));
  }
  if (sanitized) return;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  CHECK(usage.ru_maxrss < 2L * 1024 * 1024);  // KiB
}
