// Building graphs: operands of every form, promotion, places, labels, merging, errors.
#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <vector>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <tests/errors.hpp>

namespace dt = dualtape;
using dt::DType;
using dt::Tensor;
using dt::testing::error_of;
using dt::testing::has;

namespace {

std::string here(int line) { return "graph_test.cpp:" + std::to_string(line); }

TEST_CASE("two dtypes meet in the later of bool < int32 < int64 < float32 < float64") {
  const DType dtypes[] = {dt::int32, dt::int64, dt::float32, dt::float64};
  for (const DType a : dtypes) {
    for (const DType b : dtypes) {
      dt::Graph graph;
      const dt::Var x = graph.input("x", {2}, a);
      const dt::Var y = graph.input("y", {2}, b);
      const DType later = a < b ? b : a;
      CHECK((x + y).dtype() == later);
      CHECK((x / y).dtype() == (later < dt::float32 ? dt::float32 : later));
      CHECK((x < y).dtype() == dt::boolean);
    }
    dt::Graph graph;
    const dt::Var mask = graph.input("m", {2}, dt::boolean);
    CHECK((mask * graph.input("x", {2}, a)).dtype() == a);
    CHECK(dt::where(mask, graph.constant(0.0, a), graph.input("y", {2}, dt::int64)).dtype() ==
          (a < dt::int64 ? dt::int64 : a));
  }
}

TEST_CASE("bare literals are weak") {
  dt::Graph graph;
  for (const DType dtype : {dt::int32, dt::int64, dt::float32, dt::float64}) {
    const dt::Var x = graph.input(std::string(dt::name_of(dtype)), {2}, dtype);
    CHECK((x + 1).dtype() == dtype);
    CHECK((1 - x).dtype() == dtype);
    CHECK((x * true).dtype() == dtype);
    // A real literal beside integers makes float32; beside floats it changes nothing.
    CHECK((x + 0.5).dtype() == (dt::is_floating(dtype) ? dtype : dt::float32));
    CHECK((0.5F * x).dtype() == (dt::is_floating(dtype) ? dtype : dt::float32));
  }
  const dt::Var mask = graph.input("mask", {2}, dt::boolean);
  CHECK((mask + 1).dtype() == dt::int64);
  CHECK((mask * 0.5).dtype() == dt::float32);
  // Tensors and parameters are as strong as Vars.
  const dt::Var x = graph.input("x", {2});
  CHECK((x + Tensor::scalar(1.0)).dtype() == dt::float64);
  CHECK((x + dt::Parameter("p", dt::zeros({2}, dt::float64))).dtype() == dt::float64);
}

TEST_CASE("a literal's value is the one written, in the dtype it takes") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::zeros({}, dt::float64));
  CHECK(dt::eval(x + 0.1).item() == 0.1);
  const dt::Var i = graph.constant(Tensor::scalar(std::int64_t{0}));
  CHECK(dt::eval(i + (std::int64_t{1} << 40)).item<std::int64_t>() == std::int64_t{1} << 40);
}

TEST_CASE("equal literals are one node, equal parameters are read once") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {2});
  const dt::Parameter p("p", dt::zeros({2}));
  const dt::Var first = x * p + 2;
  const std::size_t size = graph.size();
  const dt::Var second = first * p + 2;
  CHECK(graph.size() == size + 2);  // mul and add only
  CHECK(second.node().inputs()[1] == first.node().inputs()[1]);
  REQUIRE(graph.find(p));
  CHECK(*graph.find(p) == graph.read(p));
  CHECK(graph.read(p).label() == "p");
  CHECK_FALSE(graph.find(dt::Parameter("p", dt::zeros({2}))));
}

TEST_CASE("a node knows the user's line, whatever form the operands have") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {2});
  const dt::Parameter p("p", dt::zeros({2}));
  const auto line_of = [](dt::Var var) {
    CHECK(has(dt::to_string(var.node().where), "graph_test.cpp"));
    return static_cast<int>(var.node().where.line);
  };
  CHECK(line_of(x + x) == __LINE__);
  CHECK(line_of(1 + x) == __LINE__);
  CHECK(line_of(x * 0.5) == __LINE__);
  CHECK(line_of(x - p) == __LINE__);
  CHECK(line_of(Tensor{1, 2} / x) == __LINE__);
  CHECK(line_of(-x) == __LINE__);
  CHECK(line_of(x < 0) == __LINE__);
  CHECK(line_of(dt::exp(x)) == __LINE__);
  CHECK(line_of(graph.input("y", {2})) == __LINE__);
}

