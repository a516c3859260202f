#include <dualtape/models/lbfgs.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <tests/errors.hpp>
#include <tests/fixtures/read.hpp>

using namespace dualtape;

namespace {

using Vector = std::vector<double>;

// Rosenbrock's function of any even number of variables: minimum 0 at (1, 1, ...).
double rosenbrock(std::span<const double> x, std::span<double> g) {
  double loss = 0;
  for (std::size_t i = 0; i < x.size(); i += 2) {
    const double bend = x[i + 1] - x[i] * x[i];
    loss += 100 * bend * bend + (1 - x[i]) * (1 - x[i]);
    g[i] = -400 * x[i] * bend - 2 * (1 - x[i]);
    g[i + 1] = 200 * bend;
  }
  return loss;
}

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

TEST_CASE("L-BFGS finds Rosenbrock's minimum, in any number of dimensions") {
  // SciPy's L-BFGS-B takes 37, 109 and 152 iterations from there, PyTorch's 37, 146 and over 500.
  const struct {
    std::size_t variables;
    std::int64_t iterations;
  } cases[] = {{2, 45}, {10, 150}, {100, 300}};
  for (const auto& wanted : cases) {
    CAPTURE(wanted.variables);
    Vector x;
    for (std::size_t i = 0; i < wanted.variables; i += 2)
      x.insert(x.end(), {-1.2, 1 + 0.005 * static_cast<double>(i)});
    const LbfgsResult result = lbfgs(rosenbrock, x, {.iterations = 500, .change_below = 0});
    CHECK(result.stop == LbfgsStop::gradient);
    CHECK(result.iterations <= wanted.iterations);
    CHECK(result.evaluations <= 13 * result.iterations / 10);
    CHECK(result.loss < 1e-12);
    CHECK(result.largest_gradient <= 1e-7);
    double furthest = 0;
    for (const double value : x) furthest = std::max(furthest, std::abs(value - 1));
    CHECK(furthest < 1e-6);
  }
}

TEST_CASE("every step meets the strong Wolfe conditions") {
  for (const double c2 : {0.9, 0.1}) {
    Vector point{-1.2, 1, 3, -2};
    Vector gradient(4);
    double loss = rosenbrock(point, gradient);
    Vector x = point;
    int steps = 0;
    LbfgsOptions options{.change_below = 0, .c2 = c2};
    options.on_iteration = [&](const LbfgsIteration& now) {
      ++steps;
      CHECK(now.iteration == steps);
      const Vector at(now.point.begin(), now.point.end());
      const Vector slope(now.gradient.begin(), now.gradient.end());
      Vector moved(4);
      for (std::size_t i = 0; i < 4; ++i) moved[i] = at[i] - point[i];
      const double before = dot(gradient, moved);
      CHECK(before < 0);
      CHECK(now.loss <= loss + 1e-4 * before + 1e-15);
      CHECK(std::abs(dot(slope, moved)) <= c2 * std::abs(before) * (1 + 1e-9) + 1e-15);
      point = at;
      gradient = slope;
      loss = now.loss;
      return true;
    };
    const LbfgsResult result = lbfgs(rosenbrock, x, options);
    CHECK(result.stop == LbfgsStop::gradient);
    CHECK(result.iterations == steps);
    CHECK(steps > 5);
  }
}

TEST_CASE("the minimum of a logistic regression is SciPy's and PyTorch's") {
  Tensor x({40, 3}, float64);
  Tensor y({40}, float64);
  for (std::int64_t i = 0; i < 40; ++i) {
    for (std::int64_t j = 0; j < 3; ++j)
      x.data<double>()[static_cast<std::size_t>(3 * i + j)] =
          std::sin(static_cast<double>(3 * i + 7 * j)) + static_cast<double>((i % 4) * j) / 5;
    const auto angle = static_cast<double>(i);
    y.data<double>()[static_cast<std::size_t>(i)] =
        std::sin(3 * angle) + std::cos(angle) > 0.3 ? 1 : -1;
  }
  const Parameter w("w", zeros({3}, float64));
  const Parameter b("b", zeros({}, float64));
  Graph g;
  const Var inputs = g.input("x", {40, 3}, float64);
  const Var margin = y * (matmul(inputs, w) + b);
  const Var loss = mean(softplus(-margin)) + 0.005 * sum(square(g.read(w)));
  Lbfgs solver({w, b}, loss, reverse(loss, {w, b}), {.gradient_below = 1e-9});
  const LbfgsResult result = solver.minimise({{inputs, x}});
  CHECK(result.stop != LbfgsStop::iterations);
  CHECK(result.largest_gradient <= 1e-7);

  const std::vector<fixtures::Line> programs = fixtures::read("lbfgs.csv", 1);
  CHECK(programs.size() == 2);
  for (const fixtures::Line& line : programs) {
    CAPTURE(line.labels.at(0));
    const std::vector<double>& wanted = line.numbers;
    REQUIRE(wanted.size() == 5);
    CHECK(result.loss == doctest::Approx(wanted[0]).epsilon(1e-12));
    for (std::int64_t i = 0; i < 3; ++i)
      CHECK(w.value().at({i}) ==
            doctest::Approx(wanted[static_cast<std::size_t>(i) + 1]).epsilon(1e-5));
    CHECK(b.value().item() == doctest::Approx(wanted[4]).epsilon(1e-5));
  }
}

TEST_CASE("float32 parameters and gradients by forward mode do") {
  const Parameter p("p", Tensor{5, -3});
  Graph g;
  const Var read = g.read(p);
  const Var loss = sum(square(read - Tensor{1, 2}) * Tensor{1, 30});
  // One sweep along each axis.
  const Var first = forward(loss, {p}, {g.constant(Tensor{1, 0})});
  const Var second = forward(loss, {p}, {g.constant(Tensor{0, 1})});
  Gradients gradients;
  gradients.add(Wrt(p), read, first * Tensor{1, 0} + second * Tensor{0, 1});
  Lbfgs solver({p}, loss, gradients, {.gradient_below = 1e-4});
  CHECK(solver.minimise().loss < 1e-9);
  CHECK(all_close(p.value(), Tensor{1, 2}, 1e-4));
}

TEST_CASE("losses that are not finite are walked around, a start that is not is refused") {
  // -log(x) + x beyond 0, infinite elsewhere: minimum at 1. The first step goes far beyond 0.
  const auto barrier = [](std::span<const double> x, std::span<double> g) {
    g[0] = 1 - 1 / x[0];
    return x[0] > 0 ? x[0] - std::log(x[0]) : INFINITY;
  };
  Vector x{1e-3};
  const LbfgsResult result = lbfgs(barrier, x);
  CHECK(x[0] == doctest::Approx(1).epsilon(1e-6));
  CHECK(result.stop == LbfgsStop::gradient);
  Vector outside{-1};
  CHECK_THROWS_AS(lbfgs(barrier, outside), ValueError);

  const Parameter p("p", Tensor{-1});
  Graph g;
  const Var loss = sum(g.read(p) - log(g.read(p)));
  Lbfgs solver({p}, loss, reverse(loss, {p}));
  CHECK_THROWS_AS(solver.minimise(), ValueError);
  CHECK(identical(p.value(), Tensor{-1}));
}

TEST_CASE("it says why it stopped") {
  Vector x{-1.2, 1};
  CHECK(lbfgs(rosenbrock, x, {.iterations = 3}).stop == LbfgsStop::iterations);
  x = {-1.2, 1};
  const LbfgsResult few = lbfgs(rosenbrock, x, {.evaluations = 7});
  CHECK(few.stop == LbfgsStop::evaluations);
  CHECK(few.evaluations == 7);
  x = {-1.2, 1};
  CHECK(lbfgs(rosenbrock, x, {.on_iteration = [](const LbfgsIteration&) { return false; }})
            .iterations == 1);
  x = {1, 1};
  CHECK(lbfgs(rosenbrock, x).evaluations == 1);
  x = {-1.2, 1};
  CHECK(lbfgs(rosenbrock, x, {.gradient_below = 0, .change_below = 1e-3}).stop ==
        LbfgsStop::change);
  // A gradient of the wrong sign: nothing along it falls.
  const auto wrong = [](std::span<const double> at, std::span<double> g) {
    g[0] = -2 * at[0];
    return at[0] * at[0];
  };
  Vector one{1};
  CHECK(lbfgs(wrong, one).stop == LbfgsStop::line_search);
  CHECK(one[0] == 1);
}

TEST_CASE("options out of range and losses that are no number are refused") {
  Vector x{1, 2};
  CHECK_THROWS_AS(lbfgs(rosenbrock, x, {.history = 0}), ValueError);
  CHECK_THROWS_AS(lbfgs(rosenbrock, x, {.c1 = 0.5, .c2 = 0.4}), ValueError);
  CHECK_THROWS_AS(lbfgs(rosenbrock, x, {.gradient_below = NAN}), ValueError);
  const Parameter p("p", Tensor{1, 2});
  const Parameter other("other", Tensor{1, 2});
  Graph g;
  const Var loss = sum(square(g.read(p)));
  CHECK_THROWS_AS(Lbfgs({p}, square(g.read(p)), reverse(loss, {p})), ShapeError);
  CHECK_THROWS_AS(Lbfgs({other}, loss, reverse(loss, {p})), GraphError);
}

TEST_CASE("a state taken within an iteration is gone on from, and a wrong one refused") {
  const Parameter p("p", Tensor{-1.2, 1}.to(float64));
  Graph g;
  const Var x = take(p, g.constant(std::int64_t{0}), 0);
  const Var y = take(p, g.constant(std::int64_t{1}), 0);
  const Var loss = 100 * square(y - square(x)) + square(1 - x);
  const Gradients gradients = reverse(loss, {p});
  std::vector<NamedTensor> kept;
  Lbfgs* running = nullptr;
  Lbfgs first({p}, loss, gradients,
              {.change_below = 0, .on_iteration = [&](const LbfgsIteration& at) {
                 if (at.iteration == 12) kept = running->state();
                 return true;
               }});
  CHECK_THROWS_AS(first.state(), ValueError);
  running = &first;
  const LbfgsResult wanted = first.minimise();
  const Tensor end = p.value().copy();
  REQUIRE(wanted.iterations > 12);

  Lbfgs second({p}, loss, gradients, {.change_below = 0});
  second.restore(kept);
  CHECK(p.value().at({0}) == kept[0].tensor.at({0}));
  const LbfgsResult result = second.minimise();
  CHECK(result.stop == wanted.stop);
  CHECK(result.iterations == wanted.iterations);
  CHECK(result.evaluations == wanted.evaluations);
  CHECK(identical(p.value(), end));
  // A run that ended by its bound has ended; the next call begins anew.
  second.restore(first.state());
  CHECK(second.minimise().evaluations == wanted.evaluations);
  CHECK(second.minimise().evaluations == 1);

  // Without the history it goes another way.
  std::vector<NamedTensor> forgetful = kept;
  for (NamedTensor& named : forgetful)
    if (named.tensor.rank() == 2) named.tensor = zeros({0, 2}, float64);
  second.restore(forgetful);
  CHECK(second.minimise().evaluations != wanted.evaluations);

  const Tensor before = p.value().copy();
  for (std::size_t i = 0; i < kept.size(); ++i) {
    std::vector<NamedTensor> broken = kept;
    broken[i].tensor = zeros({3, 3, 3}, float64);
    CHECK_THROWS_AS(second.restore(broken), ValueError);
    broken.erase(broken.begin() + static_cast<std::ptrdiff_t>(i));
    CHECK_THROWS_AS(second.restore(broken), ValueError);
  }
  CHECK(identical(p.value(), before));
}

TEST_CASE(
    "an Lbfgs that was moved from, a null function and gradients of another shape are errors") {
  const Parameter p("p", Tensor::from(std::vector<double>{3}, Shape{1}));
  Graph g;
  const Var loss = sum(square(g.read(p)));
  Lbfgs gone({p}, loss, reverse(loss, {p}));
  Lbfgs kept = std::move(gone);
  const auto here = [](const auto& call) {
    try {
      call();
    } catch (const Error& error) {
      return std::string(error.what()).find("lbfgs_test.cpp:") != std::string::npos;
    }
    return false;
  };
  CHECK(here([&] { gone.minimise(); }));
  CHECK(here([&] { gone.state(); }));
  CHECK(here([&] { gone.restore({}); }));
  CHECK(here([&] { kept.state(); }));
  CHECK(kept.minimise().loss == 0);
  gone = std::move(kept);
  CHECK(gone.minimise().loss == 0);
  std::vector<double> point{1};
  CHECK(here([&] { lbfgs(nullptr, point); }));
  CHECK(here([&] { lbfgs([](auto, auto) { return 0.0; }, point, {.history = 0}); }));
  Gradients scalar;
  CHECK(here([&] { scalar.add(p, g.read(p), loss); }));
  CHECK(here([&] { Lbfgs({p}, loss, scalar); }));  // which has none for p
  const Gradients slopes = reverse(loss, {p});
  CHECK(here([&] { Lbfgs({}, loss, slopes); }));
  CHECK(here([&] { Lbfgs({p, p}, loss, slopes); }));
  CHECK(here([&] { Lbfgs({p}, cast(loss, int64), slopes); }));
}

TEST_CASE("an Lbfgs that is called or moved while it minimises says so") {
  const Parameter p("p", Tensor::from(std::vector<double>{3, -1}, Shape{2}));
  Graph g;
  const Var loss = sum(square(square(g.read(p))));
  Lbfgs* self = nullptr;
  int refused = 0;
  const auto refuses = [&](const auto& call) {
    try {
      call();
    } catch (const GraphError&) {
      ++refused;
    }
  };
  LbfgsOptions options;
  options.on_iteration = [&](const LbfgsIteration& at) {
    if (at.iteration == 2) {
      refuses([&] { self->minimise(); });
      refuses([&] { self->restore(self->state()); });
    }
    if (at.iteration == 3) const Lbfgs taken = std::move(*self);  // and ended
    return true;
  };
  Lbfgs optimiser({p}, loss, reverse(loss, {p}), options);
  self = &optimiser;
  const std::string text = testing::error_of<GraphError>([&] { optimiser.minimise(); });
  CHECK(refused == 2);
  CHECK(testing::has(text, "[minimise] the Lbfgs was moved"));
  CHECK(testing::has(text, "lbfgs_test.cpp:"));
  CHECK(identical(p.value(), Tensor::of({3, -1}, float64)));  // as it was
  CHECK_THROWS_AS(optimiser.minimise(), GraphError);
}
