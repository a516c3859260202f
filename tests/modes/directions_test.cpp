// Random directions: what they are made of, the laws of their variance, and drawing them again.
#include <dualtape/modes/directions.hpp>

#include <algorithm>
#include <memory>
#include <span>

#include <dualtape/models/optimisers.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/shapes.hpp>

#include "points.hpp"

using namespace points;
using dt::Perturbation;

namespace {

struct Law {
  Perturbation perturbation;
  std::int64_t rank;
  double variance;  // in total, over |G|^2
};

// Mean and standard error of a number drawn many times.
struct Sample {
  double sum = 0;
  double squares = 0;
  int count = 0;
  void add(double x) {
    sum += x;
    squares += x * x;
    ++count;
  }
  double mean() const { return sum / count; }
  double error() const { return std::sqrt((squares / count - mean() * mean()) / count); }
};

// The estimate of the gradient G of sum(W * G), drawn with keys 0, 1, ...
void check_law(const Law& law, const dt::Tensor& gradient, int draws, double relative_error) {
  CAPTURE(dt::name_of(law.perturbation));
  CAPTURE(law.rank);
  dt::Graph g;
  const dt::Var w = g.input("w", gradient.shape(), dt::float64);
  const dt::Var key = g.input("key", {}, dt::int64);
  const dt::Var loss = dt::sum(w * g.constant(gradient));
  const dt::Var estimate =
      dt::forward_gradient(loss, {w}, key, {.perturbation = law.perturbation, .rank = law.rank})
          .gradients[w];
  dt::Program program = dt::compile({estimate});
  const dt::Tensor at = dt::zeros(gradient.shape(), dt::float64);
  const std::span<const double> truth = gradient.data<double>();
  const double norm = inner(gradient, gradient);

  std::vector<Sample> components(truth.size());
  Sample square;  // of the estimate's length, over that of G
  for (int k = 0; k < draws; ++k) {
    const dt::Key drawn = dt::Key(11).fold(static_cast<std::uint64_t>(k));
    const dt::Outputs out = program.run({{w, at}, {key, drawn.to_tensor()}});
    const std::span<const double> values = out[estimate].data<double>();
    double total = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      components[i].add(values[i]);
      total += values[i] * values[i];
    }
    square.add(total / norm);
  }
  std::size_t strays = 0;
  for (std::size_t i = 0; i < truth.size(); ++i)
    if (std::abs(components[i].mean() - truth[i]) > 5 * components[i].error()) ++strays;
  CHECK(strays == 0);  // unbiased; beyond 5 standard errors lies less than a millionth
  CAPTURE(square.mean() - 1);
  CAPTURE(square.error());
  CHECK(square.error() <= relative_error * law.variance);
  CHECK(std::abs(square.mean() - 1 - law.variance) <= 4 * square.error());
}

// A net of tanh layers of these widths, biases too, whose loss is the mean of its outputs.
struct Net {
  Net(const std::vector<std::int64_t>& widths, dt::DType dtype) {
    const std::int64_t rows = 5;
    dt::Var h = graph.input("x", {rows, widths.front()}, dtype);
    x = h;
    for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
      const std::string number = std::to_string(i);
      const dt::Shape shape{widths[i], widths[i + 1]};
      parameters.emplace_back("w" + number, dt::normal(dt::Key(3).fold(i), shape, 0, 0.3, dtype));
      parameters.emplace_back("b" + number, dt::zeros({widths[i + 1]}, dtype));
      h = dt::tanh(dt::matmul(h, parameters[2 * i]) + parameters[2 * i + 1]);
    }
    loss = dt::mean(dt::square(h + 0.5));
    key = graph.input("key", {}, dt::int64);
    inputs = dt::normal(dt::Key(4), x.shape(), 0, 1, dtype);
  }
  dt::Graph graph;
  std::vector<dt::Parameter> parameters;
  dt::Var x;
  dt::Var loss;
  dt::Var key;
  dt::Tensor inputs;
};

