#include <dualtape/models/not_finite.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

#include <dualtape/data/batches.hpp>
#include <dualtape/models/trainer.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>

using namespace dualtape;

TEST_CASE("the first operator that is not finite is found, with label and line") {
  Graph g;
  const Var x = g.input("x", {3});
  const Var big = square(x);
  const Var line = exp(big).named("too large");
  const int at = __LINE__ - 1;
  const Var loss = sum(line / line);
  const Feed feeds[] = {{x, Tensor{1, 100, -100}}};
  const auto found = find_not_finite(std::span(&loss, 1), {}, feeds);
  REQUIRE(found.has_value());
  CHECK(found->op == "exp");
  CHECK(found->label == "too large");
  CHECK(found->where.line == static_cast<std::uint32_t>(at));
  CHECK(found->count == 2);
  CHECK(found->first == 1);
  CHECK(std::isinf(found->value));
  CHECK(found->role == Role::primal);
  REQUIRE(found->operands.size() == 1);
  CHECK(found->operands[0].find("[1, 10000]") != std::string::npos);
  const std::string text = to_string(*found);
  CHECK(text.find("[exp 'too large'] gave inf at element 1") != std::string::npos);
  CHECK(text.find("not_finite_test.cpp:" + std::to_string(at)) != std::string::npos);

  // The sign of a NaN depends on the processor.
  const Feed negative[] = {{x, Tensor{1, -std::numeric_limits<float>::quiet_NaN(), 3}}};
  CHECK(to_string(*find_not_finite(std::span(&loss, 1), {}, negative)).find("gave nan at") !=
        std::string::npos);

  const Feed fine[] = {{x, Tensor{1, 2, 3}}};
  CHECK(!find_not_finite(std::span(&loss, 1), {}, fine).has_value());
  const Feed fed[] = {{x, Tensor{1, NAN, 3}}};
  CHECK(find_not_finite(std::span(&loss, 1), {}, fed)->op == "input");
}

TEST_CASE("infinite constants are no fault, but what makes NaN of them is") {
  Graph g;
  const Var x = g.input("x", {2});
  const Var masked = where(greater(x, 0), x, g.constant(Tensor(-INFINITY)));
  const Var fine = sum(exp(masked));
  const Var wrong = sum(masked - masked);
  const Feed feeds[] = {{x, Tensor{1, -1}}};
  CHECK(!find_not_finite(std::span(&fine, 1), {}, feeds).has_value());
  CHECK(find_not_finite(std::span(&wrong, 1), {}, feeds)->op == "sub");
}

TEST_CASE("derivatives are looked at, too") {
  // sqrt(0) is fine, its derivative is not.
  const Parameter p("p", Tensor{0, 4});
  Graph g;
  const Var root = sqrt(g.read(p));
  const Var loss = sum(root);
  const Assign update = assign(p, g.read(p) - reverse(loss, {p})[p]);
  const auto found = find_not_finite(std::span(&loss, 1), std::span(&update, 1), {});
  REQUIRE(found.has_value());
  CHECK(found->role != Role::primal);
  CHECK(found->where.line == root.node().where.line);
  CHECK(identical(p.value(), Tensor{0, 4}));
}

TEST_CASE("a trainer names the step and the operator, and keeps what was there before") {
  // Step 1 makes w so large that the exponential of step 2 is infinite.
  const Parameter w("w", Tensor{1.0F});
  Dataset data{ones({4, 1}), ones({4, 1}), {}, {}, "ones"};
  Sgd sgd({.momentum = 0.9});
  const auto run = [&](bool trace) {
    Trainer trainer([&](Var x, Var) { return Objective(-mean(exp(x * w).named("growth"))); }, {w},
                    backpropagation(), sgd,
                    {.schedule = constant_rate(100), .trace_not_finite = trace});
    Batches batches(data, 4);
    return trainer.fit(batches, {.steps = 10});
  };
  const TrainResult traced = run(true);
  CHECK(traced.stop == Stop::not_finite);
  CHECK(traced.steps == 2);
  CHECK(traced.fault.find("step 2: [exp 'growth'] gave inf") != std::string::npos);
  CHECK(traced.fault.find("not_finite_test.cpp") != std::string::npos);
  // As step 1 left it: 1 + 100 e.
  CHECK(w.value().item() == doctest::Approx(1 + 100 * std::exp(1.0)).epsilon(1e-5));
  const TrainResult plain = run(false);
  CHECK(plain.stop == Stop::not_finite);
  CHECK(plain.fault.find("trace_not_finite") != std::string::npos);
  CHECK(!std::isfinite(w.value().item()));
}

TEST_CASE("a traced step whose loss is finite but whose update is not is caught, too") {
  const Parameter w("w", Tensor{0, 4});
  Dataset data{ones({4, 2}), ones({4, 1}), {}, {}, "ones"};
  Sgd sgd;
  Trainer trainer([&](Var x, Var) { return Objective(mean(x * sqrt(x.graph().read(w)))); }, {w},
                  backpropagation(), sgd, {.trace_not_finite = true});
  Batches batches(data, 4);
  const TrainResult result = trainer.fit(batches, {.steps = 3});
  CHECK(result.stop == Stop::not_finite);
  CHECK(result.steps == 1);
  CHECK(std::isfinite(result.loss));
  CHECK(trainer.steps_done() == 0);
  CHECK(identical(w.value(), Tensor{0, 4}));
}
