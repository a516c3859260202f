// Laplacians, biharmonics and their estimates: against Hessians, closed forms and enumeration.
#include <dualtape/modes/laplacian.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>
#include <tests/modes/drawn.hpp>

namespace dt = dualtape;
using dualtape::testing::error_of;
using dualtape::testing::has;
using dualtape::testing::numbers;

namespace {

double trace(const dt::Tensor& h) {
  double sum = 0;
  for (std::int64_t i = 0; i < h.size(0); ++i) sum += h.at({i, i});
  return sum;
}

// A net of two hidden layers, of rows to one number each.
struct Net {
  dt::Tensor a = numbers({4, 7}, 1), b = numbers({7, 6}, 2), c = numbers({6, 1}, 3);
  dt::Var operator()(dt::Var x) const {
    const dt::Var h = dt::tanh(dt::matmul(dt::tanh(dt::matmul(x, a)), b));
    return dt::reshape(dt::matmul(h, c), {x.shape()[0]});
  }
  dt::Var of_one(dt::Var x) const { return dt::reshape((*this)(dt::reshape(x, {1, 4})), {}); }
};

dt::Tensor key_of(std::int64_t number) { return dt::Tensor::scalar(number); }

// All rows of n signs.
dt::Tensor all_signs(std::int64_t n) {
  const std::int64_t rows = std::int64_t{1} << n;
  dt::Tensor signs = dt::zeros({rows, n}, dt::float64);
  const auto data = signs.data<double>();
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < n; ++i)
      data[static_cast<std::size_t>(r * n + i)] = (r >> i) % 2 == 0 ? 1 : -1;
  return signs;
}

}  // namespace

TEST_CASE("the Laplacian is the trace of the Hessian, with and without the pass") {
  const Net net;
  const auto f = [&](dt::Var x) { return net.of_one(x); };
  const dt::Tensor x = numbers({4}, 4);
  const double wanted = trace(dt::hessian(f)(x));
  CHECK(dt::laplacian(f)(x).item() == doctest::Approx(wanted).epsilon(1e-12));
  dt::Graph g;
  const dt::Var in = g.input("x", {4}, dt::float64);
  const dt::Var l = dt::laplacian(f(in), in);
  dt::Program plain = dt::compile({l}, {}, {.without = {"collapse"}});
  CHECK(plain.run({{in, x}})[l].item() == doctest::Approx(wanted).epsilon(1e-12));
}

TEST_CASE("Laplacians at many points: by their axes, under vmap, and one after the other") {
  const Net net;
  const auto of_one = [&](dt::Var x) { return net.of_one(x); };
  const dt::Tensor x = numbers({5, 4}, 5);
  const dt::Tensor by_axes = dt::laplacian(net, {.points = 1})(x);
  const dt::Tensor by_vmap = dt::vmap(dt::laplacian(of_one))(x);
  REQUIRE(by_axes.shape() == dt::Shape{5});
  CHECK(dt::all_close(by_axes, by_vmap, 1e-12, 1e-12));
  for (std::int64_t i = 0; i < 5; ++i)
    CHECK(by_axes.at({i}) ==
          doctest::Approx(dt::laplacian(of_one)(x.row(i)).item()).epsilon(1e-12));
  // Of the whole batch as one input it is the sum where each value depends on its point alone.
  const dt::Tensor whole = dt::laplacian([&](dt::Var v) { return dt::sum(net(v)); })(x);
  CHECK(whole.item() ==
        doctest::Approx(dt::eval([](dt::Var v) { return dt::sum(v); }, by_axes).item()));
}

TEST_CASE("the planner carries 2 + D vectors instead of 1 + 2 D, also in sums that users write") {
  const Net net;
  dt::Graph g;
  const dt::Var x = g.input("x", {5, 4}, dt::float64);
  // Rows that go through the second layer, in all its products.
  const auto rows = [](dt::Var value, const dt::CompileOptions& options) {
    std::int64_t count = 0;
    const dt::Plan plan = dt::optimised_plan(std::vector{value}, {}, options);
    for (const dt::PlanNode& node : plan.nodes) {
      const dt::Shape& shape = plan.values[node.first_value].shape;
      if (node.op->name() == "matmul" && shape.back() == 6) count += shape.count() / 6;
    }
    return count;
  };
  const dt::Var y = net(x);
  const auto second = [&](dt::Var v) {
    return dt::taylor(y, x, {dt::broadcast_to(v, x.shape())}, 2)[2];
  };
  const dt::Var by_hand =
      2.0 * dt::sum(dt::vmap(second)(g.constant(dt::eye(4, 4, 0, dt::float64))), {0});
  const auto of_one = [&](dt::Var v) { return net.of_one(v); };
  const std::vector<dt::Var> ways{dt::laplacian(y, x, {.points = 1}), by_hand,
                                  dt::vmap(dt::laplacian(of_one))(x)};
  for (const dt::Var& value : ways) {
    CHECK(rows(value, {.without = {"collapse"}}) == 5 * (1 + 2 * 4));
    CHECK(rows(value, {}) == 5 * (2 + 4));
  }
  // Of fourth derivatives along 16 directions all but the highest coefficient stay.
  const dt::Var b = dt::biharmonic(y, x, {.points = 1});
  CHECK(rows(b, {.without = {"collapse"}}) == 5 * (1 + 4 * 12));  // e_i count nothing for D = 4
  CHECK(rows(b, {}) == 5 * (2 + 3 * 12));
}

