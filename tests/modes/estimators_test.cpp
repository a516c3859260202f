// Forward gradients against their theory: unbiased, and with the variance each perturbation has.
#include <dualtape/modes/estimators.hpp>

#include <algorithm>
#include <functional>
#include <limits>
#include <map>

#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/shapes.hpp>

#include "points.hpp"

using namespace points;

namespace {

// Mean and standard deviation of each component of an estimate over keys 0, 1, ...
struct Moments {
  Numbers mean;
  Numbers deviation;
  double total_variance = 0;
};

Moments moments_of(const std::function<Numbers(dt::Key)>& estimate, int draws) {
  Numbers sum;
  Numbers squares;
  for (int k = 0; k < draws; ++k) {
    const Numbers one = estimate(dt::Key(7).fold(static_cast<std::uint64_t>(k)));
    sum.resize(one.size());
    squares.resize(one.size());
    for (std::size_t i = 0; i < one.size(); ++i) {
      sum[i] += one[i];
      squares[i] += one[i] * one[i];
    }
  }
  Moments result;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    const double mean = sum[i] / draws;
    const double variance = squares[i] / draws - mean * mean;
    result.mean.push_back(mean);
    result.deviation.push_back(std::sqrt(variance));
    result.total_variance += variance;
  }
  return result;
}

// The compiled forward gradient of a function of one vector at a point.
class Estimate {
 public:
  Estimate(const std::function<dt::Var(dt::Var)>& f, const dt::Tensor& at,
           const dt::ForwardGradientOptions& options)
      : at_(at),
        x_(g_.input("x", at.shape(), at.dtype())),
        key_(g_.input("key", {}, dt::int64)),
        gradient_(dt::forward_gradient(f(x_), {x_}, key_, options).gradients[x_]),
        program_(dt::compile({gradient_})) {}

  Numbers operator()(dt::Key key) {
    return numbers(program_.run({{x_, at_}, {key_, key.to_tensor()}})[gradient_]);
  }

 private:
  dt::Graph g_;
  dt::Tensor at_;
  dt::Var x_;
  dt::Var key_;
  dt::Var gradient_;
  dt::Program program_;
};

const dt::Tensor beale_point = vector({1.5, -0.1});
const Numbers beale_gradient = {-3.433947, -0.807885};

void check_beale(dt::Perturbation perturbation, const Numbers& deviation) {
  CAPTURE(dt::name_of(perturbation));
  constexpr int draws = 100000;
  Estimate estimate(beale, beale_point, {.perturbation = perturbation});
  const Moments moments = moments_of([&](dt::Key key) { return estimate(key); }, draws);
  for (std::size_t i = 0; i < 2; ++i) {
    CAPTURE(i);
    CHECK(std::abs(moments.mean[i] - beale_gradient[i]) <= 4 * deviation[i] / std::sqrt(draws));
    CHECK(moments.deviation[i] == doctest::Approx(deviation[i]).epsilon(0.02));
  }
}

double square_norm(const Numbers& x) {
  double total = 0;
  for (const double value : x) total += value * value;
  return total;
}

// A function whose gradient at whole points is whole, so that sums of it are exact.
dt::Var whole(dt::Var x) {
  return dt::sum(dt::square(x)) + 3 * element(x, 0) * element(x, 1) - 5 * element(x, 2);
}

}  // namespace

TEST_CASE("normal directions: unbiased, deviation sqrt(|g|^2 + g_i^2)") {
  check_beale(dt::Perturbation::normal, {4.923, 3.619});
}
TEST_CASE("Rademacher directions: unbiased, deviation sqrt(|g|^2 - g_i^2)") {
  check_beale(dt::Perturbation::rademacher, {0.808, 3.434});
}
TEST_CASE("uniform directions: unbiased, deviation sqrt(|g|^2 - g_i^2 / 5)") {
  check_beale(dt::Perturbation::uniform, {3.176, 3.509});
}
TEST_CASE("directions on the sphere: unbiased, deviation |g| / sqrt(2) for two parameters") {
  check_beale(dt::Perturbation::sphere, {2.494, 2.494});
}

