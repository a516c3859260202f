#include <dualtape/models/optimisers.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/reduce.hpp>

using namespace dualtape;

namespace {

enum class By { reverse, forward };

Tensor numbers(const std::vector<double>& values) {
  return Tensor::from(values, Shape{static_cast<std::int64_t>(values.size())});
}

// One step's program on the loss sum(p^2 / 2), whose gradient is p, of a graph of its own.
class Step {
 public:
  Step(Optimiser& optimiser, const Parameter& p, By by = By::reverse)
      : rate_(graph_.input("lr", {}, float64)) {
    const Var loss = sum(square(graph_.read(p))) * 0.5;
    const Gradients gradients =
        by == By::reverse ? reverse(loss, {p})
                          : forward_gradient(loss, {p}, graph_.constant(Key{5}.to_tensor()),
                                             {.perturbation = Perturbation::rademacher})
                                .gradients;
    program_.emplace(compile({loss}, optimiser.update({p}, gradients, rate_)));
  }
  void run(double rate) { program_->run({{rate_, Tensor::scalar(rate)}}); }

 private:
  Graph graph_;
  Var rate_;
  std::optional<Program> program_;
};

// The values of p, which starts at 1, after each of three steps with rate 0.1.
std::vector<double> trace(Optimiser& optimiser, By by = By::reverse) {
  const Parameter p("p", numbers({1.0}));
  Step step(optimiser, p, by);
  std::vector<double> values;
  for (int i = 0; i < 3; ++i) {
    step.run(0.1);
    values.push_back(p.value().item());
  }
  return values;
}

void check_trace(const std::vector<double>& got, const std::vector<double>& wanted) {
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(1e-12));
}

}  // namespace

TEST_CASE("SGD follows three steps worked out by hand") {
  // p <- 0.9 p
  Sgd plain;
  check_trace(trace(plain), {0.9, 0.81, 0.729});
  // p <- p - 0.1 (p + 0.5 p)
  Sgd decaying({.weight_decay = 0.5});
  check_trace(trace(decaying), {0.85, 0.7225, 0.614125});
  // v = 1, 0.9 + 0.9 = 1.8, 1.62 + 0.72 = 2.34
  Sgd heavy({.momentum = 0.9});
  check_trace(trace(heavy), {0.9, 0.72, 0.486});
  // v = 1, 0.9 + 0.81 = 1.71, 1.539 + 0.5751 = 2.1141; p falls by 0.1 (p + 0.9 v)
  Sgd nesterov({.momentum = 0.9, .nesterov = true});
  check_trace(trace(nesterov), {0.81, 0.5751, 0.327321});
}

TEST_CASE("an optimiser does not care which mode its gradients come from") {
  // With one component and a direction of -1 or 1 a forward gradient is the gradient.
  Sgd heavy({.momentum = 0.9});
  check_trace(trace(heavy, By::forward), {0.9, 0.72, 0.486});
  Adam one;
  Adam other;
  CHECK(trace(one) == trace(other, By::forward));
}

TEST_CASE("Adam follows its formulas, worked out in doubles") {
  Adam adam({.beta1 = 0.7, .beta2 = 0.95, .epsilon = 0.03, .weight_decay = 0.2});
  double p = 1;
  double m = 0;
  double s = 0;
  std::vector<double> wanted;
  for (int t = 1; t <= 3; ++t) {
    const double g = p + 0.2 * p;
    m = 0.7 * m + 0.3 * g;
    s = 0.95 * s + 0.05 * g * g;
    const double m_hat = m / (1 - std::pow(0.7, t));
    const double s_hat = s / (1 - std::pow(0.95, t));
    p -= 0.1 * m_hat / (std::sqrt(s_hat) + 0.03);
    wanted.push_back(p);
  }
  check_trace(trace(adam), wanted);
}

TEST_CASE("Adam's first step is the rate, whatever the size of the gradient") {
  for (const DType dtype : {float32, float64}) {
    const Parameter p("p", numbers({1e-3, -5, 400}).to(dtype));
    const Tensor start = p.value().copy();
    Adam adam;
    Step step(adam, p);
    step.run(0.01);
    for (std::int64_t i = 0; i < 3; ++i) {
      const double moved = start.at({i}) - p.value().at({i});
      const double sign = start.at({i}) > 0 ? 1 : -1;
      CHECK(moved * sign == doctest::Approx(0.01).epsilon(dtype == float32 ? 2e-3 : 1e-4).scale(0));
    }
  }
}

