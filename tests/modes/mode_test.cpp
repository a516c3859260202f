// A mode of one's own: the degree of a graph of polynomials, with a rule for one more operator.
#include <dualtape/core/program.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/mode.hpp>

#include <algorithm>
#include <memory>

#include <dualtape/core/registry.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/shapes.hpp>
#include <tests/errors.hpp>

#include "points.hpp"

using namespace points;
using dualtape::testing::error_of;
using dualtape::testing::has;

namespace {

// The degree of each output as a polynomial in the inputs; absent: constant in them.
class Degree : public dt::Mode<int> {
 protected:
  std::vector<MaybeState> elementwise(const dt::NodeView& node,
                                      std::span<const MaybeState> in) override {
    return linear_or_refused(node, in);
  }
  std::vector<MaybeState> linear(const dt::NodeView& node,
                                 std::span<const MaybeState> in) override {
    return std::vector<MaybeState>(node.out.size(), largest(in));
  }
  std::vector<MaybeState> bilinear(const dt::NodeView&, std::span<const MaybeState> in) override {
    return {in[0].value_or(0) + in[1].value_or(0)};
  }
  std::vector<MaybeState> general(const dt::NodeView& node,
                                  std::span<const MaybeState> in) override {
    return linear_or_refused(node, in);
  }

 private:
  static int largest(std::span<const MaybeState> in) {
    int degree = 0;
    for (const MaybeState& state : in) degree = std::max(degree, state.value_or(0));
    return degree;
  }
  static std::vector<MaybeState> linear_or_refused(const dt::NodeView& node,
                                                   std::span<const MaybeState> in) {
    std::vector<char> active(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) active[i] = in[i].has_value();
    const std::span<const bool> flags(reinterpret_cast<const bool*>(active.data()), active.size());
    if (node.op.linear_in(node, flags)) return {largest(in)};
    throw dt::DerivativeError("no degree known for " + std::string(node.op.name()));
  }
};

Degree::MaybeState degree_of(Degree& mode, dt::Var output, const std::vector<dt::Var>& inputs) {
  const std::vector<int> ones(inputs.size(), 1);
  return mode.run(output.graph(), inputs, ones, std::span(&output, 1))[0];
}

void teach_products(Degree& mode) {
  using States = std::span<const Degree::MaybeState>;
  mode.set_rule(dt::require_op("mul"), [](const dt::NodeView&, States in) {
    return std::vector<Degree::MaybeState>{in[0].value_or(0) + in[1].value_or(0)};
  });
  mode.set_rule(dt::require_op("square"), [](const dt::NodeView&, States in) {
    return std::vector<Degree::MaybeState>{2 * in[0].value_or(0)};
  });
  // Sums keep the larger degree, constants among them too.
  for (const char* name : {"add", "sub"})
    mode.set_rule(dt::require_op(name), [](const dt::NodeView&, States in) {
      return std::vector<Degree::MaybeState>{std::max(in[0].value_or(0), in[1].value_or(0))};
    });
}

}  // namespace

TEST_CASE("a mode carries its own state through every kind of operator") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3, 3}, dt::float64);
  const dt::Var c = g.input("c", {3, 3}, dt::float64);
  Degree mode;
  teach_products(mode);
  CHECK(degree_of(mode, dt::sum(x), {x}) == 1);
  CHECK(degree_of(mode, dt::matmul(c, x), {x}) == 1);
  CHECK(degree_of(mode, dt::matmul(x, dt::square(x)), {x}) == 3);
  CHECK(degree_of(mode, x * x + 5.0, {x}) == 2);
  CHECK(degree_of(mode, dt::square(dt::matmul(x, x) * c - x), {x}) == 4);
  CHECK(degree_of(mode, dt::split(x * x, {1, 2})[1], {x}) == 2);
  CHECK(!degree_of(mode, dt::square(c), {x}));
  CHECK(!degree_of(mode, dt::stop_gradient(x), {x}));
}

TEST_CASE("a rule set for an operator is asked before its kind") {
  dt::Graph g;
  const dt::Var x = g.input("x", {2}, dt::float64);
  const dt::Var y = dt::exp(x);
  Degree mode;
  CHECK_THROWS_AS(degree_of(mode, y, {x}), dt::DerivativeError);
  mode.set_rule(dt::require_op("exp"),
                [](const dt::NodeView& node, std::span<const Degree::MaybeState>) {
                  CHECK(node.op.name() == "exp");
                  CHECK(node.in.size() == 1);
                  return std::vector<Degree::MaybeState>{1000};
                });
  CHECK(degree_of(mode, y, {x}) == 1000);
}