TEST_CASE(
    "errors tell the operator, the shapes and the user's line, and leave the graph as it was") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {64, 784});
  const dt::Var y = graph.input("y", {10});
  const std::size_t size = graph.size();
  const int line = __LINE__ + 1;
  const std::string text = error_of<dt::ShapeError>([&] { dt::maximum(x, y); });
  CAPTURE(text);
  CHECK(has(text, "[maximum"));
  CHECK(has(text, "(64, 784)"));
  CHECK(has(text, "(10,)"));
  CHECK(has(text, here(line)));
  CHECK(graph.size() == size);
  CHECK((x + 1).shape() == dt::Shape{64, 784});
}

TEST_CASE("operands of different graphs are refused, with both their places") {
  dt::Graph one;
  dt::Graph other;
  const dt::Var x = one.input("x", {2});
  const int made = __LINE__ - 1;
  const dt::Var y = other.input("y", {2});
  const int line = __LINE__ + 1;
  const std::string text = error_of<dt::GraphError>([&] { x + y; });
  CAPTURE(text);
  CHECK(has(text, "different graphs"));
  CHECK(has(text, "'x'"));
  CHECK(has(text, "'y'"));
  CHECK(has(text, here(made)));
  CHECK(has(text, here(line)));
}

TEST_CASE("operands without a graph, empty Vars and taken names are refused") {
  const std::string lone = error_of<dt::GraphError>([&] { Tensor{1, 2} + Tensor{1, 2}; });
  CHECK(has(lone, "none of its operands belongs to a graph"));
  const std::string empty = error_of<dt::GraphError>([&] { dt::Var() + 1; });
  CHECK(has(empty, "empty Var"));
  dt::Graph graph;
  graph.input("x", {2});
  const std::string taken = error_of<dt::GraphError>([&] { graph.input("x", {3}); });
  CHECK(has(taken, "already has an input"));
  CHECK(has(taken, here(__LINE__ - 2)));
}

TEST_CASE("scopes nest and prefix the labels of what is made in them") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {2});
  dt::Var inner;
  dt::Var outer;
  {
    const dt::Scope encoder = graph.scope("encoder");
    {
      const dt::Scope layer = graph.scope("layer1");
      inner = (x + 1).named("sum");
    }
    outer = (x + 2).named("sum");
  }
  const dt::Var after = (x + 3).named("sum");
  CHECK(inner.label() == "encoder/layer1/sum");
  CHECK(outer.label() == "encoder/sum");
  CHECK(after.label() == "sum");
  CHECK((x + 4).label().empty());
  CHECK(x.label() == "x");
}

TEST_CASE("user's nodes are kept apart; equal emitted ones are merged") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {2});
  const dt::Var y = graph.input("y", {2});
  CHECK_FALSE(x + y == x + y);
  const dt::Var primal = dt::exp(x).named("e");
  {
    const dt::Graph::Emitting emitting(graph, {primal.id(), dt::Role::tangent, primal.node().where,
                                               primal.node().label, primal.node().scope, nullptr});
    const dt::Var tangent = x * y;
    CHECK(tangent == x * y);
    CHECK_FALSE(tangent == y * x);
    CHECK_FALSE(tangent == x + y);
    CHECK(dt::cast(x, dt::float64) == dt::cast(x, dt::float64));
    CHECK_FALSE(dt::cast(x, dt::float64) == dt::cast(x, dt::int64));
    CHECK(tangent.node().origin == primal.id());
    CHECK(tangent.node().role == dt::Role::tangent);
    CHECK(tangent.node().where.line == primal.node().where.line);
    CHECK(tangent.label() == "e");
  }
  CHECK_FALSE(x * y == x * y);
  CHECK((x * y).node().role == dt::Role::primal);
}

