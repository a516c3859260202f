// Running products, extremes, recurrences, differences and integrals against plain loops.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/scan.hpp>
#include <dualtape/ops/slice.hpp>

#include "gradient.hpp"

using namespace known;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

dt::Tensor drawn(std::uint64_t seed, const dt::Shape& shape) {
  return dt::uniform(dt::Key{seed}, shape, -2.0, 2.0, dt::float64);
}

TEST_CASE("running products along any axis are those of slices") {
  for (const std::int64_t axis : {0, 1, 2}) {
    dt::Graph graph;
    const dt::Var x = graph.constant(drawn(1, {3, 4, 5}));
    const dt::Var y = dt::cumprod(x, axis);
    const dt::Var z = dt::logcumsumexp(x, axis);
    for (std::int64_t i = 0; i < x.shape()[static_cast<std::size_t>(axis)]; ++i) {
      const dt::Var first = dt::slice(x, axis, 0, i + 1);
      CHECK(dt::all_close(dt::eval(dt::slice(y, axis, i, i + 1)),
                          dt::eval(dt::prod(first, {axis}, true)), 1e-14));
      CHECK(dt::all_close(dt::eval(dt::slice(z, axis, i, i + 1)),
                          dt::eval(dt::logsumexp(first, {axis}, true)), 1e-14));
    }
  }
  dt::Graph graph;
  const dt::Var whole = dt::cumprod(graph.constant(dt::Tensor::of({2, -3, 5})));
  CHECK(whole.dtype() == dt::int64);
  CHECK(numbers(dt::eval(whole)) == Numbers{2, -6, -30});
}

TEST_CASE("derivatives of running products are right where elements are zero") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({2, 0, 5, 0, 3}));
  // Products 2, 0, 0, 0, 0: by x_1 they change by 0, 2, 10, 0, 0; by x_3 none does.
  CHECK(gradient(dt::cumprod(x), x) == Numbers{1, 12, 0, 0, 0});
  // d / dx_1 of the sum is x_0 (1 + x_2 + x_2 x_3 + x_2 x_3 x_4); its derivative by each:
  const dt::Var first = dt::reverse(dt::sum(dt::cumprod(x)), {x})[x];
  const dt::Var along = dt::sum(first * graph.constant(tensor({0, 1, 0, 0, 0})));
  CHECK(numbers(dt::eval(dt::reverse(along, {x})[x])) == Numbers{6, 0, 2, 40, 0});
}

TEST_CASE("logarithms of running sums neither overflow nor make NaN of -inf") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({-inf, 1000, 1000, -1000, 2000}));
  const dt::Var y = dt::logcumsumexp(x);
  const double two = 1000 + std::log(2.0);
  check_close(numbers(dt::eval(y)), {-inf, 1000, two, two, 2000}, 1e-15);
  check_close(gradient(y, x), {0, 2, 1, 0, 1}, 1e-12);  // x - y loses three digits
  const dt::Var bad = graph.constant(tensor({0, nan, 1}));
  check_close(numbers(dt::eval(dt::logcumsumexp(bad))), {0, nan, nan}, 1e-15);
}

TEST_CASE("running extremes, their first places, and NaN") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1, 3, 3, 2, 5, nan, 9}));
  const dt::Chosen most = dt::cummax(x);
  check_close(numbers(dt::eval(most.values)), {1, 3, 3, 3, 5, nan, nan}, 0);
  CHECK(numbers(dt::eval(most.indices)) == Numbers{0, 1, 1, 1, 4, 5, 5});
  const dt::Var w = graph.constant(dt::Tensor::of({4, 2, 2, 7, 1, 0}).reshape({3, 2}));
  const dt::Chosen least = dt::cummin(w, 0);
  CHECK(least.values.dtype() == dt::int64);
  CHECK(numbers(dt::eval(least.values)) == Numbers{4, 2, 2, 2, 1, 0});
  CHECK(numbers(dt::eval(least.indices)) == Numbers{0, 0, 1, 0, 2, 2});
  const dt::Var v = graph.constant(tensor({2, 1, 3}));
  CHECK(gradient(dt::cummax(v).values, v) == Numbers{2, 0, 1});
  CHECK(gradient(dt::cummin(v).values, v) == Numbers{1, 2, 0});
}