TEST_CASE("averaged over every vector of signs, the estimate is the gradient exactly") {
  for (const dt::Directions directions : {dt::Directions::joint, dt::Directions::per_parameter}) {
    const bool joint = directions == dt::Directions::joint;
    CAPTURE(joint);
    dt::Graph g;
    const dt::Var a = g.input("a", {2}, dt::float64);
    const dt::Var b = g.input("b", {1}, dt::float64);
    const dt::Var key = g.input("key", {}, dt::int64);
    // Gradient (8, 7) by a and -3 by b at a = (1, 2), b = 1: whole numbers, so sums are exact.
    const dt::Var loss = dt::sum(dt::square(a)) + 3 * element(a, 0) * element(a, 1) +
                         dt::sum(dt::square(b)) - 5 * dt::sum(b);
    const dt::ForwardGradient estimate = dt::forward_gradient(
        loss, {a, b}, key,
        {.perturbation = dt::Perturbation::rademacher, .directions = directions});
    REQUIRE(estimate.slopes.size() == (joint ? 1 : 2));
    const dt::Var slope_a = estimate.slopes.front();
    const dt::Var slope_b = estimate.slopes.back();
    const dt::Var by_a = estimate.gradients[a];
    const dt::Var by_b = estimate.gradients[b];
    dt::Program program = dt::compile({by_a, by_b, slope_a, slope_b});

    std::map<Numbers, Numbers> estimates;  // by the signs drawn
    for (std::uint64_t k = 0; k < 500 && estimates.size() < 8; ++k) {
      const dt::Outputs out =
          program.run({{a, vector({1, 2})}, {b, vector({1})}, {key, dt::Key(k).to_tensor()}});
      const Numbers one = {out[by_a].at({0}), out[by_a].at({1}), out[by_b].at({0})};
      const Numbers signs = {one[0] / out[slope_a].item(), one[1] / out[slope_a].item(),
                             one[2] / out[slope_b].item()};
      for (const double sign : signs) REQUIRE(std::abs(sign) == 1);
      estimates[signs] = one;
    }
    REQUIRE(estimates.size() == 8);
    Numbers mean(3);
    double square = 0;
    for (const auto& [signs, one] : estimates) {
      for (std::size_t i = 0; i < 3; ++i) mean[i] += one[i] / 8;
      square += square_norm(one) / 8;
    }
    CHECK(mean == Numbers{8, 7, -3});
    // Total variance: (n - 1) |g|^2 over all n components, or over those of each parameter.
    const double variance = square - square_norm(mean);
    CHECK(variance == (joint ? 2 * (64 + 49 + 9) : 1 * (64 + 49) + 0 * 9));
  }
}

TEST_CASE("averaging K directions divides the total variance (n + 1) |g|^2 by K") {
  const Numbers gradient = {1, -2, 0.5, 3, 0, -1, 2, 1.5};
  const auto f = [&](dt::Var x) { return dt::sum(x * x.graph().constant(vector(gradient))); };
  for (const std::int64_t count : {1, 4}) {
    CAPTURE(count);
    Estimate estimate(f, dt::zeros({8}, dt::float64), {.count = count});
    const Moments moments = moments_of([&](dt::Key key) { return estimate(key); }, 20000);
    const double wanted = 9 * square_norm(gradient) / static_cast<double>(count);
    CHECK(moments.total_variance == doctest::Approx(wanted).epsilon(0.05));
  }
}

TEST_CASE("cosine with the gradient and length of the mean of K normal directions, n = 64") {
  // Figures of an independent simulation; the length is sqrt((n + K + 1) / K).
  struct Row {
    std::int64_t count;
    double cosine;
    double allowed;
    double length;
  };
  for (const Row& row : {Row{1, 0.1001, 0.005, 8.12}, Row{16, 0.445, 0.01, 2.25}}) {
    CAPTURE(row.count);
    constexpr int draws = 4000;
    Estimate estimate([](dt::Var x) { return dt::sum(x); }, dt::zeros({64}, dt::float64),
                      {.count = row.count});
    double cosine = 0;
    double square = 0;
    for (std::uint64_t k = 0; k < draws; ++k) {
      const Numbers one = estimate(dt::Key(k));
      double along = 0;
      for (const double value : one) along += value / 8;
      cosine += along / std::sqrt(square_norm(one)) / draws;
      square += square_norm(one) / 64 / draws;
    }
    CHECK(std::abs(cosine - row.cosine) <= row.allowed);
    CHECK(std::sqrt(square) == doctest::Approx(row.length).epsilon(0.02));
  }
}

