// The optimisers of a published study of forward gradients ("forward_gradient", its optimizers.py)
// against three steps worked out in plain numbers, and its estimator options.
//
// ForwardSGD: g = clip(J v) v, velocity <- mu velocity - lr g, theta <- theta + velocity, by
// Nesterov with J at theta + mu velocity; lr = lr0 e^(-k t). ForwardAdam: epsilon inside the root.
#include "seeds.hpp"

#include <dualtape/models/schedules.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/ops/random.hpp>

using namespace seeds;

namespace {

const Numbers curvature = {1, 3, 0.5};
const Numbers start = {1, -0.5, 2};
constexpr int steps = 3;
constexpr double rate0 = 0.1;
constexpr double decay = 0.25;

// Half the sum of c x^2.
double slope_at(const Numbers& x, const Numbers& v) {
  double slope = 0;
  for (std::size_t i = 0; i < x.size(); ++i) slope += curvature[i] * x[i] * v[i];
  return slope;
}

dt::Key key_of(int step) { return dt::Key(3).fold(static_cast<std::uint64_t>(step)); }

// The direction that the estimator draws at a step.
Numbers direction(int step) {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::Tensor::from(start, {3}));
  const dt::Var key = dt::fold_key(graph.constant(key_of(step).to_tensor()), 0);
  return numbers(dt::eval(dt::draw_direction({x}, key, dt::Perturbation::normal)[0]));
}

// The parameters after each step of the library's optimiser fed by a forward gradient.
std::vector<Numbers> run(dt::Optimiser& optimiser, double limit) {
  dt::Graph graph;
  const dt::Parameter x("x", dt::Tensor::from(start, {3}));
  const dt::Var c = graph.constant(dt::Tensor::from(curvature, {3}));
  const dt::Var loss = 0.5 * dt::sum(c * dt::square(graph.read(x)));
  const dt::Var key = graph.input("key", {}, dt::int64);
  const dt::Var lr = graph.input("lr", {}, dt::float64);
  const auto estimate = dt::forward_gradient(loss, {x}, key, {.slope_limit = limit});
  dt::Program step = dt::compile({loss}, optimiser.update({x}, estimate.gradients, lr));
  const dt::Schedule schedule = dt::natural_decay(rate0, decay);
  std::vector<Numbers> trace;
  for (int t = 0; t < steps; ++t) {
    step.run({{key, key_of(t).to_tensor()}, {lr, scalar(schedule(t), dt::float64)}});
    trace.push_back(numbers(x.value()));
  }
  return trace;
}

void check_close(const Numbers& got, const Numbers& wanted) {
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(got[i] - wanted[i]) <= 1e-13 * std::max(1.0, std::abs(wanted[i])));
  }
}

}  // namespace

TEST_CASE("ForwardSGD: decayed rate, clipped slope, momentum and look-ahead, step by step") {
  constexpr double none = std::numeric_limits<double>::infinity();
  struct Setting {
    double momentum;
    bool look_ahead;
    double limit;
  };
  for (const Setting& setting : {Setting{0, false, none},
                                 {0, false, 1.0},
                                 {0.9, false, none},
                                 {0.9, true, none},
                                 {0.5, true, 1.0}}) {
    CAPTURE(setting.momentum);
    CAPTURE(setting.look_ahead);
    CAPTURE(setting.limit);
    dt::Sgd sgd(
        {.momentum = setting.momentum, .nesterov = setting.look_ahead, .rate_in_velocity = true});
    const std::vector<Numbers> trace = run(sgd, setting.limit);

    Numbers theta = start;
    Numbers velocity(3, 0);
    bool clipped = false;
    for (int t = 0; t < steps; ++t) {
      const Numbers v = direction(t);
      Numbers at = theta;
      if (setting.look_ahead)
        for (std::size_t i = 0; i < 3; ++i) at[i] += setting.momentum * velocity[i];
      const double slope = slope_at(at, v);
      clipped = clipped || std::abs(slope) > setting.limit;
      const double used = std::clamp(slope, -setting.limit, setting.limit);
      const double rate = rate0 * std::exp(-decay * t);
      for (std::size_t i = 0; i < 3; ++i) {
        velocity[i] = setting.momentum * velocity[i] - rate * used * v[i];
        theta[i] += velocity[i];
      }
      // The library's parameters hold the point that the next gradient is taken at.
      Numbers held = theta;
      if (setting.look_ahead)
        for (std::size_t i = 0; i < 3; ++i) held[i] += setting.momentum * velocity[i];
      check_close(trace[static_cast<std::size_t>(t)], held);
    }
    CHECK(clipped == std::isfinite(setting.limit));
    if (setting.momentum > 0) check_close(numbers(sgd.state().at(0).value()), velocity);
  }
}

