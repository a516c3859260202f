#include <doctest/doctest.h>

#include <functional>
#include <limits>

#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

#include "gradient.hpp"

using namespace known;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

double value(dt::Var x) { return dt::eval(x).item(); }

TEST_CASE("means") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1, 2, 3, 4, 5, 9}).reshape({2, 3}));
  CHECK(value(dt::mean(x)) == 4);
  CHECK(numbers(dt::eval(dt::mean(x, {0}))) == Numbers{2.5, 3.5, 6});
  CHECK(std::isnan(value(dt::mean(graph.constant(dt::zeros({0}))))));
  const dt::Var whole = dt::mean(graph.constant(tensor({1, 2}, dt::int32)));
  CHECK(whole.dtype() == dt::float32);
  CHECK(value(whole) == 1.5);
  check_close(gradient(dt::mean(x), x), Numbers(6, 1.0 / 6), 1e-15);
}

TEST_CASE("variances and standard deviations") {
  dt::Graph graph;
  const Numbers data{2, 4, 4, 4, 5, 5, 7, 9};  // mean 5, squares 32
  const dt::Var x = graph.constant(tensor(data));
  CHECK(value(dt::var(x, {}, false, 0)) == 4);
  CHECK(value(dt::stddev(x, {}, false, 0)) == doctest::Approx(2).epsilon(1e-15));
  CHECK(value(dt::var(x)) == doctest::Approx(32.0 / 7).epsilon(1e-15));
  CHECK(value(dt::stddev(x)) == doctest::Approx(std::sqrt(32.0 / 7)).epsilon(1e-15));
  CHECK(dt::var(x, {0}, true).shape() == dt::Shape{1});
  Numbers slope_of_var;
  Numbers slope_of_std;
  for (const double v : data) {
    slope_of_var.push_back(2 * (v - 5) / 7);
    slope_of_std.push_back((v - 5) / (7 * std::sqrt(32.0 / 7)));
  }
  check_close(gradient(dt::var(x), x), slope_of_var, 1e-14);
  check_close(gradient(dt::stddev(x), x), slope_of_std, 1e-14);
}

TEST_CASE("a variance far from zero keeps its digits") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16}));
  CHECK(value(dt::var(x)) == 30);
  const dt::Var single = graph.constant(tensor({4096.25, 4096.5, 4096.75}, dt::float32));
  CHECK(value(dt::var(single)) == 0.0625);
}

TEST_CASE("variances of too few, and of equal elements") {
  dt::Graph graph;
  const dt::Var one = graph.constant(tensor({3}));
  CHECK(std::isnan(value(dt::var(one))));
  CHECK(std::isnan(value(dt::stddev(one))));
  CHECK(value(dt::var(one, {}, false, 0)) == 0);
  for (const std::int64_t axis : {0, 1}) {  // the kernel of rows, and the composition
    const dt::Var two = graph.constant(tensor({1, 2, 3, 4}).reshape({2, 2}));
    for (const double v : numbers(dt::eval(dt::var(two, {axis}, false, 3)))) CHECK(std::isnan(v));
    for (const double v : numbers(dt::eval(dt::stddev(two, {axis}, false, 2))))
      CHECK(std::isnan(v));
  }
  const dt::Var equal = graph.constant(tensor({3, 3, 3}));
  CHECK(value(dt::stddev(equal)) == 0);
  CHECK(gradient(dt::stddev(equal), equal) == Numbers{0, 0, 0});
}