TEST_CASE("directions of low rank in one sweep are those of as many sweeps, and their mean") {
  const auto values = [](std::uint64_t number, const dt::Shape& shape) {
    return dt::normal(dt::Key(number), shape, 0, 1, dt::float64);
  };
  for (const std::int64_t rank : {1, 2})
    for (const dt::Directions directions : {dt::Directions::joint, dt::Directions::per_parameter}) {
      CAPTURE(rank);
      constexpr std::int64_t count = 5;
      dt::Graph g;
      const dt::Var x = g.constant(values(1, {7, 6}));
      const dt::Var w = g.constant(values(2, {6, 4})), b = g.constant(values(3, {4}));
      const dt::Var v = g.constant(values(4, {4, 20})), a = g.constant(values(5, {9, 7}));
      const dt::Var h = dt::matmul(a, dt::tanh(dt::matmul(x, w) + b));
      const dt::Var loss = dt::sum(dt::square(dt::matmul(h, v)));
      const dt::Var key = g.constant(dt::Key(11).to_tensor());
      const dt::WrtList by{w, b, v, a};
      const dt::ForwardGradientOptions options{.perturbation = dt::Perturbation::normal,
                                               .directions = directions,
                                               .count = count,
                                               .slope_limit = 20,
                                               .rank = rank};
      const dt::ForwardGradient together = dt::forward_gradient(loss, by, key, options);
      REQUIRE(together.slopes.size() == (directions == dt::Directions::joint ? count : 4 * count));
      // Along each direction, drawn by its key: the slope of a sweep of its own.
      for (std::int64_t k = 0; k < count; ++k) {
        if (directions != dt::Directions::joint) continue;
        const auto drawn =
            dt::draw_direction(by, dt::fold_key(key, k), options.perturbation, {.rank = rank});
        const double alone = dt::eval(dt::forward(loss, by, drawn)).item();
        CHECK(dt::eval(together.slopes[static_cast<std::size_t>(k)]).item() ==
              doctest::Approx(alone).epsilon(1e-10));
      }
      for (const dt::Var& p : {w, b, v, a}) {
        dt::Tensor mean = dt::zeros(p.shape(), p.dtype());
        for (std::int64_t k = 0; k < count; ++k) {
          const std::size_t i = p == w ? 0 : p == b ? 1 : p == v ? 2 : 3;
          const bool joint = directions == dt::Directions::joint;
          const dt::Var of_direction = dt::fold_key(key, k);
          const auto drawn =
              joint ? dt::draw_direction(by, of_direction, options.perturbation, {.rank = rank})[i]
                    : dt::draw_direction({p},
                                         dt::fold_key(of_direction, static_cast<std::int64_t>(i)),
                                         options.perturbation, {.rank = rank})[0];
          const std::size_t place =
              static_cast<std::size_t>(joint ? k : 4 * k + static_cast<std::int64_t>(i));
          const double slope = dt::eval(together.slopes[place]).item();
          const dt::Tensor part = dt::eval(drawn);
          const double weight = std::clamp(slope, -20.0, 20.0) / count;
          for (std::size_t e = 0; e < mean.data<double>().size(); ++e)
            mean.data<double>()[e] += weight * part.data<double>()[e];
        }
        CHECK(dt::all_close(dt::eval(together.gradients[p]), mean, 1e-10, 1e-12));
      }
    }
}

TEST_CASE("the same key gives the same directions anywhere") {
  dt::Graph g;
  const dt::Var a = g.input("a", {2, 3});
  const dt::Var b = g.input("b", {5}, dt::float64);
  const dt::Var key = g.constant(dt::Key(42).to_tensor());
  const std::vector<dt::Var> drawn = dt::draw_direction({a, b}, key, dt::Perturbation::normal);
  CHECK(dt::identical(dt::eval(drawn[0]), dt::normal(dt::Key(42).fold(0), {2, 3})));
  CHECK(dt::identical(dt::eval(drawn[1]), dt::normal(dt::Key(42).fold(1), {5}, 0, 1, dt::float64)));
  const std::vector<dt::Var> signs = dt::draw_direction({a}, key, dt::Perturbation::rademacher);
  CHECK(dt::identical(dt::eval(signs[0]), dt::rademacher(dt::Key(42).fold(0), {2, 3})));

  const auto f = [](dt::Var x) { return whole(x); };
  const dt::Tensor at = vector({1, 2, 1});
  Estimate one(f, at, {});
  Estimate other([](dt::Var x) { return whole(x * 1.0) + 7.0; }, at, {});
  CHECK(one(dt::Key(5)) == other(dt::Key(5)));
  CHECK(one(dt::Key(5)) == one(dt::Key(5)));
  CHECK(one(dt::Key(5)) != one(dt::Key(6)));
}

