#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>

#include "tests/errors.hpp"

using namespace dualtape;
using dualtape::testing::contains;
using dualtape::testing::has;

namespace {

Cost cost_of(Var var) {
  const Node& node = var.node();
  std::vector<Type> in;
  for (const Ref& ref : node.inputs()) in.push_back(var.graph().node(ref.node).type(ref.output));
  return node.op->cost({in, {&node.first_type, 1}, node.attributes});
}

bool fuses() {
  return std::ranges::any_of(passes(), [](const Pass& pass) { return pass.name == "fuse"; });
}

}  // namespace

TEST_CASE("costs count operations and bytes") {
  Graph g;
  const Var x = g.input("x", {6, 5});
  const Var row = g.input("row", {5});
  const Var w = g.input("w", {5, 7}, float64);
  const Cost add = cost_of(x + row);
  CHECK(add.flops == 30);
  CHECK(add.bytes == 4 * (30 + 5 + 30));
  const Cost product = cost_of(matmul(g.input("a", {6, 5}, float64), w));
  CHECK(product.flops == 2 * 6 * 5 * 7);
  CHECK(product.bytes == 8 * (30 + 35 + 42));
  const Cost total = cost_of(sum(x, {0}));
  CHECK(total.bytes == 4 * (30 + 5));
  CHECK(total.flops == 30);
}

TEST_CASE("memory is listed by category") {
  Parameter p{"p", ones({10})};
  Parameter other{"other", ones({2})};
  Graph g;
  const Var x = g.input("x", {10});
  const Var c = g.constant(Tensor{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  const Var y = x * p + c;
  const Var update = p + x;
  Program program = compile({y}, {assign(p, update), assign(other, g.constant(zeros({2})))});
  const MemoryUse use = program.memory();
  CHECK(use.parameter_bytes == 4 * (10 + 2));
  CHECK(use.input_bytes == 4 * 10);
  CHECK(use.constant_bytes >= 4 * 10);
  CHECK(use.peak_activation_bytes <= use.arena_bytes);
}

TEST_CASE("totals count memory that is used twice") {
  Graph g;
  const Var a = g.input("a", {16, 16});
  const Var y = matmul(matmul(matmul(a, a), a), a);
  Program program = compile({y});
  const MemoryUse use = program.memory();
  CHECK(use.total_activation_bytes == 3 * 4 * 256);
  CHECK(use.peak_activation_bytes == 2 * 4 * 256);  // a product's operand and its result
  CHECK(use.total_direction_bytes == 0);
  CHECK(use.total_update_bytes == 0);
  CHECK(has(program.explain(), "activations 2.05 kB of 3.07 kB"));
}

TEST_CASE("explain tells steps, costs, memory and lines") {
  Parameter w{"w", ones({8, 3})};
  Graph g;
  const Var x = g.input("x", {4, 8});
  const Var loss = sum(exp(matmul(x, w))).named("loss");
  const Var slope = reverse(loss, {w})[w];
  // Node by node, so that each keeps its role.
  CompileOptions plain;
  for (const Pass& pass : passes())
    if (pass.optional) plain.without.emplace_back(pass.name);
  Program program = compile({loss}, {assign(w, w - 0.1 * slope)}, plain);
  const std::string text = program.explain();
  CHECK(has(text, std::to_string(program.steps()) + " steps"));
  CHECK(has(text, "matmul"));
  CHECK(has(text, "cotangent"));
  CHECK(has(text, "'loss'"));
  CHECK(has(text, "float32 (4, 3)"));
  CHECK(has(text, "explain_test.cpp:"));
  CHECK(has(text, "parameters 96 B"));
  CHECK(has(text, "fed 128 B"));
  // As many numbered lines as steps.
  for (std::size_t i = 0; i < program.steps(); ++i)
    CHECK(has(text, "\n" + std::string(i < 10 ? "   " : "  ") + std::to_string(i) + "  "));
}

TEST_CASE("explain tells what is written in place") {
  Parameter p{"momentum", ones({10})};
  Graph g;
  const Var x = g.input("x", {10});
  Program program = compile({}, {assign(p, sin(p + x))});
  CHECK(program.memory().arena_bytes <= 64);
  CHECK(has(program.explain(), "parameter momentum"));
  Program alone = compile({cos(sin(exp(x)))}, {}, CompileOptions{{"fuse"}});
  CHECK(has(alone.explain(), "activation, in place"));
}

TEST_CASE("explain tells what was fused, and why the rest was not") {
  if (!fuses()) return;
  Graph g;
  const Var x = g.input("x", {64, 8});
  const Var y = exp(sin(x) * 2.0);
  const std::string together = compile({y}).explain();
  CHECK(has(together, "1 fused step\n"));
  CHECK(has(together, "sin"));  // among the members
  const std::string apart = compile({y}, {}, CompileOptions{{"fuse"}}).explain();
  CHECK(has(apart, "3 elementwise steps not fused: the pass 'fuse' was left out"));
  CHECK(!contains(apart, "fused step\n"));
  const std::string lonely = compile({exp(x)}).explain();
  CHECK(has(lonely, "not fused: no elementwise step of its shape"));
  CHECK(has(lonely, "1 elementwise step not fused\n"));
  const Var integers = g.input("i", {6}, int32);
  CHECK(has(compile({(integers + integers) * integers}).explain(), "computes in int32"));
}
