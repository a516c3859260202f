// Walks from outputs back to inputs: reverse mode written as one, and which outputs an input
// reaches.
#include <dualtape/modes/backward.hpp>

#include <algorithm>
#include <set>

#include <dualtape/core/registry.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/rules.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/softmax.hpp>
#include <dualtape/ops/sort.hpp>

#include "points.hpp"

using namespace points;

namespace {

using Wanted = std::vector<bool>;

// Reverse mode without a tape: each node's transpose or slope, taken at once.
class Gradient : public dt::BackwardMode<dt::Var> {
  using States = std::vector<dt::MaybeVar>;
  using Out = std::span<const dt::MaybeVar>;

 protected:
  dt::Var joined(const dt::Var& a, const dt::Var& b) override { return a + b; }
  States elementwise(const dt::NodeView& node, const Wanted& wanted, Out out) override {
    States in(node.in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (!wanted[i]) continue;
      const dt::Factor slope = node.op.partial(node, i);
      const dt::Var moved = slope.is_literal() ? *out[0] * slope.literal() : *out[0] * slope.var();
      in[i] = dt::sum_to_shape(moved, node.in[i].shape());
    }
    return in;
  }
  States linear(const dt::NodeView& node, const Wanted& wanted, Out out) override {
    States in = node.op.transpose_all(node, wanted, out);
    for (std::size_t i = 0; i < in.size(); ++i)
      if (in[i]) in[i] = dt::sum_to_shape(*in[i], node.in[i].shape());
    return in;
  }
  States bilinear(const dt::NodeView& node, const Wanted& wanted, Out out) override {
    return linear(node, wanted, out);
  }
  States general(const dt::NodeView& node, const Wanted& wanted, Out out) override {
    std::vector<dt::Wrt> operands;
    for (std::size_t i = 0; i < wanted.size(); ++i)
      if (wanted[i]) operands.emplace_back(node.in[i]);
    const auto slopes = dt::vjp({node.out[0]}, operands, {*out[0]});
    States in(node.in.size());
    for (std::size_t i = 0; i < wanted.size(); ++i)
      if (wanted[i]) in[i] = slopes[node.in[i]];
    return in;
  }
};

// Which of several outputs a Var reaches.
class Reached : public dt::BackwardMode<std::set<int>> {
  using States = std::vector<MaybeState>;
  using Out = std::span<const MaybeState>;

 public:
  std::vector<std::string> order;

 protected:
  std::set<int> joined(const std::set<int>& a, const std::set<int>& b) override {
    std::set<int> both = a;
    both.insert(b.begin(), b.end());
    return both;
  }
  States elementwise(const dt::NodeView& node, const Wanted&, Out out) override {
    order.emplace_back(node.op.name());
    std::set<int> all;
    for (const MaybeState& state : out)
      if (state) all = joined(all, *state);
    return States(node.in.size(), all);
  }
  States linear(const dt::NodeView& node, const Wanted& wanted, Out out) override {
    return elementwise(node, wanted, out);
  }
  States bilinear(const dt::NodeView& node, const Wanted& wanted, Out out) override {
    return elementwise(node, wanted, out);
  }
  States general(const dt::NodeView& node, const Wanted& wanted, Out out) override {
    return elementwise(node, wanted, out);
  }
};

template <class M, class S>
auto back(M& mode, const std::vector<dt::Var>& outputs, const std::vector<S>& states,
          const std::vector<dt::Var>& inputs) {
  return mode.run(outputs[0].graph(), outputs, states, inputs);
}

}  // namespace

TEST_CASE("reverse mode as a backward walk gives the gradients of reverse mode") {
  dt::Graph g;
  const dt::Var x = g.input("x", {4}, dt::float64);
  const dt::Var w = g.input("w", {4, 4}, dt::float64);
  const dt::Var h = dt::tanh(dt::matmul(w, x)) + x;
  const dt::Var soft = dt::softmax(dt::concat({h, h * x}));
  const dt::Var sorted = dt::sort(h * 2).values;
  const dt::Var y = dt::sum(soft * soft) + dt::norm(sorted - x) + tangled(x) + dt::sum(w * x);
  Gradient mode;
  const auto found = back(mode, {y}, std::vector<dt::Var>{g.constant(1.0, dt::float64)}, {x, w});
  const dt::Gradients wanted = dt::reverse(y, {x, w});
  REQUIRE(found[0].has_value());
  REQUIRE(found[1].has_value());
  dt::Program program = dt::compile({*found[0], *found[1], wanted[x], wanted[w]});
  const auto out = program.run(
      {{x, vector({0.3, -0.7, 1.1, 0.4})}, {w, dt::normal(dt::Key{3}, {4, 4}, 0, 1, dt::float64)}});
  check_near(out[*found[0]], numbers(out[wanted[x]]), 1e-12);
  check_near(out[*found[1]], numbers(out[wanted[w]]), 1e-12);
}