TEST_CASE("values of several numbers, and gradients of Laplacians") {
  // (sin x_0 x_1, |x|^4): closed forms.
  const auto f = [](dt::Var x) {
    return dt::stack({dt::sin(x[0] * x[1]), dt::square(dt::sum(dt::square(x)))});
  };
  const dt::Tensor x = numbers({3}, 6);
  const double a = x.at({0}), b = x.at({1}), c = x.at({2});
  const double r = a * a + b * b + c * c;
  const dt::Tensor l = dt::laplacian(f)(x);
  REQUIRE(l.shape() == dt::Shape{2});
  CHECK(l.at({0}) == doctest::Approx(-(a * a + b * b) * std::sin(a * b)));
  CHECK(l.at({1}) == doctest::Approx(20 * r));  // 4 (n + 2) |x|^2
  const dt::Tensor slope = dt::grad([&](dt::Var v) { return dt::laplacian(f)(v)[1]; })(x);
  CHECK(slope.at({2}) == doctest::Approx(40 * c));
}

TEST_CASE("the biharmonic is the Laplacian of the Laplacian") {
  for (const std::int64_t n : {1, 2, 3, 4, 5, 6}) {
    CAPTURE(n);
    const auto f = [](dt::Var x) {
      return dt::exp(0.5 * dt::sum(x)) + dt::square(dt::sum(dt::square(x)));
    };
    const dt::Tensor x = numbers({n}, 7);
    const double wanted = dt::laplacian(dt::laplacian(f))(x).item();
    CHECK(dt::biharmonic(f)(x).item() == doctest::Approx(wanted).epsilon(1e-10));
    const auto power = [](dt::Var v) { return dt::square(dt::sum(dt::square(v))); };
    const auto d = static_cast<double>(n);
    CHECK(dt::biharmonic(power)(x).item() == doctest::Approx(8 * d * (d + 2)).epsilon(1e-10));
  }
  const Net net;
  const dt::Tensor x = numbers({3, 4}, 8);
  const dt::Tensor at_points = dt::biharmonic(net, {.points = 1})(x);
  const auto of_one = [&](dt::Var v) { return net.of_one(v); };
  for (std::int64_t i = 0; i < 3; ++i)
    CHECK(at_points.at({i}) ==
          doctest::Approx(dt::biharmonic(of_one)(x.row(i)).item()).epsilon(1e-9));
}

TEST_CASE("sums over directions: weights, and the trace of a matrix with the Hessian") {
  const Net net;
  dt::Graph g;
  const dt::Var x = g.constant(numbers({4}, 9));
  const dt::Var y = net.of_one(x);
  const dt::Tensor rows = numbers({3, 4}, 10),
                   weights = dt::Tensor::of({2.0, -1.0, 0.5}, dt::float64);
  const dt::Var sum = dt::derivative_sum(y, x, g.constant(rows), 2, {}, weights);
  const dt::Tensor h = dt::eval(dt::hessian(y, x));
  double wanted = 0;
  for (std::int64_t k = 0; k < 3; ++k)
    for (std::int64_t i = 0; i < 4; ++i)
      for (std::int64_t j = 0; j < 4; ++j)
        wanted += weights.at({k}) * rows.at({k, i}) * h.at({i, j}) * rows.at({k, j});
  CHECK(dt::eval(sum).item() == doctest::Approx(wanted).epsilon(1e-12));
  // Order 1 is the gradient along the sum of the directions.
  const dt::Var first = dt::derivative_sum(y, x, g.constant(rows), 1);
  const dt::Var along = dt::sum(dt::reverse(y, {x})[x] * dt::sum(g.constant(rows), {0}));
  CHECK(dt::eval(first).item() == doctest::Approx(dt::eval(along).item()).epsilon(1e-12));
}

TEST_CASE("Hutchinson's estimate is unbiased: the mean over all vectors of signs is the trace") {
  for (const std::int64_t n : {2, 5, 10}) {
    dt::Graph g;
    const dt::Var x = g.constant(numbers({n}, 11));
    const dt::Var y = dt::prod(1 + 0.3 * dt::sin(x)) + dt::exp(0.2 * dt::sum(x));
    const double all = dt::eval(dt::derivative_sum(y, x, g.constant(all_signs(n)), 2)).item();
    CHECK(all / static_cast<double>(std::int64_t{1} << n) ==
          doctest::Approx(dt::eval(dt::laplacian(y, x)).item()).epsilon(1e-11));
  }
}