TEST_CASE("variances over any axes, of rows and columns of any length") {
  for (const std::int64_t size : {1, 2, 15, 16, 33, 300, 9001})
    for (const dt::DType dtype : {dt::float64, dt::float32}) {
      CAPTURE(size);
      Numbers values(static_cast<std::size_t>(size * 3));
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = std::sin(static_cast<double>(i)) * 3 + 100;
      values = numbers(tensor(values, dtype));
      const auto wanted = [&](auto row_of) {
        Numbers means(3, 0);
        Numbers variances(3, 0);
        for (std::size_t i = 0; i < values.size(); ++i)
          means[row_of(i)] += values[i] / static_cast<double>(size);
        for (std::size_t i = 0; i < values.size(); ++i) {
          const double d = values[i] - means[row_of(i)];
          variances[row_of(i)] += d * d / static_cast<double>(size);
        }
        return variances;
      };
      const Numbers by_rows =
          wanted([&](std::size_t i) { return i / static_cast<std::size_t>(size); });
      const Numbers by_columns = wanted([](std::size_t i) { return i % 3; });
      const double tolerance = dtype == dt::float64 ? 1e-13 : 1e-5;
      dt::Graph graph;
      const dt::Tensor data = tensor(values, dtype);
      const dt::Var rows = graph.constant(data.reshape({3, size}));
      const dt::Var columns = graph.constant(data.reshape({size, 3}));
      check_close(numbers(dt::eval(dt::var(rows, {-1}, true, 0))), by_rows, tolerance);
      check_close(numbers(dt::eval(dt::square(dt::stddev(rows, {1}, false, 0)))), by_rows,
                  tolerance);
      check_close(numbers(dt::eval(dt::var(columns, {0}, true, 0))), by_columns, tolerance);
      check_close(numbers(dt::eval(dt::square(dt::stddev(columns, {0}, false, 0)))), by_columns,
                  tolerance);
    }
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::zeros({2, 3, 4}));
  CHECK(dt::var(x, {1, 2}).shape() == dt::Shape{2});
  CHECK(dt::var(x, {0, 2}, true).shape() == dt::Shape{1, 3, 1});
  CHECK(dt::stddev(x, {-1, 1}, true).shape() == dt::Shape{2, 1, 1});
  CHECK(has(error_of<dt::ShapeError>([&] { dt::var(x, {3}); }), "axis 3 is out of range"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::var(x, {2, 2}); }), "is named twice"));
  CHECK(dt::eval(dt::var(graph.constant(dt::zeros({0, 3})), {1})).shape() == dt::Shape{0});
  for (const double v : numbers(dt::eval(dt::var(graph.constant(dt::zeros({2, 0})), {1}))))
    CHECK(std::isnan(v));
}

TEST_CASE("deviations of floats whose squares overflow or underflow") {
  dt::Graph graph;
  const auto of = [&](const Numbers& values) {
    return value(dt::stddev(graph.constant(tensor(values, dt::float32)), {}, false, 0));
  };
  CHECK(of({3e25, -3e25}) == doctest::Approx(3e25).epsilon(1e-6));
  CHECK(of({3e-25, -3e-25}) == doctest::Approx(3e-25).epsilon(1e-6).scale(0));
  CHECK(std::isnan(of({1, nan, 2})));
  CHECK(std::isnan(of({1, inf, 2})));
  CHECK(of(Numbers(1000, 0.1)) == 0);
}

TEST_CASE("norms") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({3, 4, 0, 0, 5, -12}).reshape({3, 2}));
  CHECK(numbers(dt::eval(dt::norm(x, {1}))) == Numbers{5, 0, 13});
  CHECK(value(dt::norm(x)) == doctest::Approx(std::sqrt(194.0)).epsilon(1e-15));
  const dt::Var ones = graph.constant(dt::ones({3}, dt::float64));
  check_close(numbers(dt::eval(dt::vjp({dt::norm(x, {1})}, {x}, {ones})[x])),
              {0.6, 0.8, 0, 0, 5.0 / 13, -12.0 / 13}, 1e-15);
  const dt::Var large = graph.constant(tensor({3e25, -4e25}, dt::float32));
  CHECK(value(dt::norm(large)) == doctest::Approx(5e25).epsilon(1e-6));
  const dt::Var small = graph.constant(tensor({3e-30, 4e-30}, dt::float32));
  CHECK(value(dt::norm(small)) == doctest::Approx(5e-30).epsilon(1e-6).scale(0));
}

TEST_CASE("logsumexp") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    const double tolerance = dtype == dt::float32 ? 1e-6 : 1e-14;
    dt::Graph graph;
    const auto of = [&](const Numbers& values) {
      return value(dt::logsumexp(graph.constant(tensor(values, dtype))));
    };
    CHECK(of({0, 0, 0}) == doctest::Approx(std::log(3.0)).epsilon(tolerance));
    CHECK(of({1000, 1000}) == doctest::Approx(1000 + std::log(2.0)).epsilon(tolerance));
    CHECK(of({-1000, -1000}) == doctest::Approx(-1000 + std::log(2.0)).epsilon(tolerance));
    CHECK(of({-2}) == -2);
    CHECK(of({-inf, 5}) == 5);
    CHECK(of({-inf, -inf}) == -inf);
    CHECK(of({inf, 5}) == inf);
    CHECK(of({}) == -inf);
    CHECK(std::isnan(of({nan, 5})));
    CHECK(std::isnan(of({nan, inf})));
    CHECK(std::isnan(of({nan, nan})));
    const dt::Var scalar = graph.constant(1.5, dtype);
    CHECK(value(dt::logsumexp(scalar)) == 1.5);
  }
}