TEST_CASE("a recurrence runs either way along any axis; its first factor is not used") {
  dt::Graph graph;
  const dt::Var a = graph.constant(tensor({inf, 2, 3}));
  const dt::Var b = graph.constant(tensor({1, 10, 100}));
  CHECK(numbers(dt::eval(dt::linear_recurrence(a, b))) == Numbers{1, 12, 136});
  const dt::Var c = graph.constant(tensor({2, 3, inf}));
  CHECK(numbers(dt::eval(dt::linear_recurrence(c, b, 0, true))) == Numbers{621, 310, 100});
  CHECK(gradient(dt::linear_recurrence(a, b), b) == Numbers{9, 4, 1});
  // With factors of one it is the running sum.
  const dt::Var x = graph.constant(drawn(2, {3, 4, 2}));
  const dt::Var ones = graph.constant(dt::ones({3, 4, 2}, dt::float64));
  CHECK(dt::all_close(dt::eval(dt::linear_recurrence(ones, x, 1)), dt::eval(dt::cumsum(x, 1)),
                      1e-14));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::linear_recurrence(a, x); }), "linear_recurrence"));
}

TEST_CASE("differences undo running sums") {
  dt::Graph graph;
  const dt::Var x = graph.constant(drawn(3, {4, 5}));
  const dt::Var back = dt::diff(dt::cumsum(x, 0), 1, 0);
  CHECK(dt::all_close(dt::eval(back), dt::eval(dt::slice(x, 0, 1, 4)), 1e-13));
  const dt::Var squares = graph.constant(tensor({0, 1, 4, 9, 16}));
  CHECK(numbers(dt::eval(dt::diff(squares, 2))) == Numbers{2, 2, 2});
  CHECK(numbers(dt::eval(dt::diff(squares, 0))) == Numbers{0, 1, 4, 9, 16});
  CHECK(dt::diff(squares, 5).shape() == dt::Shape{0});
  CHECK(dt::diff(squares, 9).shape() == dt::Shape{0});
  CHECK(has(error_of<dt::ValueError>([&] { dt::diff(squares, -1); }), "diff"));
  CHECK_THROWS_AS(dt::diff(squares, 1, 1), dt::ShapeError);
}

TEST_CASE("the trapezium rule is exact for straight lines, and close for sines") {
  dt::Graph graph;
  const dt::Var places = graph.constant(tensor({0, 0.5, 2, 2.25, 4}));
  CHECK(dt::eval(dt::trapz(3 * places + 1, places)).item() == doctest::Approx(28).epsilon(1e-15));
  const double pi = std::acos(-1.0);
  const dt::Tensor grid = dt::linspace(0, pi, 1001, dt::float64);
  const dt::Var x = graph.constant(grid);
  CHECK(dt::eval(dt::trapz(dt::sin(x), x)).item() == doctest::Approx(2).epsilon(2e-6));
  CHECK(dt::eval(dt::trapz(dt::sin(x), pi / 1000)).item() == doctest::Approx(2).epsilon(2e-6));
  const dt::Var y = graph.constant(tensor({1, 2, 3, 5, 7, 11}).reshape({3, 2}));
  const dt::Var along = graph.constant(tensor({0, 1, 3}));
  CHECK(numbers(dt::eval(dt::trapz(y, along, 0))) == Numbers{12, 19.5});
  CHECK(numbers(dt::eval(dt::trapz(y, 1.0, 1))) == Numbers{1.5, 4, 9});
  CHECK(gradient(dt::trapz(y, along, 0), y) == Numbers{0.5, 0.5, 1.5, 1.5, 1, 1});
  CHECK(has(error_of<dt::ShapeError>([&] { dt::trapz(y, along, 1); }), "trapz"));
}

TEST_CASE("axes that do not exist are refused by name") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::Tensor{1, 2});
  CHECK(has(error_of<dt::ShapeError>([&] { dt::cumprod(x, 1); }), "cumprod"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::cummax(x, -2); }), "cummax"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::logcumsumexp(x, 3); }), "logcumsumexp"));
}

