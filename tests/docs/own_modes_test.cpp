// The other modes of docs/examples: costs against counts by hand and explain(), planted NaNs,
// relevance against its laws.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <string>

#include "examples/costs.hpp"
#include "examples/relevance.hpp"
#include "examples/tracer.hpp"

namespace {

namespace dt = dualtape;

// The FLOP and bytes that explain() tells of a program without optional passes, "16.0 k FLOP", as
// numbers of three digits.
dt::Cost explained(const std::vector<dt::Var>& outputs) {
  dt::CompileOptions plain;
  for (const dt::Pass& pass : dt::passes())
    if (pass.optional) plain.without.emplace_back(pass.name);
  std::istringstream text(dt::compile(outputs, {}, plain).explain());
  std::string word;
  while (text >> word && word != "kernels,") {
  }
  const auto number = [&] {
    double value = 0;
    std::string unit;
    text >> value >> unit;
    for (const auto& [prefix, factor] : {std::pair{'k', 1e3}, {'M', 1e6}, {'G', 1e9}})
      if (unit[0] == prefix) value *= factor;
    return value;
  };
  dt::Cost cost;
  cost.flops = number();
  while (text.peek() != ',') text.get();
  text.get();
  cost.bytes = number();
  return cost;
}
void check_explained(const std::vector<dt::Var>& outputs) {
  const dt::Cost told = explained(outputs), counted = total(costs::costs_of(outputs));
  CHECK(counted.flops > 0);
  CHECK(std::abs(told.flops - counted.flops) <= 0.005 * counted.flops);
  CHECK(std::abs(told.bytes - counted.bytes) <= 0.005 * counted.bytes);
}

dt::Tensor random(std::uint64_t seed, const dt::Shape& shape, dt::DType dtype = dt::float64) {
  return dt::normal(dt::Key{seed}, shape, 0, 1, dtype);
}

}  // namespace

TEST_CASE("the costs of a perceptron are those counted by hand, and explain()'s") {
  dt::Graph g;
  const dt::Var x = g.input("x", {32, 4}), w = g.input("w", {4, 16}), b = g.input("b", {16}),
                v = g.input("v", {16, 3});
  const dt::Var y = dt::matmul(dt::relu(dt::matmul(x, w) + b), v);
  const costs::Costs found = costs::costs_of({y});
  CHECK(found.size() == 3);
  CHECK(found.at("matmul").nodes == 2);
  CHECK(found.at("matmul").cost.flops == 2 * 32 * 4 * 16 + 2 * 32 * 16 * 3);
  CHECK(found.at("matmul").cost.bytes ==
        4 * ((32 * 4 + 4 * 16 + 32 * 16) + (32 * 16 + 16 * 3 + 32 * 3)));
  CHECK(found.at("add").cost.flops == 32 * 16);
  CHECK(found.at("add").cost.bytes == 4 * (32 * 16 + 16 + 32 * 16));
  CHECK(found.at("relu").cost.flops == 32 * 16);
  check_explained({y});
  const dt::Var loss = dt::sum(dt::square(y));
  const dt::Gradients slopes = dt::reverse(loss, {w, b, v});
  check_explained({loss, slopes[w], slopes[b], slopes[v]});
  // Each product has two in its gradient, but x, which is no parameter, needs none.
  const costs::Costs of_step = costs::costs_of({slopes[w], slopes[b], slopes[v]});
  CHECK(of_step.at("matmul").cost.flops == 2 * (2 * 32 * 4 * 16) + 3 * (2 * 32 * 16 * 3));
}

TEST_CASE("the costs of a convolution are those counted by hand, and explain()'s") {
  dt::Graph g;
  const dt::Var x = g.input("x", {2, 3, 28, 28}), w = g.input("w", {5, 3, 3, 3});
  const dt::Var y = dt::conv2d(x, w);
  CHECK(total(costs::costs_of({y})).flops == 2.0 * 2 * 5 * 26 * 26 * 3 * 3 * 3);
  CHECK(total(costs::costs_of({y})).bytes ==
        4.0 * (2 * 3 * 28 * 28 + 5 * 3 * 3 * 3 + 2 * 5 * 26 * 26));
  check_explained({y, dt::max_pool2d(dt::relu(y), 2)});
}

TEST_CASE("nodes that nothing needs, leaves and mere shapes cost nothing") {
  dt::Graph g;
  const dt::Var x = g.input("x", {6});
  const dt::Var unneeded = dt::exp(x);
  static_cast<void>(unneeded);
  CHECK(costs::costs_of({dt::reshape(x, {2, 3})}).empty());
  CHECK(costs::costs_of({}).empty());
  std::ostringstream out;
  costs::print(out, costs::costs_of({dt::tanh(x) + 1}));
  CHECK(out.str() ==
        "operator                 nodes          FLOP         bytes\n"
        "add                          1             6            52\n"
        "tanh                         1             6            48\n"
        "total                        2            12           100\n");
}

