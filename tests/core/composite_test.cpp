// Functions made of operators carry the line of whoever calls them, in nodes and in errors.
#include <doctest/doctest.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include <dualtape/core/composite.hpp>
#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>

using namespace dualtape;
using dualtape::testing::error_of;
using dualtape::testing::has;

namespace {

Var deeper(Var x) { return exp(x) * 2; }

// Expressions of its own, other functions, and a composite inside.
Var halves(In x) {
  const Composite c("halves", {x});
  const Var y = 0.5 * c[0];
  return mean(deeper(y), {0}) + norm(y);
}
Var wrong_inside(In x, In y) {
  const Composite c("wrong_inside", {x, y});
  return matmul(c[0], c[1]);
}

std::string place_of(const Graph& graph, NodeId id) { return to_string(graph.node(id).where); }

}  // namespace

TEST_CASE("all nodes of a composite have the caller's line, and those after it their own") {
  Graph graph;
  const Var x = graph.input("x", {3});
  const NodeId first = static_cast<NodeId>(graph.size());
  const Location line = Location::current();
  const Var y = halves(x);
  const std::string wanted = std::string("composite_test.cpp:") + std::to_string(line.line + 1);
  REQUIRE(y.id() >= first + 6);
  for (NodeId id = first; id <= y.id(); ++id) {
    CAPTURE(graph.node(id).op->name());
    CHECK(has(place_of(graph, id), wanted));
  }
  const Var after = y + 1;
  CHECK(has(place_of(graph, after.id()), "composite_test.cpp:" + std::to_string(line.line + 8)));
}

TEST_CASE("an error inside of a composite names the caller's line and leaves nothing pinned") {
  Graph graph;
  const Var x = graph.input("x", {2, 3});
  const Location line = Location::current();
  const std::string text = error_of<ShapeError>([&] { wrong_inside(x, x); });
  CHECK(has(text, "composite_test.cpp:" + std::to_string(line.line + 1)));
  CHECK(!graph.pinned().known());
  const Var y = x * x;
  CHECK(has(place_of(graph, y.id()), "composite_test.cpp:" + std::to_string(line.line + 4)));
}

TEST_CASE("operands come into one graph, literals as wide as they need") {
  Graph graph;
  const Var n = graph.input("n", {2}, int32);
  const Parameter p("p", Tensor{1, 2});
  const Tensor t = Tensor::of({3, 4});
  const Composite c("of_all_kinds", {n, p, t, 0.5, 7});
  CHECK(c[0] == n);
  CHECK(c[1].node().op == &parameter_op());
  CHECK(c[2].dtype() == int64);
  CHECK(is_floating(c[3].dtype()));
  CHECK(c[4].dtype() == int32);
  CHECK(c.operands().size() == 5);
  CHECK(&c.graph() == &graph);
  CHECK(c.where().known());
}

TEST_CASE("operands that are in no graph, of two graphs or empty are refused by name") {
  Graph graph;
  Graph other;
  const Var x = graph.input("x", {3});
  const Tensor t{1, 2, 3};
  CHECK(has(error_of<GraphError>([&] { halves(t); }), "[halves]"));
  CHECK(has(error_of<GraphError>([&] { halves(Var{}); }), "[halves]"));
  const Var y = other.input("y", {3});
  const std::string text = error_of<GraphError>([&] { wrong_inside(x, y); });
  CHECK(has(text, "[wrong_inside]"));
  CHECK(has(text, "different graphs"));
  CHECK(!graph.pinned().known());
  CHECK(!other.pinned().known());
}

TEST_CASE("a composite may outlive its graph") {
  const auto graph = std::make_unique<Graph>();
  auto held = std::make_unique<Graph>();
  const Var x = held->input("x", {3});
  const auto c = std::make_unique<Composite>("longer", std::initializer_list<In>{x});
  held.reset();
  CHECK(!c->operands()[0].alive());
}

TEST_CASE("what modes emit through a composite's rule keeps the line of the primal") {
  Graph graph;
  const Var x = graph.input("x", {3});
  const Location line = Location::current();
  const Var y = halves(x);
  const Gradients gradients = reverse(y, {x});
  const Var slope = gradients[x];
  CHECK(has(place_of(graph, slope.id()), "composite_test.cpp:" + std::to_string(line.line + 1)));
}

TEST_CASE("a Composite counts its operands and has the graph they share") {
  Graph graph;
  const Var x = graph.input("x", {2});
  const Composite c("pair", {In(x), In(2.0)});
  const std::string text = error_of<GraphError>([&] { c[2]; });
  CHECK(has(text, "operand 2"));
  CHECK(has(text, "composite_test.cpp"));
  Graph scratch(graph);
  const Var dx = scratch.input("dx", {2});
  CHECK(&Composite("pair", {x, dx}).graph() == &scratch);
}

TEST_CASE("a tensor or a parameter first does not hide the caller's line") {
  Graph graph;
  const Var x = graph.input("x", {2, 3});
  const auto scaled = [](In in) {
    const Composite c("scaled", {in});
    return matmul(full({4, 2}, 2.0F), c[0]);
  };
  const Location line = Location::current();
  const Var y = scaled(x);
  CHECK(has(place_of(graph, y.id()), "composite_test.cpp:" + std::to_string(line.line + 1)));
  CHECK(has(place_of(graph, y.id() - 1), "composite_test.cpp:" + std::to_string(line.line + 1)));
}

TEST_CASE("infer() that asks for an operand that is not there is told so") {
  Graph graph;
  const Var x = graph.input("x", {2, 3});
  const std::string text = error_of<GraphError>([&] { apply(require_op("matmul"), {In(x)}); });
  CHECK(has(text, "[matmul]"));
  CHECK(has(text, "composite_test.cpp"));
}
