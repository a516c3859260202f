#include <dualtape/models/clipping.hpp>

#include <doctest/doctest.h>

#include <cmath>

#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/reduce.hpp>

using namespace dualtape;

namespace {

// A loss whose gradients by a and b are the tensors given.
struct Slopes {
  Slopes(const Tensor& by_a, const Tensor& by_b)
      : a("a", Tensor(by_a.type())),
        b("b", Tensor(by_b.type())),
        loss(cast(sum(graph.read(a) * by_a), float64) + cast(sum(graph.read(b) * by_b), float64)),
        gradients(reverse(loss, {a, b})) {}

  Parameter a;
  Parameter b;
  Graph graph;
  Var loss;
  Gradients gradients;
};

}  // namespace

TEST_CASE("components are kept within bounds") {
  Slopes c(Tensor{3, -0.5, NAN}, Tensor{-7, 0.25});
  const Gradients clipped = clip_by_value({c.a, c.b}, c.gradients, 0.5);
  const Tensor by_a = eval(clipped[c.a]);
  CHECK(by_a.at({0}) == 0.5);
  CHECK(by_a.at({1}) == -0.5);
  CHECK(std::isnan(by_a.at({2})));
  CHECK(identical(eval(clipped[c.b]), Tensor{-0.5, 0.25}));
}

TEST_CASE("the norm over all gradients is bounded and their direction kept") {
  Slopes c(Tensor{3, 0}, Tensor{{0, 4}}.to(float64));
  CHECK(eval(global_norm(c.gradients)).item() == 5);
  const Gradients half = clip_by_norm({c.a, c.b}, c.gradients, 2.5);
  CHECK(identical(eval(half[c.a]), Tensor{1.5, 0}));
  CHECK(identical(eval(half[c.b]), Tensor{{0, 2}}.to(float64)));
  const Gradients whole = clip_by_norm({c.a, c.b}, c.gradients, 5.5);
  CHECK(identical(eval(whole[c.a]), Tensor{3, 0}));
  CHECK(identical(eval(whole[c.b]), Tensor{{0, 4}}.to(float64)));
}

TEST_CASE("squares that float32 does not hold, zeros and NaN") {
  Slopes large(Tensor{3e30, 0}, Tensor{4e30});
  CHECK(all_close(eval(clip_by_norm({large.a, large.b}, large.gradients, 1)[large.a]),
                  Tensor{0.6, 0}));
  Slopes none(Tensor{0, 0}, Tensor(0.0).reshape({1}));
  CHECK(identical(eval(clip_by_norm({none.a, none.b}, none.gradients, 1)[none.a]), Tensor{0, 0}));
  Slopes wrong(Tensor{1, NAN}, Tensor(1.0).reshape({1}));
  CHECK(std::isnan(eval(clip_by_norm({wrong.a, wrong.b}, wrong.gradients, 1)[wrong.b]).item()));
}

TEST_CASE("a trainer's method is clipped") {
  const Parameter p("p", Tensor{30, 40});
  const auto moved = [&](GradientMethod method) {
    Parameter(p).set(Tensor{30, 40});
    Sgd sgd;
    Trainer trainer([&](Var x, Var) { return Objective(sum(square(x.graph().read(p))) * 0.5); },
                    {p}, std::move(method), sgd, {.schedule = constant_rate(1)});
    trainer.fit([](std::int64_t, const VisitBatch& visit) { visit(ones({1}), ones({1})); },
                {.steps = 1});
    return Tensor{30 - p.value().at({0}), 40 - p.value().at({1})};
  };
  CHECK(identical(moved(backpropagation()), Tensor{30, 40}));
  CHECK(all_close(moved(clipped_by_norm(backpropagation(), 5)), Tensor{3, 4}, 1e-5));
  CHECK(identical(moved(clipped_by_value(backpropagation(), 35)), Tensor{30, 35}));
  // A directional derivative within bounds: at most 2 in size along a direction of signs.
  const Tensor bounded =
      moved(forward_gradients({.perturbation = Perturbation::rademacher, .slope_limit = 2}));
  for (const std::int64_t i : {0, 1}) CHECK(std::abs(bounded.at({i})) == doctest::Approx(2));
}

TEST_CASE("limits that bound nothing and foreign parameters are refused") {
  Slopes c(Tensor{1, 2}, Tensor{3, 4});
  CHECK_THROWS_AS(clip_by_norm({c.a}, c.gradients, 0), ValueError);
  CHECK_THROWS_AS(clip_by_value({c.a}, c.gradients, INFINITY), ValueError);
  CHECK_THROWS_AS(clipped_by_norm(backpropagation(), -1), ValueError);
  const Parameter other("other", Tensor{1, 2});
  CHECK_THROWS_AS(clip_by_norm({other}, c.gradients, 1), GraphError);
  CHECK_THROWS_AS(global_norm({}), ValueError);
}

TEST_CASE("what is clipped has the derivative 1 where the gradient is 0") {
  for (const DType dtype : {float32, float64}) {
    Graph graph;
    const Var x = graph.constant(Tensor{0, 0}.to(dtype));
    const Var v = graph.constant(Tensor{1, 2}.to(dtype));
    const Var half = graph.constant(Tensor{0.5, 0.5}.to(dtype));
    const Gradients of_square = reverse(sum(half * x * x), {x});  // x itself
    const Var clipped = clip_by_norm({x}, of_square, 1)[x];
    CHECK(identical(eval(forward(clipped, {x}, {v})), Tensor{1, 2}.to(dtype)));
    CHECK(identical(eval(reverse(sum(clipped * v), {x})[x]), Tensor{1, 2}.to(dtype)));
  }
}

TEST_CASE("the norm of gradients in float64 whose squares are none") {
  Graph graph;
  const Var x = graph.constant(Tensor{0, 0}.to(float64));
  const Var y = graph.constant(Tensor{0}.to(float64));
  const Gradients huge = reverse(sum(x * 3e200) + sum(y * 4e200), {x, y});
  CHECK(eval(global_norm(huge)).item() ==
        doctest::Approx(1e200 * std::sqrt(34.0)).epsilon(1e-15).scale(0));
}

TEST_CASE("gradients so large that float32 does not hold the scale") {
  for (const float size : {3e38F, 8e37F, 1e30F}) {
    Slopes c(Tensor{size, -size}, Tensor{0});
    const Gradients clipped = clip_by_norm({c.a, c.b}, c.gradients, 1);
    CHECK(all_close(eval(clipped[c.a]), Tensor{0.70710678F, -0.70710678F}, 1e-6));
    const double small = eval(clip_by_norm({c.a, c.b}, c.gradients, 0x1p-20)[c.a]).at({0});
    CHECK(small * 0x1p20 == doctest::Approx(0.70710678).epsilon(1e-6));
  }
}