// The estimates of a small net's gradient, one tensor a parameter.
std::vector<dt::Tensor> estimates_of(const dt::ForwardGradientOptions& options, dt::DType dtype,
                                     const dt::CompileOptions& how = {}) {
  Net net({4, 6, 3}, dtype);
  const dt::ForwardGradient estimate =
      dt::forward_gradient(net.loss, net.parameters, net.key, options);
  const std::vector<dt::Var> gradients = estimate.gradients.all();
  dt::Program program = dt::compile(gradients, {}, how);
  const dt::Outputs out = program.run({{net.x, net.inputs}, {net.key, dt::Key(8).to_tensor()}});
  std::vector<dt::Tensor> result;
  for (const dt::Var& gradient : gradients) result.push_back(out[gradient].copy());
  return result;
}

// The parameters of a small net after three steps.
std::vector<dt::Tensor> trained(dt::Optimiser& optimiser, const dt::ForwardGradientOptions& options,
                                dt::DType dtype, const dt::CompileOptions& how = {}) {
  Net net({4, 6, 3}, dtype);
  const dt::ForwardGradient estimate =
      dt::forward_gradient(net.loss, net.parameters, net.key, options);
  const dt::Var rate = net.graph.input("lr", {}, dtype);
  dt::Program program =
      dt::compile({net.loss}, optimiser.update(net.parameters, estimate.gradients, rate), how);
  for (std::uint64_t k = 0; k < 3; ++k)
    program.run({{net.x, net.inputs},
                 {net.key, dt::Key(k).to_tensor()},
                 {rate, dt::Tensor::scalar(0.05).to(dtype)}});
  std::vector<dt::Tensor> result;
  for (const dt::Parameter& parameter : net.parameters) result.push_back(parameter.value().copy());
  return result;
}

void check_identical(const std::vector<dt::Tensor>& a, const std::vector<dt::Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CAPTURE(i);
    CHECK(dt::identical(a[i], b[i]));
  }
}
void check_all_near(const std::vector<dt::Tensor>& a, const std::vector<dt::Tensor>& b,
                    double tolerance) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CAPTURE(i);
    check_near(a[i], numbers(b[i]), tolerance);
  }
}

std::vector<dt::ForwardGradientOptions> variants() {
  std::vector<dt::ForwardGradientOptions> all;
  for (const Perturbation perturbation : {Perturbation::normal, Perturbation::rademacher,
                                          Perturbation::uniform, Perturbation::sphere})
    for (const std::int64_t rank : {0, 1, 3})
      if (rank == 0 || perturbation != Perturbation::sphere)
        all.push_back({.perturbation = perturbation, .rank = rank});
  all.push_back({.directions = dt::Directions::per_parameter});
  all.push_back({.perturbation = Perturbation::rademacher, .count = 3, .rank = 2});
  all.push_back({.count = 2, .standardise = true});
  all.push_back({.perturbation = Perturbation::sphere, .standardise = true});
  all.push_back({.slope_limit = 0.01});
  return all;
}

}  // namespace

TEST_CASE("the laws of the variance of dense and low-rank directions on a 32 x 16 weight") {
  // (nm - 1) = 511 for one pair of sign vectors as for dense signs, nm + 1 for dense normal
  // numbers, (n + 2)(m + 2) - 1 for one pair of normal vectors.
  const dt::Tensor gradient = dt::normal(dt::Key(2), {32, 16}, 0, 1, dt::float64);
  for (const Law& law :
       {Law{Perturbation::rademacher, 0, 511}, Law{Perturbation::rademacher, 1, 511},
        Law{Perturbation::rademacher, 2, 512}, Law{Perturbation::rademacher, 4, 512.5},
        Law{Perturbation::normal, 0, 513}, Law{Perturbation::normal, 1, 611},
        Law{Perturbation::normal, 2, 562}, Law{Perturbation::normal, 4, 537.5},
        Law{Perturbation::uniform, 0, 511.8}, Law{Perturbation::uniform, 1, 550.04}})
    check_law(law, gradient, 20000, 0.025);
}

TEST_CASE("the laws on a 3 x 2 weight, where the ranks differ more") {
  const dt::Tensor gradient = dt::normal(dt::Key(5), {3, 2}, 0, 1, dt::float64);
  for (const Law& law : {Law{Perturbation::rademacher, 0, 5}, Law{Perturbation::rademacher, 1, 5},
                         Law{Perturbation::rademacher, 2, 6}, Law{Perturbation::rademacher, 4, 6.5},
                         Law{Perturbation::normal, 0, 7}, Law{Perturbation::normal, 1, 19},
                         Law{Perturbation::normal, 2, 13}, Law{Perturbation::normal, 4, 10},
                         Law{Perturbation::uniform, 1, 9.64}})
    check_law(law, gradient, 100000, 0.025);
}

