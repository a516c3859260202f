#include <dualtape/models/adaptive.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>
#include <tests/fixtures/read.hpp>

using namespace dualtape;

namespace {

using Vector = std::vector<double>;
const Vector a{0.5, -1.0, 2.0, 0.0};
const Vector b{1.0, -0.5, 0.25, 2.0};
const Vector c{1.0, 4.0, 0.3, 10.0};
const Vector start{1.0, -2.0, 0.5, 3.0};

Tensor tensor(const Vector& values) { return Tensor::from(values, Shape{4}); }

double rate_of(int step) { return 0.1 / (1 + 0.2 * (step - 1)); }

Vector gradient_at(const Vector& p) {
  double inner = 0;
  for (std::size_t i = 0; i < 4; ++i) inner += b[i] * p[i];
  Vector g;
  for (std::size_t i = 0; i < 4; ++i) g.push_back(c[i] * (p[i] - a[i]) + std::cos(inner) * b[i]);
  return g;
}

// The loss of tests/fixtures/optimisers.py, at the parameter given.
Var loss_of(Var p) {
  return sum(tensor(c) * square(p - tensor(a))) * 0.5 + sin(sum(tensor(b) * p));
}

// The parameters behind each of some steps.
std::vector<Vector> trace(Optimiser& optimiser, int steps) {
  const Parameter p("p", tensor(start));
  Graph g;
  const Var rate = g.input("lr", {}, float64);
  const Var loss = loss_of(g.read(p));
  Program step = compile({loss}, optimiser.update({p}, reverse(loss, {p}), rate));
  std::vector<Vector> values;
  for (int n = 1; n <= steps; ++n) {
    step.run({{rate, Tensor::scalar(rate_of(n))}});
    const auto now = p.value().data<double>();
    values.emplace_back(now.begin(), now.end());
  }
  return values;
}

// The same of a rule in plain doubles: (p, g, rate, step number, component) to the new p.
std::vector<Vector> plain(
    const std::function<double(double, double, double, int, std::size_t)>& rule, int steps) {
  std::vector<Vector> values;
  Vector p = start;
  for (int n = 1; n <= steps; ++n) {
    const Vector g = gradient_at(p);
    for (std::size_t i = 0; i < 4; ++i) p[i] = rule(p[i], g[i], rate_of(n), n, i);
    values.push_back(p);
  }
  return values;
}

void check_close(const std::vector<Vector>& got, const std::vector<Vector>& wanted) {
  REQUIRE(got.size() == wanted.size());
  for (std::size_t n = 0; n < got.size(); ++n)
    for (std::size_t i = 0; i < 4; ++i) {
      CAPTURE(n);
      CAPTURE(i);
      CHECK(std::abs(got[n][i] - wanted[n][i]) <= 1e-12 * (1 + std::abs(wanted[n][i])));
    }
}

std::map<std::string, std::vector<Vector>> read_fixture() {
  std::map<std::string, std::vector<Vector>> cases;
  for (const fixtures::Line& line : fixtures::read("optimisers.csv", 2))  // a name and the step
    cases[line.labels.at(0)].push_back(line.numbers);
  return cases;
}

}  // namespace

TEST_CASE("optimisers follow PyTorch's step by step") {
  std::map<std::string, std::unique_ptr<Optimiser>> ours;
  ours["sgd"] = std::make_unique<Sgd>(SgdOptions{.weight_decay = 0.02});
  ours["momentum"] = std::make_unique<Sgd>(SgdOptions{.momentum = 0.9});
  ours["nesterov"] =
      std::make_unique<Sgd>(SgdOptions{.momentum = 0.8, .nesterov = true, .weight_decay = 0.02});
  ours["adam"] = std::make_unique<Adam>(
      AdamOptions{.beta1 = 0.8, .beta2 = 0.97, .epsilon = 1e-3, .weight_decay = 0.02});
  ours["adamw"] = std::make_unique<AdamW>(
      AdamWOptions{.beta1 = 0.8, .beta2 = 0.97, .epsilon = 1e-3, .weight_decay = 0.3});
  ours["adamw defaults"] = std::make_unique<AdamW>();
  ours["rmsprop"] = std::make_unique<RmsProp>();
  ours["rmsprop momentum"] = std::make_unique<RmsProp>(
      RmsPropOptions{.alpha = 0.9, .epsilon = 1e-3, .momentum = 0.7, .weight_decay = 0.02});
  ours["rmsprop centred"] = std::make_unique<RmsProp>(
      RmsPropOptions{.alpha = 0.9, .epsilon = 1e-2, .momentum = 0.5, .centred = true});
  ours["adagrad"] = std::make_unique<Adagrad>();
  ours["adagrad options"] = std::make_unique<Adagrad>(
      AdagradOptions{.epsilon = 1e-3, .rate_decay = 0.3, .initial_sum = 0.5, .weight_decay = 0.02});
  const auto cases = read_fixture();
  CHECK(cases.size() == ours.size());
  for (const auto& [name, wanted] : cases) {
    const auto& label = name;
    CAPTURE(label);
    REQUIRE(ours.contains(name));
    REQUIRE(wanted.size() == 12);
    check_close(trace(*ours[name], 12), wanted);
  }
}