TEST_CASE("graphs of several batch sizes share what an optimiser remembers") {
  const auto run = [](Optimiser& optimiser, bool two_graphs) {
    const Parameter p("p", numbers({1.0, -2.0}));
    Step first(optimiser, p);
    Step second(optimiser, p);
    for (int i = 0; i < 6; ++i) (two_graphs && i % 2 == 1 ? second : first).run(0.1);
    return p.value().copy();
  };
  Sgd one({.momentum = 0.9});
  Sgd both({.momentum = 0.9});
  CHECK(identical(run(one, false), run(both, true)));
  CHECK(one.state().size() == 1);
  Adam adam_one;
  Adam adam_both;
  CHECK(identical(run(adam_one, false), run(adam_both, true)));
  CHECK(adam_one.state().size() == 3);
}

TEST_CASE("float32 parameters take a float64 rate") {
  const Parameter p("p", Tensor{1, 2});
  Sgd sgd;
  Step step(sgd, p);
  step.run(0.5);
  CHECK(identical(p.value(), Tensor{0.5, 1}));
}

TEST_CASE("the rate may be a literal or a tensor with one element") {
  const Parameter p("p", Tensor{1, 2});
  Graph g;
  const Var loss = sum(square(g.read(p))) * 0.5;
  Sgd sgd;
  compile({loss}, sgd.update({p}, reverse(loss, {p}), 0.5)).run();
  CHECK(identical(p.value(), Tensor{0.5, 1}));
  compile({loss}, sgd.update({p}, reverse(loss, {p}), Tensor{0.5})).run();
  CHECK(identical(p.value(), Tensor{0.25, 0.5}));
  CHECK_THROWS_AS(sgd.update({p}, reverse(loss, {p}), Tensor{0.5, 0.5}), ShapeError);
}

TEST_CASE("parameters without gradient and options out of range are refused") {
  const Parameter p("p", Tensor{1, 2});
  const Parameter other("other", Tensor{1, 2});
  Graph g;
  const Var loss = sum(square(g.read(p)));
  Sgd sgd;
  CHECK_THROWS_AS(sgd.update({p, other}, reverse(loss, {p}), 0.5), GraphError);
  CHECK(sgd.update({}, reverse(loss, {p}), 0.5).empty());
  CHECK_THROWS_AS(Sgd({.momentum = 1}), ValueError);
  CHECK_THROWS_AS(Sgd({.nesterov = true}), ValueError);
  CHECK_THROWS_AS(Sgd({.weight_decay = -1}), ValueError);
  CHECK_THROWS_AS(Adam({.beta2 = 1}), ValueError);
  CHECK_THROWS_AS(Adam({.epsilon = 0}), ValueError);
}

TEST_CASE("AdamW decays by 0.01 whatever else its options say") {
  // With a gradient of zero the decay alone is left: p <- (1 - 0.1 * 0.01) p.
  const auto decayed = [](const AdamWOptions& options) {
    AdamW adamw(options);
    const Parameter p("p", numbers({1.0}));
    Graph g;
    const Gradients gradients = reverse(sum(g.read(p) * 0.0), {p});
    compile({}, adamw.update({p}, gradients, 0.1)).run();
    return p.value().item();
  };
  CHECK(decayed({}) == doctest::Approx(0.999).epsilon(1e-14));
  CHECK(decayed({.beta1 = 0.8}) == decayed({}));
  CHECK(decayed({.beta2 = 0.95}) == decayed({}));
  CHECK(decayed({.epsilon = 1e-3}) == decayed({}));
  CHECK(decayed({.epsilon_in_root = true}) == decayed({}));
  CHECK(decayed({.weight_decay = 0.5}) == doctest::Approx(0.95).epsilon(1e-14));
  CHECK(decayed({.weight_decay = 0}) == 1);
}

TEST_CASE("a gradient that has not its parameter's type is refused at the user's line") {
  const Parameter w("w", numbers({1, 2, 3}));
  Graph g;
  const auto refused = [&](Var gradient) {
    Gradients gradients;
    gradients.add(w, g.read(w), gradient);
    Sgd sgd;
    return sgd.update({w}, gradients, 0.1).size();
  };
  CHECK(refused(g.input("right", {3}, float64)) == 1);
  CHECK_THROWS_AS(refused(g.input("one", {}, float64)), ShapeError);
  CHECK_THROWS_AS(refused(g.input("row", {1, 3}, float64)), ShapeError);
  CHECK_THROWS_AS(refused(g.input("narrow", {3}, float32)), TypeError);
  try {
    refused(g.input("one more", {1}, float64));
    FAIL("no error");
  } catch (const ShapeError& error) {
    const std::string text = error.what();
    CHECK(text.find("[gradients 'w']") != std::string::npos);
    CHECK(text.find("optimisers_test.cpp:") != std::string::npos);
  }
}
