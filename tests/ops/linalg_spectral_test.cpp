// Eigen- and singular values: what they promise of their results, known figures, gradients that do
// not depend on the choice of vectors, errors.
#include <doctest/doctest.h>

#include <limits>

#include <dualtape/ops/diagonals.hpp>
#include <dualtape/ops/linalg_factor.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/slice.hpp>

#include "factors.hpp"

using namespace factors;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

dt::Var symmetric(dt::Graph& g, std::uint64_t seed, const Shape& shape, dt::DType dtype) {
  const dt::Var a = g.constant(drawn(seed, shape, dtype));
  return a + dt::transpose(a);
}

TEST_CASE("V diag(w) V^T is the matrix, V orthonormal, w ascending") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const Shape& shape : {Shape{1, 1}, Shape{4, 4}, Shape{3, 2, 2}, Shape{60, 60}}) {
      CAPTURE(shape);
      dt::Graph g;
      const dt::Var a = symmetric(g, 1, shape, dtype);
      const dt::Eigh factors = dt::eigh(a);
      const dt::Var scaled = factors.vectors * dt::unsqueeze(factors.values, -2);
      check_same(dt::matmul(scaled, factors.vectors, {false, true}), a, 50 * slack(dtype));
      check_orthonormal(factors.vectors);
      const Numbers w = numbers(dt::eval(factors.values));
      const auto n = static_cast<std::size_t>(shape.back());
      for (std::size_t i = 1; i < w.size(); ++i)
        if (i % n != 0) CHECK(w[i] >= w[i - 1]);
    }
}

TEST_CASE("eigenvalues of a chain of springs are the textbook's, each vector's largest positive") {
  dt::Graph g;
  constexpr std::int64_t n = 6;
  const dt::Var a = g.constant(dt::eye(n, n, 0, dt::float64)) * 2.0 -
                    dt::eye(n, n, 1, dt::float64) - dt::eye(n, n, -1, dt::float64);
  const dt::Eigh factors = dt::eigh(a);
  Numbers wanted;
  for (int k = 1; k <= n; ++k) wanted.push_back(2 - 2 * std::cos(k * std::acos(-1.0) / (n + 1)));
  check_close(numbers(dt::eval(factors.values)), wanted, 1e-14);
  const Tensor v = dt::eval(factors.vectors);
  for (std::int64_t j = 0; j < n; ++j) {
    // A vector of such a chain is as large at either end.
    double size = 0;
    double largest = -1;
    for (std::int64_t i = 0; i < n; ++i) {
      size = std::max(size, std::abs(v.at({i, j})));
      largest = std::max(largest, v.at({i, j}));
    }
    CHECK(largest > size - 1e-9);
  }
}

TEST_CASE("gradients of eigenvalues are outer products of eigenvectors") {
  dt::Graph g;
  const dt::Var a = symmetric(g, 2, {4, 4}, dt::float64);
  const dt::Eigh factors = dt::eigh(a);
  for (std::int64_t k = 0; k < 4; ++k) {
    const dt::Var v = dt::slice(factors.vectors, 1, k, k + 1);
    check_close(slope(dt::sum(dt::slice(factors.values, 0, k, k + 1)), a),
                numbers(dt::eval(dt::matmul(v, v, {false, true}))), 1e-13);
  }
}

TEST_CASE("the exponential of a matrix turns with it: its gradient by way of eigenvectors") {
  // d tr(B e^A) along C for C that commutes with A is tr(B C e^A).
  dt::Graph g;
  const dt::Var a = symmetric(g, 3, {4, 4}, dt::float64);
  const dt::Var b = g.constant(drawn(8, {4, 4}));
  const auto exponential = [](dt::Var x) {
    const dt::Eigh factors = dt::eigh(x);
    return dt::matmul(factors.vectors * dt::unsqueeze(dt::exp(factors.values), -2), factors.vectors,
                      {false, true});
  };
  const dt::Var y = dt::trace(dt::matmul(b, exponential(a)));
  const dt::Var c = dt::matmul(a, a) + 3 * a;
  const dt::Var wanted = dt::trace(dt::matmul(b, dt::matmul(c, exponential(a))));
  CHECK(dt::eval(dt::forward(y, {a}, {c})).item() ==
        doctest::Approx(dt::eval(wanted).item()).epsilon(1e-12));
  CHECK(dt::eval(dt::sum(dt::reverse(y, {a})[a] * c)).item() ==
        doctest::Approx(dt::eval(wanted).item()).epsilon(1e-12));
}

