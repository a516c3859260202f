// Products and running sums against plain loops; derivatives of products with zeros.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/scan.hpp>

#include "known.hpp"

using namespace known;

namespace {

dt::Tensor counted(const dt::Shape& shape, dt::DType dtype) {
  dt::Tensor values(shape, dt::float64);
  double next = 0.5;
  for (double& value : values.data<double>()) {
    // Whole numbers 1 and 2 only, so that no product wraps around.
    value = dt::is_floating(dtype) ? next : next > 1.2 ? 2 : 1;
    next = next > 1.4 ? next - 0.85 : next + 0.25;
  }
  return values.to(dtype);
}

TEST_CASE("a product is the loop's over every choice of axes") {
  for (const dt::DType dtype : {dt::float64, dt::float32, dt::int32, dt::int64}) {
    dt::Graph graph;
    const dt::Tensor values = counted({3, 4, 5}, dtype);
    const dt::Var x = graph.constant(values);
    const dt::Tensor all = dt::eval(dt::prod(x));
    double product = 1;
    for (const double value : numbers(values)) product *= value;
    CHECK(all.item() == doctest::Approx(product).epsilon(1e-5));
    CHECK(all.dtype() == (dt::is_floating(dtype) ? dtype : dt::int64));
    const dt::Tensor rows = dt::eval(dt::prod(x, {-1, 0}, true));
    REQUIRE(rows.shape() == dt::Shape{1, 4, 1});
    for (std::int64_t j = 0; j < 4; ++j) {
      double wanted = 1;
      for (std::int64_t i = 0; i < 3; ++i)
        for (std::int64_t k = 0; k < 5; ++k) wanted *= values.at({i, j, k});
      CHECK(rows.at({0, j, 0}) == doctest::Approx(wanted).epsilon(1e-5));
    }
  }
  dt::Graph graph;
  CHECK(dt::eval(dt::prod(graph.constant(dt::Tensor(dt::Shape{0})))).item() == 1);
}

TEST_CASE("the derivative of a product is right where elements are zero") {
  const auto gradient = [](const Numbers& values) {
    dt::Graph graph;
    const dt::Var x = graph.constant(tensor(values));
    const dt::Var y = dt::prod(x);
    const dt::Var sloped = dt::reverse(y, {x})[x];
    // <grad, v> = jvp along v = (1, 2, 3, ...)
    dt::Tensor v(x.shape(), dt::float64);
    double slope = 0;
    const Numbers all = numbers(dt::eval(sloped));
    for (std::size_t i = 0; i < all.size(); ++i) {
      v.data<double>()[i] = static_cast<double>(i + 1);
      slope += all[i] * static_cast<double>(i + 1);
    }
    CHECK(dt::eval(dt::forward(y, {x}, {graph.constant(v)})).item() ==
          doctest::Approx(slope).epsilon(1e-14));
    return all;
  };
  CHECK(gradient({2, 3, 5}) == Numbers{15, 10, 6});
  CHECK(gradient({2, 0, 5, 7, 3}) == Numbers{0, 210, 0, 0, 0});
  CHECK(gradient({2, 0, 5, 0}) == Numbers{0, 0, 0, 0});
  CHECK(gradient({4}) == Numbers{1});
}

TEST_CASE("the second derivative of a product with two zeros is the product of the others") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({2, 0, 5, 0}));
  const dt::Var first = dt::reverse(dt::prod(x), {x})[x];
  const dt::Var along = dt::sum(first * graph.constant(tensor({0, 1, 0, 0})));  // d/dx_1
  CHECK(numbers(dt::eval(dt::reverse(along, {x})[x])) == Numbers{0, 0, 0, 10});
}

TEST_CASE("running sums go either way, with and without their own element") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1, 2, 3, 4}));
  CHECK(numbers(dt::eval(dt::cumsum(x))) == Numbers{1, 3, 6, 10});
  CHECK(numbers(dt::eval(dt::cumsum(x, 0, true))) == Numbers{0, 1, 3, 6});
  CHECK(numbers(dt::eval(dt::cumsum(x, 0, false, true))) == Numbers{10, 9, 7, 4});
  CHECK(numbers(dt::eval(dt::cumsum(x, 0, true, true))) == Numbers{9, 7, 4, 0});
  const dt::Var sums = dt::cumsum(x);
  const dt::Var cotangent = graph.constant(tensor({1, 0, 0, 10}));
  CHECK(numbers(dt::eval(dt::vjp({sums}, {x}, {cotangent})[x])) == Numbers{11, 10, 10, 10});
}

TEST_CASE("running sums along any axis are the loop's, over many columns") {
  for (const std::int64_t axis : {0, 1, -1}) {
    dt::Graph graph;
    const dt::Tensor values = counted({3, 5, 130}, dt::float64);
    const dt::Tensor sums = dt::eval(dt::cumsum(graph.constant(values), axis));
    for (std::int64_t i = 0; i < 3; ++i)
      for (std::int64_t j = 0; j < 5; ++j)
        for (std::int64_t k = 0; k < 130; ++k) {
          const std::int64_t place = axis == 0 ? i : axis == 1 ? j : k;
          const double before = place == 0  ? 0
                                : axis == 0 ? sums.at({i - 1, j, k})
                                : axis == 1 ? sums.at({i, j - 1, k})
                                            : sums.at({i, j, k - 1});
          REQUIRE(std::abs(sums.at({i, j, k}) - before - values.at({i, j, k})) < 1e-12);
        }
  }
}

TEST_CASE("running sums of float32 keep float64's digits; integers wrap in int64") {
  dt::Graph graph;
  const dt::Tensor tenths = dt::full({100000}, 0.1F);
  const dt::Tensor sums = dt::eval(dt::cumsum(graph.constant(tenths)));
  CHECK(sums.dtype() == dt::float32);
  CHECK(sums.at({-1}) == doctest::Approx(100000 * static_cast<double>(0.1F)).epsilon(1e-7));
  const dt::Var whole =
      dt::cumsum(graph.constant(dt::Tensor::of({std::numeric_limits<std::int64_t>::max(), 1})));
  const dt::Tensor wrapped = dt::eval(whole);
  CHECK(wrapped.data<std::int64_t>()[1] == std::numeric_limits<std::int64_t>::min());
  const dt::Var truths = dt::cumsum(dt::cast(graph.constant(tensor({1, 0, 1})), dt::boolean));
  CHECK(truths.dtype() == dt::int64);
  CHECK(numbers(dt::eval(truths)) == Numbers{1, 1, 2});
}

TEST_CASE("running sums of a long line of float64 are right to the last digits") {
  // One chain of additions is 1400 units in the last place off at the end.
  constexpr std::int64_t count = 10000;
  const dt::Tensor values = dt::full({count}, 0.1, dt::float64);
  for (const bool reverse : {false, true}) {
    dt::Graph graph;
    const Numbers sums = numbers(dt::eval(dt::cumsum(graph.constant(values), 0, false, reverse)));
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const auto terms = static_cast<long double>(reverse ? sums.size() - i : i + 1);
      const auto exact = static_cast<double>(terms * static_cast<long double>(0.1));
      REQUIRE(std::abs(sums[i] - exact) <= 4 * std::numeric_limits<double>::epsilon() * exact);
    }
  }
}

TEST_CASE("axes that do not exist are refused") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::Tensor{1, 2});
  CHECK(has(error_of<dt::ShapeError>([&] { dt::cumsum(x, 1); }), "cumsum"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::prod(x, {1}); }), "prod"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::cumsum(graph.constant(dt::Tensor(1.0))); }),
            "scalar"));
}

}  // namespace