TEST_CASE("a low-rank direction is a product of factors drawn from keys of their own") {
  dt::Graph g;
  const dt::Var wide = g.input("wide", {2, 3});
  const dt::Var tall = g.input("tall", {5, 3}, dt::float64);
  const dt::Var bias = g.input("bias", {4});
  const dt::Var filter = g.input("filter", {2, 3, 2});
  const dt::Key key(42);
  const dt::Var k = g.constant(key.to_tensor());
  const std::vector<dt::Var> all{wide, tall, bias, filter};

  const std::vector<dt::Var> signs =
      dt::draw_direction(all, k, Perturbation::rademacher, {.rank = 1});
  const dt::Tensor a = dt::rademacher(key.fold(0).fold(0), {2, 1});
  const dt::Tensor b = dt::rademacher(key.fold(0).fold(1), {1, 3});
  Numbers product;
  for (const double x : numbers(a))
    for (const double y : numbers(b)) product.push_back(x * y);
  CHECK(numbers(dt::eval(signs[0])) == product);
  // One axis stays dense; three are a matrix of the first by the others.
  CHECK(dt::identical(dt::eval(signs[2]), dt::rademacher(key.fold(2), {4})));
  const dt::Tensor c = dt::rademacher(key.fold(3).fold(0), {2, 1});
  const dt::Tensor d = dt::rademacher(key.fold(3).fold(1), {1, 6});
  Numbers filters;
  for (const double x : numbers(c))
    for (const double y : numbers(d)) filters.push_back(x * y);
  CHECK(signs[3].shape() == dt::Shape{2, 3, 2});
  CHECK(numbers(dt::eval(signs[3])) == filters);

  // Four columns: half the product of the factors.
  const std::vector<dt::Var> normals =
      dt::draw_direction(all, k, Perturbation::normal, {.rank = 4});
  const Numbers left = numbers(dt::normal(key.fold(1).fold(0), {5, 4}, 0, 1, dt::float64));
  const Numbers right = numbers(dt::normal(key.fold(1).fold(1), {4, 3}, 0, 1, dt::float64));
  Numbers sum(15);
  for (std::size_t i = 0; i < 5; ++i)
    for (std::size_t p = 0; p < 4; ++p)
      for (std::size_t j = 0; j < 3; ++j) sum[3 * i + j] += left[4 * i + p] * right[3 * p + j] / 2;
  check_near(dt::eval(normals[1]), sum, 1e-14);

  // The factor form is in the graph, for the planner: nothing is scaled behind the product.
  for (const dt::Var& part : {signs[0], normals[1]}) CHECK(part.node().op->name() == "matmul");
}

TEST_CASE("forward mode along a low-rank direction") {
  Net net({4, 6, 3}, dt::float64);
  const dt::Var along =
      dt::forward(net.loss, net.parameters, dt::rademacher_tangents(net.key, {.rank = 1}));
  const dt::Var given = dt::forward(
      net.loss, net.parameters,
      dt::draw_direction(net.parameters, net.key, Perturbation::rademacher, {.rank = 1}));
  const dt::Var dense = dt::forward(net.loss, net.parameters, dt::rademacher_tangents(net.key));
  dt::Program program = dt::compile({along, given, dense});
  const dt::Outputs out = program.run({{net.x, net.inputs}, {net.key, dt::Key(1).to_tensor()}});
  CHECK(out[along].item() == out[given].item());
  CHECK(out[along].item() != out[dense].item());
}

TEST_CASE("directions drawn again give the same bits") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (dt::ForwardGradientOptions options : variants()) {
      CAPTURE(dt::name_of(options.perturbation));
      CAPTURE(options.rank);
      const std::vector<dt::Tensor> kept = estimates_of(options, dtype);
      options.replay = true;
      check_identical(kept, estimates_of(options, dtype));
    }
}

