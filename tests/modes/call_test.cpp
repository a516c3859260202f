#include <doctest/doctest.h>

#include <type_traits>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/modes/call.hpp>
#include <dualtape/modes/check.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>
#include <tests/errors.hpp>

using namespace dualtape;

namespace {

std::vector<Var> body(std::span<const Var> x) { return {sin(x[0]) * x[1], x[0] + x[1] * x[1]}; }

}  // namespace

TEST_CASE("a call computes what its body computes") {
  Graph g;
  const Var x = g.constant(Tensor{1.0, 2.0});
  const Var y = g.constant(Tensor{3.0, -1.0});
  const auto f = Function::make("f", {x.type(), y.type()}, body);
  const std::vector<Var> called = call(f, {x, y});
  const std::vector<Var> direct = body(std::vector<Var>{x, y});
  REQUIRE(called.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) CHECK(identical(eval(called[i]), eval(direct[i])));
}

TEST_CASE("calls are differentiable in both modes, nested, and with every subset of inputs") {
  const auto call_it = [](std::span<const Var> in) {
    const auto f = Function::make("f", {in[0].type(), in[1].type()}, body);
    return call(f, {In(in[0]), In(in[1])});
  };
  const CheckReport report = check_gradients(call_it, {{Shape{2, 3}}, {Shape{3}}});
  INFO(to_string(report));
  CHECK(report.ok());
}

TEST_CASE("a call inside a called function is differentiable") {
  const auto outer = [](std::span<const Var> x) -> std::vector<Var> {
    const auto f = Function::make("inner", {x[0].type(), x[1].type()}, body);
    const std::vector<Var> inner = call(f, {In(x[0]), In(x[1])});
    return {exp(inner[0]) * inner[1]};
  };
  const CheckReport report = check_gradients(
      [&](std::span<const Var> in) {
        return call(Function::make("outer", {in[0].type(), in[1].type()}, outer),
                    {In(in[0]), In(in[1])});
      },
      {{Shape{3}, domain(-1, 1)}, {Shape{3}, domain(-1, 1)}});
  INFO(to_string(report));
  CHECK(report.ok());
}

TEST_CASE("a call takes more than 65 535 arguments") {
  constexpr std::int64_t count = 65537;
  const std::vector<Type> types(count, Type{Shape{}, float64});
  const auto f = Function::make("sum of all", types, [](std::span<const Var> x) {
    return std::vector<Var>{sum(stack(std::vector<Var>(x.begin(), x.end())))};
  });
  Graph g;
  const Var x = g.input("x", {}, float64);
  const std::vector<In> arguments(count, In(x));
  const Var y = call(f, arguments)[0];
  CHECK(y.node().inputs().size() == count);
  CHECK(eval(y, {{x, 0.5}}).item() == 0.5 * count);
}

namespace {
// y = x, with an attribute of a name that calls use, too.
struct Named {
  static constexpr auto name = "test_named";
  static constexpr auto doc = "x";
  static constexpr auto math = "x";
  static void infer(Inference& inference) { inference.out = {inference.in[0]}; }
  static void apply(std::span<const Tensor> in, std::span<Tensor> out, const Attributes&) {
    out[0].assign(in[0]);
  }
  // A tangent that is there, and zero.
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar>) {
    return {node.out[0].graph().constant(zeros(node.out[0].shape(), node.out[0].dtype()))};
  }
  static std::vector<Case> cases() { return {}; }
};
constexpr General<Named> named_op;
}  // namespace

TEST_CASE("a body may use operators whose attributes have the names of a call's") {
  const auto f = Function::make("f", {Type{Shape{2}, float32}}, [](std::span<const Var> x) {
    return std::vector<Var>{named_op(x[0], Attributes{{"function", std::int64_t{1}}})};
  });
  CHECK(f->depth() == 0);
  Graph g;
  CHECK(identical(eval(call(f, {g.constant(Tensor{1.0, 2.0})})[0]), Tensor{1.0, 2.0}));
}

TEST_CASE("a call whose last tangent is a constant of zeros has a gradient") {
  Graph g;
  const Var x = g.input("x", {2});
  const Var flat = named_op(x, Attributes{});
  const auto f = Function::make("f", {x.type(), x.type()}, body);
  const Var y = call(f, {x, flat})[0];  // sin(x) flat
  const Tensor at{0.5, 1.0};
  const Var slope = reverse(sum(y), {x})[x];
  CHECK(all_close(eval(slope, {{x, at}}), eval(cos(x) * x, {{x, at}}), 1e-6));
  const Var second = reverse(sum(slope), {x})[x];
  CHECK(all_close(eval(second, {{x, at}}), eval(-sin(x) * x, {{x, at}}), 1e-6));
}

TEST_CASE("checkpointing keeps the gradient and drops the activations of its body") {
  const auto deep = [](std::span<const Var> x) -> std::vector<Var> {
    Var h = x[0];
    for (int i = 0; i < 8; ++i) h = sin(h) * 1.5;
    return {h};
  };
  const Tensor x = full({1000}, 0.3);
  const auto run = [&](bool checkpointed) {
    Graph g;
    const Var in = g.input("x", {1000});
    Var h = in;
    for (int block = 0; block < 8; ++block)
      h = checkpointed ? checkpoint(deep, {h})[0] : deep(std::span<const Var>(&h, 1))[0];
    const Var gradient = reverse(sum(h), {in})[in];
    Program program = compile({gradient});
    return std::pair(program.run({{in, x}})[gradient].copy(),
                     program.memory().peak_activation_bytes);
  };
  const auto [plain, plain_bytes] = run(false);
  const auto [checkpointed, checkpointed_bytes] = run(true);
  CHECK(all_close(checkpointed, plain, 1e-6));
  CHECK(checkpointed_bytes * 3 < plain_bytes);
}

TEST_CASE("a body that reads a parameter is refused, and wrong arguments are named") {
  const Parameter w("w", Tensor{1.0});
  CHECK_THROWS_WITH_AS(
      Function::make("f", {Type{Shape{1}, float32}},
                     [&](std::span<const Var> x) -> std::vector<Var> { return {x[0] * w}; }),
      doctest::Contains("pass it as an argument"), GraphError);
  Graph g;
  const Var x = g.constant(Tensor{1.0, 2.0, 3.0});
  const auto f = Function::make("f", {Type{Shape{2}, float32}, Type{Shape{2}, float32}}, body);
  CHECK_THROWS_WITH_AS(call(f, {x, x}), doctest::Contains("operand 0 of 'f'"), ShapeError);
}

TEST_CASE("a function is inlined on arguments of its own types alone") {
  Graph g;
  const Var x = g.constant(Tensor{1.0, 2.0, 3.0});
  const Type two{Shape{2}, float32};
  const auto f = Function::make("f", {two, two}, body);
  const auto refused = [&]<class E>(std::type_identity<E>, const std::vector<Var>& arguments) {
    const std::string text = testing::error_of<E>([&] { f->inlined(arguments); });
    CHECK(testing::has(text, "[function 'f'] argument "));
    CHECK(testing::has(text, "call_test.cpp:"));
  };
  const std::size_t before = g.size();
  refused(std::type_identity<ShapeError>(), {x, x});
  const Var fits = g.constant(Tensor{1.0, 2.0});
  refused(std::type_identity<ShapeError>(), {fits, x});
  refused(std::type_identity<TypeError>(), {fits, g.constant(Tensor::of({1, 2}))});
  CHECK(g.size() == before + 2);
  CHECK(f->inlined(std::vector<Var>{fits, fits}).size() == 2);
}
