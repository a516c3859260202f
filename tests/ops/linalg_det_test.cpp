// Determinants at every rank: gradients are cofactors, written out here, and go on where inverses
// end.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/diagonals.hpp>
#include <dualtape/ops/linalg.hpp>
#include <dualtape/ops/linalg_factor.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>

#include "known.hpp"
#include "moving.hpp"

using namespace known;
using dt::Tensor;

namespace {

Tensor wide(const Tensor& a) { return a.to(dt::float64); }
Tensor random(std::uint64_t seed, std::int64_t n) {
  return dt::uniform(dt::Key{seed}, {n, n}, -1.0, 1.0, dt::float64);
}
// U diag(values) V^T of random orthonormal U and V.
Tensor with_values(const Numbers& values) {
  dt::Graph graph;
  const auto n = static_cast<std::int64_t>(values.size());
  const dt::Var u = dt::qr(graph.constant(random(5, n))).q;
  const dt::Var v = dt::qr(graph.constant(random(6, n))).q;
  return dt::eval(dt::matmul(u * tensor(values), v, {false, true}));
}

// By Laplace's expansion.
double expanded(const Numbers& a, std::size_t n) {
  if (n == 0) return 1;
  double sum = 0;
  for (std::size_t column = 0; column < n; ++column) {
    Numbers rest;
    for (std::size_t i = 1; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j)
        if (j != column) rest.push_back(a[i * n + j]);
    sum += (column % 2 == 0 ? 1 : -1) * a[column] * expanded(rest, n - 1);
  }
  return sum;
}
Numbers minors_of(const Numbers& a, std::size_t n) {
  Numbers all;
  for (std::size_t row = 0; row < n; ++row)
    for (std::size_t column = 0; column < n; ++column) {
      Numbers rest;
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j)
          if (i != row && j != column) rest.push_back(a[i * n + j]);
      all.push_back(((row + column) % 2 == 0 ? 1 : -1) * expanded(rest, n - 1));
    }
  return all;
}
void check_near(const Numbers& got, const Numbers& wanted, double slack) {
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CAPTURE(got[i]);
    CAPTURE(wanted[i]);
    CHECK(std::abs(got[i] - wanted[i]) <= slack);
  }
}

TEST_CASE("the gradient of a determinant is its cofactors, whatever the rank") {
  CHECK(identical(dt::grad(dt::det)(Tensor{{1, 2}, {2, 4}}), Tensor{{4, -2}, {-2, 1}}));
  CHECK(identical(dt::grad(dt::det)(Tensor{{0}}), Tensor{{1}}));
  CHECK(identical(dt::grad(dt::det)(dt::zeros({3, 3})), dt::zeros({3, 3})));
  for (const std::size_t n : {1U, 2U, 3U, 4U, 5U, 6U})
    for (std::size_t rank = 0; rank <= n; ++rank) {
      Numbers values(n, 0);
      for (std::size_t i = 0; i < rank; ++i) values[i] = 1.0 + static_cast<double>(i);
      const Tensor a = with_values(values);
      CAPTURE(n);
      CAPTURE(rank);
      const Numbers wanted = minors_of(numbers(a), n);
      check_near(numbers(dt::grad(dt::det)(a)), wanted, 1e-11);
      check_near(numbers(dt::grad(dt::det)(a.to(dt::float32))), wanted, 1e-3);
      if (n > 1 && rank + 2 <= n) check_near(numbers(dt::grad(dt::det)(a)), Numbers(n * n), 1e-11);
    }
}

TEST_CASE("members of a batch have their own gradients, singular or not") {
  const Tensor batch = wide(Tensor{1, 2, 2, 4, 1, 2, 3, 4, 0, 0, 0, 0}.reshape({3, 2, 2}));
  const auto f = [](dt::Var a) { return dt::sum(dt::det(a)); };
  CHECK(identical(dt::grad(f)(batch),
                  wide(Tensor{4, -2, -2, 1, 4, -3, -2, 1, 0, 0, 0, 0}.reshape({3, 2, 2}))));
}

