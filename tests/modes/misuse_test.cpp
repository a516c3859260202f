// Public functions with Vars that are empty, of a graph that has ended or of another graph, with
// objects that were moved from and functions that are empty: each throws an error of the library
// that names the user's line, and nothing else happens.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/listing.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/modes/call.hpp>
#include <dualtape/modes/check.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>
#include <dualtape/ops/softmax.hpp>

#include "tests/errors.hpp"

namespace dt = dualtape;

namespace {

struct Misuse {
  std::string name;
  std::function<void()> act;
};

// Each act is a line of this file.
void expect_errors(const std::vector<Misuse>& misuses) {
  for (const Misuse& misuse : misuses) {
    CAPTURE(misuse.name);
    std::string text;
    try {
      misuse.act();
    } catch (const dt::Error& error) {
      text = error.what();
    }
    CHECK_MESSAGE(!text.empty(), "no error was thrown");
    CHECK(dt::testing::has(text, "misuse_test.cpp:"));
    CHECK(dt::testing::has(text, "["));  // who found it
  }
}

dt::Var of_a_dead_graph() {
  dt::Graph graph;
  return graph.input("gone", {3});
}

struct Fixture {
  dt::Graph g;
  dt::Var x = g.input("x", {3});
  dt::Var key = g.input("key", {}, dt::int64);
  dt::Var y = x * x;
  dt::Var loss = dt::sum(y);
  dt::Parameter w{"w", dt::zeros({3})};
  dt::Tensor t{1.0, 2.0, 3.0};
  dt::Graph other;
  dt::Var foreign = other.input("foreign", {3});
};

std::vector<dt::Var> inputs_of(const dt::Case& sample, dt::Graph& graph) {
  std::vector<dt::Var> in;
  for (std::size_t i = 0; i < sample.args.size(); ++i)
    in.push_back(graph.input("a" + std::to_string(i), sample.args[i].shape, sample.args[i].dtype));
  return in;
}

struct Reads {
  std::vector<bool> arguments;  // those that nodes have as operands: a call may pass over some
  std::size_t outputs;
};
Reads reads_of(const dt::Case& sample) {
  dt::Graph graph;
  const std::vector<dt::Var> in = inputs_of(sample, graph);
  const std::size_t outputs = sample.build(in).size();
  std::vector<bool> read(in.size());
  for (dt::NodeId id = 0; id < graph.size(); ++id)
    for (const dt::Ref& ref : graph.node(id).inputs())
      if (ref.node < read.size()) read[ref.node] = true;
  return {read, outputs};
}

void expect_refused_by_operators(dt::Var bad, dt::Var x) {
  expect_errors({
      {"left operand", [&] { bad + x; }},
      {"right operand", [&] { x* bad; }},
      {"negation", [&] { -bad; }},
      {"exp", [&] { dt::exp(bad); }},
      {"pow", [&] { dt::pow(bad, 2.0); }},
      {"sum", [&] { dt::sum(bad); }},
      {"sum over an axis", [&] { dt::sum(bad, {0}); }},
      {"mean", [&] { dt::mean(bad); }},
      {"norm", [&] { dt::norm(bad); }},
      {"matmul", [&] { dt::matmul(bad, x); }},
      {"matmul by", [&] { dt::matmul(x, bad); }},
      {"dot with a parameter", [&] { dt::matmul(bad, dt::Parameter("p", dt::zeros({3}))); }},
      {"reshape",
       [&] {
         dt::reshape(bad, {3, 1});
       }},
      {"transpose", [&] { dt::transpose(bad); }},
      {"broadcast_to",
       [&] {
         dt::broadcast_to(bad, {2, 3});
       }},
      {"concat",
       [&] {
         dt::concat({bad, x}, 0);
       }},
      {"concat behind",
       [&] {
         dt::concat({x, bad}, 0);
       }},
      {"stack",
       [&] {
         dt::stack({x, bad});
       }},
      {"split", [&] { dt::split(bad, 3, 0); }},
      {"slice", [&] { dt::slice(bad, 0, 0, 2); }},
      {"flip", [&] { dt::flip(bad); }},
      {"where", [&] { dt::where(x > 0.0, bad, x); }},
      {"condition", [&] { dt::where(bad, x, x); }},
      {"take",
       [&] {
         dt::take(bad, dt::Tensor::of({0, 1}), 0);
       }},
      {"cast", [&] { dt::cast(bad, dt::float64); }},
      {"softmax", [&] { dt::softmax(bad, 0); }},
      {"mse", [&] { dt::mse(bad, x); }},
      {"cross_entropy", [&] { dt::cross_entropy(bad, x); }},
      {"comparison", [&] { static_cast<void>(bad > x); }},
  });
}

void expect_refused_by_modes(Fixture& f, dt::Var bad) {
  const dt::Linearized linear({f.y}, {f.x});
  const dt::Gradients gradients = dt::reverse(f.loss, {f.x});
  dt::Program program = dt::compile({f.y});
  const dt::Outputs outputs = program.run({{f.x, f.t}});
  expect_errors({
      {"output forward", [&] { dt::forward(bad, {f.x}, {f.x}); }},
      {"input forward", [&] { dt::forward(f.y, {bad}, {f.x}); }},
      {"tangent", [&] { dt::forward(f.y, {f.x}, {bad}); }},
      {"one of the outputs",
       [&] {
         dt::forward_all({f.y, bad}, {f.x}, {f.x});
       }},
      {"loss", [&] { dt::reverse(bad, {f.x}); }},
      {"input reverse", [&] { dt::reverse(f.loss, {bad}); }},
      {"output of vjp", [&] { dt::vjp({bad}, {f.x}, {f.x}); }},
      {"second output of vjp",
       [&] {
         dt::vjp({f.y, bad}, {f.x}, {f.x, f.x});
       }},
      {"input of vjp", [&] { dt::vjp({f.y}, {bad}, {f.x}); }},
      {"cotangent", [&] { dt::vjp({f.y}, {f.x}, {bad}); }},
      {"output linearized",
       [&] {
         dt::Linearized({f.y, bad}, {f.x});
       }},
      {"input linearized", [&] { dt::Linearized({f.y}, {bad}); }},
      {"cotangent played", [&] { linear.transpose(std::vector<dt::MaybeVar>{bad}); }},
      {"estimated loss", [&] { dt::forward_gradient(bad, {f.x}, f.key); }},
      {"estimated by", [&] { dt::forward_gradient(f.loss, {bad}, f.key); }},
      {"key", [&] { dt::forward_gradient(f.loss, {f.x}, bad); }},
      {"key of directions", [&] { dt::draw_direction({f.x}, bad, dt::Perturbation::normal); }},
      {"key of tangents", [&] { dt::forward(f.y, {f.x}, dt::normal_tangents(bad)); }},
      {"gradient of", [&] { static_cast<void>(gradients[bad]); }},
      {"compile beside",
       [&] {
         dt::compile({f.y, bad});
       }},
      {"compile an assignment beside", [&] { dt::compile({f.y}, {dt::assign(f.w, bad)}); }},
      {"make_plan",
       [&] {
         dt::make_plan(std::vector<dt::Var>{f.y, bad}, {});
       }},
      {"feed",
       [&] {
         program.run({{f.x, f.t}, {bad, f.t}});
       }},
      {"output of a run", [&] { static_cast<void>(outputs[bad]); }},
      {"checkpoint",
       [&] {
         dt::checkpoint([](auto in) { return std::vector{in[0]}; }, {f.x, bad});
       }},
      {"body returns",
       [&] { dt::Function::make("f", {f.x.type()}, [&](auto) { return std::vector{bad}; }); }},
      {"function returns", [&] { dt::jvp([&](dt::Var) { return bad; }, f.t, f.t); }},
      {"function to evaluate returns", [&] { dt::eval([&](dt::Var) { return bad; }, f.t); }},
      {"function returns for vjp", [&] { dt::vjp([&](dt::Var) { return bad; }, f.t); }},
      {"function returns for hvp", [&] { dt::hvp([&](dt::Var) { return bad; }, f.t, f.t); }},
      {"function returns for grad", [&] { dt::grad([&](dt::Var) { return bad; })(f.t); }},
      {"function returns for jit", [&] { dt::jit([&](dt::Var) { return bad; })(f.t); }},
  });
  CHECK(f.y.shape() == dt::Shape{3});  // and all is as it was
  CHECK(identical(program.run({{f.x, f.t}})[f.y], outputs[f.y]));
}

void expect_refused_alone(Fixture& f, dt::Var bad) {
  expect_errors({
      {"shape", [&] { static_cast<void>(bad.shape()); }},
      {"dtype", [&] { static_cast<void>(bad.dtype()); }},
      {"rank", [&] { static_cast<void>(bad.rank()); }},
      {"type", [&] { static_cast<void>(bad.type()); }},
      {"label", [&] { static_cast<void>(bad.label()); }},
      {"named", [&] { static_cast<void>(bad.named("name")); }},
      {"node", [&] { static_cast<void>(bad.node()); }},
      {"graph", [&] { static_cast<void>(bad.graph()); }},
      {"assign", [&] { dt::assign(f.w, bad); }},
      {"eval", [&] { dt::eval(bad); }},
      {"compile", [&] { dt::compile({bad}); }},
  });
  std::ostringstream printed;
  printed << bad;
  CHECK(printed.str().starts_with("Var of "));
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "an empty Var") {
  const dt::Var empty;
  expect_refused_alone(*this, empty);
  expect_refused_by_operators(empty, x);
  expect_refused_by_modes(*this, empty);
}

TEST_CASE_FIXTURE(Fixture, "a Var of a graph that has ended") {
  const dt::Var dead = of_a_dead_graph();
  dt::Graph in_its_place;  // may lie at the same address
  in_its_place.input("there", {3});
  CHECK(dead.defined());
  CHECK_FALSE(dead.alive());
  expect_refused_alone(*this, dead);
  expect_refused_by_operators(dead, x);
  expect_refused_by_modes(*this, dead);
}

TEST_CASE_FIXTURE(Fixture, "a Var of another graph") {
  expect_refused_by_modes(*this, foreign);
  expect_errors({
      {"left operand", [&] { foreign + x; }},
      {"right operand", [&] { x + foreign; }},
      {"concat",
       [&] {
         dt::concat({x, foreign}, 0);
       }},
      {"where", [&] { dt::where(foreign > 0.0, x, x); }},
  });
  // Outputs of two graphs: both lines are named.
  const std::string text = dt::testing::error_of<dt::GraphError>([&] {
    dt::forward_all({y, foreign}, {x}, {x});
  });
  std::size_t lines = 0;
  for (std::size_t at = text.find("misuse_test.cpp:"); at != std::string::npos;
       at = text.find("misuse_test.cpp:", at + 1))
    ++lines;
  INFO(text);
  CHECK(lines == 3);  // and the call's
}

TEST_CASE_FIXTURE(Fixture, "every operator refuses empty, dead and foreign operands") {
  const dt::Var dead = of_a_dead_graph();
  std::size_t refused = 0;
  for (const dt::Entry& entry : dt::all_entries()) {
    for (const dt::Case& sample : entry.cases()) {
      const auto [read, outputs] = reads_of(sample);
      for (std::size_t bad = 0; bad < sample.args.size(); ++bad) {
        CAPTURE(entry.info.name);
        CAPTURE(sample.name);
        CAPTURE(bad);
        for (const dt::Var wrong : {dt::Var(), dead, foreign}) {
          dt::Graph graph;
          std::vector<dt::Var> in = inputs_of(sample, graph);
          // What meets no operand of the graph is a good one of its own.
          const bool alone = wrong.alive() && (in.size() == 1 || outputs > 1);
          in[bad] = wrong;
          const std::string text =
              dt::testing::text_thrown<dt::Error>([&] { static_cast<void>(sample.build(in)); });
          if (!text.empty()) ++refused;
          if (read[bad] && !alone) CHECK(dt::testing::has(text, "["));
        }
      }
    }
  }
  CHECK(refused > 1000);
}

TEST_CASE_FIXTURE(Fixture, "programs, outputs and tapes that were moved from") {
  dt::Program program = dt::compile({y});
  dt::Outputs outputs = program.run({{x, t}});
  dt::Linearized linear({y}, {x});
  dt::VjpResult taken = dt::vjp([](dt::Var in) { return in * in; }, t);
  auto gradient = dt::grad([](dt::Var in) { return dt::sum(in * in); });
  auto step = dt::jit([](dt::Var in) { return in * in; });
  const dt::Program program_now = std::move(program);
  const dt::Outputs outputs_now = std::move(outputs);
  const dt::Linearized linear_now = std::move(linear);
  const dt::Pullback pullback_now = std::move(taken.pullback);
  const auto gradient_now = std::move(gradient);
  const auto step_now = std::move(step);
  const std::vector<dt::MaybeVar> cotangents{x};
  // NOLINTBEGIN(bugprone-use-after-move)
  expect_errors({
      {"run",
       [&] {
         program.run({{x, t}});
       }},
      {"memory", [&] { static_cast<void>(program.memory()); }},
      {"steps", [&] { static_cast<void>(program.steps()); }},
      {"threads", [&] { static_cast<void>(program.threads()); }},
      {"explain", [&] { static_cast<void>(program.explain()); }},
      {"to_dot", [&] { static_cast<void>(program.to_dot()); }},
      {"plan", [&] { static_cast<void>(program.plan()); }},
      {"profile", [&] { program.profile(true); }},
      {"profiled", [&] { static_cast<void>(program.profiled()); }},
      {"outputs", [&] { static_cast<void>(outputs[y]); }},
      {"transpose", [&] { linear.transpose(cotangents); }},
      {"tape", [&] { static_cast<void>(linear.tape()); }},
      {"pullback", [&] { taken.pullback(t); }},
      {"pullback made by default", [&] { dt::Pullback()(t); }},
      {"grad", [&] { gradient(t); }},
      {"grad in a graph", [&] { gradient(x); }},
      {"jit", [&] { step(t); }},
      {"jit in a graph", [&] { step(x); }},
  });
  // A Parameter is as before, a Tensor is empty.
  const dt::Parameter moved = std::move(w);
  CHECK(w == moved);
  CHECK(w.name() == "w");
  const dt::Tensor kept = std::move(t);
  CHECK(t.count() == 0);
  dt::Program fresh = dt::compile({y});
  expect_errors({{"a tensor moved from", [&] { fresh.run({{x, t}}); }}});
  // NOLINTEND(bugprone-use-after-move)
  CHECK(outputs_now[y].count() == 3);
}

TEST_CASE_FIXTURE(Fixture, "empty functions") {
  const std::function<dt::Var(dt::Var)> none;
  const dt::VarFunction none_of_all;
  const dt::Function::Body no_body;
  dt::Var (*null)(dt::Var) = nullptr;
  expect_errors({
      {"eval", [&] { dt::eval(none, t); }},
      {"eval of all", [&] { dt::eval(none_of_all, t); }},
      {"null pointer", [&] { dt::eval(null, t); }},
      {"jvp", [&] { dt::jvp(none, t, t); }},
      {"vjp", [&] { dt::vjp(none, t); }},
      {"hvp", [&] { dt::hvp(none, t, t); }},
      {"grad", [&] { dt::grad(none)(t); }},
      {"jit", [&] { dt::jit(none)(t); }},
      {"Function::make", [&] { dt::Function::make("f", {x.type()}, no_body); }},
      {"checkpoint", [&] { dt::checkpoint(no_body, {x}); }},
      {"call", [&] { dt::call(nullptr, {x}); }},
      {"check_gradients", [&] { static_cast<void>(dt::check_gradients(no_body, {})); }},
      {"rule of a mode", [&] { dt::ForwardMode(g).set_rule(*y.node().op, {}); }},
  });
}

TEST_CASE_FIXTURE(Fixture, "counts that do not fit") {
  const dt::Linearized linear({y}, {x});
  const std::vector<dt::MaybeVar> two{x, x};
  const auto f = dt::Function::make("f", {x.type()}, [](auto in) { return std::vector{in[0]}; });
  dt::RandomDirection direction({x}, key, dt::Perturbation::normal);
  expect_errors({
      {"nothing to linearize", [&] { dt::Linearized({}, {x}); }},
      {"no cotangent", [&] { linear.transpose({}); }},
      {"too many cotangents", [&] { linear.transpose(two); }},
      {"vjp of nothing", [&] { dt::vjp({}, {x}, {}); }},
      {"vjp with too many",
       [&] {
         dt::vjp({y}, {x}, {x, x});
       }},
      {"too many tangents",
       [&] {
         dt::forward(y, {x}, {x, x});
       }},
      {"compile nothing", [&] { dt::compile({}); }},
      {"no arguments", [&] { f->inlined({}); }},
      {"a node that is not there", [&] { static_cast<void>(g.node(9999)); }},
      {"a Var of it", [&] { static_cast<void>(g.var(9999).type()); }},
      {"an output that is not there", [&] { static_cast<void>(g.var(x.id(), 7).type()); }},
      {"a part that is not there", [&] { direction.times(loss, 7); }},
      {"a label of a node that is not there", [&] { static_cast<void>(g.label(9999)); }},
      {"a new one", [&] { g.set_label(9999, "a"); }},
      {"an operand in a parent, where there is none",
       [&] {
         static_cast<void>(g.var(dt::Ref{0, 0, true}));
       }},
      {"a node of another graph's Var",
       [&] {
         g.add(*y.node().op, std::array{x, foreign}, {}, dt::Location::current());
       }},
      {"an emission with a label that is not there",
       [&] { dt::Graph::Emitting(g, {.where = dt::Location::current(), .label = 9999}); }},
      {"an emission with a scope that is not there",
       [&] { dt::Graph::Emitting(g, {.where = dt::Location::current(), .scope = 9999}); }},
  });
  CHECK_THROWS_AS(f->inlined(std::vector<dt::Var>{x, x}), dt::GraphError);
}

TEST_CASE("a tape whose graph has ended") {
  std::optional<dt::Linearized> linear;
  {
    dt::Graph g;
    const dt::Var x = g.input("x", {3});
    linear.emplace(std::vector<dt::Var>{x * x}, dt::WrtList{x});
  }
  const std::vector<dt::MaybeVar> none{std::nullopt};
  expect_errors({{"transpose", [&] { linear->transpose(none); }}});
}

TEST_CASE("a scratch graph whose parent has ended") {
  std::optional<dt::Graph> parent(std::in_place);
  const dt::Var outer = parent->input("x", {3});
  dt::Graph scratch(*parent);
  const dt::Var x = scratch.input("dx", {3}).named("direction");
  const dt::Var y = x * outer;
  CHECK(y.node().inputs()[1].outer);
  CHECK(x.label() == "direction");
  expect_errors({{"a scratch graph of it", [&] { dt::Graph of_it(scratch); }}});
  parent.reset();
  dt::Graph in_its_place;  // may lie at the same address
  expect_errors({
      {"parent", [&] { static_cast<void>(scratch.parent()); }},
      {"operand", [&] { static_cast<void>(scratch.var(y.node().inputs()[1])); }},
      {"label", [&] { static_cast<void>(x.label()); }},
      {"label by number", [&] { static_cast<void>(scratch.label(x.id())); }},
      {"named", [&] { x.named("other"); }},
      {"label set by number", [&] { scratch.set_label(x.id(), "other"); }},
      {"scratch graph of it", [&] { dt::Graph of_it(scratch); }},
      {"operator", [&] { x + x; }},
      {"listing", [&] { static_cast<void>(dt::to_string(scratch)); }},
      {"drawing", [&] { static_cast<void>(dt::to_dot(scratch)); }},
      {"compile", [&] { dt::compile({y}); }},
      {"forward", [&] { dt::forward(y, {x}, {x}); }},
      {"reverse", [&] { dt::Linearized({y}, {x}); }},
      {"emission", [&] { dt::Graph::Emitting(scratch, {.where = dt::Location::current()}); }},
  });
  CHECK(scratch.size() == 2);
}

TEST_CASE("calls nested deeper than the stack is safe with") {
  auto f = dt::Function::make("inner", {dt::Type{{}, dt::float64}},
                              [](auto in) { return std::vector{dt::sin(in[0])}; });
  const std::string text = dt::testing::error_of<dt::GraphError>([&] {
    for (int depth = 0; depth < 10'000; ++depth)
      f = dt::Function::make("outer", {dt::Type{{}, dt::float64}},
                             [&](auto in) { return std::vector{dt::call(f, {in[0]})[0]}; });
  });
  CHECK(dt::testing::has(text, "nested more than 256 deep"));
  CHECK(f->depth() == 256);
  dt::Graph g;  // as deep as it goes
  const dt::Var x = g.input("x", {}, dt::float64);
  const dt::Var y = dt::call(f, {x})[0];
  CHECK(dt::eval(y, {{x, dt::Tensor::scalar(0.5)}}).item() == std::sin(0.5));
}