TEST_CASE("a backward walk sees which outputs an input reaches, over every path once") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3}, dt::float64);
  const dt::Var y = g.input("y", {3}, dt::float64);
  const dt::Var z = g.input("z", {3}, dt::float64);
  const dt::Var shared = dt::exp(x);
  const std::vector<dt::Var> outputs{shared * y, dt::sin(shared), dt::floor(x) + y};
  const std::vector<std::set<int>> marks{{0}, {1}, {2}};
  Reached mode;
  auto found = back(mode, outputs, marks, {x, y, z});
  CHECK(found[0] == std::set<int>{0, 1});  // floor() has a derivative of zero
  CHECK(found[1] == std::set<int>{0, 2});
  CHECK(!found[2].has_value());
  // Each node once, after all its readers.
  CHECK(std::ranges::count(mode.order, "exp") == 1);
  CHECK(mode.order.back() == "exp");
  mode.set_rule(dt::require_op("floor"),
                [](const dt::NodeView&, const Wanted&, std::span<const Reached::MaybeState> out) {
                  return std::vector<Reached::MaybeState>{out[0]};
                });
  found = back(mode, outputs, marks, {x});
  CHECK(found[0] == std::set<int>{0, 1, 2});
}

TEST_CASE("a backward walk joins states given for one Var twice, and stays between its ends") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3}, dt::float64);
  const dt::Var y = dt::exp(x);
  const dt::Var far = dt::sin(y);
  Reached mode;
  auto found = back(mode, {far, far}, std::vector<std::set<int>>{{4}, {5}}, {y});
  CHECK(found[0] == std::set<int>{4, 5});
  CHECK(mode.order == std::vector<std::string>{"sin"});
  // An input that is an output, and one that the walk passes on the way to another.
  found = back(mode, {far}, std::vector<std::set<int>>{{4}}, {far, y, x});
  CHECK(found[0] == std::set<int>{4});
  CHECK(found[1] == std::set<int>{4});
  CHECK(found[2] == std::set<int>{4});
}

TEST_CASE("later outputs of a node have states of their own") {
  dt::Graph g;
  const dt::Var x = g.input("x", {6}, dt::float64);
  const std::vector<dt::Var> parts = dt::split(x, {2, 4});
  std::vector<int> seen;
  Reached mode;
  mode.set_rule(dt::require_op("split"),
                [&](const dt::NodeView&, const Wanted&, std::span<const Reached::MaybeState> out) {
                  for (const auto& state : out) seen.push_back(state ? *state->begin() : -1);
                  return std::vector<Reached::MaybeState>{std::set<int>{9}};
                });
  const auto found = back(mode, {parts[1] * 2}, std::vector<std::set<int>>{{7}}, {x});
  CHECK(seen == std::vector<int>{-1, 7});
  CHECK(found[0] == std::set<int>{9});
}

TEST_CASE("a backward walk is linear in a graph of many paths, and no recursion") {
  dt::Graph g;
  const dt::Var start = g.input("x", {}, dt::float64);
  dt::Var x = start;
  for (int i = 0; i < 100000; ++i) x = x + x;
  Reached mode;
  const auto found = back(mode, {x}, std::vector<std::set<int>>{{1}}, {start});
  CHECK(found[0] == std::set<int>{1});
  CHECK(mode.order.size() == 100000);
}