TEST_CASE("AdaBelief follows its formulas") {
  Vector m(4, 0);
  Vector s(4, 0);
  const auto wanted = plain(
      [&](double p, double g, double rate, int t, std::size_t i) {
        m[i] = 0.8 * m[i] + 0.2 * g;
        s[i] = 0.95 * s[i] + 0.05 * (g - m[i]) * (g - m[i]) + 1e-3;
        const double m_hat = m[i] / (1 - std::pow(0.8, t));
        const double s_hat = s[i] / (1 - std::pow(0.95, t));
        return p - rate * 0.1 * p - rate * m_hat / (std::sqrt(s_hat) + 1e-3);
      },
      12);
  AdaBelief belief({.beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-3, .weight_decay = 0.1});
  check_close(trace(belief, 12), wanted);
}

TEST_CASE("Lion follows its program") {
  Vector m(4, 0);
  const auto wanted = plain(
      [&](double p, double g, double rate, int, std::size_t i) {
        const double blend = 0.9 * m[i] + 0.1 * g;
        m[i] = 0.99 * m[i] + 0.01 * g;
        const double sign = blend > 0 ? 1 : (blend < 0 ? -1 : 0);
        return p - rate * (sign + 0.1 * p);
      },
      12);
  Lion lion({.weight_decay = 0.1});
  check_close(trace(lion, 12), wanted);
  CHECK(lion.state().size() == 1);
}

TEST_CASE("every optimiser trains on gradients that an estimator gives") {
  std::map<std::string, std::unique_ptr<Optimiser>> all;
  all["ForwardRMSprop"] = std::make_unique<RmsProp>();
  all["ForwardRMSprop, centred"] =
      std::make_unique<RmsProp>(RmsPropOptions{.momentum = 0.5, .centred = true});
  all["ForwardAdagrad"] = std::make_unique<Adagrad>();
  all["ForwardAdaBelief"] = std::make_unique<AdaBelief>();
  all["ForwardLion"] = std::make_unique<Lion>();
  all["ForwardAdamW"] = std::make_unique<AdamW>();
  for (auto& [name, optimiser] : all) {
    const auto& label = name;
    CAPTURE(label);
    const Parameter p("p", tensor(start).to(float32));
    Graph g;
    const Var rate = g.input("lr", {});
    const Var key = g.input("key", {}, int64);
    const Var distance = sum(square(g.read(p) - tensor(a).to(float32)));
    Program step = compile(
        {distance}, optimiser->update({p}, forward_gradient(distance, {p}, key).gradients, rate));
    double first = 0;
    double last = 0;
    for (std::uint64_t n = 0; n < 2000; ++n) {
      const double now =
          name == "ForwardAdagrad" ? 0.5 : 0.02 * (1 - static_cast<double>(n) / 2000);
      last = step.run({{rate, Tensor(now)}, {key, Key(7).fold(n).to_tensor()}})[distance].item();
      if (n == 0) first = last;
    }
    CHECK(first == doctest::Approx(12.5));
    CHECK(last < 0.05 * first);
  }
}

TEST_CASE("RMSprop's centred variance does not fall below zero") {
  // Constant gradients: s - a^2 tends to 0 and rounds to either side of it.
  std::vector<float> slopes;
  for (int i = 1; i <= 64; ++i) slopes.push_back(0.1F * static_cast<float>(i));
  const Tensor gradients = Tensor::from(slopes, Shape{64});
  const Parameter p("p", ones({64}));
  Graph g;
  const Var loss = sum(g.read(p) * gradients);
  RmsProp centred({.alpha = 0.5, .centred = true});
  Program step = compile({loss}, centred.update({p}, reverse(loss, {p}), 1e-9));
  for (int n = 0; n < 100; ++n) step.run();
  for (const float value : p.value().data<float>()) CHECK(std::isfinite(value));
}

TEST_CASE("options out of range are refused") {
  CHECK_THROWS_AS(RmsProp({.alpha = 1}), ValueError);
  CHECK_THROWS_AS(RmsProp({.epsilon = 0}), ValueError);
  CHECK_THROWS_AS(RmsProp({.momentum = -0.1}), ValueError);
  CHECK_THROWS_AS(Adagrad({.rate_decay = -1}), ValueError);
  CHECK_THROWS_AS(Adagrad({.initial_sum = NAN}), ValueError);
  CHECK_THROWS_AS(AdaBelief({.beta2 = 1}), ValueError);
  CHECK_THROWS_AS(AdaBelief({.epsilon = -1}), ValueError);
  CHECK_THROWS_AS(Lion({.beta1 = 1.5}), ValueError);
  CHECK_THROWS_AS(Lion({.weight_decay = -1}), ValueError);
  CHECK_THROWS_AS(AdamW({.beta1 = 1}), ValueError);
}
