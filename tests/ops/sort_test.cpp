// Orders against std::stable_sort; ties, NaNs and axes; where derivatives go.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/slice.hpp>
#include <dualtape/ops/sort.hpp>

#include "gradient.hpp"

using namespace known;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

TEST_CASE("sort is the stable sort of every line, in every dtype") {
  for (const dt::DType dtype : {dt::float64, dt::float32, dt::int32, dt::int64, dt::boolean}) {
    for (const std::int64_t axis : {0, 1, -1}) {
      for (const bool descending : {false, true}) {
        CAPTURE(axis);
        dt::Graph graph;
        // Few different numbers, so that there are ties.
        const dt::Tensor x =
            dt::uniform(dt::Key{3}, {4, 25, 3}, -3.0, 3.0, dt::float64).to(dt::int32).to(dtype);
        const dt::Chosen sorted = dt::sort(graph.constant(x), axis, descending);
        CHECK(sorted.values.dtype() == dtype);
        CHECK(sorted.indices.dtype() == dt::int64);
        const dt::Tensor values = dt::eval(sorted.values);
        const dt::Tensor places = dt::eval(sorted.indices);
        CHECK(dt::identical(dt::eval(dt::argsort(graph.constant(x), axis, descending)), places));
        const std::size_t along = axis < 0 ? 2 : static_cast<std::size_t>(axis);
        const dt::Shape& shape = x.shape();
        std::int64_t at[3] = {0, 0, 0};
        for (at[0] = 0; at[0] < (along == 0 ? 1 : shape[0]); ++at[0])
          for (at[1] = 0; at[1] < (along == 1 ? 1 : shape[1]); ++at[1])
            for (at[2] = 0; at[2] < (along == 2 ? 1 : shape[2]); ++at[2]) {
              std::int64_t i[3] = {at[0], at[1], at[2]};
              std::vector<std::pair<double, std::int64_t>> line;
              for (i[along] = 0; i[along] < shape[along]; ++i[along])
                line.emplace_back(x.at({i[0], i[1], i[2]}), i[along]);
              std::stable_sort(line.begin(), line.end(), [&](const auto& a, const auto& b) {
                return descending ? a.first > b.first : a.first < b.first;
              });
              for (i[along] = 0; i[along] < shape[along]; ++i[along]) {
                const auto& [value, place] = line[static_cast<std::size_t>(i[along])];
                REQUIRE(values.at({i[0], i[1], i[2]}) == value);
                REQUIRE(places.at({i[0], i[1], i[2]}) == static_cast<double>(place));
              }
            }
      }
    }
  }
}

TEST_CASE("NaNs come last in either direction") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({nan, 2, inf, nan, -inf, 2}));
  check_close(numbers(dt::eval(dt::sort(x).values)), {-inf, 2, 2, inf, nan, nan}, 0);
  CHECK(numbers(dt::eval(dt::sort(x).indices)) == Numbers{4, 1, 5, 2, 0, 3});
  check_close(numbers(dt::eval(dt::sort(x, 0, true).values)), {inf, 2, 2, -inf, nan, nan}, 0);
  CHECK(numbers(dt::eval(dt::argsort(x, 0, true))) == Numbers{2, 1, 5, 4, 0, 3});
  check_close(numbers(dt::eval(dt::top_k(x, 2).values)), {inf, 2}, 0);
}

TEST_CASE("the k best are the first of the sorted, ties by place") {
  dt::Graph graph;
  const dt::Var x = graph.constant(
      dt::uniform(dt::Key{5}, {3, 40}, -5.0, 5.0, dt::float64).to(dt::int32).to(dt::float64));
  for (const bool largest : {false, true})
    for (const std::int64_t k : {0, 1, 7, 40}) {
      const dt::Chosen all = dt::sort(x, 1, largest);
      const dt::Chosen best = dt::top_k(x, k, 1, largest);
      REQUIRE(best.values.shape() == dt::Shape{3, k});
      CHECK(dt::identical(dt::eval(best.values), dt::eval(dt::slice(all.values, 1, 0, k))));
      CHECK(dt::identical(dt::eval(best.indices), dt::eval(dt::slice(all.indices, 1, 0, k))));
    }
}

TEST_CASE("derivatives go to the places values came from") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({3, 1, 2}));
  const dt::Var weights = graph.constant(tensor({10, 20, 30}));
  CHECK(gradient(dt::sort(x).values * weights, x) == Numbers{30, 10, 20});
  CHECK(gradient(dt::sort(x, 0, true).values * weights, x) == Numbers{10, 30, 20});
  CHECK(gradient(dt::top_k(x, 1).values, x) == Numbers{1, 0, 0});
}

TEST_CASE("what cannot be sorted is refused") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::Tensor{1, 2});
  CHECK(has(error_of<dt::ShapeError>([&] { dt::sort(x, 1); }), "sort"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::argsort(graph.constant(dt::Tensor(1.0))); }),
            "argsort"));
  const std::string text = error_of<dt::ShapeError>([&] { dt::top_k(x, 3); });
  CHECK(has(text, "k = 3"));
  CHECK(has(text, "sort_test.cpp"));
  CHECK_THROWS_AS(dt::top_k(x, -1), dt::ShapeError);
}

}  // namespace
