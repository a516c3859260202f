// Triangular solves, slogdet and QR: what they promise of their results, known figures, errors.
#include <doctest/doctest.h>

#include <limits>

#include <dualtape/ops/diagonals.hpp>
#include <dualtape/ops/linalg.hpp>
#include <dualtape/ops/linalg_factor.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>

#include "factors.hpp"

using namespace factors;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

TEST_CASE("a triangular solve is the solve of the triangle, in every form") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const bool lower : {false, true})
      for (const bool transpose : {false, true})
        for (const bool unit : {false, true}) {
          dt::Graph g;
          const dt::Var a = g.constant(drawn(1, {2, 4, 4}, dtype)) + dt::eye(4, 4, 0, dtype);
          const dt::Var b = g.constant(drawn(2, {3, 1, 4, 2}, dtype));
          dt::Var triangle = lower ? dt::tril(a) : dt::triu(a);
          if (unit)
            triangle = triangle - dt::diag_embed(dt::diagonal(triangle)) + dt::eye(4, 4, 0, dtype);
          if (transpose) triangle = dt::transpose(triangle);
          const dt::Var x = dt::triangular_solve(a, b, {lower, transpose, unit});
          REQUIRE(x.shape() == Shape{3, 2, 4, 2});
          REQUIRE(x.dtype() == dtype);
          check_same(x, dt::solve(triangle, b), 40 * slack(dtype));
        }
}

TEST_CASE("a triangular solve reads its triangle alone, and says which diagonal is zero") {
  dt::Graph g;
  const dt::Var a = g.constant(tensor({2, nan, 1, 4}).reshape({2, 2}));
  const dt::Var b = g.constant(tensor({2, 9}));
  const dt::Var x = dt::triangular_solve(a, b);
  CHECK(numbers(dt::eval(x)) == Numbers{1, 2});
  CHECK(slope(dt::sum(x), b) == Numbers{0.375, 0.25});
  CHECK(slope(dt::sum(x), a) == Numbers{-0.375, 0, -0.25, -0.5});
  const dt::Var zero = g.constant(tensor({1, 0, 0, 1, 1, 0, 5, 0}).reshape({2, 2, 2}));
  const std::string text =
      error_of<dt::ValueError>([&] { dt::eval(dt::triangular_solve(zero, b)); });
  CHECK(has(text, "triangular_solve"));
  CHECK(has(text, "matrix 1 of the batch of 2"));
  CHECK(has(text, "element 1 of its diagonal"));
  CHECK(numbers(dt::eval(dt::triangular_solve(zero, b, {.unit_diagonal = true}))) ==
        Numbers{2, 9, 2, -1});
  CHECK(has(error_of<dt::ShapeError>([&] { dt::triangular_solve(a, g.constant(dt::ones({3}))); }),
            "triangular_solve"));
}

TEST_CASE("slogdet agrees with det, and does not overflow where det does") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    dt::Graph g;
    const dt::Var a = g.constant(drawn(3, {5, 3, 3}, dtype));
    const dt::SignLogDet both = dt::slogdet(a);
    REQUIRE(both.sign.shape() == Shape{5});
    check_same(both.sign * dt::exp(both.log_abs_det), dt::det(a), slack(dtype));
  }
  dt::Graph g;
  const dt::Var large = g.constant(dt::eye(200, 200, 0, dt::float64)) * -1e10;
  const dt::SignLogDet both = dt::slogdet(large);
  CHECK(dt::eval(both.sign).item() == 1);
  CHECK(dt::eval(both.log_abs_det).item() == doctest::Approx(2000 * std::log(10.0)).epsilon(1e-14));
  const dt::Var swapped = g.constant(tensor({0, 2, 3, 0}).reshape({2, 2}));
  CHECK(dt::eval(dt::slogdet(swapped).sign).item() == -1);
  check_close(slope(dt::slogdet(swapped).log_abs_det, swapped), {0, 0.5, 1.0 / 3, 0}, 1e-15);
  const dt::Var singular = g.constant(tensor({1, 2, 2, 4}).reshape({2, 2}));
  CHECK(dt::eval(dt::slogdet(singular).sign).item() == 0);
  CHECK(dt::eval(dt::slogdet(singular).log_abs_det).item() == -inf);
  CHECK_THROWS_AS(slope(dt::slogdet(singular).log_abs_det, singular), dt::ValueError);
  const dt::Var nothing = g.constant(dt::zeros({0, 0}, dt::float64));
  CHECK(dt::eval(dt::slogdet(nothing).sign).item() == 1);
  CHECK(dt::eval(dt::slogdet(nothing).log_abs_det).item() == 0);
}

TEST_CASE("Q R is the matrix, Q orthonormal, R upper with a diagonal that is not negative") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const Shape& shape :
         {Shape{4, 4}, Shape{7, 3}, Shape{3, 7}, Shape{2, 3, 5, 2}, Shape{1, 1}, Shape{90, 70}}) {
      CAPTURE(shape);
      dt::Graph g;
      const dt::Var a = g.constant(drawn(4, shape, dtype));
      const dt::QR factors = dt::qr(a);
      check_same(dt::matmul(factors.q, factors.r), a, 20 * slack(dtype));
      check_orthonormal(factors.q);
      check_same(dt::triu(factors.r), factors.r, 0);
      for (const double value : numbers(dt::eval(dt::diagonal(factors.r)))) CHECK(value >= 0);
    }
}

TEST_CASE("QR of known matrices") {
  dt::Graph g;
  const dt::Var a = g.constant(tensor({12, -51, 4, 6, 167, -68, -4, 24, -41}).reshape({3, 3}));
  const dt::QR factors = dt::qr(a);
  check_close(numbers(dt::eval(factors.r)), {14, 21, -14, 0, 175, -70, 0, 0, 35}, 1e-14);
  check_close(numbers(dt::eval(factors.q * 175)), {150, -69, -58, 75, 158, 6, -50, 30, -165},
              1e-13);
  // |det A| is the product of R's diagonal, so its gradient by way of R is det's.
  const dt::Var product = dt::sum(dt::log(dt::diagonal(factors.r)));
  check_close(slope(product, a), slope(dt::slogdet(a).log_abs_det, a), 1e-14);
  const dt::Var bad = g.constant(tensor({1, nan, 0, 1}).reshape({2, 2}));
  for (const double value : numbers(dt::eval(dt::qr(bad).q))) CHECK(std::isnan(value));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::qr(g.constant(dt::ones({3}))); }), "qr"));
  // Dependent columns have factors but no derivative.
  const dt::Var flat = g.constant(tensor({1, 2, 2, 4, 3, 6}).reshape({3, 2})) * 0.0;
  CHECK(numbers(dt::eval(dt::qr(flat).r)) == Numbers{0, 0, 0, 0});
  CHECK_THROWS_AS(slope(dt::sum(dt::qr(flat).q), flat), dt::ValueError);
}

}  // namespace