TEST_CASE("by equal eigenvalues values have a derivative and vectors none") {
  dt::Graph g;
  const dt::Var a = g.constant(dt::eye(3, 3, 0, dt::float64));
  const dt::Eigh factors = dt::eigh(a);
  // The sum of the cubes of the eigenvalues is tr A^3: gradient 3 A^2.
  check_close(slope(dt::sum(dt::pow(factors.values, 3.0)), a), {3, 0, 0, 0, 3, 0, 0, 0, 3}, 1e-14);
  const dt::Var weights = g.constant(drawn(9, {3, 3}));
  for (const double value : slope(dt::sum(factors.vectors * weights), a))
    CHECK(!std::isfinite(value));
}

TEST_CASE("a matrix that is not symmetric is refused with the elements at fault") {
  dt::Graph g;
  const dt::Var a = g.constant(tensor({1, 0, 0, 1, 1, 2, 3, 1}).reshape({2, 2, 2}));
  const std::string text = error_of<dt::ValueError>([&] { dt::eval(dt::eigh(a).values); });
  CHECK(has(text, "eigh"));
  CHECK(has(text, "matrix 1 of the batch of 2 is not symmetric"));
  CHECK(has(text, "(1, 0) is 3"));
  CHECK(has(text, "(0, 1) is 2"));
  CHECK(has(text, "linalg_spectral_test.cpp"));
  const dt::Var close = g.constant(tensor({1, 1e-9, 0, 1}).reshape({2, 2}));
  CHECK(dt::eval(dt::eigh(close).values).count() == 2);
  const dt::Var bad = g.constant(tensor({1, nan, nan, 1}).reshape({2, 2}));
  for (const double value : numbers(dt::eval(dt::eigh(bad).values))) CHECK(std::isnan(value));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::eigh(g.constant(dt::ones({2, 3}))); }), "eigh"));
}

TEST_CASE("U diag(s) V^T is the matrix, both orthonormal, s descending and not negative") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const Shape& shape : {Shape{4, 4}, Shape{7, 3}, Shape{3, 7}, Shape{2, 3, 5, 2},
                               Shape{1, 1}, Shape{5, 1}, Shape{80, 50}, Shape{50, 80}}) {
      CAPTURE(shape);
      dt::Graph g;
      const dt::Var a = g.constant(drawn(5, shape, dtype));
      const dt::SVD factors = dt::svd(a);
      check_same(dt::matmul(factors.u * dt::unsqueeze(factors.s, -2), factors.vt), a,
                 50 * slack(dtype));
      check_orthonormal(factors.u);
      check_orthonormal(dt::transpose(factors.vt));
      const Numbers s = numbers(dt::eval(factors.s));
      const auto k = static_cast<std::size_t>(factors.s.shape().back());
      for (std::size_t i = 0; i < s.size(); ++i) {
        CHECK(s[i] >= 0);
        if (i % k != 0) CHECK(s[i] <= s[i - 1]);
      }
    }
}