TEST_CASE("logsumexp over any axes, of rows and columns of any length") {
  for (const std::int64_t size : {1, 3, 10, 64, 65, 300, 5000}) {
    CAPTURE(size);
    Numbers values(static_cast<std::size_t>(size * 3));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = std::sin(static_cast<double>(i)) * 3;
    dt::Graph graph;
    const dt::Tensor data = tensor(values);
    Numbers rows(3, 0);
    Numbers columns(3, 0);
    for (std::size_t i = 0; i < values.size(); ++i) {
      rows[i / static_cast<std::size_t>(size)] += std::exp(values[i]);
      columns[i % 3] += std::exp(values[i]);
    }
    for (double& total : rows) total = std::log(total);
    for (double& total : columns) total = std::log(total);
    check_close(numbers(dt::eval(dt::logsumexp(graph.constant(data.reshape({3, size})), {1}))),
                rows, 1e-14);
    check_close(numbers(dt::eval(dt::logsumexp(graph.constant(data.reshape({size, 3})), {0}))),
                columns, 1e-14);
  }
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::zeros({2, 3, 4, 5}, dt::float64));
  const dt::Var y = dt::logsumexp(x, {0, 2, 3}, true);
  CHECK(y.shape() == dt::Shape{1, 3, 1, 1});
  check_close(numbers(dt::eval(y)), Numbers(3, std::log(40.0)), 1e-14);
  CHECK_THROWS_AS(dt::logsumexp(x, {1, 1}, true), dt::ShapeError);
}

TEST_CASE("the derivative of logsumexp is softmax, and 0 where all are -inf") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({0, std::log(3.0), -inf}));
  check_close(gradient(dt::logsumexp(x), x), {0.25, 0.75, 0}, 1e-15);
  const dt::Var none = graph.constant(tensor({-inf, -inf}));
  CHECK(gradient(dt::logsumexp(none), none) == Numbers{0, 0});
}

TEST_CASE("the weights of logsumexp sum to 1 however far from zero") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const double offset : {-123456.0, 1e8, -3e30, 0.0}) {
      CAPTURE(offset);
      dt::Graph graph;
      const dt::Var x = graph.constant(tensor({offset, offset, offset, offset}, dtype));
      CHECK(gradient(dt::logsumexp(x), x) == Numbers(4, 0.25));
      const dt::Var square = dt::reshape(x, {2, 2});
      CHECK(gradient(dt::logsumexp(square), x) == Numbers(4, 0.25));
      CHECK(gradient(dt::logsumexp(square, {0}), x) == Numbers(4, 0.5));
    }
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({inf, 5, inf}));
  CHECK(gradient(dt::logsumexp(x), x) == Numbers{0.5, 0, 0.5});
}

// d/ds of the gradient at x + s v, by each mode over each.
void check_second_order(const std::function<dt::Var(dt::Var)>& function, const Numbers& at,
                        const Numbers& direction, const Numbers& wanted, double tolerance) {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor(at));
  const dt::Var v = graph.constant(tensor(direction));
  const dt::Var y = function(x);
  const dt::Var slope = dt::forward(y, {x}, {v});
  const dt::Var gradient = dt::reverse(y, {x})[x];
  const dt::Var inner = dt::sum(gradient * v);
  check_close(numbers(dt::eval(dt::reverse(slope, {x})[x])), wanted, tolerance);
  check_close(numbers(dt::eval(dt::forward(gradient, {x}, {v}))), wanted, tolerance);
  check_close(numbers(dt::eval(dt::reverse(inner, {x})[x])), wanted, tolerance);
}

TEST_CASE("second derivatives of roots are 0 where the root is 0, in every nesting") {
  const auto norm = [](dt::Var x) { return dt::norm(x); };
  check_second_order(norm, {0, 0, 0}, {1, 2, 3}, {0, 0, 0}, 0);
  check_second_order(norm, {3, 0, 4}, {1, 0, 0}, {0.2 - 9.0 / 125, 0, -12.0 / 125}, 1e-15);
  const auto deviation = [](dt::Var x) { return dt::stddev(x); };
  check_second_order(deviation, {2, 2, 2}, {1, 2, 3}, {0, 0, 0}, 0);
  const auto columns = [](dt::Var x) { return dt::sum(dt::stddev(dt::reshape(x, {3, 1}), {0})); };
  check_second_order(columns, {2, 2, 2}, {1, 2, 3}, {0, 0, 0}, 0);
}