TEST_CASE("directions of a sphere have length sqrt(n) over all parameters together") {
  dt::Graph g;
  const dt::Var a = g.input("a", {2, 3}, dt::float64);
  const dt::Var b = g.input("b", {5}, dt::float64);
  for (std::uint64_t k = 0; k < 20; ++k) {
    const std::vector<dt::Var> drawn =
        dt::draw_direction({a, b}, g.constant(dt::Key(k).to_tensor()), dt::Perturbation::sphere);
    const double square =
        square_norm(numbers(dt::eval(drawn[0]))) + square_norm(numbers(dt::eval(drawn[1])));
    CHECK(square == doctest::Approx(11).epsilon(1e-14));
  }
}

TEST_CASE("a key that is a parameter is advanced by the program that uses it") {
  dt::Parameter key("key", dt::Key(3).to_tensor());
  dt::Graph g;
  const dt::Var x = g.input("x", {3}, dt::float64);
  const dt::Var k = g.read(key);
  const dt::ForwardGradient estimate = dt::forward_gradient(whole(x), {x}, k);
  const dt::Var gradient = estimate.gradients[x];
  dt::Program program = dt::compile({gradient}, {dt::assign(key, dt::fold_key(k, 1000))});
  const dt::Tensor at = vector({1, 2, 1});
  const Numbers first = numbers(program.run({{x, at}})[gradient]);
  const Numbers second = numbers(program.run({{x, at}})[gradient]);
  CHECK(first != second);
  CHECK(dt::Key::from_tensor(key.value()) == dt::Key(3).fold(1000).fold(1000));
  key.set(dt::Key(3).to_tensor());
  CHECK(numbers(program.run({{x, at}})[gradient]) == first);
}

TEST_CASE("forward mode takes a perturbation in place of tangents") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3}, dt::float64);
  const dt::Var key = g.constant(dt::Key(9).to_tensor());
  const dt::Tensor at = vector({1, 2, 1});
  const dt::Var y = whole(x);
  const dt::Var random = dt::forward(y, {x}, dt::rademacher_tangents(key));
  const dt::Var given =
      dt::forward(y, {x}, dt::draw_direction({x}, key, dt::Perturbation::rademacher));
  CHECK(dt::eval(random, {{x, at}}).item() == dt::eval(given, {{x, at}}).item());
}

TEST_CASE("the nodes of an estimate carry the user's line, not one of the library") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3}, dt::float64);
  const dt::Var key = g.constant(dt::Key(9).to_tensor());
  const dt::Var loss = whole(x);
  for (const dt::Directions directions : {dt::Directions::joint, dt::Directions::per_parameter})
    static_cast<void>(dt::forward_gradient(loss, {x}, key, {.directions = directions, .count = 2}));
  for (dt::NodeId n = 0; n < g.size(); ++n) {
    const std::string made = to_string(g.node(n).where);
    CAPTURE(made);
    CHECK(made.find("modes/estimators.cpp") == std::string::npos);
    CHECK(made.find("modes/directions.cpp") == std::string::npos);
  }
}

TEST_CASE("what cannot be estimated is refused") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3}, dt::float64);
  const dt::Var y = g.input("y", {3}, dt::float64);
  const dt::Var key = g.constant(dt::Key(9).to_tensor());
  const dt::Var loss = whole(x);
  CHECK_THROWS_AS(static_cast<void>(dt::forward_gradient(loss, {x}, key, {.count = 0})),
                  dt::ValueError);
  for (const std::int64_t count : {std::int64_t{65537}, std::numeric_limits<std::int64_t>::max()})
    CHECK_THROWS_AS(static_cast<void>(dt::forward_gradient(loss, {x}, key, {.count = count})),
                    dt::SizeError);
  CHECK_THROWS_AS(static_cast<void>(dt::forward_gradient(
                      loss, {x}, key, {.rank = std::numeric_limits<std::int64_t>::max()})),
                  dt::SizeError);
  CHECK_THROWS_AS(static_cast<void>(dt::forward_gradient(
                      loss, {x}, key, {.perturbation = static_cast<dt::Perturbation>(99)})),
                  dt::ValueError);
  CHECK_THROWS_AS(static_cast<void>(dt::forward_gradient(x, {x}, key)), dt::ShapeError);
  CHECK_THROWS_AS(static_cast<void>(dt::forward_gradient(dt::Var(), {x}, key)), dt::GraphError);
  for (const dt::Directions directions : {dt::Directions::joint, dt::Directions::per_parameter})
    CHECK_THROWS_AS(
        static_cast<void>(dt::forward_gradient(loss, {y}, key, {.directions = directions})),
        dt::DerivativeError);
}