TEST_CASE("what is wrong in a backward walk is told with the user's line") {
  dt::Graph g, other;
  const dt::Var x = g.input("x", {3}, dt::float64);
  const dt::Var y = dt::exp(x).named("y");
  const dt::Var foreign = other.input("x", {3}, dt::float64);
  Reached mode;
  const std::vector<std::set<int>> one{{1}};
  CHECK(has(error_of<dt::GraphError>([&] { back(mode, {y}, std::vector<std::set<int>>{}, {x}); }),
            "1 outputs but 0 states"));
  CHECK(has(error_of<dt::GraphError>([&] { back(mode, {y}, one, {foreign}); }), "does not belong"));
  CHECK(has(error_of<dt::GraphError>([&] { back(mode, {y}, one, {dt::Var{}}); }), "empty Var"));
  dt::Var dead;
  {
    dt::Graph ended;
    dead = ended.input("x", {3}, dt::float64);
  }
  CHECK(has(error_of<dt::GraphError>([&] { back(mode, {y}, one, {dead}); }), "has ended"));
  CHECK(has(error_of<dt::GraphError>([&] { dt::sum_to_shape(dead, {3}); }), "has ended"));
  CHECK(has(error_of<dt::GraphError>([&] { mode.set_rule(dt::require_op("exp"), nullptr); }),
            "backward_test.cpp:"));
  mode.set_rule(dt::require_op("exp"),
                [](const dt::NodeView&, const Wanted&, std::span<const Reached::MaybeState>) {
                  return std::vector<Reached::MaybeState>{};
                });
  const std::string text = error_of<dt::DerivativeError>([&] { back(mode, {y}, one, {x}); });
  CHECK(has(text, "[exp 'y'] its backward rule returned 0 states for 1 operands"));
  CHECK(has(text, "backward_test.cpp:"));
}

TEST_CASE("sum_to_shape sums over what broadcasting repeated") {
  dt::Graph g;
  const dt::Var x = g.input("x", {2, 3}, dt::float64);
  CHECK(dt::sum_to_shape(x, {2, 3}) == x);
  const dt::Tensor value = dt::Tensor::of({{1, 2, 3}, {4, 5, 6}}, dt::float64);
  check_near(dt::eval(dt::sum_to_shape(x, {3}), {{x, value}}), {5, 7, 9}, 0);
  check_near(dt::eval(dt::sum_to_shape(x, {2, 1}), {{x, value}}), {6, 15}, 0);
  check_near(dt::eval(dt::sum_to_shape(x, {}), {{x, value}}), {21}, 0);
  const std::string text = error_of<dt::ShapeError>([&] { dt::sum_to_shape(x, {4, 2, 3}); });
  CHECK(has(text, "[sum_to_shape 'x']"));
  CHECK(has(text, "backward_test.cpp:"));
  CHECK_THROWS_AS(dt::sum_to_shape(dt::Var{}, {2}), dt::GraphError);
}

TEST_CASE("replay goes through a recorded formula on states of any kind") {
  // How many primitives lie between the operands and each step, at most.
  const dt::Recording formula = dt::record<2>([](auto a, auto b) { return exp(a * a + 2) / b; });
  std::vector<std::string> names;
  const auto literal = [](double) { return 0; };
  const auto step = [&](const dt::Recording::Step& now, std::span<const int> in) {
    names.emplace_back(name_of(now.prim));
    if (now.prim == dt::Prim::mul) CHECK(now.a == now.b);
    return *std::ranges::max_element(in) + 1;
  };
  const std::vector<int> depths{0, 10};
  CHECK(dt::replay<int>(formula, depths, literal, step) == 11);
  CHECK(names == std::vector<std::string>{"mul", "add", "exp", "div"});
  const std::vector<int> few{0};
  const std::string text =
      error_of<dt::GraphError>([&] { dt::replay<int>(formula, few, literal, step); });
  CHECK(has(text, "[replay] a formula of 2 inputs but 1 states"));
  CHECK(has(text, "backward_test.cpp:"));
}

TEST_CASE("a primitive has the operator of its name, and select where") {
  CHECK(dt::operator_of(dt::Prim::tanh).name() == "tanh");
  CHECK(dt::operator_of(dt::Prim::select).name() == "where");
  const std::string text = error_of<dt::GraphError>([] { dt::operator_of(dt::Prim::input); });
  CHECK(has(text, "[operator_of] input is an operand of formulas, no operator"));
}

TEST_CASE("a mode refuses a node by its name, label and line") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3}, dt::float64);
  const dt::Var y = dt::exp(x).named("growth");
  const std::vector<dt::Var> in{x}, out{y};
  const dt::NodeView node{*y.node().op, in, out, y.node().attributes};
  const std::string text =
      error_of<dt::GraphError>([&] { dt::refuse_node(node, "a unit", "it has none"); });
  CHECK(has(text, "[exp 'growth'] a unit cannot go through it: it has none"));
  CHECK(has(text, "backward_test.cpp:"));
  CHECK(has(text, "set_rule"));
}
