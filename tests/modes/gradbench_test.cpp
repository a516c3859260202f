// Evaluations of GradBench (github.com/gradbench/gradbench, MIT) with worked figures: values,
// gradients and a Hessian's diagonal, written as one would write them here.
#include <doctest/doctest.h>

#include <cmath>
#include <span>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/modes/gradbench.hpp>

namespace dt = dualtape;
using namespace gradbench;

namespace {

// From primitives: log sum e^x with the largest taken out.
dt::Var log_sum_exp(dt::Var x, const std::vector<std::int64_t>& axes = {}) {
  const dt::Var most = dt::stop_gradient(dt::max(x, axes, true));
  return dt::squeeze(dt::log(dt::sum(dt::exp(x - most), axes, true)) + most, axes);
}

// By expansion along the first row.
dt::Var determinant(dt::Var a) {
  const std::int64_t n = a.shape()[0];
  if (n == 1) return dt::reshape(a, dt::Shape{});
  dt::Var total;
  for (std::int64_t j = 0; j < n; ++j) {
    std::vector<dt::Var> others;
    if (j > 0) others.push_back(dt::slice(a, 1, 0, j));
    if (j < n - 1) others.push_back(dt::slice(a, 1, j + 1, n));
    const dt::Var rest = dt::slice(others.size() == 1 ? others[0] : dt::concat(others, 1), 0, 1, n);
    const dt::Var term = a[{0, j}] * determinant(rest);
    total = j == 0 ? term : j % 2 == 0 ? total + term : total - term;
  }
  return total;
}

dt::Var kmeans_cost(dt::Var points, dt::Var centroids) {
  const dt::Var apart = dt::unsqueeze(points, 1) - dt::unsqueeze(centroids, 0);
  return dt::sum(dt::min(dt::sum(apart * apart, {2}), {1}));
}

// Gradient over the diagonal of the Hessian, which is diagonal: times ones, it is its diagonal.
dt::Tensor kmeans_direction(const dt::Tensor& points, const dt::Tensor& centroids) {
  const auto cost = [&](dt::Var c) { return kmeans_cost(c.graph().constant(points), c); };
  const dt::Tensor gradient = dt::grad(cost)(centroids);
  const dt::Tensor diagonal = dt::hvp(cost, centroids, dt::ones(centroids.shape(), dt::float64));
  return dt::eval([](dt::Var g, dt::Var h) { return g / h; }, {gradient, diagonal});
}

dt::Var least_squares(dt::Var x, std::int64_t n) {
  const dt::Tensor t = dt::linspace(-1, 1, n, dt::float64);
  const dt::Var at = x.graph().constant(t);
  std::vector<dt::Var> powers{dt::ones_like(at)};
  for (std::int64_t j = 1; j < x.shape()[0]; ++j) powers.push_back(powers.back() * at);
  return 0.5 * dt::sum(dt::square(dt::sign(at) - dt::matmul(dt::stack(powers, 1), x)));
}

}  // namespace

TEST_CASE("GradBench: hello") {
  const auto square = [](dt::Var x) { return dt::square(x); };
  double y = 1;
  for (const double wanted : {1.0, 4.0, 64.0, 16384.0}) {
    y = dt::eval(square, dt::Tensor::scalar(y)).item();
    CHECK(y == wanted);
    y = dt::grad(square)(dt::Tensor::scalar(y)).item();
    CHECK(y == 2 * wanted);
  }
}

TEST_CASE("GradBench: det, a determinant by expansion and its gradient, the cofactors") {
  const dt::Tensor a = tensor({2, -1, .5, 1, 3, -2, .25, 4, 1}, {3, 3});
  CHECK(dt::eval(determinant, a).item() == doctest::Approx(25.125).epsilon(1e-14));
  check_numbers(dt::grad(determinant)(a), {11, -1.5, 3.25, 3, 1.875, -8.25, .5, 4.5, 7}, 1e-13);
  const dt::Tensor drawn = Draws()({5, 5});
  CHECK(dt::eval(determinant, drawn).item() == doctest::Approx(0.004911350095).epsilon(1e-9));
  const dt::Tensor by_library = dt::grad([](dt::Var m) { return dt::det(m); })(drawn);
  CHECK(dt::all_close(dt::grad(determinant)(drawn), by_library, 1e-10, 1e-12));
}

TEST_CASE("GradBench: lse") {
  const auto f = [](dt::Var x) { return log_sum_exp(x); };
  const dt::Tensor x = tensor({.5, -1, 2}, {3});
  CHECK(dt::eval(f, x).item() == doctest::Approx(2.241311296657).epsilon(1e-12));
  check_numbers(dt::grad(f)(x), {.175290392140, .039112573271, .785597034589}, 1e-11);
  CHECK(dt::eval(f, Draws()({2500})).item() == doctest::Approx(8.367846526577).epsilon(1e-12));
}