TEST_CASE("squared singular values are the eigenvalues of the product with the transpose") {
  dt::Graph g;
  const dt::Var a = g.constant(drawn(6, {5, 3}));
  const dt::Var squares = dt::square(dt::svd(a).s);
  const dt::Var values = dt::eigh(dt::matmul(a, a, {true, false})).values;
  check_same(squares, dt::flip(values), 1e-13);
  // Gradients of sum s^2 = sum a_ij^2 by either way.
  check_close(slope(dt::sum(squares), a), numbers(dt::eval(2 * a)), 1e-13);
  check_close(slope(dt::sum(values), a), numbers(dt::eval(2 * a)), 1e-13);
}

TEST_CASE("the polar factor U V^T does not change with scale, and turns with the matrix") {
  for (const Shape& shape : {Shape{3, 3}, Shape{5, 3}}) {
    dt::Graph g;
    const dt::Var a = g.constant(drawn(7, shape));
    const dt::SVD factors = dt::svd(a);
    const dt::Var polar = dt::matmul(factors.u, factors.vt);
    const dt::Var still = dt::forward(polar, {a}, {a});
    check_same(still, g.constant(dt::zeros(shape, dt::float64)), 1e-13);
    const dt::Var k = g.constant(drawn(10, {3, 3}));
    const dt::Var turn = k - dt::transpose(k);
    check_same(dt::forward(polar, {a}, {dt::matmul(a, turn)}), dt::matmul(polar, turn), 1e-12);
  }
}

// u(c A) = u(A), so its derivative at c A along c X is that at A along X: with c and c^2 far
// from 1.
TEST_CASE("derivatives of singular vectors do not change with scale") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const int power : {-60, 60, dtype == dt::float64 ? -700 : -90}) {
      dt::Graph g;
      const Tensor a = drawn(3, {3, 3}, dtype);
      const Tensor x = drawn(4, {3, 3}, dtype);
      const auto slopes = [&](double c) {
        const dt::Var at = g.constant(a) * c;
        const dt::SVD factors = dt::svd(at);
        return dt::forward_all({factors.u, factors.vt}, {at}, {g.constant(x) * c});
      };
      const double c = std::ldexp(1.0, power);
      for (std::size_t i = 0; i < 2; ++i)
        check_same(*slopes(c)[i], *slopes(1)[i], 500 * slack(dtype));
    }
}

TEST_CASE("norms of matrices, and gradients of the nuclear and spectral ones") {
  dt::Graph g;
  const dt::Var a = g.constant(tensor({3, 0, 0, 0, -4, 0}).reshape({2, 3}));
  CHECK(dt::eval(dt::matrix_norm(a)).item() == doctest::Approx(5).epsilon(1e-15));
  const dt::Var nuclear = dt::matrix_norm(a, dt::MatrixNorm::nuclear);
  const dt::Var spectral = dt::matrix_norm(a, dt::MatrixNorm::spectral);
  CHECK(dt::eval(nuclear).item() == doctest::Approx(7).epsilon(1e-15));
  CHECK(dt::eval(spectral).item() == doctest::Approx(4).epsilon(1e-15));
  check_close(slope(nuclear, a), {1, 0, 0, 0, -1, 0}, 1e-14);
  check_close(slope(spectral, a), {0, 0, 0, 0, -1, 0}, 1e-14);
  // At a matrix of rank 1 the gradient of the largest singular value is finite.
  const dt::Var flat = g.constant(tensor({1, 2, 2, 4}).reshape({2, 2}));
  check_close(slope(dt::matrix_norm(flat, dt::MatrixNorm::spectral), flat), {0.2, 0.4, 0.4, 0.8},
              1e-14);
  CHECK(has(error_of<dt::ShapeError>([&] { dt::matrix_norm(g.constant(dt::ones({2}))); }),
            "matrix_norm"));
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::matrix_norm(g.constant(dt::zeros({0, 2})), dt::MatrixNorm::spectral);
            }),
            "largest"));
  const dt::Var bad = g.constant(tensor({1, nan, nan, 1}).reshape({2, 2}));
  CHECK(std::isnan(dt::eval(dt::matrix_norm(bad, dt::MatrixNorm::nuclear)).item()));
}

}  // namespace