TEST_CASE("a repeated draw is a node of its own with the same numbers") {
  dt::Graph g;
  const dt::Var key = g.input("key", {}, dt::int64);
  const std::vector<dt::Var> draws{dt::random_normal(key, {50}), dt::random_rademacher(key, {50}),
                                   dt::random_uniform(key, {50}, -1, 2, dt::float64)};
  for (const dt::Var& draw : draws) {
    const dt::Var again = dt::draw_again(draw);
    const dt::Var third = dt::draw_again(draw, 2);
    dt::Program program = dt::compile({draw, again, third, dt::draw_again(draw)});
    const dt::Outputs out = program.run({{key, dt::Key(6).to_tensor()}});
    CHECK(dt::identical(out[draw], out[again]));
    CHECK(dt::identical(out[draw], out[third]));
    const auto drawn = std::ranges::count_if(
        program.plan().nodes, [](const dt::PlanNode& node) { return node.op->is_random(); });
    CHECK(drawn == 3);
  }
  CHECK_THROWS_AS(dt::draw_again(draws[0] + 1.0), dt::ValueError);
  CHECK_THROWS_AS(dt::draw_again(key), dt::ValueError);
  CHECK_THROWS_AS(dt::draw_again(draws[0], 0), dt::ValueError);
  CHECK_THROWS_AS(dt::draw_again(dt::draw_again(draws[0])), dt::ValueError);
}

TEST_CASE("with replay only one weight's direction exists at a time") {
  const std::vector<std::int64_t> widths{24, 40, 32, 48, 16, 32, 40};
  std::size_t largest = 0;  // of the weights; the smallest is larger than all biases together
  std::size_t total = 0;
  std::size_t biases = 0;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    const auto weight = static_cast<std::size_t>(widths[i] * widths[i + 1]) * sizeof(float);
    const auto bias = static_cast<std::size_t>(widths[i + 1]) * sizeof(float);
    largest = std::max(largest, weight);
    total += weight + bias;
    biases += bias + dt::arena_alignment;
    REQUIRE(weight > 832 + 6 * dt::arena_alignment);  // the biases: 208 numbers
  }
  for (const Perturbation perturbation :
       {Perturbation::rademacher, Perturbation::normal, Perturbation::sphere})
    for (const std::int64_t count : {1, 2}) {
      CAPTURE(dt::name_of(perturbation));
      CAPTURE(count);
      const auto bytes = [&](bool replay) {
        Net net(widths, dt::float32);
        const dt::ForwardGradient estimate =
            dt::forward_gradient(net.loss, net.parameters, net.key,
                                 {.perturbation = perturbation, .count = count, .replay = replay});
        dt::Sgd sgd;
        return dt::compile({net.loss}, sgd.update(net.parameters, estimate.gradients, 0.1))
            .memory()
            .peak_direction_bytes;
      };
      CHECK(bytes(false) >= total);
      // Averaging needs the sum so far beside the next term.
      CHECK(bytes(true) <= static_cast<std::size_t>(count) * largest + biases);
      CHECK(bytes(true) > 0);
    }
}

TEST_CASE("a rank-1 direction of a weight is never formed, so it needs no replay") {
  const std::vector<std::int64_t> widths{24, 40, 32, 48};
  std::size_t factors = 0;  // of the weights, and the biases' dense directions, each padded
  for (std::size_t i = 0; i + 1 < widths.size(); ++i)
    factors += static_cast<std::size_t>(widths[i] + 2 * widths[i + 1]) * sizeof(float) +
               3 * dt::arena_alignment;
  Net net(widths, dt::float32);
  const dt::ForwardGradient estimate = dt::forward_gradient(
      net.loss, net.parameters, net.key, {.perturbation = Perturbation::rademacher, .rank = 1});
  dt::Sgd sgd;
  const dt::Program step =
      dt::compile({net.loss}, sgd.update(net.parameters, estimate.gradients, 0.1));
  CHECK(step.memory().peak_direction_bytes > 0);
  CHECK(step.memory().peak_direction_bytes <= factors);
}