TEST_CASE(
    "the mean over all coordinates is the Laplacian over D, and so are all of them drawn at once") {
  dt::Graph g;
  const dt::Var x = g.constant(numbers({6}, 12));
  const dt::Var y = dt::prod(1 + 0.3 * dt::sin(x));
  const dt::Var key = g.input("key", {}, dt::int64);
  const double exact = dt::eval(dt::laplacian(y, x)).item();
  const dt::Tensor h = dt::eval(dt::hessian(y, x));
  const dt::Var all =
      dt::stochastic_laplacian(y, x, key, {.probe = dt::Probe::coordinates, .samples = 6});
  CHECK(dt::eval(all, {{key, key_of(3)}}).item() == doctest::Approx(exact).epsilon(1e-11));
  // One at a time it is D times an entry of the diagonal, each of which comes.
  const dt::Var one = dt::stochastic_laplacian(y, x, key, {.probe = dt::Probe::coordinates});
  dt::Program program = dt::compile({one});
  std::vector<int> times(6);
  for (std::int64_t k = 0; k < 600; ++k) {
    const double value = program.run({{key, key_of(k)}})[one].item();
    int found = 0;
    for (std::int64_t i = 0; i < 6; ++i)
      if (std::abs(value - 6 * h.at({i, i})) <= 1e-10) {
        ++times[static_cast<std::size_t>(i)];
        ++found;
      }
    REQUIRE(found == 1);
  }
  for (const int count : times) CHECK(std::abs(count - 100) < 50);  // 5 deviations are 46
}

TEST_CASE("estimates have the exact mean and variance") {
  dt::Graph g;
  const dt::Var x = g.constant(numbers({4}, 13));
  const dt::Tensor a = numbers({4, 4}, 14);
  const dt::Var y = 0.5 * dt::sum(x * dt::matmul(a, x));  // whose Hessian is (A + A^T) / 2
  const dt::Tensor h = dt::eval(dt::hessian(y, x));
  double squares = 0, diagonal = 0;
  for (std::int64_t i = 0; i < 4; ++i) {
    diagonal += h.at({i, i}) * h.at({i, i});
    for (std::int64_t j = 0; j < 4; ++j) squares += h.at({i, j}) * h.at({i, j});
  }
  const dt::Var key = g.input("key", {}, dt::int64);
  for (const auto& [probe, variance] : {std::pair{dt::Probe::rademacher, 2 * (squares - diagonal)},
                                        std::pair{dt::Probe::normal, 2 * squares}}) {
    const dt::Var e = dt::stochastic_laplacian(y, x, key, {.probe = probe, .samples = 8});
    dt::Program program = dt::compile({e});
    constexpr int runs = 1000;
    double mean = 0, second = 0;
    for (std::int64_t k = 0; k < runs; ++k) {
      const double gap = program.run({{key, key_of(k)}})[e].item() - trace(h);
      mean += gap / runs;
      second += gap * gap / runs;
    }
    CHECK(std::abs(mean) < 5 * std::sqrt(variance / 8 / runs));
    CHECK(second == doctest::Approx(variance / 8).epsilon(0.25));
  }
}

TEST_CASE("the stochastic biharmonic is unbiased, by Gauss and Hermite's nodes") {
  // For a quartic the fourth derivative along v is a quartic of v, whose normal mean the grid of
  // nodes 0 and +-sqrt(3) with weights 2/3 and 1/6 gives exactly.
  const std::int64_t n = 3;
  const dt::Tensor a = numbers({n}, 15);
  const auto f = [&](dt::Var x) {
    return dt::square(dt::square(dt::sum(x * a))) + dt::square(dt::sum(dt::square(x)));
  };
  std::vector<double> rows, weights;
  const double nodes[] = {0, std::sqrt(3.0), -std::sqrt(3.0)},
               shares[] = {2 / 3.0, 1 / 6.0, 1 / 6.0};
  for (const int i : {0, 1, 2})
    for (const int j : {0, 1, 2})
      for (const int k : {0, 1, 2}) {
        rows.insert(rows.end(), {nodes[i], nodes[j], nodes[k]});
        weights.push_back(shares[i] * shares[j] * shares[k] / 3);
      }
  dt::Graph g;
  const dt::Var x = g.constant(numbers({n}, 16));
  const dt::Var y = f(x);
  const dt::Var mean = dt::derivative_sum(y, x, g.constant(dt::Tensor::from(rows, {27, n})), 4, {},
                                          dt::Tensor::from(weights, {27}));
  const double exact = dt::eval(dt::biharmonic(y, x)).item();
  CHECK(dt::eval(mean).item() == doctest::Approx(exact).epsilon(1e-10));
  const dt::Var key = g.input("key", {}, dt::int64);
  const dt::Var estimate =
      dt::stochastic_biharmonic(y, x, key, {.probe = dt::Probe::normal, .samples = 4000});
  CHECK(dt::eval(estimate, {{key, key_of(1)}}).item() == doctest::Approx(exact).epsilon(0.2));
}