TEST_CASE("GradBench: llsq") {
  const auto f = [](dt::Var x) { return least_squares(x, 5); };
  const dt::Tensor x = tensor({.5, -.25, .75}, {3});
  CHECK(dt::eval(f, x).item() == 4.98828125);
  check_numbers(dt::grad(f)(x), {4.375, -3.625, 2.84375}, 1e-14);
  const auto default_one = [](dt::Var v) { return least_squares(v, 16); };
  CHECK(dt::eval(default_one, Draws()({128})).item() ==
        doctest::Approx(1970.516863768).epsilon(1e-11));
}

TEST_CASE("GradBench: kmeans, the direction from one Hessian times vector") {
  const dt::Tensor points = tensor({0, 0, 1, 0, 4, 4, 5, 2}, {4, 2});
  const dt::Tensor centroids = tensor({.25, .5, 4, 3.5}, {2, 2});
  CHECK(dt::eval(kmeans_cost, {points, centroids}).item() == 4.625);
  check_numbers(kmeans_direction(points, centroids), {-.25, .5, -.5, .5}, 1e-14);
  // The Hessian is diagonal indeed.
  const dt::Tensor h =
      dt::hessian([&](dt::Var c) { return kmeans_cost(c.graph().constant(points), c); })(centroids);
  for (std::int64_t i = 0; i < 4; ++i)
    for (std::int64_t j = 0; j < 4; ++j)
      CHECK(h.at({i / 2, i % 2, j / 2, j % 2}) == (i == j ? 4 : 0));
  const dt::Tensor drawn = Draws()({1000, 8});
  const dt::Tensor last = drawn.rows(990, 1000);
  CHECK(dt::eval(kmeans_cost, {drawn, last}).item() ==
        doctest::Approx(609.338987589).epsilon(1e-11));
}

TEST_CASE("GradBench: gmm, a mixture of Gaussians with a Wishart prior") {
  constexpr std::int64_t d = 2, k = 2, n = 3, m = 1;
  constexpr double gamma = .8, pi = 3.14159265358979323846;
  const dt::Tensor x = tensor({.5, -1, 1, .25, -.75, 2}, {n, d});
  const auto objective = [&](std::span<const dt::Var> in) -> dt::Var {
    const dt::Var alpha = in[0], mu = in[1], q = in[2], l = in[3];
    // Q_k: e^q on the diagonal, l below it column by column; of two rows one number.
    const dt::Var lower = dt::pad(dt::unsqueeze(l, 2), {0, 1, 0}, {0, 0, 1});
    const dt::Var matrices = dt::diag_embed(dt::exp(q)) + lower;
    const auto squares = [](dt::Var point, dt::Var centre, dt::Var matrix) {
      return dt::sum(dt::square(dt::matmul(matrix, point - centre)));
    };
    const auto to_each = dt::vmap(squares, {.in = {std::nullopt, 0, 0}});
    const dt::Var apart = dt::vmap(to_each, {.in = {0, std::nullopt, std::nullopt}})(
        alpha.graph().constant(x), mu, matrices);
    const dt::Var logs = alpha + dt::sum(q, {1}) - 0.5 * apart;
    constexpr double nu = d + m + 1;
    const double log_gamma =
        d * (d - 1) / 4.0 * std::log(pi) + std::lgamma(nu / 2) + std::lgamma(nu / 2 - 0.5);
    const dt::Var prior = k * (nu * d * std::log(gamma / std::sqrt(2.0)) - log_gamma) +
                          m * dt::sum(q) - gamma * gamma / 2 * dt::sum(dt::square(matrices));
    return -n * (d / 2.0 * std::log(2 * pi) + log_sum_exp(alpha)) +
           dt::sum(log_sum_exp(logs, {1})) + prior;
  };
  const std::vector<dt::Tensor> at{tensor({.3, -.2}, {k}), tensor({.1, .6, -.4, .9}, {k, d}),
                                   tensor({.2, -.3, .05, .4}, {k, d}), tensor({.7, -1.1}, {k, 1})};
  CHECK(dt::eval(objective, at).item() == doctest::Approx(-20.761904567837).epsilon(1e-13));
  const std::vector<dt::Tensor> slopes = dt::value_and_grad(objective)(at).gradient;
  check_numbers(slopes[0], {.910243848609, -.910243848609});
  check_numbers(slopes[1], {.744690500177, -.139033066893, -.374583573203, .468961853856});
  check_numbers(slopes[2], {.540783393769, 2.07719450064, .425401560608, -.921135418681});
  check_numbers(slopes[3], {-.106652897008, .945221386099});
}