TEST_CASE("norms of numbers whose squares overflow or underflow") {
  for (const std::int64_t axis : {0, 1}) {
    const auto of = [&](const Numbers& values, dt::DType dtype) {
      dt::Graph graph;
      const auto n = static_cast<std::int64_t>(values.size());
      const dt::Tensor data = tensor(values, dtype);
      const dt::Var x = graph.constant(data.reshape(axis == 1 ? dt::Shape{1, n} : dt::Shape{n, 1}));
      return dt::eval(dt::norm(x, {axis})).to(dt::float64).at({0});
    };
    const auto near = [](double y) { return doctest::Approx(y).epsilon(1e-15).scale(0); };
    CHECK(of({3e200, -4e200}, dt::float64) == near(5e200));
    CHECK(of({3e-200, 4e-200, 0}, dt::float64) == near(5e-200));
    CHECK(of({3e-300, 4e-300, 0}, dt::float64) == near(5e-300));
    CHECK(of(Numbers(100, 1e300), dt::float64) == near(1e301));
    CHECK(of({1e300, 1, 1e-300}, dt::float64) == 1e300);
    CHECK(of({1e308, 1.7e308}, dt::float64) == inf);
    CHECK(of({0, 0}, dt::float64) == 0);
    CHECK(std::isnan(of({1e200, nan}, dt::float64)));
    CHECK(of({3e38, 1}, dt::float32) == doctest::Approx(3e38).epsilon(1e-7));
  }
}

TEST_CASE("means of numbers whose sum is none") {
  for (const std::int64_t axis : {0, 1})
    for (const auto& [size, dtype] : {std::pair{3e38, dt::float32}, {1.5e308, dt::float64}}) {
      dt::Graph graph;
      const dt::Tensor values = tensor(Numbers(6, size), dtype).reshape({2, 3});
      const dt::Var y = dt::mean(graph.constant(values), {axis});
      for (const double m : numbers(dt::eval(y))) CHECK(m == values.to(dt::float64).at({0, 0}));
      CHECK(value(dt::mean(graph.constant(tensor({inf, 1}, dtype)))) == inf);
      CHECK(std::isnan(value(dt::mean(graph.constant(tensor({inf, -inf}, dtype))))));
    }
}

TEST_CASE("variances and deviations of numbers far out, by rows and by columns") {
  for (const std::int64_t axis : {0, 1}) {
    const auto line = [&](dt::Graph& graph, const Numbers& values, dt::DType dtype) {
      const auto n = static_cast<std::int64_t>(values.size());
      return dt::reshape(graph.constant(tensor(values, dtype)),
                         axis == 1 ? dt::Shape{1, n} : dt::Shape{n, 1});
    };
    dt::Graph graph;
    const auto deviation = [&](const Numbers& values, dt::DType dtype) {
      return dt::eval(dt::stddev(line(graph, values, dtype), {axis}, false, 0))
          .to(dt::float64)
          .at({0});
    };
    const auto near = [](double y, double e) { return doctest::Approx(y).epsilon(e).scale(0); };
    CHECK(deviation({3e25, -3e25}, dt::float32) == near(3e25, 1e-7));
    CHECK(deviation({3e38, -3e38}, dt::float32) == near(3e38, 1e-7));
    CHECK(deviation({3e38, 2e38}, dt::float32) == near(5e37, 1e-6));
    CHECK(deviation({3e200, -3e200}, dt::float64) == near(3e200, 1e-15));
    CHECK(deviation({3e-200, -3e-200}, dt::float64) == near(3e-200, 1e-15));
    CHECK(deviation({1.5e308, -1.5e308}, dt::float64) == near(1.5e308, 1e-15));
    CHECK(deviation(Numbers(1000, 0.1), dt::float64) < 1e-17);
    const dt::Var far = line(graph, {1e6, 1e6 + 0.25}, dt::float32);
    CHECK(dt::eval(dt::var(far, {axis}, false, 0)).at({0}) == 0.015625);
    // The mean of these is between two floats, and the slopes are right all the same.
    const dt::Var between = graph.constant(tensor({16777214, 16777214, 16777215}, dt::float32));
    const dt::Var shaped = dt::reshape(between, axis == 1 ? dt::Shape{1, 3} : dt::Shape{3, 1});
    check_close(gradient(dt::var(shaped, {axis}, false, 0), between), {-2.0 / 9, -2.0 / 9, 4.0 / 9},
                1e-6);
  }
}