TEST_CASE("a scratch graph refuses what is not linear in its own nodes") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {2});
  dt::Graph scratch(graph);
  const dt::Var t = scratch.input("t", {2});
  CHECK(&(x * t).graph() == &scratch);
  CHECK((t / x + t).shape() == dt::Shape{2});
  CHECK(dt::where(x > 0, t, 0).shape() == dt::Shape{2});
  CHECK_THROWS_AS(t * t, dt::DerivativeError);
  CHECK_THROWS_AS(t + x, dt::DerivativeError);
  CHECK_THROWS_AS(x / t, dt::DerivativeError);
  CHECK_THROWS_AS(dt::where(x > 0, t, 1), dt::DerivativeError);
  CHECK_THROWS_AS(dt::exp(t), dt::DerivativeError);
}

TEST_CASE("zero constants are seen through linear operators of one operand") {
  dt::Graph graph;
  const dt::Var zero = graph.constant(0.0, dt::float32);
  CHECK(dt::is_zero_constant(zero));
  CHECK(dt::is_zero_constant(dt::cast(zero, dt::float64)));
  CHECK_FALSE(dt::is_zero_constant(dt::exp(zero)));
  CHECK_FALSE(dt::is_zero_constant(graph.constant(Tensor{0, 1})));
}

}  // namespace

TEST_CASE("graphs have numbers of their own, which Vars keep") {
  dt::GraphId last = 0;
  for (int i = 0; i < 100; ++i) {
    dt::Graph graph;  // in the same place each time
    const dt::Var x = graph.input("x", {});
    CHECK(graph.id() > last);
    CHECK(x.graph_id() == graph.id());
    CHECK(x.alive());
    last = graph.id();
  }
}

TEST_CASE("a scope of a number that the graph does not have is refused") {
  dt::Graph graph;
  const auto make = [&] { const dt::Scope none(graph, 99999); };
  CHECK_THROWS_AS(make(), dt::GraphError);
  CHECK(graph.input("x", {3}).label() == "x");
}

TEST_CASE("a name scope and an emission may outlive their graph") {
  std::optional<dt::Graph> graph(std::in_place);
  const dt::Scope scope = graph->scope("inner");
  const dt::Graph::Emitting emitting(*graph, {});
  graph.reset();
}

TEST_CASE("a node may have more than 65535 operands and outputs") {
  constexpr std::int64_t many = 65'537;
  dt::Graph graph;
  const dt::Var x = graph.input("x", {1});
  const std::vector<dt::Var> all(many, x);
  const dt::Var joined = dt::concat(all, 0);
  CHECK(joined.shape() == dt::Shape{many});
  const dt::Var total = dt::sum(joined);
  CHECK(dt::eval(total, {{x, Tensor{2.0}}}).item() == 2.0 * many);
  CHECK(dt::eval(dt::forward(total, {x}, {x}), {{x, Tensor{2.0}}}).item() == 2.0 * many);
  const std::vector<dt::Var> pieces = dt::split(joined, many, 0);
  CHECK(pieces.size() == many);
  CHECK(dt::eval(pieces.back() * 3.0, {{x, Tensor{2.0}}}).item() == 6.0);
}

TEST_CASE("a result that is too large names the operator and its operands") {
  dt::Graph graph;
  const dt::Var tall = graph.input("tall", {std::int64_t{1} << 32, 1});
  const dt::Var wide = graph.input("wide", {1, std::int64_t{1} << 32});
  CHECK_THROWS_WITH_AS(
      tall + wide, doctest::Contains("[add] its result of float32 (4294967296, 1)"), dt::SizeError);
  CHECK_THROWS_WITH_AS(tall + wide, doctest::Contains("graph_test.cpp:"), dt::ShapeError);
  CHECK_THROWS_WITH_AS(dt::Shape(std::vector<std::int64_t>(1'000'000, 1)),
                       doctest::Contains("1000000 axes"), dt::ShapeError);
  const dt::Var deep = graph.input("deep", dt::Shape(std::vector<std::int64_t>(1024, 1)));
  CHECK_THROWS_WITH_AS(dt::unsqueeze(deep, 0),
                       doctest::Contains("[reshape] its result of float32 (1, 1, "), dt::SizeError);
  CHECK_THROWS_WITH_AS(dt::unsqueeze(deep, 0), doctest::Contains("1025 axes, the limit is 1024"),
                       dt::SizeError);
  CHECK_THROWS_WITH_AS(dt::unsqueeze(deep, 0), doctest::Contains("graph_test.cpp:"),
                       dt::ShapeError);
}
