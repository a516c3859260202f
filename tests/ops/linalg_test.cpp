#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/linalg.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/shapes.hpp>
#include <tests/errors.hpp>

namespace dt = dualtape;
using dt::Shape;
using dt::Tensor;
using dt::testing::error_of;
using dt::testing::has;

namespace {

Tensor numbers(std::uint64_t seed, const Shape& shape, dt::DType dtype) {
  return dt::uniform(dt::Key{seed}, shape, -1.0, 1.0, dtype);
}
double slack(dt::DType dtype) { return dtype == dt::float32 ? 1e-4 : 1e-12; }

template <class F>
Tensor of(F f, const Tensor& x) {
  dt::Graph g;
  return dt::eval(f(g.constant(x)));
}
Tensor product(const Tensor& a, const Tensor& b, dt::MatmulOptions options = {}) {
  dt::Graph g;
  return dt::eval(dt::matmul(g.constant(a), b, options));
}
Tensor solution(const Tensor& a, const Tensor& b) {
  dt::Graph g;
  return dt::eval(dt::solve(g.constant(a), b));
}
// The unit matrix for each of a batch.
Tensor units(const Shape& shape, dt::DType dtype) {
  Tensor result = dt::zeros(shape, dt::float64);
  const auto n = shape.back();
  for (std::int64_t i = 0; i < result.count(); ++i)
    if (i % (n * n) % (n + 1) == 0) result.data<double>()[static_cast<std::size_t>(i)] = 1;
  return result.to(dtype);
}
Tensor definite(std::uint64_t seed, const Shape& shape, dt::DType dtype) {
  const Tensor m = numbers(seed, shape, dtype);
  dt::Graph g;
  return dt::eval(dt::matmul(g.constant(m), m, {false, true}) + units(shape, dtype));
}

}  // namespace

TEST_CASE("A solve(A, b) = b, for matrices, vectors and batches") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    const auto check = [&](const Shape& a_shape, const Shape& b_shape, const Shape& x_shape) {
      CAPTURE(a_shape);
      CAPTURE(b_shape);
      const Tensor a = numbers(1, a_shape, dtype);
      const Tensor b = numbers(2, b_shape, dtype);
      const Tensor x = solution(a, b);
      REQUIRE(x.shape() == x_shape);
      REQUIRE(x.dtype() == dtype);
      const Tensor left = product(a, b_shape.rank() == 1 ? x.reshape([&] {
        auto sizes = x.shape().vector();
        sizes.push_back(1);
        return Shape(sizes);
      }())
                                                         : x);
      dt::Graph g;
      const Tensor right = dt::eval(
          dt::broadcast_to(g.constant(b_shape.rank() == 1 ? b.reshape({-1, 1}) : b), left.shape()));
      CHECK(dt::all_close(left, right, 0, slack(dtype)));
    };
    check({5, 5}, {5}, {5});
    check({5, 5}, {5, 3}, {5, 3});
    check({70, 70}, {70, 2}, {70, 2});
    check({2, 3, 3}, {3}, {2, 3});
    check({2, 3, 3}, {2, 3, 4}, {2, 3, 4});
    check({2, 3, 3}, {3, 4}, {2, 3, 4});
    check({3, 3}, {2, 3, 4}, {2, 3, 4});
    check({2, 1, 3, 3}, {2, 3, 1}, {2, 2, 3, 1});
  }
}

TEST_CASE("rows are exchanged where a leading element is 0") {
  const Tensor a{{0, 2, 1}, {1, 0, 0}, {3, 0, 1}};
  CHECK(dt::all_close(solution(a, Tensor{7, 1, 6}), Tensor{1, 2, 3}));
  // By the rule of Sarrus: -2 (1*1 - 0*3) + 1 (1*0 - 0*3) = -2.
  CHECK(of(dt::det, a).item() == doctest::Approx(-2));
}