TEST_CASE("a step of Sgd is p - lr slope v") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const std::int64_t rank : {0, 1, 2}) {
      CAPTURE(rank);
      const dt::ForwardGradientOptions options{
          .perturbation = Perturbation::rademacher, .rank = rank, .replay = rank != 1};
      Net net({4, 6, 3}, dtype);
      const dt::ForwardGradient estimate =
          dt::forward_gradient(net.loss, net.parameters, net.key, options);
      const dt::Var slope = estimate.slopes[0];
      const std::vector<dt::Var> direction = dt::draw_direction(
          net.parameters, dt::fold_key(net.key, 0), options.perturbation, {.rank = rank});
      std::vector<Numbers> wanted;
      std::vector<dt::Var> outputs = direction;
      outputs.push_back(slope);
      const std::initializer_list<dt::Feed> feeds{{net.x, net.inputs},
                                                  {net.key, dt::Key(8).to_tensor()}};
      dt::Program look = dt::compile(outputs);
      const dt::Outputs out = look.run(feeds);
      for (std::size_t i = 0; i < direction.size(); ++i) {
        wanted.push_back(numbers(net.parameters[i].value()));
        const Numbers along = numbers(out[direction[i]]);
        for (std::size_t j = 0; j < along.size(); ++j)
          wanted[i][j] -= 0.25 * out[slope].item() * along[j];
      }
      dt::Sgd sgd;
      dt::Program step = dt::compile({slope}, sgd.update(net.parameters, estimate.gradients, 0.25));
      step.run(feeds);
      for (std::size_t i = 0; i < wanted.size(); ++i)
        check_near(net.parameters[i].value(), wanted[i], dtype == dt::float32 ? 1e-6 : 1e-14);
    }
}

TEST_CASE("optimisers train alike on directions kept and drawn again, whatever passes run") {
  const auto optimisers = [] {
    std::vector<std::unique_ptr<dt::Optimiser>> all;
    all.push_back(std::make_unique<dt::Sgd>());
    all.push_back(std::make_unique<dt::Sgd>(dt::SgdOptions{.momentum = 0.9}));
    all.push_back(std::make_unique<dt::Adam>());
    return all;
  };
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const std::int64_t rank : {0, 1, 2})
      for (std::size_t which = 0; which < optimisers().size(); ++which) {
        CAPTURE(rank);
        CAPTURE(which);
        const dt::ForwardGradientOptions kept{.perturbation = Perturbation::rademacher,
                                              .rank = rank};
        dt::ForwardGradientOptions again = kept;
        again.replay = true;
        const std::vector<dt::Tensor> one = trained(*optimisers()[which], kept, dtype);
        check_identical(one, trained(*optimisers()[which], again, dtype));
        for (const dt::Pass& pass : dt::passes()) {
          if (!pass.optional) continue;
          CAPTURE(pass.name);
          const dt::CompileOptions without{{std::string(pass.name)}};
          check_all_near(one, trained(*optimisers()[which], again, dtype, without),
                         dtype == dt::float32 ? 1e-5 : 1e-13);
        }
      }
}

TEST_CASE("estimates are the same whatever passes run") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (dt::ForwardGradientOptions options : variants())
      for (const bool replay : {false, true})
        for (const dt::Pass& pass : dt::passes()) {
          if (!pass.optional) continue;
          CAPTURE(dt::name_of(options.perturbation));
          CAPTURE(options.rank);
          CAPTURE(pass.name);
          options.replay = replay;
          check_all_near(estimates_of(options, dtype),
                         estimates_of(options, dtype, {{std::string(pass.name)}}),
                         dtype == dt::float32 ? 1e-5 : 1e-13);
        }
}

TEST_CASE("directions that cannot be drawn are refused") {
  dt::Graph g;
  const dt::Var w = g.input("w", {3, 2}, dt::float64);
  const dt::Var key = g.constant(dt::Key(9).to_tensor());
  const dt::Var loss = dt::sum(dt::square(w));
  const auto refused = [&](const dt::ForwardGradientOptions& options) {
    return error_of<dt::ValueError>(
        [&] { static_cast<void>(dt::forward_gradient(loss, {w}, key, options)); });
  };
  CHECK(has(refused({.rank = -1}), "the rank of a direction is -1"));
  CHECK(has(refused({.perturbation = Perturbation::sphere, .rank = 1}), "sphere"));
  CHECK(has(refused({.standardise = true, .rank = 1}), "standardised"));
}