TEST_CASE("a rule is asked for operators whose derivative is zero by definition, too") {
  dt::Graph g;
  const dt::Var m = g.input("m", {3, 3}, dt::float64);
  Degree mode;
  const dt::Var y = dt::matmul(dt::floor(dt::matmul(m, m)), m);
  CHECK(degree_of(mode, y, {m}) == 1);
  mode.set_rule(dt::require_op("floor"),
                [](const dt::NodeView&, std::span<const Degree::MaybeState> in) {
                  return std::vector<Degree::MaybeState>{in[0]};
                });
  CHECK(degree_of(mode, y, {m}) == 3);
  const dt::Var x = g.input("x", {3}, dt::float64);
  // What the straight-through estimator does: floor is taken for the identity.
  dt::ForwardMode forward(g);
  forward.set_rule(dt::require_op("floor"),
                   [](const dt::NodeView&, std::span<const dt::MaybeVar> in) {
                     return std::vector<dt::MaybeVar>{in[0]};
                   });
  const dt::Var v = g.input("v", {3}, dt::float64);
  const std::vector<dt::Var> inputs{x};
  const std::vector<dt::Var> tangents{v};
  const std::vector<dt::Var> outputs{dt::floor(2 * x)};
  const auto slopes = forward.run(g, inputs, tangents, outputs);
  REQUIRE(slopes[0].has_value());
  dt::Program program = dt::compile({*slopes[0]});
  const dt::Tensor point = dt::Tensor{1.5, 2.5, -0.5}.to(dt::float64);
  const dt::Tensor found =
      program.run({{x, point}, {v, dt::Tensor{1.0, -1.0, 3.0}.to(dt::float64)}})[*slopes[0]];
  CHECK(found.at<double>({0}) == 2);
  CHECK(found.at<double>({1}) == -2);
  CHECK(found.at<double>({2}) == 6);
}

TEST_CASE("a mode walks a node once, however many readers it has") {
  dt::Graph g;
  dt::Var x = g.input("x", {}, dt::float64);
  const dt::Var start = x;
  int visits = 0;
  Degree mode;
  mode.set_rule(dt::require_op("add"),
                [&](const dt::NodeView&, std::span<const Degree::MaybeState> in) {
                  ++visits;
                  return std::vector<Degree::MaybeState>{in[0]};
                });
  for (int i = 0; i < 60; ++i) x = x + x;  // 2^60 paths
  static_cast<void>(start + 1.0);          // not needed for the output
  CHECK(degree_of(mode, x, {start}) == 1);
  CHECK(visits == 60);
}

TEST_CASE("what a rule returns is counted, and the error names the node's line") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3}, dt::float64);
  const dt::Var y = exp(x);
  Degree mode;
  mode.set_rule(dt::require_op("exp"),
                [](const dt::NodeView&, auto) { return std::vector<Degree::MaybeState>{}; });
  const std::string text = error_of<dt::DerivativeError>([&] { degree_of(mode, y, {x}); });
  CHECK(has(text, "[exp]"));
  CHECK(has(text, "0 states for 1 outputs"));
  CHECK(has(text, "mode_test.cpp"));
}

TEST_CASE("a rule may set itself anew while it runs") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3}, dt::float64);
  Degree mode;
  const dt::Op& op = dt::require_op("exp");
  int calls = 0;
  mode.set_rule(op, [&](const dt::NodeView&, auto) {
    const std::vector<int> kept(100, 7);
    mode.set_rule(op, [](const dt::NodeView&, auto) {
      return std::vector<Degree::MaybeState>(1, Degree::MaybeState(2));
    });
    ++calls;
    return std::vector<Degree::MaybeState>(1, Degree::MaybeState(kept[99]));
  });
  CHECK(degree_of(mode, exp(x), {x}) == 7);
  CHECK(degree_of(mode, exp(x), {x}) == 2);
  CHECK(calls == 1);
}

TEST_CASE("forward mode refuses a rule's tangent of another type, a dead graph and another graph") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3}, dt::float64);
  const dt::Var y = exp(x);
  const std::vector<dt::Var> ones{g.constant(dt::ones({3}, dt::float64))};
  dt::ForwardMode mode(g);
  mode.set_rule(dt::require_op("exp"), [](const dt::NodeView&, std::span<const dt::MaybeVar> in) {
    return std::vector<dt::MaybeVar>{sum(*in[0])};
  });
  const auto run = [&](dt::ForwardMode& with) {
    return with.run(g, std::span(&x, 1), ones, std::span(&y, 1));
  };
  CHECK(has(error_of<dt::DerivativeError>([&] { run(mode); }), "tangent of type"));

  auto other = std::make_unique<dt::Graph>();
  dt::ForwardMode of_other(*other);
  CHECK(has(error_of<dt::GraphError>([&] { run(of_other); }), "another graph"));
  other.reset();
  CHECK(has(error_of<dt::GraphError>([&] { run(of_other); }), "has ended"));
}

TEST_CASE("the active region is asked for Vars of its graph alone") {
  dt::Graph g, other;
  const dt::Var x = g.input("x", {3}, dt::float64);
  const dt::Var empty;
  CHECK_THROWS_AS(dt::active_region(g, std::span(&empty, 1)), dt::GraphError);
  CHECK_THROWS_AS(dt::active_region(other, std::span(&x, 1)), dt::GraphError);
}