TEST_CASE("A inverse(A) = inverse(A) A = I") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const Shape& shape : {Shape{1, 1}, Shape{4, 4}, Shape{90, 90}, Shape{3, 2, 5, 5}}) {
      CAPTURE(shape);
      const Tensor a = definite(3, shape, dtype);
      const Tensor y = of(dt::inverse, a);
      CHECK(dt::all_close(product(a, y), units(shape, dtype), 0, slack(dtype)));
      CHECK(dt::all_close(product(y, a), units(shape, dtype), 0, slack(dtype)));
    }
}

TEST_CASE("determinants of known matrices") {
  CHECK(of(dt::det, Tensor{{3, 1}, {4, 2}}).item() == doctest::Approx(2));
  CHECK(of(dt::det, Tensor{{0, 1}, {1, 0}}).item() == -1);
  CHECK(of(dt::det, Tensor{{0, 1, 0}, {0, 0, 1}, {1, 0, 0}}).item() == 1);
  CHECK(of(dt::det, Tensor{{-3.0}}).item() == -3);
  CHECK(of(dt::det, dt::zeros({0, 0})).item() == 1);
  // Hilbert's matrix of size 4: 1 / 6048000.
  Tensor hilbert(Shape{4, 4}, dt::float64);
  for (std::size_t i = 0; i < 16; ++i)
    hilbert.data<double>()[i] = 1.0 / static_cast<double>(i / 4 + i % 4 + 1);
  CHECK(of(dt::det, hilbert).item() == doctest::Approx(1.0 / 6048000).epsilon(1e-11));
  const Tensor batch = of(dt::det, Tensor{1, 2, 3, 4, 2, 0, 0, 5}.reshape({2, 1, 2, 2}));
  REQUIRE(batch.shape() == Shape{2, 1});
  CHECK(batch.at({0, 0}) == doctest::Approx(-2));
  CHECK(batch.at({1, 0}) == doctest::Approx(10));
}

TEST_CASE("the determinant of a singular matrix is 0, without a sign") {
  for (const Tensor& a :
       {Tensor{{1, 2}, {2, 4}}, Tensor{{0, 0}, {0, -1}}, Tensor{{0, -1}, {0, 1}}}) {
    const double d = of(dt::det, a).item();
    CHECK(d == 0);
    CHECK_FALSE(std::signbit(d));
  }
}

TEST_CASE("det(A B) = det A det B") {
  const Tensor a = numbers(1, {6, 6}, dt::float64);
  const Tensor b = numbers(2, {6, 6}, dt::float64);
  CHECK(of(dt::det, product(a, b)).item() ==
        doctest::Approx(of(dt::det, a).item() * of(dt::det, b).item()).epsilon(1e-10));
}

TEST_CASE("cholesky: L L^T = A with L lower triangular and its diagonal positive") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const Shape& shape : {Shape{1, 1}, Shape{4, 4}, Shape{70, 70}, Shape{2, 3, 5, 5}}) {
      CAPTURE(shape);
      const Tensor a = definite(4, shape, dtype);
      const Tensor l = of(dt::cholesky, a);
      CHECK(dt::all_close(product(l, l, {false, true}), a, 0, slack(dtype)));
      const auto n = shape.back();
      const Tensor flat = l.to(dt::float64).reshape({-1, n, n});
      for (std::int64_t m = 0; m < flat.size(0); ++m)
        for (std::int64_t i = 0; i < n; ++i) {
          CHECK(flat.at({m, i, i}) > 0);
          for (std::int64_t j = i + 1; j < n; ++j) CHECK(flat.at({m, i, j}) == 0);
        }
    }
  CHECK(dt::all_close(of(dt::cholesky, Tensor{{4, 12, -16}, {12, 37, -43}, {-16, -43, 98}}),
                      Tensor{{2, 0, 0}, {6, 1, 0}, {-8, 5, 3}}));
}

TEST_CASE("cholesky takes the symmetric part") {
  CHECK(dt::identical(of(dt::cholesky, Tensor{{4, 3}, {1, 5}}), Tensor{{2, 0}, {1, 2}}));
}