TEST_CASE("the tracer names the first operator that makes a NaN or infinity of numbers") {
  dt::Graph g;
  const dt::Var x = g.input("x", {4}, dt::float64);
  const dt::Var positive = dt::relu(x);
  const dt::Var logs = dt::log(positive).named("logs");
  const unsigned line = __LINE__ - 1;
  const dt::Var loss = dt::sum(dt::exp(logs) * x) + dt::sum(logs / logs);
  const auto run = [&](std::initializer_list<dt::Number> values) {
    return tracer::find({loss}, {{x, dt::Tensor::of(values, dt::float64)}});
  };
  CHECK(!run({2, 3, 4, 5}));
  auto place = run({2, 3, -1, 0});
  REQUIRE(place.has_value());
  CHECK(place->var == logs);
  CHECK(place->element == 2);
  CHECK(place->operands == std::vector<double>{0});
  std::ostringstream text;
  text << *place;
  CHECK(text.str().find("log 'logs' at ") == 0);
  CHECK(text.str().find("own_modes_test.cpp:" + std::to_string(line)) != std::string::npos);
  CHECK(text.str().find("made -inf of 0, element 2 of float64 (4,)") != std::string::npos);
  // log 1 = 0, and 0 / 0.
  place = run({2, 1, 3, 4});
  REQUIRE(place.has_value());
  CHECK(place->var.node().op->name() == "div");
  CHECK(std::isnan(place->value));
  CHECK(place->operands == std::vector<double>{0, 0});
  // What was fed so.
  place = run({2, 3, 4, dt::not_a_number});
  REQUIRE(place.has_value());
  CHECK(place->var == x);
  CHECK(place->element == 3);
}

TEST_CASE("the tracer sees nodes that modes made, at the line of the user's operator") {
  dt::Graph g;
  const dt::Var x = g.input("x", {2}, dt::float64);
  const dt::Var y = dt::sum(dt::sqrt(x));
  const unsigned line = __LINE__ - 1;
  const dt::Var slope = dt::reverse(y, {x})[x];
  const auto place = tracer::find({slope}, {{x, dt::Tensor::of({0, 1}, dt::float64)}});
  REQUIRE(place.has_value());
  CHECK(place->var.node().role != dt::Role::primal);
  CHECK(place->var.node().where.line == line);
  CHECK(tracer::find({}, {}) == std::nullopt);
}

TEST_CASE("relevance: gradient times input for relu without biases, and nothing is lost") {
  dt::Graph g;
  const dt::Var x = g.input("x", {6}, dt::float64);
  const dt::Tensor w = random(1, {5, 6}), v = random(2, {4, 5}), u = random(3, {4});
  const dt::Var h = dt::relu(dt::matmul(g.constant(w), x));
  const dt::Var k = dt::relu(dt::matmul(g.constant(v), h));
  const dt::Var y = dt::dot(g.constant(u), k + 0.5 * dt::sum(h));
  const dt::Var slope = dt::reverse(y, {x})[x];
  relevance::Relevance mode;
  const std::vector<dt::Var> outputs{y}, inputs{x};
  const dt::Var found = *mode.run(g, outputs, std::vector<dt::Var>{y}, inputs)[0];
  const dt::Var product = x * slope;
  dt::Program program = dt::compile({found, product, y});
  for (std::uint64_t seed = 10; seed < 30; ++seed) {
    const auto out = program.run({{x, random(seed, {6})}});
    double sum = 0;
    const auto got = out[found].data<double>(), wanted = out[product].data<double>();
    for (std::size_t i = 0; i < 6; ++i) {
      CHECK(std::abs(got[i] - wanted[i]) <= 1e-6 * (1 + std::abs(wanted[i])));
      sum += got[i];
    }
    CHECK(std::abs(sum - out[y].item()) <= 1e-6 * (1 + std::abs(out[y].item())));
  }
}

TEST_CASE("relevance of a sum is shared in proportion, the biases' share included") {
  // y = 2 a + 3 b + 4 at (1, 2): 2, 6 and 4 of 12; the bias is no input, so 4 are lost.
  dt::Graph g;
  const dt::Var x = g.input("x", {2}, dt::float64);
  const dt::Var y = dt::dot(x, g.constant(dt::Tensor::of({2, 3}, dt::float64))) + 4;
  relevance::Relevance mode(0);
  const std::vector<dt::Var> outputs{y}, inputs{x};
  const dt::Var found = *mode.run(g, outputs, std::vector<dt::Var>{y}, inputs)[0];
  const dt::Tensor got = dt::eval(found, {{x, dt::Tensor::of({1, 2}, dt::float64)}});
  CHECK(got.at({0}) == doctest::Approx(2).epsilon(1e-14));
  CHECK(got.at({1}) == doctest::Approx(6).epsilon(1e-14));
  // A product of two that move has no shares, until it is taught some.
  const dt::Var product = dt::dot(x, x);
  CHECK_THROWS_AS(mode.run(g, std::vector<dt::Var>{product}, std::vector<dt::Var>{product}, inputs),
                  dt::GraphError);
}

TEST_CASE("relevance goes through a general operator by its gradient") {
  // max_pool2d passes it to the largest, and layer norms share it in proportion.
  dt::Graph g;
  const dt::Var x = g.input("x", {1, 1, 2, 4}, dt::float64);
  const dt::Var y =
      dt::sum(dt::max_pool2d(x, 2) * g.constant(dt::Tensor::of({1, 10}, dt::float64)));
  relevance::Relevance mode;
  const std::vector<dt::Var> outputs{y}, inputs{x};
  const dt::Var found = *mode.run(g, outputs, std::vector<dt::Var>{y}, inputs)[0];
  const dt::Tensor at =
      dt::Tensor::of({{1, 2, 3, 4}, {8, 7, 6, 5}}, dt::float64).reshape({1, 1, 2, 4});
  const dt::Tensor got = dt::eval(found, {{x, at}});
  CHECK(got.at({0, 0, 1, 0}) == doctest::Approx(8).epsilon(1e-8));
  CHECK(got.at({0, 0, 1, 2}) == doctest::Approx(60).epsilon(1e-8));
  CHECK(got.at({0, 0, 0, 3}) == 0);
}