TEST_CASE("the decayed rate after 20 000 steps") {
  CHECK(std::abs(dt::natural_decay(1, 1e-4)(20000) - 0.135335) < 5e-7);
}

TEST_CASE("ForwardAdam: epsilon inside the root, step by step") {
  // So large an epsilon tells the two places apart.
  for (const double epsilon : {1e-8, 0.5}) {
    dt::Adam adam({.epsilon = epsilon, .epsilon_in_root = true});
    const std::vector<Numbers> trace = run(adam, std::numeric_limits<double>::infinity());
    Numbers theta = start;
    Numbers m(3, 0);
    Numbers s(3, 0);
    for (int t = 0; t < steps; ++t) {
      const Numbers v = direction(t);
      const double slope = slope_at(theta, v);
      const double rate = rate0 * std::exp(-decay * t);
      for (std::size_t i = 0; i < 3; ++i) {
        const double g = slope * v[i];
        m[i] = 0.9 * m[i] + 0.1 * g;
        s[i] = 0.999 * s[i] + 0.001 * g * g;
        const double mean = m[i] / (1 - std::pow(0.9, t + 1));
        const double square = s[i] / (1 - std::pow(0.999, t + 1));
        theta[i] -= rate * mean / std::sqrt(square + epsilon);
      }
      const Numbers& got = trace[static_cast<std::size_t>(t)];
      for (std::size_t i = 0; i < 3; ++i) CHECK(got[i] == doctest::Approx(theta[i]).epsilon(1e-12));
    }
  }
}

TEST_CASE("standardised directions lose the gradient's share along all-ones") {
  dt::Graph graph;
  const Numbers at = {1, 2, -1, 0.5, 3};
  const dt::Var x = graph.constant(dt::Tensor::from(at, {5}));
  const dt::Var y = graph.constant(dt::Tensor::from(Numbers{2, 0.5}, {2}));
  const dt::Var loss = 0.5 * dt::sum(dt::square(x)) + 0.5 * dt::sum(dt::square(y));
  const dt::Var key = graph.input("key", {}, dt::int64);
  for (const dt::Directions directions : {dt::Directions::joint, dt::Directions::per_parameter}) {
    const dt::ForwardGradient estimate =
        dt::forward_gradient(loss, {x, y}, key, {.directions = directions, .standardise = true});
    const dt::Var of_x = estimate.gradients[x];
    const dt::Var of_y = estimate.gradients[y];
    dt::Program program = dt::compile({of_x, of_y});
    constexpr int draws = 20000;
    Numbers sum(7, 0);
    Numbers squares(7, 0);
    for (int k = 0; k < draws; ++k) {
      const dt::Outputs out =
          program.run({{key, dt::Key(9).fold(static_cast<std::uint64_t>(k)).to_tensor()}});
      Numbers g = numbers(out[of_x]);
      for (const double value : numbers(out[of_y])) g.push_back(value);
      for (std::size_t i = 0; i < 7; ++i) {
        sum[i] += g[i];
        squares[i] += g[i] * g[i];
      }
    }
    // The gradient is (x, y) itself; without its mean over each parameter:
    const Numbers wanted = {-0.1, 0.9, -2.1, -0.6, 1.9, 0.75, -0.75};
    const Numbers gradient = {1, 2, -1, 0.5, 3, 2, 0.5};
    for (std::size_t i = 0; i < 7; ++i) {
      CAPTURE(i);
      const double mean = sum[i] / draws;
      const double error = std::sqrt((squares[i] / draws - mean * mean) / draws);
      CHECK(std::abs(mean - wanted[i]) < 4 * error + 1e-12);
      CHECK(std::abs(mean - gradient[i]) > 20 * error);
    }
  }
}

TEST_CASE("what estimators cannot do is refused") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::Tensor{1});
  const dt::Var loss = dt::sum(dt::square(x));
  const dt::Var key = graph.input("key", {}, dt::int64);
  CHECK_THROWS_AS(dt::forward_gradient(loss, {x}, key, {.standardise = true}), dt::ValueError);
  CHECK_THROWS_AS(dt::forward_gradient(loss, {x}, key, {.slope_limit = 0}), dt::ValueError);
  CHECK_THROWS_AS(dt::forward_gradient(loss, {x}, key, {.slope_limit = std::nan("")}),
                  dt::ValueError);
}