TEST_CASE("derivatives in closed form") {
  // d det / dA of a 2 x 2 matrix: the cofactors.
  const Tensor a = Tensor{{3, 1}, {4, 2}}.to(dt::float64);
  CHECK(dt::all_close(dt::grad(dt::det)(a), Tensor{{2, -4}, {-1, 3}}.to(dt::float64), 1e-12));
  // solve by a number is division: d(b/a) = -b/a^2 da + 1/a db.
  const auto quotient = [](dt::Var p, dt::Var q) { return dt::reshape(dt::solve(p, q), Shape{}); };
  const auto grads =
      dt::vjp(quotient, {dt::full({1, 1}, 4, dt::float64), dt::full({1}, 6, dt::float64)})
          .pullback.all(Tensor::scalar(1.0));
  CHECK(grads[0].item() == doctest::Approx(-6.0 / 16));
  CHECK(grads[1].item() == doctest::Approx(0.25));
  // cholesky of a number is its root.
  const auto root = [](dt::Var x) { return dt::reshape(dt::cholesky(x), Shape{}); };
  CHECK(dt::grad(root)(dt::full({1, 1}, 9, dt::float64)).item() == doctest::Approx(1.0 / 6));
}

TEST_CASE("singular and indefinite matrices are reported with their number and pivot") {
  const Tensor batch = Tensor{1, 0, 0, 1, 1, 2, 2, 4}.reshape({2, 2, 2});
  const Tensor one{{0, 0}, {0, 1}};
  const auto in_batch = error_of<dt::ValueError>([&] { of(dt::inverse, batch); });
  CHECK(has(in_batch, "matrix 1 of the batch of 2 is singular: pivot 1 "));
  CHECK(has(in_batch, "inverse"));
  CHECK(has(in_batch, "linalg_test.cpp:"));
  CHECK(has(error_of<dt::ValueError>([&] { of(dt::inverse, one); }),
            "the matrix is singular: pivot 0 "));
  CHECK(has(error_of<dt::ValueError>([&] {
              solution(batch, Tensor{1, 2});
            }),
            "matrix 1 of the batch of 2 is singular"));
  CHECK(has(error_of<dt::ValueError>([&] {
              of(dt::cholesky, Tensor{{1, 0}, {0, -1}});
            }),
            "the matrix is not positive definite: pivot 1, "));
}

TEST_CASE("NaNs come out as NaNs") {
  Tensor a = units({2, 2}, dt::float64);
  a.data<double>()[0] = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isnan(of(dt::det, a).item()));
  CHECK(std::isnan(of(dt::inverse, a).at({0, 0})));
  CHECK(std::isnan(solution(a, dt::ones({2}, dt::float64)).at({0})));
}

TEST_CASE("errors of shape") {
  dt::Graph g;
  const dt::Var a = g.input("a", {3, 3});
  const dt::Var wide = g.input("wide", {2, 3});
  for (const auto f : {dt::inverse, dt::det, dt::cholesky}) {
    CHECK(has(error_of<dt::ShapeError>([&] { f(wide); }), "square matrices, got float32 (2, 3)"));
    CHECK(has(error_of<dt::ShapeError>([&] { f(g.constant(Tensor{1, 2})); }), "(2,)"));
  }
  const auto turned = error_of<dt::ShapeError>([&] { dt::solve(a, wide); });
  CHECK(has(turned, "the right side (2, 3) does not fit the matrix (3, 3)"));
  CHECK(has(turned, "transpose the right side"));
  CHECK(has(turned, "linalg_test.cpp:"));
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::solve(a, g.constant(Tensor{1, 2}));
            }),
            "the right side (2,) does not fit"));
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::solve(wide, g.constant(Tensor{1, 2}));
            }),
            "square matrices"));
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::solve(g.input("p", {2, 3, 3}), g.input("q", {4, 3, 1}));
            }),
            "batch axes"));
}