TEST_CASE("second slopes of logarithms of running sums do not cancel") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    dt::Graph graph;
    const dt::Var x = graph.constant(tensor({20, 0}, dtype));
    const dt::Var v = graph.constant(tensor({1, 0}, dtype));
    const dt::Var y = dt::sum(dt::logcumsumexp(x));
    const dt::Var slope = dt::forward(y, {x}, {v});
    const dt::Var gradient = dt::reverse(y, {x})[x];
    const auto check = [&](dt::Var found) {
      const double share = 2.0611536139418493e-9;  // p (1 - p)
      const Numbers got = numbers(dt::eval(found));
      const double tolerance = (dtype == dt::float64 ? 1e-14 : 1e-6) * share;
      CHECK(std::abs(got[0] - share) <= tolerance);
      CHECK(std::abs(got[1] + share) <= tolerance);
    };
    check(dt::forward(gradient, {x}, {v}));
    check(dt::reverse(slope, {x})[x]);
    check(dt::reverse(dt::sum(gradient * v), {x})[x]);
  }
}

// The product of x_0 ... x_k without those at `left_out`, of powers of 2 given by their logarithms.
double power_of_two_without(const std::vector<int>& logs, std::size_t k,
                            const std::set<std::size_t>& left_out) {
  int sum = 0;
  for (std::size_t i = 0; i <= k; ++i)
    if (!left_out.contains(i)) sum += logs[i];
  return std::ldexp(1.0, sum);
}

TEST_CASE("derivatives of running products are right where a product on the way is no float") {
  for (const auto& [dtype, size] : {std::pair{dt::float32, 100}, std::pair{dt::float64, 700}}) {
    const std::vector<int> logs = {size, size, -size, -size, -size, size};
    Numbers at;
    for (const int log : logs) at.push_back(std::ldexp(1.0, log));
    dt::Graph graph;
    const dt::Var x = graph.constant(tensor(at, dtype));
    const auto unit = [&, dtype = dtype](std::size_t i) {
      Numbers numbers(logs.size());
      numbers[i] = 1;
      return graph.constant(tensor(numbers, dtype));
    };
    // What float32 rounds to 0 or infinity, as a float64.
    const auto rounded = [&, dtype = dtype](double y) {
      const double smallest = dtype == dt::float32 ? 0x1p-126 : 0x1p-1022;
      if (y < smallest) return 0.0;
      return dtype == dt::float32 ? static_cast<double>(static_cast<float>(y)) : y;
    };
    for (std::size_t k = 0; k < logs.size(); ++k) {
      const auto place = static_cast<std::int64_t>(k);
      const dt::Var of_running = dt::sum(dt::slice(dt::cumprod(x), 0, place, place + 1));
      const dt::Var of_whole = dt::prod(dt::slice(x, 0, 0, place + 1));
      for (const dt::Var& y : {of_running, of_whole}) {
        CAPTURE(k);
        CHECK(dt::eval(y).item() == rounded(power_of_two_without(logs, k, {})));
        const dt::Var by_reverse = dt::reverse(y, {x})[x];
        const Numbers in_reverse = numbers(dt::eval(by_reverse));
        for (std::size_t i = 0; i <= k; ++i) {
          CAPTURE(i);
          const double wanted = rounded(power_of_two_without(logs, k, {i}));
          const dt::Var by_forward = dt::forward(y, {x}, {unit(i)});
          CHECK(in_reverse[i] == wanted);
          CHECK(dt::eval(by_forward).item() == wanted);
          if (k == 0) continue;
          Numbers row;
          for (std::size_t j = 0; j < logs.size(); ++j)
            row.push_back(j == i || j > k ? 0 : rounded(power_of_two_without(logs, k, {i, j})));
          CHECK(numbers(dt::eval(dt::forward(by_reverse, {x}, {unit(i)}))) == row);
          CHECK(numbers(dt::eval(dt::reverse(by_forward, {x})[x])) == row);
          // The third, by x_i, x_0 and each.
          if (i == 0 || k < 2) continue;
          const dt::Var second = dt::forward(by_forward, {x}, {unit(0)});
          for (std::size_t j = 0; j < logs.size(); ++j)
            row[j] =
                j == i || j == 0 || j > k ? 0 : rounded(power_of_two_without(logs, k, {0, i, j}));
          CHECK(numbers(dt::eval(dt::reverse(second, {x})[x])) == row);
        }
      }
    }
  }
}

}  // namespace