// Laws: d^2 det is the quadratic part of det(A + s X + t Y), and symmetric.
TEST_CASE("second derivatives of determinants exist at every rank") {
  for (const std::size_t n : {2U, 3U, 4U, 5U})
    for (std::size_t rank = 0; rank <= n; ++rank) {
      Numbers values(n, 0);
      for (std::size_t i = 0; i < rank; ++i) values[i] = 1.0 + static_cast<double>(i);
      const Tensor a = with_values(values);
      const auto size = static_cast<std::int64_t>(n);
      const Tensor x = random(11, size);
      CAPTURE(n);
      CAPTURE(rank);
      // Cofactors are polynomials of degree n - 1, so differences of five points are exact up to
      // n = 5.
      Numbers wanted(n * n);
      const Numbers at = numbers(a), along = numbers(x);
      const auto moved = [&](double t) {
        Numbers all = at;
        for (std::size_t i = 0; i < all.size(); ++i) all[i] += t * along[i];
        return minors_of(all, n);
      };
      const Numbers far = moved(2), near = moved(1), back = moved(-1), far_back = moved(-2);
      for (std::size_t i = 0; i < wanted.size(); ++i)
        wanted[i] = (8 * (near[i] - back[i]) - (far[i] - far_back[i])) / 12;
      check_near(numbers(dt::hvp(dt::det, a, x)), wanted, 1e-10);
      dt::Graph graph;
      check_near(numbers(dt::eval(dt::cofactor_change(graph.constant(a), x))), wanted, 1e-10);
    }
}

TEST_CASE("third derivatives of determinants hold at regular matrices, and name others") {
  const Tensor d = random(3, 4);
  const auto third = [&](const Tensor& at) {
    const auto second = [&](dt::Var a) {
      return dt::sum(dt::cofactor_change(a, a.graph().constant(random(4, 4))) * random(7, 4));
    };
    return dt::grad(second)(at);
  };
  // Equal singular values are no reason to fail.
  const Tensor one = with_values({1, 1, 1, 1});
  double along = 0;
  const Numbers slopes = numbers(third(one)), step = numbers(d);
  for (std::size_t i = 0; i < step.size(); ++i) along += slopes[i] * step[i];
  const auto value = [&](double t) {
    Numbers all = numbers(one);
    for (std::size_t i = 0; i < all.size(); ++i) all[i] += t * step[i];
    dt::Graph graph;
    const dt::Var a = graph.constant(tensor(all).reshape({4, 4}));
    return dt::eval(dt::sum(dt::cofactor_change(a, random(4, 4)) * random(7, 4))).item();
  };
  CHECK(std::abs(along - (value(1) - value(-1)) / 2) <= 1e-11);  // of degree 2 in t
  Tensor batch = dt::zeros({2, 4, 4}, dt::float64);
  const Numbers regular = numbers(one);
  std::copy(regular.begin(), regular.end(), batch.data<double>().begin());
  const auto of_batch = [&](dt::Var a) {
    return dt::sum(dt::cofactor_change(a, a.graph().constant(dt::ones({2, 4, 4}, dt::float64))));
  };
  CHECK(has(error_of<dt::ValueError>([&] { dt::grad(of_batch)(batch); }),
            "matrix 1 of the batch of 2 is singular"));
}

TEST_CASE("determinants and cofactors neither over- nor underflow on the way") {
  dt::Graph graph;
  const auto det_of = [&](const Numbers& diagonal) {
    return dt::eval(dt::det(dt::diag(graph.constant(tensor(diagonal))))).item();
  };
  CHECK(det_of({1e200, 1e200, 1e-300, 1e-100}) == doctest::Approx(1).epsilon(1e-12));
  CHECK(det_of({1e-200, 1e-200, 1e300, 1e100}) == doctest::Approx(1).epsilon(1e-12));
  const Tensor tiny = dt::eval(dt::diag(graph.constant(tensor(Numbers(5, 1e-70)))));
  const Numbers slopes = numbers(dt::grad(dt::det)(tiny));  // of a determinant of 1e-350
  for (std::size_t i = 0; i < 25; ++i)
    CHECK(slopes[i] == doctest::Approx(i % 6 == 0 ? 1e-280 : 0).epsilon(1e-12).scale(1e-280));
}

TEST_CASE("the slope of a logarithm of 0 names the matrix") {
  const Tensor batch = Tensor{1, 2, 3, 4, 1, 2, 2, 4}.reshape({2, 2, 2});
  const auto f = [](dt::Var a) { return dt::sum(dt::slogdet(a).log_abs_det); };
  CHECK(has(error_of<dt::ValueError>([&] { dt::grad(f)(batch); }),
            "matrix 1 of the batch of 2 is singular"));
}

TEST_CASE("a NaN stays one") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const std::int64_t n : {2, 3, 4}) {
    Tensor a = random(1, n);
    a.data<double>()[0] = nan;
    dt::Graph graph;
    CHECK(std::isnan(dt::eval(dt::det(graph.constant(a))).item()));
    const Numbers slopes = numbers(dt::grad(dt::det)(a));
    CHECK(std::isnan(slopes.back()));
  }
}

TEST_CASE("the derivatives of determinants hold in every mode") {
  moving::check_derivatives({"det", "cofactors", "cofactor_change"});
}

}  // namespace
