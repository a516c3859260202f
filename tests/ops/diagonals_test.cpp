// Triangles and diagonals against their definitions, element by element.
#include <doctest/doctest.h>

#include <limits>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/diagonals.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

#include "gradient.hpp"

using namespace known;

namespace {

TEST_CASE("triangles of every shape, diagonal and dtype") {
  for (const dt::DType dtype : {dt::float64, dt::float32, dt::int64, dt::boolean})
    for (const dt::Shape& shape : {dt::Shape{2, 3, 4}, dt::Shape{2, 4, 3}, dt::Shape{2, 1, 1}})
      for (std::int64_t k = -5; k <= 5; ++k) {
        dt::Graph graph;
        const dt::Tensor x = dt::uniform(dt::Key{1}, shape, 1.0, 9.0, dt::float64).to(dtype);
        const dt::Tensor lower = dt::eval(dt::tril(graph.constant(x), k));
        const dt::Tensor upper = dt::eval(dt::triu(graph.constant(x), k));
        CHECK(lower.dtype() == dtype);
        for (std::int64_t b = 0; b < shape[0]; ++b)
          for (std::int64_t i = 0; i < shape[1]; ++i)
            for (std::int64_t j = 0; j < shape[2]; ++j) {
              REQUIRE(lower.at({b, i, j}) == (j - i <= k ? x.at({b, i, j}) : 0));
              REQUIRE(upper.at({b, i, j}) == (j - i >= k ? x.at({b, i, j}) : 0));
            }
      }
  dt::Graph graph;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const dt::Var x = graph.constant(tensor({1, nan, 2, 3}).reshape({2, 2}));
  CHECK(numbers(dt::eval(dt::tril(x))) == Numbers{1, 0, 2, 3});
}

TEST_CASE("diagonals of every shape and place, and matrices made of them") {
  for (const dt::Shape& shape :
       {dt::Shape{3, 4}, dt::Shape{4, 3}, dt::Shape{3, 3}, dt::Shape{1, 1}})
    for (std::int64_t k = -4; k <= 4; ++k) {
      dt::Graph graph;
      const dt::Tensor values = dt::uniform(dt::Key{2}, shape, 1.0, 9.0, dt::float64);
      const dt::Var x = graph.constant(values);
      Numbers wanted;
      for (std::int64_t i = 0; i < shape[0]; ++i)
        if (i + k >= 0 && i + k < shape[1]) wanted.push_back(values.at({i, i + k}));
      const dt::Var line = dt::diagonal(x, k);
      CHECK(numbers(dt::eval(line)) == wanted);
      CHECK(numbers(dt::eval(dt::diagonal(dt::transpose(x), -k))) == wanted);
      CHECK(numbers(dt::eval(dt::diagonal(x, -k, 1, 0))) == wanted);
      double total = 0;
      for (const double value : wanted) total += value;
      CHECK(dt::eval(dt::trace(x, k)).item() == doctest::Approx(total).epsilon(1e-15));
      const dt::Var matrix = dt::diag_embed(line, k);
      CHECK(numbers(dt::eval(dt::diagonal(matrix, k))) == wanted);
      CHECK(dt::eval(dt::sum(matrix)).item() == doctest::Approx(total).epsilon(1e-15));
    }
}

TEST_CASE("the trace of a product is that of its cyclic shift; its gradient is the transpose") {
  dt::Graph graph;
  const dt::Var a = graph.constant(dt::uniform(dt::Key{3}, {2, 3, 4}, -1.0, 1.0, dt::float64));
  const dt::Var b = graph.constant(dt::uniform(dt::Key{4}, {2, 4, 3}, -1.0, 1.0, dt::float64));
  const dt::Var trace = dt::trace(dt::matmul(a, b));
  REQUIRE(trace.shape() == dt::Shape{2});
  CHECK(dt::all_close(dt::eval(trace), dt::eval(dt::trace(dt::matmul(b, a))), 1e-14));
  check_close(gradient(trace, a), numbers(dt::eval(dt::transpose(b))), 1e-15);
}

TEST_CASE("diag goes both ways") {
  dt::Graph graph;
  const dt::Var v = graph.constant(tensor({1, 2}));
  CHECK(numbers(dt::eval(dt::diag(v, -1))) == Numbers{0, 0, 0, 1, 0, 0, 0, 2, 0});
  CHECK(numbers(dt::eval(dt::diag(dt::diag(v, -1), -1))) == Numbers{1, 2});
  CHECK(gradient(dt::diag(v), v) == Numbers{1, 1});
}

TEST_CASE("diagonals at the ends of int64 are beyond every corner") {
  constexpr std::int64_t low = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t high = std::numeric_limits<std::int64_t>::max();
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1, 2, 3, 4, 5, 6}).reshape({2, 3}));
  const auto is = [](dt::Var y, const Numbers& wanted) { CHECK(numbers(dt::eval(y)) == wanted); };
  const Numbers none{0, 0, 0, 0, 0, 0};
  is(dt::tril(x, high), {1, 2, 3, 4, 5, 6});
  is(dt::triu(x, low), {1, 2, 3, 4, 5, 6});
  is(dt::tril(x, low), none);
  is(dt::triu(x, high), none);
  for (const std::int64_t end : {low, high}) {
    is(dt::diagonal(x, end), {});
    CHECK(dt::eval(dt::trace(x, end)).item() == 0);
    CHECK(gradient(dt::sum(dt::diagonal(x, end)), x) == none);
    const std::string text = error_of<dt::ShapeError>([&] {
      dt::diag(graph.constant(dt::Tensor{1, 2}), end);
    });
    CHECK(has(text, "[diag_embed]"));
    CHECK(has(text, "bytes"));
  }
}

TEST_CASE("what has no diagonal is refused") {
  dt::Graph graph;
  const dt::Var v = graph.constant(dt::Tensor{1, 2});
  CHECK(has(error_of<dt::ShapeError>([&] { dt::tril(v); }), "tril"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::diagonal(v); }), "diagonal"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::diag_embed(graph.constant(dt::Tensor(1.0))); }),
            "diag_embed"));
  const dt::Var cube = graph.constant(dt::zeros({2, 2, 2}));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::diag(cube); }), "diag"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::diagonal(cube, 0, 1, -2); }), "one axis"));
}

}  // namespace