TEST_CASE("norms of any p, by their definition") {
  const Numbers data{0.5, -2, 1.5, -0.25, 3, 1};
  for (const double p : {1.0, 1.5, 2.0, 3.0, 7.0, 0.5, -1.0, -2.5}) {
    CAPTURE(p);
    dt::Graph graph;
    const dt::Var x = graph.constant(tensor(data).reshape({2, 3}));
    Numbers values;
    Numbers slopes;
    for (std::size_t row = 0; row < 2; ++row) {
      double sum = 0;
      for (std::size_t i = 0; i < 3; ++i) sum += std::pow(std::abs(data[3 * row + i]), p);
      values.push_back(std::pow(sum, 1 / p));
      for (std::size_t i = 0; i < 3; ++i) {
        const double v = data[3 * row + i];
        slopes.push_back(std::copysign(std::pow(std::abs(v) / values.back(), p - 1), v));
      }
    }
    check_close(numbers(dt::eval(dt::norm(x, {1}, false, p))), values, 1e-14);
    check_close(gradient(dt::norm(x, {1}, true, p), x), slopes, 1e-14);
    CHECK(dt::norm(x, {}, false, p).shape() == dt::Shape{});
  }
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({0.5, -2, 0, 3}).reshape({2, 2}));
  CHECK(numbers(dt::eval(dt::norm(x, {1}, false, inf))) == Numbers{2, 3});
  CHECK(numbers(dt::eval(dt::norm(x, {1}, false, -inf))) == Numbers{0.5, 0});
  CHECK(numbers(dt::eval(dt::norm(x, {1}, false, 0))) == Numbers{2, 1});
  const auto counted = [](dt::Var in) { return dt::sum(dt::norm(in, {1}, false, 0)); };
  CHECK(numbers(dt::grad(counted)(dt::Tensor{{3, -0.5}, {0, 2}})) == Numbers{0, 0, 0, 0});
  CHECK(numbers(dt::eval(dt::norm(x, {1}, true, 1))) == Numbers{2.5, 3});
  const dt::Var whole = graph.constant(tensor({3, 4}, dt::int32));
  for (const double p : {0.0, 1.0, 2.0, 3.0, inf})
    CHECK(dt::norm(whole, {}, false, p).dtype() == dt::float32);
  CHECK(has(error_of<dt::ValueError>([&] { dt::norm(x, {}, false, nan); }), "[norm] p is NaN"));
}

TEST_CASE("second slopes of p-norms of any size, in every nesting") {
  // Of {3, 4} and p = 3, of which those of {3, 4} t are 1 / t.
  const double h00 = 0.20857499275277856;
  const double h01 = -0.15643124456458392;
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const double size : {0x1p-100, 1.0, 0x1p64, 0x1p100}) {
      CAPTURE(size);
      dt::Graph graph;
      const dt::Var x = graph.constant(tensor({3 * size, 4 * size}, dtype));
      const dt::Var v = graph.constant(tensor({1, 0}, dtype));
      const dt::Var y = dt::norm(x, {}, false, 3);
      const dt::Var slope = dt::forward(y, {x}, {v});
      const dt::Var gradient = dt::reverse(y, {x})[x];
      const double tolerance = dtype == dt::float64 ? 1e-14 : 2e-6;
      const auto check = [&](dt::Var found) {
        Numbers scaled = numbers(dt::eval(found));
        for (double& number : scaled) number *= size;
        check_close(scaled, {h00, h01}, tolerance);
      };
      check(dt::forward(gradient, {x}, {v}));
      check(dt::reverse(slope, {x})[x]);
      check(dt::reverse(dt::sum(gradient * v), {x})[x]);
      CHECK(std::abs(value(dt::forward(slope, {x}, {v})) * size - h00) <= tolerance);
    }
}

TEST_CASE("slopes of p-norms of numbers further apart than floats reach") {
  const auto slopes = [](const Numbers& data, double p) {
    dt::Graph graph;
    const dt::Var x = graph.constant(tensor(data, dt::float32));
    const Numbers back = gradient(dt::norm(x, {}, false, p), x);
    for (std::size_t i = 0; i < data.size(); ++i) {
      Numbers direction(data.size(), 0);
      direction[i] = 1;
      const dt::Var v = graph.constant(tensor(direction, dt::float32));
      const double ahead = value(dt::forward(dt::norm(x, {}, false, p), {x}, {v}));
      CHECK(ahead == doctest::Approx(back[i]).epsilon(1e-6));
    }
    return back;
  };
  check_close(slopes({1e-20, 1e20}, 1.1), {1e-4, 1}, 1e-6);
  check_close(slopes({1, 1e-20, -1e20}, 1.0001), {0.995405417, 0.990831945, -1}, 1e-6);
  const Numbers flat = slopes({1, 1e-20, 1e20}, 0.5);
  CHECK(flat[0] == doctest::Approx(1e10).epsilon(1e-6));
  CHECK(flat[1] == doctest::Approx(1e20).epsilon(1e-6));
  CHECK(flat[2] == doctest::Approx(1).epsilon(1e-6));
}

}  // namespace