TEST_CASE("what does not depend, or not enough, on the input has a Laplacian of zero") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3}, dt::float64), other = g.constant(numbers({3}, 17));
  CHECK(dt::eval(dt::laplacian(dt::sum(other), x)).item() == 0);
  CHECK(dt::eval(dt::laplacian(2 * x, x)).at({1}) == 0);
  CHECK(dt::eval(dt::laplacian(dt::sum(dt::relu(x) * other), x), {{x, numbers({3}, 18)}}).item() ==
        0);
}

TEST_CASE("errors of Laplacians and estimates") {
  dt::Graph g;
  const dt::Var x = g.input("x", {4, 3}, dt::float64), y = dt::sum(dt::exp(x), {1});
  CHECK(has(error_of<dt::ShapeError>([&] { dt::laplacian(y, x, {.points = 2}); }),
            "2 axes of points"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::laplacian(y, x, {.points = -1}); }), "-1 axes"));
  CHECK(
      has(error_of<dt::ShapeError>([&] { dt::laplacian(dt::sum(y, {0}, true), x, {.points = 1}); }),
          "are not those of the value"));
  const dt::Var n = g.input("n", {}, dt::int64);
  CHECK(has(error_of<dt::TypeError>([&] { dt::laplacian(y, n); }), "only float32 and float64"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::derivative_sum(y, x, x, 2); }),
            "with one in front that numbers them"));
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::derivative_sum(y, x, g.input("v", {2, 3}, dt::float64), 2, {.points = 1},
                                 dt::zeros({3}));
            }),
            "for 2 directions"));
  CHECK(has(error_of<dt::ValueError>([&] { dt::stochastic_laplacian(y, x, n, {.samples = 0}); }),
            "0 samples"));
  CHECK(has(error_of<dt::ValueError>([&] {
              dt::stochastic_laplacian(
                  y, x, n, {.probe = dt::Probe::coordinates, .samples = 4, .points = 1});
            }),
            "4 samples of 3 coordinates"));
  CHECK(has(error_of<dt::ValueError>(
                [&] { dt::stochastic_biharmonic(y, x, n, {.probe = dt::Probe::rademacher}); }),
            "not Probe::normal"));
}

TEST_CASE("Vars that are empty, of a graph that has ended or of another one are refused") {
  dt::Graph g, other;
  const dt::Var x = g.input("x", {3}, dt::float64), y = dt::sum(dt::exp(x));
  const dt::Var key = g.input("key", {}, dt::int64);
  const auto gone = [] {
    dt::Graph ended;
    return ended.input("gone", {3}, dt::float64);
  };
  for (const dt::Var& bad : {dt::Var{}, gone(), other.input("x", {3}, dt::float64)}) {
    const std::vector<std::function<void()>> acts{[&] { dt::taylor(bad, x, {x}, 2); },
                                                  [&] { dt::taylor(y, bad, {x}, 2); },
                                                  [&] { dt::taylor(y, x, {bad}, 2); },
                                                  [&] {
                                                    dt::taylor_all({y, bad}, {x}, {{x}}, 2);
                                                  },
                                                  [&] {
                                                    dt::mixed_partial(bad, x, {1, 0, 1});
                                                  },
                                                  [&] {
                                                    dt::mixed_partial(y, bad, {1, 0, 1});
                                                  },
                                                  [&] { dt::laplacian(bad, x); },
                                                  [&] { dt::laplacian(y, bad); },
                                                  [&] { dt::biharmonic(y, bad); },
                                                  [&] { dt::derivative_sum(y, x, bad, 2); },
                                                  [&] { dt::stochastic_laplacian(y, bad, key); },
                                                  [&] { dt::stochastic_laplacian(y, x, bad); },
                                                  [&] { dt::stochastic_biharmonic(y, x, bad); }};
    for (std::size_t i = 0; i < acts.size(); ++i) {
      CAPTURE(i);
      CHECK(has(error_of<dt::GraphError>(acts[i]), "laplacian_test.cpp:"));
    }
  }
}

TEST_CASE("the Laplacian of nothing is zero") {
  const auto f = [](dt::Var x) { return dt::sum(x * x); };
  const dt::Tensor none(dt::Shape{0}, dt::float64);
  CHECK(dt::laplacian(f)(none).item() == 0);
  CHECK(dt::biharmonic(f)(none).item() == 0);
}
